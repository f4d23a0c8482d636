"""Scheduling calls: the host scheduler's, on guest threads that are host threads."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux import defs, reach, timespec
from runtime.personalities.linux.clock import Writer
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_SET_BYTES = 1024


@syscall(242, "sched_getaffinity")
def sched_getaffinity(t: Thread, pid: int, size: int, mask: int) -> int:
    """Return the processors that a thread may use; the result is the size of the set."""
    if size & 3:
        return -defs.EINVAL
    buffer = ctypes.create_string_buffer(_SET_BYTES)
    result = host.syscall(Sys.SCHED_GETAFFINITY, signed(pid), _SET_BYTES, ctypes.addressof(buffer))
    if result < 0:
        return result
    used = len(buffer.raw.rstrip(b"\0"))
    if size < used:
        return -defs.EINVAL
    result = min(size, result)
    t.mem.write(mask, buffer.raw[:result])
    return result


@syscall(241, "sched_setaffinity")
def sched_setaffinity(t: Thread, pid: int, size: int, mask: int) -> int:
    """Choose the processors that a thread may use."""
    data = t.mem.read(mask, min(size, _SET_BYTES))
    return host.syscall(Sys.SCHED_SETAFFINITY, reach.check(t.process, pid), len(data), data)


@syscall(154, "sched_setparam")
def sched_setparam(t: Thread, pid: int, address: int) -> int:
    """Set the static priority."""
    return host.syscall(Sys.SCHED_SETPARAM, reach.check(t.process, pid), t.mem.read(address, 4))


@syscall(155, "sched_getparam")
def sched_getparam(t: Thread, pid: int, address: int) -> int:
    """Return the static priority."""
    value = ctypes.c_int32()
    result = host.syscall(Sys.SCHED_GETPARAM, signed(pid), ctypes.addressof(value))
    if result == 0:
        t.mem.put_u32(address, value.value & 0xFFFF_FFFF)
    return result


@syscall(156, "sched_setscheduler")
def sched_setscheduler(t: Thread, pid: int, policy: int, address: int) -> int:
    """Set policy and priority."""
    data = t.mem.read(address, 4)
    return host.syscall(Sys.SCHED_SETSCHEDULER, reach.check(t.process, pid), signed(policy), data)


@syscall(157, "sched_getscheduler")
def sched_getscheduler(t: Thread, pid: int) -> int:
    """Return the policy."""
    return host.syscall(Sys.SCHED_GETSCHEDULER, signed(pid))


@syscall(159, "sched_get_priority_max")
def sched_get_priority_max(t: Thread, policy: int) -> int:
    """Return the highest priority of a policy."""
    return host.syscall(Sys.SCHED_GET_PRIORITY_MAX, signed(policy))


@syscall(160, "sched_get_priority_min")
def sched_get_priority_min(t: Thread, policy: int) -> int:
    """Return the lowest priority of a policy."""
    return host.syscall(Sys.SCHED_GET_PRIORITY_MIN, signed(policy))


def _interval(t: Thread, pid: int, address: int, write: Writer) -> int:
    buffer = (ctypes.c_int64 * 2)()
    result = host.syscall(Sys.SCHED_RR_GET_INTERVAL, signed(pid), ctypes.addressof(buffer))
    if result == 0:
        write(t.mem, address, buffer[0], buffer[1])
    return result


@syscall(161, "sched_rr_get_interval")
def sched_rr_get_interval(t: Thread, pid: int, address: int) -> int:
    """Return the time slice; 32-bit time."""
    return _interval(t, pid, address, timespec.write32)


@syscall(423, "sched_rr_get_interval_time64")
def sched_rr_get_interval_time64(t: Thread, pid: int, address: int) -> int:
    """Return the time slice; 64-bit time."""
    return _interval(t, pid, address, timespec.write64)


@syscall(351, "sched_setattr")
def sched_setattr(t: Thread, pid: int, address: int, flags: int) -> int:
    """Set policy and parameters; the structure is the same on every architecture."""
    size = struct.unpack("<I", t.mem.read(address, 4))[0]
    data = t.mem.read(address, min(max(size, 48), defs.PAGE))
    return host.syscall(Sys.SCHED_SETATTR, reach.check(t.process, pid), data, flags)


@syscall(352, "sched_getattr")
def sched_getattr(t: Thread, pid: int, address: int, size: int, flags: int) -> int:
    """Return policy and parameters."""
    if not 48 <= size <= defs.PAGE:
        return -defs.EINVAL
    pointer = t.mem.host(address, size, write=True)
    return host.syscall(Sys.SCHED_GETATTR, signed(pid), pointer, size, flags)


@syscall(289, "ioprio_set")
def ioprio_set(t: Thread, which: int, who: int, value: int) -> int:
    """Set the priority of input and output."""
    reach.check_target(t.process, signed(which) - 1, who)  # IOPRIO_WHO_PROCESS is 1
    return host.syscall(Sys.IOPRIO_SET, signed(which), signed(who), value)


@syscall(290, "ioprio_get")
def ioprio_get(t: Thread, which: int, who: int) -> int:
    """Return the priority of input and output."""
    return host.syscall(Sys.IOPRIO_GET, signed(which), signed(who))
