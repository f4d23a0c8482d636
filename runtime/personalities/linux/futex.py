"""futex calls, exit of threads and processes, robust lists, thread-local segments.

Futex words are host memory at base + address, so the host kernel does the waiting and waking.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux import defs, segments, timespec
from runtime.personalities.linux.ending import End
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_PRIVATE, _CLOCK_REALTIME = 128, 256
_WAIT, _WAKE, _FD, _REQUEUE, _CMP_REQUEUE, _WAKE_OP, _LOCK_PI = 0, 1, 2, 3, 4, 5, 6
_UNLOCK_PI, _TRYLOCK_PI, _WAIT_BITSET, _WAKE_BITSET = 7, 8, 9, 10
_WAIT_REQUEUE_PI, _CMP_REQUEUE_PI, _LOCK_PI2 = 11, 12, 13

_TIMED = frozenset({_WAIT, _LOCK_PI, _WAIT_BITSET, _WAIT_REQUEUE_PI, _LOCK_PI2})
_TWO_WORDS = frozenset({_REQUEUE, _CMP_REQUEUE, _WAKE_OP, _WAIT_REQUEUE_PI, _CMP_REQUEUE_PI})
_ROBUST_SIZE = 12


@syscall(240, "futex")
def futex(t: Thread, word: int, op: int, value: int, timeout: int, word2: int, value3: int) -> int:
    """Wait for or wake waiters of a word; 32-bit time."""
    limit = None
    if op & ~(_PRIVATE | _CLOCK_REALTIME) in _TIMED and timeout:
        limit = timespec.pair32(t.mem, timeout)
    return _futex(t, word, op, value, timeout, limit, word2, value3)


@syscall(422, "futex_time64")
def futex_time64(
    t: Thread, word: int, op: int, value: int, timeout: int, word2: int, value3: int
) -> int:
    """Wait for or wake waiters of a word; 64-bit time."""
    limit = None
    if op & ~(_PRIVATE | _CLOCK_REALTIME) in _TIMED and timeout:
        limit = timespec.pair64(t.mem, timeout)
    return _futex(t, word, op, value, timeout, limit, word2, value3)


def _futex(
    t: Thread,
    word: int,
    op: int,
    value: int,
    value2: int,
    limit: tuple[int, int] | None,
    word2: int,
    value3: int,
) -> int:
    command = op & ~(_PRIVATE | _CLOCK_REALTIME)
    pointer = t.mem.host(word, 4, write=command not in (_WAIT, _WAKE, _WAIT_BITSET))
    pointer2 = t.mem.host(word2, 4, write=command == _WAKE_OP) if command in _TWO_WORDS else 0
    if command not in _TIMED:
        return host.syscall(Sys.FUTEX, pointer, op, value, value2, pointer2, value3)
    packed = None
    if limit is not None:
        seconds, nanoseconds = limit
        if seconds < 0 or not 0 <= nanoseconds < 1_000_000_000:
            return -defs.EINVAL
        if command == _WAIT:  # the only relative one: keep the end when the call is repeated
            t.no_restart = True
            left = t.time_left(seconds + nanoseconds / 1e9)
            assert left is not None
            packed = timespec.pack_host(left)
        else:
            packed = struct.pack("<qq", seconds, nanoseconds)
    return host.interruptible(Sys.FUTEX, pointer, op, value, packed, pointer2, value3)


@syscall(311, "set_robust_list")
def set_robust_list(t: Thread, head: int, size: int) -> int:
    """Name the list of robust locks that the thread holds."""
    if size != _ROBUST_SIZE:
        return -defs.EINVAL
    t.robust_list = head
    return 0


@syscall(312, "get_robust_list")
def get_robust_list(t: Thread, tid: int, head: int, size: int) -> int:
    """Return the list of robust locks of a thread of this process."""
    other = t if tid in (0, t.tid) else t.process.threads.get(tid)
    if other is None:
        return -defs.ESRCH
    t.mem.put_u32(size, _ROBUST_SIZE)
    t.mem.put_u32(head, other.robust_list)
    return 0


@syscall(258, "set_tid_address")
def set_tid_address(t: Thread, address: int) -> int:
    """Name the word to clear at the thread's end; return the tid."""
    t.clear_child_tid = address
    return t.tid


@syscall(224, "gettid")
def gettid(t: Thread) -> int:
    """Return the thread's id."""
    return t.tid


@syscall(243, "set_thread_area")
def set_thread_area(t: Thread, address: int) -> int:
    """Set a TLS descriptor of the thread."""
    code = segments.set_tls(t, address, may_allocate=True)
    segments.refresh(t)
    return code


@syscall(244, "get_thread_area")
def get_thread_area(t: Thread, address: int) -> int:
    """Read a TLS descriptor of the thread."""
    return segments.get_tls(t, address)


@syscall(123, "modify_ldt")
def modify_ldt(t: Thread, function: int, address: int, size: int) -> int:
    """Read or change the local descriptor table."""
    if function in (0, 2):
        return 0 if function == 0 and not t.process.ldt else _read_ldt(t, function, address, size)
    if function not in (1, 0x11):
        return -defs.ENOSYS
    if size != 16:
        return -defs.EINVAL
    number, entry = segments.read_user_desc(t, address)
    if not 0 <= number < segments.LDT_ENTRIES:
        return -defs.EINVAL
    is_old = function == 1
    if not entry.is_possible(is_old=is_old):
        return -defs.EINVAL
    is_nothing = is_old and not entry.base and not entry.limit
    if is_old:
        entry = entry.without_useable()
    if is_nothing or segments.is_empty(entry.limit, entry.base, entry.flags):
        t.process.ldt.pop(number, None)
    else:
        t.process.ldt[number] = entry
    segments.refresh(t)
    return 0


def _read_ldt(t: Thread, function: int, address: int, size: int) -> int:
    if function == 2:
        size = min(size, 5 * 8)
        t.mem.write(address, bytes(size))
        return size
    table = t.process.ldt
    raw = b"".join(segments.encode(table.get(i)) for i in range(max(table) + 1))
    t.mem.write(address, raw.ljust(min(size, 8 * segments.LDT_ENTRIES), b"\0")[:size])
    return min(size, 8 * segments.LDT_ENTRIES)


@syscall(1, "exit")
def exit_(t: Thread, status: int) -> int:
    """End the thread."""
    t.process.exit_thread(t, status & 0xFF)
    return 0


@syscall(252, "exit_group")
def exit_group(t: Thread, status: int) -> int:
    """End the process."""
    t.process.end(End(status=status & 0xFF), by=t)
    t.ended = True
    return 0


@syscall(386, "rseq")
def rseq(t: Thread, _area: int, _size: int, _flags: int, _signature: int) -> int:
    """Refuse restartable sequences: translated code could not abort them."""
    return -defs.ENOSYS


@syscall(375, "membarrier")
def membarrier(t: Thread, command: int, flags: int, cpu: int) -> int:
    """Order memory accesses of all threads; the host kernel does it for its own threads."""
    return host.syscall(Sys.MEMBARRIER, signed(command), flags, signed(cpu))


@syscall(158, "sched_yield")
def sched_yield(t: Thread) -> int:
    """Let others run."""
    os.sched_yield()
    return 0
