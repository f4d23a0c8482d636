"""User, group, process, group-of-processes and session ids: those of the host process."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux import defs
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_OVERFLOW = 65534  # what a 16-bit call shows for an id that does not fit


def _short(identifier: int) -> int:
    return identifier if identifier <= 0xFFFF else _OVERFLOW


def _wide(identifier: int) -> int:
    """Widen a 16-bit argument: -1 stays -1."""
    identifier &= 0xFFFF
    return 0xFFFF_FFFF if identifier == 0xFFFF else identifier


def _host_id(identifier: int) -> int:
    """Return a 32-bit id as the host call takes it."""
    return signed(identifier) if identifier == 0xFFFF_FFFF else identifier


@syscall(20, "getpid")
def getpid(t: Thread) -> int:
    """Return the process id."""
    return os.getpid()


@syscall(64, "getppid")
def getppid(t: Thread) -> int:
    """Return the parent's process id."""
    return os.getppid()


_GETTERS: dict[str, tuple[int, int, Callable[[], int]]] = {
    "getuid": (24, 199, os.getuid),
    "getgid": (47, 200, os.getgid),
    "geteuid": (49, 201, os.geteuid),
    "getegid": (50, 202, os.getegid),
}


def _add_getter(name: str, short: int, wide: int, get: Callable[[], int]) -> None:
    def get_short(t: Thread) -> int:
        return _short(get())

    def get_wide(t: Thread) -> int:
        return get()

    syscall(short, name)(get_short)
    syscall(wide, f"{name}32")(get_wide)


def _add_setter(name: str, short: int, wide: int, number: Sys, count: int) -> None:
    """Register a call that takes *count* ids, in 16-bit and 32-bit form."""

    def set1(t: Thread, a: int) -> int:
        return host.syscall(number, _host_id(a))

    def set2(t: Thread, a: int, b: int) -> int:
        return host.syscall(number, _host_id(a), _host_id(b))

    def set3(t: Thread, a: int, b: int, c: int) -> int:
        return host.syscall(number, _host_id(a), _host_id(b), _host_id(c))

    def short1(t: Thread, a: int) -> int:
        return set1(t, _wide(a))

    def short2(t: Thread, a: int, b: int) -> int:
        return set2(t, _wide(a), _wide(b))

    def short3(t: Thread, a: int, b: int, c: int) -> int:
        return set3(t, _wide(a), _wide(b), _wide(c))

    narrow: list[Callable[..., int]] = [short1, short2, short3]
    full: list[Callable[..., int]] = [set1, set2, set3]
    syscall(short, name)(narrow[count - 1])
    syscall(wide, f"{name}32")(full[count - 1])


for _name, (_s, _w, _get) in _GETTERS.items():
    _add_getter(_name, _s, _w, _get)
for _row in (
    ("setuid", 23, 213, Sys.SETUID, 1),
    ("setgid", 46, 214, Sys.SETGID, 1),
    ("setreuid", 70, 203, Sys.SETREUID, 2),
    ("setregid", 71, 204, Sys.SETREGID, 2),
    ("setresuid", 164, 208, Sys.SETRESUID, 3),
    ("setresgid", 170, 210, Sys.SETRESGID, 3),
    ("setfsuid", 138, 215, Sys.SETFSUID, 1),
    ("setfsgid", 139, 216, Sys.SETFSGID, 1),
):
    _add_setter(*_row)


def _put_ids(t: Thread, values: tuple[int, ...], addresses: tuple[int, ...], fmt: str) -> int:
    for value, address in zip(values, addresses, strict=True):
        t.mem.write(address, struct.pack(fmt, _short(value) if fmt == "<H" else value))
    return 0


@syscall(165, "getresuid")
def getresuid(t: Thread, real: int, effective: int, saved: int) -> int:
    """Return the three user ids, 16 bits each."""
    return _put_ids(t, os.getresuid(), (real, effective, saved), "<H")


@syscall(209, "getresuid32")
def getresuid32(t: Thread, real: int, effective: int, saved: int) -> int:
    """Return the three user ids."""
    return _put_ids(t, os.getresuid(), (real, effective, saved), "<I")


@syscall(171, "getresgid")
def getresgid(t: Thread, real: int, effective: int, saved: int) -> int:
    """Return the three group ids, 16 bits each."""
    return _put_ids(t, os.getresgid(), (real, effective, saved), "<H")


@syscall(211, "getresgid32")
def getresgid32(t: Thread, real: int, effective: int, saved: int) -> int:
    """Return the three group ids."""
    return _put_ids(t, os.getresgid(), (real, effective, saved), "<I")


def _getgroups(t: Thread, count: int, address: int, fmt: str) -> int:
    groups = os.getgroups()
    if count == 0:
        return len(groups)
    if signed(count) < len(groups):
        return -defs.EINVAL
    values = [_short(g) if fmt == "H" else g for g in groups]
    t.mem.write(address, struct.pack(f"<{len(values)}{fmt}", *values))
    return len(groups)


@syscall(80, "getgroups")
def getgroups(t: Thread, count: int, address: int) -> int:
    """Return the supplementary groups, 16 bits each."""
    return _getgroups(t, count, address, "H")


@syscall(205, "getgroups32")
def getgroups32(t: Thread, count: int, address: int) -> int:
    """Return the supplementary groups."""
    return _getgroups(t, count, address, "I")


@syscall(81, "setgroups")
def setgroups(t: Thread, count: int, address: int) -> int:
    """Set the supplementary groups, 16 bits each."""
    if count > 65536:
        return -defs.EINVAL
    os.setgroups(struct.unpack(f"<{count}H", t.mem.read(address, 2 * count)))
    return 0


@syscall(206, "setgroups32")
def setgroups32(t: Thread, count: int, address: int) -> int:
    """Set the supplementary groups."""
    if count > 65536:
        return -defs.EINVAL
    return host.syscall(Sys.SETGROUPS, count, t.mem.read(address, 4 * count))


@syscall(57, "setpgid")
def setpgid(t: Thread, pid: int, group: int) -> int:
    """Move a process into a process group."""
    return host.syscall(Sys.SETPGID, signed(pid), signed(group))


@syscall(65, "getpgrp")
def getpgrp(t: Thread) -> int:
    """Return the process group."""
    return os.getpgrp()


@syscall(132, "getpgid")
def getpgid(t: Thread, pid: int) -> int:
    """Return the process group of a process."""
    return host.syscall(Sys.GETPGID, signed(pid))


@syscall(66, "setsid")
def setsid(t: Thread) -> int:
    """Begin a session."""
    return host.syscall(Sys.SETSID)


@syscall(147, "getsid")
def getsid(t: Thread, pid: int) -> int:
    """Return the session of a process."""
    return host.syscall(Sys.GETSID, signed(pid))
