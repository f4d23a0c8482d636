"""Resource limits. Those that would choke the emulator are kept for the guest's eyes only."""

from __future__ import annotations

import os
import resource
import struct
from typing import TYPE_CHECKING

from runtime.personalities.linux import defs
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.process import Process
    from runtime.personalities.linux.threads import Thread

RLIMIT_DATA, RLIMIT_STACK, RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_AS = 2, 3, 7, 8, 9
_COUNT = 16
# The guest's address space, stack and descriptors live inside the emulator's.
_VIRTUAL = frozenset({RLIMIT_DATA, RLIMIT_STACK, RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_AS})
INFINITY = (1 << 64) - 1
_INFINITY32, _OLD_INFINITY = 0xFFFF_FFFF, 0x7FFF_FFFF
_LARGEST_STACK = 64 << 20  # of a program whose parent asked for more, or for no limit


def adopt_host(process: Process) -> None:
    """Start with the inherited limits, and raise the host's limit of descriptors for ourselves."""
    for which in _VIRTUAL:
        process.rlimits[which] = _from_host(resource.getrlimit(which))
    size = process.options.stack_size
    process.rlimits[RLIMIT_STACK] = size, max(size, process.rlimits[RLIMIT_STACK][1])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def stack_size(process: Process) -> int:
    """Return the bytes of stack that a program starts with: its limit, within reason."""
    soft, _ = process.rlimits.get(RLIMIT_STACK, (process.options.stack_size, 0))
    return min(soft, max(process.options.stack_size, _LARGEST_STACK))


def _from_host(pair: tuple[int, int]) -> tuple[int, int]:
    soft, hard = (INFINITY if value == resource.RLIM_INFINITY else value for value in pair)
    return soft, hard


def _to_host(value: int) -> int:
    return resource.RLIM_INFINITY if value >= INFINITY else value


def get(process: Process, which: int) -> tuple[int, int]:
    """Return the soft and the hard limit."""
    if not 0 <= which < _COUNT:
        raise OSError(defs.EINVAL, "no such limit")
    if which in process.rlimits:
        return process.rlimits[which]
    return _from_host(resource.getrlimit(which))


def put(process: Process, which: int, soft: int, hard: int) -> int:
    """Set the soft and the hard limit; return 0 or -errno."""
    _, old_hard = get(process, which)
    if soft > hard:
        return -defs.EINVAL
    if which in process.rlimits:
        if hard > old_hard and os.geteuid() != 0:
            return -defs.EPERM
        process.rlimits[which] = (soft, hard)
        return 0
    try:
        resource.setrlimit(which, (_to_host(soft), _to_host(hard)))
    except ValueError:
        return -defs.EPERM
    return 0


def _clip(value: int, infinity: int) -> int:
    return min(value, infinity)


@syscall(76, "getrlimit")
def getrlimit(t: Thread, which: int, address: int) -> int:
    """Read a limit; the old form has 31 bits."""
    pair = (_clip(value, _OLD_INFINITY) for value in get(t.process, which))
    t.mem.write(address, struct.pack("<II", *pair))
    return 0


@syscall(191, "ugetrlimit")
def ugetrlimit(t: Thread, which: int, address: int) -> int:
    """Read a limit, 32 bits."""
    pair = (_clip(value, _INFINITY32) for value in get(t.process, which))
    t.mem.write(address, struct.pack("<II", *pair))
    return 0


@syscall(75, "setrlimit")
def setrlimit(t: Thread, which: int, address: int) -> int:
    """Set a limit, 32 bits."""
    values = struct.unpack("<II", t.mem.read(address, 8))
    soft, hard = (INFINITY if value == _INFINITY32 else value for value in values)
    return put(t.process, which, soft, hard)


@syscall(340, "prlimit64")
def prlimit64(t: Thread, pid: int, which: int, new: int, old: int) -> int:
    """Read and set a limit of this process, 64 bits."""
    if signed(pid) not in (0, os.getpid()):
        return -defs.EPERM
    former = get(t.process, which)
    if new:
        code = put(t.process, which, *struct.unpack("<QQ", t.mem.read(new, 16)))
        if code:
            return code
    if old:
        t.mem.write(old, struct.pack("<QQ", *former))
    return 0
