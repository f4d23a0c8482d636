"""System calls on descriptors themselves: dup, pipes, fcntl with its locks, flock."""

from __future__ import annotations

import ctypes
import errno
import fcntl as host_fcntl
import os
import struct
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.memory import MemoryFault
from runtime.personalities.linux import openat2, reach
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_CLOSE_RANGE_UNSHARE, _CLOSE_RANGE_CLOEXEC = 2, 4
_O_CLOEXEC = 0o2000000

(
    _F_DUPFD,
    _F_GETFD,
    _F_SETFD,
    _F_GETFL,
    _F_SETFL,
    _F_GETLK,
    _F_SETLK,
    _F_SETLKW,
) = range(8)
_F_GETLK64, _F_SETLK64, _F_SETLKW64, _F_SETOWN_EX, _F_GETOWN_EX = range(12, 17)
_F_OFD_GETLK, _F_OFD_SETLK, _F_OFD_SETLKW = range(36, 39)
_F_DUPFD_CLOEXEC = 1030
_F_SETOWN, _F_OWNER_PGRP = 8, 2
# Commands whose argument is a plain value; owners, signals, leases, pipe sizes and seals.
_PLAIN = frozenset({_F_GETFD, _F_SETFD, 8, 9, 10, 11, 1024, 1025, 1026, 1031, 1032, 1033, 1034})
_POINTERS = {_F_GETOWN_EX: 8, 1035: 8, 1036: 8, 1037: 8, 1038: 8}

_FLOCK32 = struct.Struct("<hhiii")
_FLOCK64 = struct.Struct("<hhqqi")
_HOST_FLOCK = struct.Struct("<hhxxxxqqixxxx")
_LOCKS = {  # guest command -> host command, guest structure
    _F_GETLK: (_F_GETLK, _FLOCK32),
    _F_SETLK: (_F_SETLK, _FLOCK32),
    _F_SETLKW: (_F_SETLKW, _FLOCK32),
    _F_GETLK64: (_F_GETLK, _FLOCK64),
    _F_SETLK64: (_F_SETLK, _FLOCK64),
    _F_SETLKW64: (_F_SETLKW, _FLOCK64),
    _F_OFD_GETLK: (_F_OFD_GETLK, _FLOCK64),
    _F_OFD_SETLK: (_F_OFD_SETLK, _FLOCK64),
    _F_OFD_SETLKW: (_F_OFD_SETLKW, _FLOCK64),
}
_GETS = frozenset({_F_GETLK, _F_OFD_GETLK})


@syscall(41, "dup")
def dup(t: Thread, fd: int) -> int:
    """Duplicate a descriptor."""
    return _dup_above(t, fd, 0, host_fcntl.F_DUPFD)


def _dup_above(t: Thread, fd: int, lowest: int, command: int) -> int:
    fds = t.process.vfs.fds
    with t.process.vfs.lock:
        result = host.syscall(Sys.FCNTL, fds.check(fd), command, lowest)
        if result >= 0:
            fds.copy(fd, result)
        return result


@syscall(63, "dup2")
def dup2(t: Thread, old: int, new: int) -> int:
    """Duplicate a descriptor to a given number."""
    if old == new:
        result = host.syscall(Sys.FCNTL, t.process.vfs.fds.check(old), _F_GETFD, 0)
        return result if result < 0 else new
    return _dup_to(t, old, new, 0)


@syscall(330, "dup3")
def dup3(t: Thread, old: int, new: int, flags: int) -> int:
    """Duplicate a descriptor to a given number, with flags."""
    if old == new or flags & ~_O_CLOEXEC:
        return -errno.EINVAL
    return _dup_to(t, old, new, flags)


def _dup_to(t: Thread, old: int, new: int, flags: int) -> int:
    fds = t.process.vfs.fds
    with t.process.vfs.lock:
        fds.check(new)
        result = host.syscall(Sys.DUP3, fds.check(old), new, openat2.to_host(flags))
        if result >= 0:
            fds.copy(old, new)
        return result


@syscall(436, "close_range")
def close_range(t: Thread, first: int, last: int, flags: int) -> int:
    """Close, or mark close-on-exec, a range of descriptors."""
    if first > last or flags & ~(_CLOSE_RANGE_UNSHARE | _CLOSE_RANGE_CLOEXEC):
        return -errno.EINVAL
    vfs = t.process.vfs
    with vfs.lock:
        for name in os.listdir("/proc/self/fd"):
            fd = int(name)
            if not first <= fd <= last or fd in vfs.fds.reserved:
                continue
            if flags & _CLOSE_RANGE_CLOEXEC:
                host.syscall(Sys.FCNTL, fd, _F_SETFD, host_fcntl.FD_CLOEXEC)
            elif host.syscall(Sys.CLOSE, fd) == 0:
                vfs.fds.forget(fd)
    return 0


@syscall(42, "pipe")
def pipe(t: Thread, address: int) -> int:
    """Make a pipe."""
    return _pipe(t, address, 0)


@syscall(331, "pipe2")
def pipe2(t: Thread, address: int, flags: int) -> int:
    """Make a pipe, with flags."""
    return _pipe(t, address, openat2.to_host(flags))


def _pipe(t: Thread, address: int, flags: int) -> int:
    pair = (ctypes.c_int32 * 2)()
    result = host.syscall(Sys.PIPE2, ctypes.addressof(pair), flags)
    if result < 0:
        return result
    try:
        t.mem.write(address, struct.pack("<ii", *pair))
    except MemoryFault:
        os.close(pair[0])
        os.close(pair[1])
        raise
    return 0


@syscall(221, "fcntl64")
@syscall(55, "fcntl")
def fcntl(t: Thread, fd: int, command: int, argument: int) -> int:
    """Control a descriptor."""
    t.process.vfs.fds.check(fd)
    if command == _F_GETFL:
        result = host.syscall(Sys.FCNTL, fd, command, 0)
        return result if result < 0 else openat2.to_guest(result)
    if command == _F_SETFL:
        return host.syscall(Sys.FCNTL, fd, command, openat2.to_host(argument))
    if command in (_F_DUPFD, _F_DUPFD_CLOEXEC):
        return _dup_above(t, fd, signed(argument), command)
    if command in _LOCKS:
        return _lock(t, fd, command, argument)
    if command == _F_SETOWN:  # who gets SIGIO: a process, or a group
        reach.check_owner(t.process, signed(argument))
    if command in _PLAIN:
        return host.syscall(Sys.FCNTL, fd, command, signed(argument))
    if command == _F_SETOWN_EX:
        data = t.mem.read(argument, 8)
        kind, owner = struct.unpack("<ii", data)
        reach.check_owner(t.process, -owner if kind == _F_OWNER_PGRP else owner)
        return host.syscall(Sys.FCNTL, fd, command, data)
    if command in _POINTERS:
        pointer = t.mem.host(argument, _POINTERS[command], True)
        return host.syscall(Sys.FCNTL, fd, command, pointer)
    return -errno.EINVAL


def _lock(t: Thread, fd: int, command: int, address: int) -> int:
    """Set or query a record lock."""
    number, form = _LOCKS[command]
    fields = form.unpack(t.mem.read(address, form.size))
    lock = ctypes.create_string_buffer(_HOST_FLOCK.pack(*fields), _HOST_FLOCK.size)
    result = host.interruptible(Sys.FCNTL, fd, number, ctypes.addressof(lock))
    if result == 0 and number in _GETS:
        try:
            answer = form.pack(*_HOST_FLOCK.unpack(lock.raw))
        except struct.error:
            return -errno.EOVERFLOW
        t.mem.write(address, answer)
    return result


@syscall(143, "flock")
def flock(t: Thread, fd: int, operation: int) -> int:
    """Lock a whole file."""
    return host.interruptible(Sys.FLOCK, t.process.vfs.fds.check(fd), operation)
