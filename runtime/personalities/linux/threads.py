"""One guest thread on one host thread: the loop that runs it and answers its system calls.

In: a Cpu ready to run. Out: the thread is over, or the process pauses. Guest tids are host tids.
"""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from runtime import host, native
from runtime.host import Sys
from runtime.memory import MemoryFault
from runtime.personalities.linux import defs, faults, segments, signals, strace, vm86
from runtime.personalities.linux.frames import AltStack
from runtime.personalities.linux.table import SYSCALLS, Syscall

if TYPE_CHECKING:
    from runtime.cpu import Cpu
    from runtime.memory import Memory
    from runtime.personalities.linux.process import Process
    from runtime.personalities.linux.segments import Descriptor

_U32 = 0xFFFF_FFFF

# Calls that give EINTR after a handler has run even with SA_RESTART: signal(7) has the list.
NEVER_RESTARTED = frozenset({
    29,  # pause
    72, 179,  # sigsuspend, rt_sigsuspend
    82, 142, 308, 413,  # select, _newselect, pselect6, pselect6_time64
    168, 309, 414,  # poll, ppoll, ppoll_time64
    162, 267, 407,  # nanosleep, clock_nanosleep, clock_nanosleep_time64
    177, 421,  # rt_sigtimedwait, rt_sigtimedwait_time64
    117,  # ipc
    256, 319, 441,  # epoll_wait, epoll_pwait, epoll_pwait2
    247, 416,  # io_getevents, io_pgetevents
    420,  # semtimedop_time64
})  # fmt: skip

# Number of arguments -> how to read them: EBX ECX EDX ESI EDI EBP.
_ARGUMENTS: tuple[Callable[[memoryview], tuple[int, ...]], ...] = (
    lambda registers: (),
    lambda registers: (registers[3],),
    itemgetter(3, 1),
    itemgetter(3, 1, 2),
    itemgetter(3, 1, 2, 6),
    itemgetter(3, 1, 2, 6, 7),
    itemgetter(3, 1, 2, 6, 7, 5),
)


def _error_result(error: Exception) -> int:
    """Return what a system call answers for an exception of its handler."""
    if isinstance(error, MemoryFault):
        return -defs.EFAULT
    if isinstance(error, OSError):
        return -(error.errno or defs.EINVAL)
    return -defs.ENOMEM


class Thread:
    """A guest thread: its Cpu and everything Linux keeps per task."""

    def __init__(self, process: Process, cpu: Cpu, mask: int = 0) -> None:
        self.process = process
        self.cpu = cpu
        cpu.descriptor = partial(segments.processor_descriptor, self)
        self.registers: memoryview = cpu.r32  # EAX ECX EDX EBX ESP EBP ESI EDI, as numbered
        self.is_traced = process.options.strace
        self.mem: Memory = process.mem
        self.tid = threading.get_native_id()
        self.ended = False
        self.attention = False  # look for signals and requests before running guest code again
        self.is_leader = False
        self.held = False  # waits for the end of a pause
        self.paused = False  # the API's caller has the process; only the leader is ever paused

        self.mask = mask
        self.saved_mask: int | None = None  # the real mask during sigsuspend, ppoll...
        self.queue: list[signals.Pending] = []
        self.altstack = AltStack()
        self.trap_number = self.trap_error = self.trap_address = 0

        self.clear_child_tid = 0
        self.robust_list = 0
        self.tls: list[Descriptor | None] = [None] * 3
        self.vm86: vm86.Session | None = None  # while it runs in virtual-8086 mode

        self.no_restart = False  # the current call gives EINTR even with SA_RESTART
        self._deadline: float | None = None

    def run(self) -> None:
        """Run guest code until the thread ends or the process pauses."""
        engine_run, cpu = self.process.engine.run, self.cpu
        if self.attention:
            self.attend()
        while not (self.ended or self.paused):
            stop = engine_run(cpu)
            kind = stop.kind
            if kind == "syscall":
                self.system_call()
                if self.attention:
                    self.attend()
            elif kind == "fault":
                signal = stop if self.vm86 is None else vm86.handle(self, stop)
                if signal is not None:
                    faults.raise_signal(self, signal)
                    self.attend()
            elif kind == "stop":
                self.attend()
            else:
                self.process.pause(self, kind)

    def bind(self) -> None:
        """Make the calling host thread the one that runs this guest thread."""
        self.tid = threading.get_native_id()
        native.bind(self.cpu)

    # ---- system calls ----

    def system_call(self) -> None:
        """Answer the system call that the registers describe."""
        registers = self.registers
        number = registers[0]
        entry = SYSCALLS.get(number)
        if entry is None:
            registers[0] = self._unknown(number) & _U32
            return
        self._deadline = None
        self.no_restart = False
        arguments = _ARGUMENTS[entry.nargs](registers)
        if self.is_traced:
            result = self._trace(entry, arguments)
        else:
            try:
                result = entry.handler(self, *arguments)
            except (MemoryFault, OSError, MemoryError) as error:
                result = _error_result(error)
        if result == -defs.EINTR:
            result = self._interrupted(entry)
            if result == -defs.EINTR:
                return  # delivery has set the registers
        elif self.saved_mask is not None:
            signals.restore_saved_mask(self)
        if not self.ended:
            registers[0] = result & _U32

    def _trace(self, entry: Syscall, arguments: tuple[int, ...]) -> int:
        line = strace.start(self, entry, arguments)
        result = self._handle(entry, arguments)
        strace.finish(self, entry, arguments, line, result)
        return result

    def _handle(self, entry: Syscall, arguments: tuple[int, ...]) -> int:
        try:
            return entry.handler(self, *arguments)
        except (MemoryFault, OSError, MemoryError) as error:
            return _error_result(error)

    def _unknown(self, number: int) -> int:
        self.process.report.unknown_call(number)
        if self.process.options.strace:
            strace.unknown(self, number)
        return -defs.ENOSYS

    def _interrupted(self, entry: Syscall) -> int:
        """Settle a call that gave EINTR: run handlers, or make the call again if none will run."""
        while True:
            signals.collect(self)
            if self.process.check_requests(self) or self.ended:
                return -defs.EINTR
            if self.paused:  # make the call again when the process goes on
                self.cpu.eip = (self.cpu.eip - 2) & _U32
                signals.restore_saved_mask(self)
                return -defs.EINTR
            if signals.deliver(self, entry.number) or self.ended:
                return -defs.EINTR
            signals.restore_saved_mask(self)
            result = self._handle(entry, _ARGUMENTS[entry.nargs](self.registers))
            if self.saved_mask is not None and result != -defs.EINTR:
                signals.restore_saved_mask(self)
            if result != -defs.EINTR:
                return result

    def may_restart(self, number: int) -> bool:
        """Tell whether SA_RESTART makes this call again after a handler."""
        return number not in NEVER_RESTARTED and not self.no_restart

    def deadline(self, seconds: float | None) -> float | None:
        """Turn a relative timeout into time.monotonic() form, the same when the call is repeated.

        A handler that waits asks for the time left with `time_left`.
        """
        if seconds is None:
            return None
        if self._deadline is None:
            self._deadline = time.monotonic() + seconds
        return self._deadline

    def time_left(self, seconds: float | None) -> float | None:
        """Return what is left of a relative timeout that began when the call was first made."""
        end = self.deadline(seconds)
        return None if end is None else max(0.0, end - time.monotonic())

    # ---- signals and requests ----

    def attend(self) -> None:
        """Look after signals and what other threads asked for."""
        self.attention = False
        signals.collect(self)
        self.process.check_requests(self)
        if not self.ended and self.queue:
            signals.deliver(self)
        if self.saved_mask is not None and not self.ended:
            signals.restore_saved_mask(self)

    # ---- the end ----

    def leave(self) -> None:
        """Do what the kernel does when a task ends: robust locks, clear_child_tid."""
        self.ended = True
        if self.robust_list:
            with contextlib.suppress(MemoryFault):
                _release_robust(self)
            self.robust_list = 0
        self.notify_clear_tid()

    def notify_clear_tid(self) -> None:
        """Clear the word of CLONE_CHILD_CLEARTID and wake who waits for it."""
        address, self.clear_child_tid = self.clear_child_tid, 0
        if not address:
            return
        try:
            self.mem.write(address, bytes(4))
        except MemoryFault:
            return
        futex_wake(self, address)


def futex_wake(t: Thread, address: int, count: int = 1) -> None:
    """Wake up to *count* waiters of the futex at a guest address, private or shared."""
    host.syscall(Sys.FUTEX, t.mem.base + address, 1, count, 0, 0, 0)
    host.syscall(Sys.FUTEX, t.mem.base + address, 1 | 128, count, 0, 0, 0)


_FUTEX_WAITERS, _FUTEX_OWNER_DIED, _FUTEX_TID = 0x8000_0000, 0x4000_0000, 0x3FFF_FFFF
_ROBUST_LIMIT = 2048


def _release_robust(t: Thread) -> None:
    """Walk the robust list and mark every lock the thread still holds as OWNER_DIED."""
    head = t.robust_list
    entry, offset, pending = struct.unpack("<IiI", t.mem.read(head, 12))
    if pending and pending != head:
        _mark_dead(t, pending & ~1, offset)
    for _ in range(_ROBUST_LIMIT):
        if entry & ~1 == head:
            break
        following: int = t.mem.u32(entry & ~1)
        if entry & ~1 != pending & ~1:
            _mark_dead(t, entry & ~1, offset)
        entry = following


def _mark_dead(t: Thread, entry: int, offset: int) -> None:
    address = (entry + offset) & _U32
    word: int = t.mem.u32(address)
    if word & _FUTEX_TID == t.tid:
        t.mem.put_u32(address, word & _FUTEX_WAITERS | _FUTEX_OWNER_DIED)
        if word & _FUTEX_WAITERS:
            futex_wake(t, address)
