"""The loop that runs a machine: guest code, timers, sleeping, and what other threads ask for.

In: a processor and a clock. Out: why the run ended.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from runtime import native
from runtime.clock import SECOND, Clock, CountedTime, HostTime
from runtime.cpu import UNLIMITED
from runtime.deadline import Deadline
from runtime.system.processor import Processor

_LOOK_AGAIN = SECOND // 20  # ns: Ctrl-C and time limits are seen at least so often
_SELECT_MAX = 1024  # descriptors from here on are beyond select()


class Budgeted(CountedTime):
    """Counted time of a processor that gets its insns in portions."""

    def __init__(self, processor: Processor, ns_per_insn: int = 1) -> None:
        self.cpu = processor.cpu
        self.cpu.budget = UNLIMITED
        self._given = UNLIMITED
        super().__init__(self._count, ns_per_insn)

    def _count(self) -> int:
        return self._given - self.cpu.budget

    def give(self, insns: int) -> None:
        """Let the processor execute so many insns from now on."""
        executed = self._count()
        self.cpu.budget = insns
        self._given = executed + insns

    def spend(self, ns: int) -> None:
        """Let time pass while the processor stands at an insn."""
        self.cpu.budget = max(self.cpu.budget - ns // self.ns_per_insn, 0)


class Loop:
    """Runs a processor until somebody says stop."""

    def __init__(self, processor: Processor, clock: Clock) -> None:
        """*clock*'s source is HostTime or Budgeted."""
        self.processor, self.clock = processor, clock
        self.time = clock.source
        self.reason = ""  # why to stop
        # Called when the processor shuts down after a triple fault.
        self.on_shutdown: Callable[[], None] = lambda: self.stop("triple fault")
        # Called when the processor has used up a budget that somebody gave it (not `Budgeted`).
        self.on_budget: Callable[[], None] = lambda: self.stop("budget")
        self.is_running = False
        self._thread = 0  # that runs the guest
        self.halted_ns = 0  # time slept in all
        self._interrupted = False
        self._ringing = threading.RLock()  # a signal's handler may ring, too
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        self._deadline: Deadline | None = None
        self._limit: int | None = None  # host time at which the run is over
        self._until: Callable[[], bool] | None = None
        self._interval = self._next_look = 0  # ns of host time between looks; of the next one
        clock.on_earlier = self._earlier

    def close(self) -> None:
        """Give the descriptor back; what is asked for from now on comes too late."""
        with self._ringing:
            os.close(self._wake)
            self._wake = -1

    # -- from any thread ---------------------------------------------------------------------------
    def post(self, function: Callable[[], object]) -> None:
        """Call a function between two insns, by the thread that runs the guest."""
        self.processor.post(function)
        self._ring()

    def stop(self, reason: str) -> None:
        """Let `run` return; the first reason counts."""
        self.reason = self.reason or reason
        self.processor.cpu.request_stop()
        self._ring()

    def _ring(self) -> None:
        with self._ringing:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    # -- running -----------------------------------------------------------------------------------
    def run(
        self,
        timeout: float | None = None,
        until: Callable[[], bool] | None = None,
        interval: float = 0.02,
    ) -> str:
        """Run until `stop`, for at most *timeout* seconds of host time; return the reason.

        "timeout" is one of them, and "until": then *until*, called between two insns about every
        *interval* seconds, said so. KeyboardInterrupt at Ctrl-C, in the main thread; `run` may be
        called again after each of them.
        """
        if self.is_running:
            raise RuntimeError("the machine is running already")
        self._limit = (
            None if timeout is None else time.monotonic_ns() + int(float(timeout) * SECOND)
        )
        self._until, self._interval = until, max(int(interval * SECOND), 1)
        self._next_look = 0
        self._interrupted, handler = False, self._take_interrupt()
        cpu = self.processor.cpu
        native.bind(cpu)
        self.is_running, self._thread = True, threading.get_ident()
        self._deadline = Deadline()
        if isinstance(self.time, HostTime):
            self.time.go_on()
        try:
            while not self.reason:
                self._turn()
                if self._interrupted:
                    raise KeyboardInterrupt
            reason, self.reason = self.reason, ""
            return reason
        finally:
            if isinstance(self.time, HostTime):
                self.time.pause()
            self._deadline.close()
            self._deadline = None
            self.is_running = False
            native.unbind(cpu)
            if handler is not None:
                signal.signal(signal.SIGINT, handler)

    @property
    def is_elsewhere(self) -> bool:
        """Whether another thread than the caller's runs the guest."""
        return self.is_running and self._thread != threading.get_ident()

    def _take_interrupt(self) -> Any:
        """Note SIGINT instead of raising in the middle of something; return the old handler."""
        if threading.current_thread() is not threading.main_thread():
            return None
        old = signal.getsignal(signal.SIGINT)
        if old in (signal.SIG_IGN, signal.SIG_DFL, None):
            return None
        signal.signal(signal.SIGINT, self._note)
        return old

    def _note(self, number: int, frame: Any) -> None:
        self._interrupted = True
        self.processor.cpu.request_stop()
        self._ring()

    def _turn(self) -> None:
        """Call timers, run guest code until the next one, sleep while it is halted."""
        self.clock.run_due()
        if self._until is not None and time.monotonic_ns() >= self._next_look:
            self._next_look = time.monotonic_ns() + self._interval
            if self._until():
                self.stop("until")
        if self._limit is not None and time.monotonic_ns() >= self._limit:
            self.stop("timeout")
        if self.reason:
            native.clear_stop(self.processor.cpu)
            return
        self._set_limits()
        exit = self.processor.run()
        if exit.kind == "halt":
            self._sleep()
        elif exit.kind == "shutdown":
            self.on_shutdown()
        elif exit.kind == "budget" and not isinstance(self.time, Budgeted):
            self.on_budget()

    def _left(self) -> int:
        """Return ns of guest time until something has to be looked at."""
        when = self.clock.next_event()
        return _LOOK_AGAIN if when is None else max(when - self.clock.now(), 0)

    def _host_left(self, now: int) -> int:
        """Return ns of host time until something has to be looked at."""
        left = _LOOK_AGAIN
        if self._limit is not None:
            left = min(left, self._limit - now)
        if self._until is not None:
            left = min(left, self._next_look - now)
        return max(left, 0)

    def _set_limits(self) -> None:
        assert self._deadline is not None
        left = self._left()
        if isinstance(self.time, Budgeted):
            self.time.give(max(left // self.time.ns_per_insn, 1))
            left = _LOOK_AGAIN
        self._deadline.set(min(left, self._host_left(time.monotonic_ns())))

    def _earlier(self) -> None:
        """Take note that a timer was set that is earlier than all others."""
        if not self.is_running:
            return
        if isinstance(self.time, Budgeted):
            native.request_stop(self.processor.cpu)  # the budget was meant for another timer
        elif self._deadline is not None:
            self._deadline.set(min(self._left(), _LOOK_AGAIN))

    def _sleep(self) -> None:
        """Wait for the next timer, or until somebody rings."""
        when = self.clock.next_event()
        if isinstance(self.time, Budgeted) and when is not None:
            self.time.skip_to(when)
            return
        left = _LOOK_AGAIN if when is None else when - self.clock.now()
        begun = time.monotonic_ns()
        left = min(left, self._host_left(begun))
        if left > 0 and self._wait(left):
            os.eventfd_read(self._wake)
        self.halted_ns += time.monotonic_ns() - begun

    def _wait(self, left: int) -> bool:
        """Sleep for so many ns; True if somebody rang."""
        if self._wake < _SELECT_MAX:  # to the µs, so that each tick of a guest is one sleep
            return bool(select.select([self._wake], [], [], left / SECOND)[0])
        return bool(self._poll.poll(-(-left // 1_000_000)))
