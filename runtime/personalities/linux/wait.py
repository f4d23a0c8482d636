"""Waiting for children: they are host children, only the structures differ."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux import defs, reach, siginfo
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_HOST_RUSAGE = struct.Struct("<18q")
_RUSAGE = struct.Struct("<18i")
_P_PIDFD = 3


def pack_rusage(raw: bytes) -> bytes:
    """Convert a host struct rusage to the i386 layout."""
    values = _HOST_RUSAGE.unpack(raw[: _HOST_RUSAGE.size])
    return _RUSAGE.pack(*(min(value, 0x7FFF_FFFF) for value in values))


@syscall(114, "wait4")
def wait4(t: Thread, pid: int, status: int, options: int, usage: int) -> int:
    """Wait for a child."""
    word = ctypes.c_int32()
    record = ctypes.create_string_buffer(_HOST_RUSAGE.size)
    result = host.interruptible(
        Sys.WAIT4, signed(pid), ctypes.addressof(word), options, ctypes.addressof(record)
    )
    if result > 0:
        t.attention = True  # SIGCHLD may be gone with it, or come just now
        if status:
            t.mem.put_u32(status, word.value & 0xFFFF_FFFF)
        if usage:
            t.mem.write(usage, pack_rusage(record.raw))
    return result


@syscall(7, "waitpid")
def waitpid(t: Thread, pid: int, status: int, options: int) -> int:
    """Wait for a child."""
    return wait4(t, pid, status, options, 0)


@syscall(284, "waitid")
def waitid(t: Thread, kind: int, identifier: int, info: int, options: int, usage: int) -> int:
    """Wait for a change of a child's state; the answer is a siginfo."""
    if kind == _P_PIDFD and identifier in t.process.reserved_fds:
        return -defs.EBADF
    record = ctypes.create_string_buffer(siginfo.SIZE)
    times = ctypes.create_string_buffer(_HOST_RUSAGE.size)
    result = host.interruptible(
        Sys.WAITID,
        signed(kind),
        signed(identifier),
        ctypes.addressof(record),
        options,
        ctypes.addressof(times),
    )
    if result < 0:
        return result
    t.attention = True
    signo, error, code = struct.unpack_from("<iii", record.raw)
    pid, uid, status = struct.unpack_from("<iIi", record.raw, 16)
    if info:  # only these members are written
        t.mem.write(info, struct.pack("<iiiiIi", signo, error, code, pid, uid, status))
    if usage and signo:
        t.mem.write(usage, pack_rusage(times.raw))
    return result


@syscall(77, "getrusage")
def getrusage(t: Thread, who: int, usage: int) -> int:
    """Return the resources used."""
    record = ctypes.create_string_buffer(_HOST_RUSAGE.size)
    result = host.syscall(Sys.GETRUSAGE, signed(who), ctypes.addressof(record))
    if result == 0:
        t.mem.write(usage, pack_rusage(record.raw))
    return result


@syscall(434, "pidfd_open")
def pidfd_open(t: Thread, pid: int, flags: int) -> int:
    """Return a descriptor for a process."""
    return host.syscall(Sys.PIDFD_OPEN, reach.check(t.process, pid), flags)


@syscall(424, "pidfd_send_signal")
def pidfd_send_signal(t: Thread, fd: int, signo: int, info: int, flags: int) -> int:
    """Send a signal through a process descriptor."""
    if fd in t.process.reserved_fds:
        return -defs.EBADF
    packed = siginfo.to_host(t.mem.read(info, siginfo.SIZE)) if info else None
    t.attention = True
    return host.syscall(Sys.PIDFD_SEND_SIGNAL, fd, signo, packed, flags)
