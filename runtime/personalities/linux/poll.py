"""System calls that wait for descriptors: poll, select, epoll."""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux import defs, signals, timespec
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.memory import Memory
    from runtime.personalities.linux.threads import Thread

_POLLFD_SIZE, _EPOLL_EVENT_SIZE = 8, 12  # both laid out as on x86-64
_MAX_DESCRIPTORS = 1 << 20
_EPOLL_CTL_DEL = 2
Write = Callable[["Memory", int, int, int], None]


def _apply_mask(t: Thread, address: int, size: int) -> bool:
    """Set the temporary signal mask; return whether a signal already waits to be handled."""
    if address:
        if size != 8:
            raise OSError(errno.EINVAL, "signal set size")
        signals.use_temporary_mask(t, int.from_bytes(t.mem.read(address, 8), "little"))
        signals.collect(t)
        return signals.has_actionable(t)
    return False


def _host_timeout(t: Thread, seconds: float | None) -> bytes | int:
    """Return what is left of a timeout as the host's struct timespec, or 0 for no limit."""
    left = t.time_left(seconds)
    return 0 if left is None else timespec.pack_host(left)


def _put_left(t: Thread, address: int, seconds: float | None, write: Write, unit: int = 1) -> None:
    """Tell the guest how much of its timeout is left, as Linux does."""
    left = t.time_left(seconds)
    if address and left is not None:
        whole = int(left)
        write(t.mem, address, whole, int((left - whole) * 1_000_000_000) // unit)


# ---- poll ----


def _poll(t: Thread, address: int, count: int, seconds: float | None) -> int:
    if count > _MAX_DESCRIPTORS:
        return -errno.EINVAL
    where = t.mem.host(address, count * _POLLFD_SIZE, True)
    limit = _host_timeout(t, seconds)
    return host.interruptible(Sys.PPOLL, where, count, limit, 0, 8)


@syscall(168, "poll")
def poll(t: Thread, address: int, count: int, milliseconds: int) -> int:
    """Wait for events on descriptors."""
    wait = signed(milliseconds)
    return _poll(t, address, count, wait / 1000 if wait >= 0 else None)


def _ppoll(t: Thread, fds: int, count: int, limit: int, mask: int, size: int, is_64: bool) -> int:
    seconds = (timespec.read64 if is_64 else timespec.read32)(t.mem, limit)
    if _apply_mask(t, mask, size):
        return -errno.EINTR
    result = _poll(t, fds, count, seconds)
    if result >= 0:
        _put_left(t, limit, seconds, timespec.write64 if is_64 else timespec.write32)
    return result


@syscall(309, "ppoll")
def ppoll(t: Thread, fds: int, count: int, limit: int, mask: int, size: int) -> int:
    """Wait for events under another signal mask; 32-bit time."""
    return _ppoll(t, fds, count, limit, mask, size, False)


@syscall(414, "ppoll_time64")
def ppoll_time64(t: Thread, fds: int, count: int, limit: int, mask: int, size: int) -> int:
    """Wait for events under another signal mask; 64-bit time."""
    return _ppoll(t, fds, count, limit, mask, size, True)


# ---- select ----


def _select(t: Thread, count: int, sets: tuple[int, int, int], seconds: float | None) -> int:
    count = signed(count)
    if count < 0:
        return -errno.EINVAL
    count = min(count, _MAX_DESCRIPTORS)
    size = (count + 31) // 32 * 4  # the guest's words have 32 bits
    room = (size + 7) & ~7
    buffers = [
        ctypes.create_string_buffer(t.mem.read(address, size), room) if address else None
        for address in sets
    ]
    pointers = [0 if buffer is None else ctypes.addressof(buffer) for buffer in buffers]
    limit = _host_timeout(t, seconds)
    result = host.interruptible(Sys.PSELECT6, count, *pointers, limit, 0)
    if result >= 0:
        for address, buffer in zip(sets, buffers, strict=True):
            if buffer is not None:
                t.mem.write(address, buffer.raw[:size])
    return result


@syscall(142, "_newselect")
def newselect(t: Thread, count: int, reads: int, writes: int, errors: int, limit: int) -> int:
    """Wait for descriptors in sets."""
    seconds = None
    if limit:
        whole, micro = timespec.pair32(t.mem, limit)
        if whole < 0 or micro < 0:
            return -errno.EINVAL
        seconds = whole + micro / 1_000_000
    result = _select(t, count, (reads, writes, errors), seconds)
    if result >= 0:
        _put_left(t, limit, seconds, timespec.write32, 1000)
    return result


@syscall(82, "select")
def select(t: Thread, address: int) -> int:
    """Wait for descriptors in sets; the arguments are in memory."""
    return newselect(t, *struct.unpack("<5I", t.mem.read(address, 20)))


def _pselect6(
    t: Thread, count: int, sets: tuple[int, int, int], limit: int, mask: int, is_64: bool
) -> int:
    seconds = (timespec.read64 if is_64 else timespec.read32)(t.mem, limit)
    if mask:
        address, size = struct.unpack("<II", t.mem.read(mask, 8))
        if _apply_mask(t, address, size):
            return -errno.EINTR
    result = _select(t, count, sets, seconds)
    if result >= 0:
        _put_left(t, limit, seconds, timespec.write64 if is_64 else timespec.write32)
    return result


@syscall(308, "pselect6")
def pselect6(
    t: Thread, count: int, reads: int, writes: int, errors: int, limit: int, mask: int
) -> int:
    """Wait for descriptors in sets under another signal mask; 32-bit time."""
    return _pselect6(t, count, (reads, writes, errors), limit, mask, False)


@syscall(413, "pselect6_time64")
def pselect6_time64(
    t: Thread, count: int, reads: int, writes: int, errors: int, limit: int, mask: int
) -> int:
    """Wait for descriptors in sets under another signal mask; 64-bit time."""
    return _pselect6(t, count, (reads, writes, errors), limit, mask, True)


# ---- epoll ----


@syscall(254, "epoll_create")
def epoll_create(t: Thread, size: int) -> int:
    """Make an epoll descriptor."""
    if signed(size) <= 0:
        return -errno.EINVAL
    return host.syscall(Sys.EPOLL_CREATE1, 0)


@syscall(329, "epoll_create1")
def epoll_create1(t: Thread, flags: int) -> int:
    """Make an epoll descriptor, with flags."""
    return host.syscall(Sys.EPOLL_CREATE1, flags)


@syscall(255, "epoll_ctl")
def epoll_ctl(t: Thread, epoll: int, operation: int, fd: int, event: int) -> int:
    """Add, change or remove a descriptor."""
    fds = t.process.vfs.fds
    fds.check(epoll)
    fds.check(fd)
    where = 0 if operation == _EPOLL_CTL_DEL else t.mem.host(event, _EPOLL_EVENT_SIZE)
    return host.syscall(Sys.EPOLL_CTL, epoll, signed(operation), fd, where)


def _epoll_wait(t: Thread, epoll: int, events: int, count: int, seconds: float | None) -> int:
    if not 0 < signed(count) <= 0x7FFFFFFF // _EPOLL_EVENT_SIZE:
        return -errno.EINVAL
    where = t.mem.host(events, count * _EPOLL_EVENT_SIZE, True)
    left = t.time_left(seconds)
    # Rounded up, so that the wait is never shorter than asked for.
    limit = -1 if left is None else min(int(left * 1000 + 0.999), 0x7FFFFFFF)
    epoll = t.process.vfs.fds.check(epoll)
    return host.interruptible(Sys.EPOLL_PWAIT, epoll, where, count, limit, 0, 8)


@syscall(256, "epoll_wait")
def epoll_wait(t: Thread, epoll: int, events: int, count: int, milliseconds: int) -> int:
    """Wait for events."""
    wait = signed(milliseconds)
    return _epoll_wait(t, epoll, events, count, wait / 1000 if wait >= 0 else None)


@syscall(319, "epoll_pwait")
def epoll_pwait(
    t: Thread, epoll: int, events: int, count: int, milliseconds: int, mask: int, size: int
) -> int:
    """Wait for events under another signal mask."""
    if _apply_mask(t, mask, size):
        return -errno.EINTR
    return epoll_wait(t, epoll, events, count, milliseconds)


@syscall(441, "epoll_pwait2")
def epoll_pwait2(
    t: Thread, epoll: int, events: int, count: int, limit: int, mask: int, size: int
) -> int:
    """Wait for events under another signal mask, with a limit in nanoseconds."""
    seconds = timespec.read64(t.mem, limit)
    if _apply_mask(t, mask, size):
        return -errno.EINTR
    return _epoll_wait(t, epoll, events, count, seconds)


# ---- descriptors that are events ----


@syscall(323, "eventfd")
def eventfd(t: Thread, value: int) -> int:
    """Make a counter descriptor."""
    return host.syscall(Sys.EVENTFD2, value, 0)


@syscall(328, "eventfd2")
def eventfd2(t: Thread, value: int, flags: int) -> int:
    """Make a counter descriptor, with flags."""
    return host.syscall(Sys.EVENTFD2, value, flags)


def _signalfd(t: Thread, fd: int, mask: int, size: int, flags: int) -> int:
    if size != 8:
        return -errno.EINVAL
    wanted = int.from_bytes(t.mem.read(mask, 8), "little") & ~defs.HOST_OWNED
    packed = struct.pack("<Q", wanted)
    fd = signed(fd)
    return host.syscall(Sys.SIGNALFD4, t.process.vfs.fds.check(fd), packed, 8, flags)


@syscall(321, "signalfd")
def signalfd(t: Thread, fd: int, mask: int, size: int) -> int:
    """Make a descriptor that signals are read from."""
    return _signalfd(t, fd, mask, size, 0)


@syscall(327, "signalfd4")
def signalfd4(t: Thread, fd: int, mask: int, size: int, flags: int) -> int:
    """Make a descriptor that signals are read from, with flags."""
    return _signalfd(t, fd, mask, size, flags)
