"""Time of a machine: what its devices count by, and what they asked to be called for.

Guest time is in ns since the machine was made. It follows the host's clock (`HostTime`) or the
number of guest insns executed (`CountedTime`), and stands still while the machine is paused.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol

from runtime.nativeclock import ClockCell

SECOND = 1_000_000_000


class Time(Protocol):
    """A source of guest time."""

    def now(self) -> int:
        """Return guest time in ns; it never goes back."""
        ...


class HostTime:
    """The host's monotonic clock."""

    def __init__(self) -> None:
        """Begin at 0."""
        self._offset = -time.monotonic_ns()
        self._paused: int | None = None
        self.cell = ClockCell()  # the same for compiled code
        self.cell.set(self._offset)

    def now(self) -> int:
        """Return ns since the beginning, pauses not counted."""
        return (time.monotonic_ns() if self._paused is None else self._paused) + self._offset

    def pause(self) -> None:
        """Let time stand still."""
        if self._paused is None:
            self._paused = time.monotonic_ns()
            self.cell.set(None)

    def go_on(self) -> None:
        """Let time go on."""
        if self._paused is not None:
            self._offset -= time.monotonic_ns() - self._paused
            self._paused = None
            self.cell.set(self._offset)


class CountedTime:
    """A number of ns for each guest insn, so that each run is like the other.

    Whoever waits (hlt) calls `skip_to`: time jumps to the next event at once.
    """

    def __init__(self, executed: Callable[[], int], ns_per_insn: int = 1) -> None:
        """Begin at 0; *executed* returns the number of guest insns executed so far."""
        self._executed, self.ns_per_insn = executed, ns_per_insn
        self._skipped = 0

    def now(self) -> int:
        """Return ns since the beginning."""
        return self._executed() * self.ns_per_insn + self._skipped

    def skip_to(self, when: int) -> None:
        """Let time jump forward to *when*."""
        self._skipped += max(0, when - self.now())


_CALLS_MAX = 1000  # of timers at once


class Timer:
    """A call at a moment of guest time; made by `Clock.timer`, set again as often as one likes."""

    __slots__ = ("_call", "_clock", "when")

    def __init__(self, clock: Clock, call: Callable[[], None]) -> None:
        self._clock, self._call = clock, call
        self.when: int | None = None  # ns; None: not set

    def set(self, when: int) -> None:
        """Be called at *when* (ns), instead of at the time that was set before."""
        self.when = when
        self._clock.insert(when, self)

    def cancel(self) -> None:
        """Not be called."""
        self.when = None

    def fire(self) -> None:
        """Make the call; only the clock does this."""
        self.when = None
        self._call()


class Clock:
    """Guest time and the timers of all devices."""

    def __init__(self, source: Time) -> None:
        """Make a clock without timers."""
        self.source = source
        self._queue: list[tuple[int, int, Timer]] = []
        self._order = itertools.count()
        # Called when a timer was set that is earlier than all others: the machine must look again.
        self.on_earlier: Callable[[], None] = lambda: None

    def now(self) -> int:
        """Return guest time in ns."""
        return self.source.now()

    @property
    def cell(self) -> int:
        """Address of what compiled code knows of it (nativeclock.py); 0: nothing."""
        return self.source.cell.address if isinstance(self.source, HostTime) else 0

    def timer(self, call: Callable[[], None]) -> Timer:
        """Make a timer that is not set."""
        return Timer(self, call)

    def insert(self, when: int, timer: Timer) -> None:
        """Take note that a timer was set."""
        is_first = not self._queue or when < self._queue[0][0]
        heapq.heappush(self._queue, (when, next(self._order), timer))
        if is_first:
            self.on_earlier()

    def next_event(self) -> int | None:
        """Return when the earliest timer is due, in ns of guest time; None without timers."""
        queue = self._queue
        while queue and queue[0][2].when != queue[0][0]:
            heapq.heappop(queue)
        return queue[0][0] if queue else None

    def run_due(self) -> None:
        """Call what is due now, in order of time.

        What becomes due meanwhile waits for the next call, so that no timer that a guest sets to
        periods shorter than its own call keeps the machine here for ever.
        """
        now = self.now()
        for _ in range(_CALLS_MAX):
            if (when := self.next_event()) is None or when > now:
                return
            heapq.heappop(self._queue)[2].fire()
