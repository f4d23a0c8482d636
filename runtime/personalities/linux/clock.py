"""Reading and setting clocks, and sleeping."""

from __future__ import annotations

import ctypes
import os
import struct
import time as host_time
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux import defs, timespec
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.memory import Memory
    from runtime.personalities.linux.threads import Thread

_TIMER_ABSTIME = 1
_CLOCK_REALTIME, _CLOCK_MONOTONIC = 0, 1
_BILLION = 1_000_000_000

Writer = Callable[["Memory", int, int, int], None]


@syscall(13, "time")
def time(t: Thread, address: int) -> int:
    """Return the seconds since 1970."""
    now = int(host_time.time())
    if address:
        t.mem.put_u32(address, now & 0xFFFF_FFFF)
    return now


@syscall(25, "stime")
@syscall(264, "clock_settime")
@syscall(404, "clock_settime64")
@syscall(79, "settimeofday")
@syscall(124, "adjtimex")
@syscall(343, "clock_adjtime")
@syscall(405, "clock_adjtime64")
def set_clock(t: Thread, _which: int) -> int:
    """Refuse to change the host's clock."""
    return -defs.EPERM


@syscall(78, "gettimeofday")
def gettimeofday(t: Thread, value: int, zone: int) -> int:
    """Return the time of day."""
    if value:
        now = host_time.time_ns()
        timespec.write32(t.mem, value, now // _BILLION, now % _BILLION // 1000)
    if zone:
        t.mem.write(zone, bytes(8))
    return 0


def _read_clock(t: Thread, number: Sys, clock: int, address: int, write: Writer) -> int:
    buffer = (ctypes.c_int64 * 2)()
    result = host.syscall(number, signed(clock), ctypes.addressof(buffer))
    if result == 0 and (address or number == Sys.CLOCK_GETTIME):
        write(t.mem, address, buffer[0], buffer[1])
    return result


@syscall(265, "clock_gettime")
def clock_gettime(t: Thread, clock: int, address: int) -> int:
    """Read a clock; 32-bit time."""
    return _read_clock(t, Sys.CLOCK_GETTIME, clock, address, timespec.write32)


@syscall(403, "clock_gettime64")
def clock_gettime64(t: Thread, clock: int, address: int) -> int:
    """Read a clock; 64-bit time."""
    return _read_clock(t, Sys.CLOCK_GETTIME, clock, address, timespec.write64)


@syscall(266, "clock_getres")
def clock_getres(t: Thread, clock: int, address: int) -> int:
    """Return a clock's resolution; 32-bit time."""
    return _read_clock(t, Sys.CLOCK_GETRES, clock, address, timespec.write32)


@syscall(406, "clock_getres_time64")
def clock_getres_time64(t: Thread, clock: int, address: int) -> int:
    """Return a clock's resolution; 64-bit time."""
    return _read_clock(t, Sys.CLOCK_GETRES, clock, address, timespec.write64)


def _sleep(
    t: Thread, clock: int, flags: int, pair: tuple[int, int], left_at: int, write: Writer
) -> int:
    seconds, nanoseconds = pair
    if seconds < 0 or not 0 <= nanoseconds < _BILLION:
        return -defs.EINVAL
    if flags & _TIMER_ABSTIME:
        packed = struct.pack("<qq", seconds, nanoseconds)
        return host.interruptible(Sys.CLOCK_NANOSLEEP, signed(clock), _TIMER_ABSTIME, packed, 0)
    # The time left is counted on our clock: the call may be made again after an ignored signal.
    left = t.time_left(seconds + nanoseconds / _BILLION)
    assert left is not None
    packed = timespec.pack_host(left)
    result = host.interruptible(Sys.CLOCK_NANOSLEEP, signed(clock), 0, packed, 0)
    if result == -defs.EINTR and left_at:
        rest = t.time_left(0.0) or 0.0
        write(t.mem, left_at, int(rest), int(rest % 1 * _BILLION))
    return result


@syscall(162, "nanosleep")
def nanosleep(t: Thread, wanted: int, left: int) -> int:
    """Sleep; 32-bit time."""
    pair = timespec.pair32(t.mem, wanted)
    return _sleep(t, _CLOCK_MONOTONIC, 0, pair, left, timespec.write32)


@syscall(267, "clock_nanosleep")
def clock_nanosleep(t: Thread, clock: int, flags: int, wanted: int, left: int) -> int:
    """Sleep on a clock; 32-bit time."""
    return _sleep(t, clock, flags, timespec.pair32(t.mem, wanted), left, timespec.write32)


@syscall(407, "clock_nanosleep_time64")
def clock_nanosleep_time64(t: Thread, clock: int, flags: int, wanted: int, left: int) -> int:
    """Sleep on a clock; 64-bit time."""
    return _sleep(t, clock, flags, timespec.pair64(t.mem, wanted), left, timespec.write64)


@syscall(43, "times")
def times(t: Thread, address: int) -> int:
    """Return the processor time used, in clock ticks."""
    used = os.times()
    ticks = 100
    if address:
        fields = (used.user, used.system, used.children_user, used.children_system)
        t.mem.write(address, struct.pack("<4i", *(int(f * ticks) for f in fields)))
    return int(used.elapsed * ticks) & 0x7FFF_FFFF
