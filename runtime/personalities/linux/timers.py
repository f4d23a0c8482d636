"""Timers that send signals: alarm, setitimer, timer_create and timerfd."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux import defs
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_SIGEV_SIGNAL, _SIGEV_NONE, _SIGEV_THREAD, _SIGEV_THREAD_ID = 0, 1, 2, 4
_EVENT = struct.Struct("<iiii")  # value, signo, notify, tid
_HOST_EVENT = struct.Struct("<qiii44x")
_SPEC32, _SPEC64, _HOST_SPEC = (
    struct.Struct("<4i"),
    struct.Struct("<qi4xqi4x"),
    struct.Struct("<4q"),
)


@syscall(27, "alarm")
def alarm(t: Thread, seconds: int) -> int:
    """Send SIGALRM after some seconds."""
    return host.syscall(Sys.ALARM, seconds)


@syscall(105, "getitimer")
def getitimer(t: Thread, which: int, value: int) -> int:
    """Read an interval timer."""
    buffer = (ctypes.c_int64 * 4)()
    result = host.syscall(Sys.GETITIMER, signed(which), ctypes.addressof(buffer))
    if result == 0:
        t.mem.write(value, _SPEC32.pack(*buffer))
    return result


@syscall(104, "setitimer")
def setitimer(t: Thread, which: int, new: int, old: int) -> int:
    """Set an interval timer; a null pointer clears it, as Linux has it."""
    values = _SPEC32.unpack(t.mem.read(new, 16)) if new else (0, 0, 0, 0)
    buffer = (ctypes.c_int64 * 4)()
    packed = _HOST_SPEC.pack(*values)
    result = host.syscall(Sys.SETITIMER, signed(which), packed, ctypes.addressof(buffer))
    if result == 0 and old:
        t.mem.write(old, _SPEC32.pack(*buffer))
    t.attention = True
    return result


@syscall(259, "timer_create")
def timer_create(t: Thread, clock: int, event: int, identifier: int) -> int:
    """Make a timer; the guest's ids count from 0 as on a fresh Linux process."""
    timers = t.process.timers
    number = next(i for i in range(len(timers) + 1) if i not in timers)
    value, signo, notify, tid = number, defs.SIGALRM, _SIGEV_SIGNAL, 0
    if event:
        value, signo, notify, tid = _EVENT.unpack(t.mem.read(event, 16))
        if notify not in (_SIGEV_SIGNAL, _SIGEV_NONE, _SIGEV_THREAD, _SIGEV_THREAD_ID):
            return -defs.EINVAL
    made = ctypes.c_int32()
    packed = _HOST_EVENT.pack(value & 0xFFFF_FFFF, signo, notify, tid)
    result = host.syscall(Sys.TIMER_CREATE, signed(clock), packed, ctypes.addressof(made))
    if result == 0:
        timers[number] = made.value
        t.mem.put_u32(identifier, number)
    return result


def _settime(t: Thread, number: int, flags: int, new: int, old: int, spec: struct.Struct) -> int:
    if number not in t.process.timers or not new:
        return -defs.EINVAL
    packed = _HOST_SPEC.pack(*spec.unpack(t.mem.read(new, spec.size)))
    buffer = (ctypes.c_int64 * 4)()
    timer = t.process.timers[number]
    result = host.syscall(Sys.TIMER_SETTIME, timer, flags, packed, ctypes.addressof(buffer))
    if result == 0 and old:
        t.mem.write(old, spec.pack(*buffer))
    t.attention = True
    return result


def _gettime(t: Thread, number: int, value: int, spec: struct.Struct) -> int:
    if number not in t.process.timers:
        return -defs.EINVAL
    buffer = (ctypes.c_int64 * 4)()
    timer = t.process.timers[number]
    result = host.syscall(Sys.TIMER_GETTIME, timer, ctypes.addressof(buffer))
    if result == 0:
        t.mem.write(value, spec.pack(*buffer))
    return result


@syscall(260, "timer_settime")
def timer_settime(t: Thread, number: int, flags: int, new: int, old: int) -> int:
    """Arm a timer; 32-bit time."""
    return _settime(t, number, flags, new, old, _SPEC32)


@syscall(409, "timer_settime64")
def timer_settime64(t: Thread, number: int, flags: int, new: int, old: int) -> int:
    """Arm a timer; 64-bit time."""
    return _settime(t, number, flags, new, old, _SPEC64)


@syscall(261, "timer_gettime")
def timer_gettime(t: Thread, number: int, value: int) -> int:
    """Read a timer; 32-bit time."""
    return _gettime(t, number, value, _SPEC32)


@syscall(408, "timer_gettime64")
def timer_gettime64(t: Thread, number: int, value: int) -> int:
    """Read a timer; 64-bit time."""
    return _gettime(t, number, value, _SPEC64)


@syscall(262, "timer_getoverrun")
def timer_getoverrun(t: Thread, number: int) -> int:
    """Return how many expirations the last signal stood for beyond the first."""
    if number not in t.process.timers:
        return -defs.EINVAL
    return host.syscall(Sys.TIMER_GETOVERRUN, t.process.timers[number])


@syscall(263, "timer_delete")
def timer_delete(t: Thread, number: int) -> int:
    """Remove a timer."""
    timer = t.process.timers.pop(number, None)
    return -defs.EINVAL if timer is None else host.syscall(Sys.TIMER_DELETE, timer)


@syscall(322, "timerfd_create")
def timerfd_create(t: Thread, clock: int, flags: int) -> int:
    """Make a timer that is read through a descriptor."""
    return host.syscall(Sys.TIMERFD_CREATE, signed(clock), flags)


def _fd_settime(t: Thread, fd: int, flags: int, new: int, old: int, spec: struct.Struct) -> int:
    if fd in t.process.reserved_fds:
        return -defs.EBADF
    packed = _HOST_SPEC.pack(*spec.unpack(t.mem.read(new, spec.size)))
    buffer = (ctypes.c_int64 * 4)()
    result = host.syscall(Sys.TIMERFD_SETTIME, fd, flags, packed, ctypes.addressof(buffer))
    if result == 0 and old:
        t.mem.write(old, spec.pack(*buffer))
    return result


def _fd_gettime(t: Thread, fd: int, value: int, spec: struct.Struct) -> int:
    if fd in t.process.reserved_fds:
        return -defs.EBADF
    buffer = (ctypes.c_int64 * 4)()
    result = host.syscall(Sys.TIMERFD_GETTIME, fd, ctypes.addressof(buffer))
    if result == 0:
        t.mem.write(value, spec.pack(*buffer))
    return result


@syscall(325, "timerfd_settime")
def timerfd_settime(t: Thread, fd: int, flags: int, new: int, old: int) -> int:
    """Arm a timer descriptor; 32-bit time."""
    return _fd_settime(t, fd, flags, new, old, _SPEC32)


@syscall(411, "timerfd_settime64")
def timerfd_settime64(t: Thread, fd: int, flags: int, new: int, old: int) -> int:
    """Arm a timer descriptor; 64-bit time."""
    return _fd_settime(t, fd, flags, new, old, _SPEC64)


@syscall(326, "timerfd_gettime")
def timerfd_gettime(t: Thread, fd: int, value: int) -> int:
    """Read a timer descriptor; 32-bit time."""
    return _fd_gettime(t, fd, value, _SPEC32)


@syscall(410, "timerfd_gettime64")
def timerfd_gettime64(t: Thread, fd: int, value: int) -> int:
    """Read a timer descriptor; 64-bit time."""
    return _fd_gettime(t, fd, value, _SPEC64)
