"""A bare bus with a clock that tests set: what devices are tested on."""

from __future__ import annotations

from runtime.bus import Bus, Line
from runtime.clock import Clock
from runtime.system.physical import Physical


class Hand:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = 0

    def now(self) -> int:
        return self.time


class Board:
    """A bus, a clock, and helpers to use them like a guest."""

    def __init__(self, memory: int = 1 << 20) -> None:
        self.physical = Physical(memory)
        self.bus = Bus(self.physical)
        self.hand = Hand()
        self.clock = Clock(self.hand)

    def wait(self, ns: int) -> None:
        """Let time pass; timers are called when they are due."""
        end = self.hand.time + ns
        while (when := self.clock.next_event()) is not None and when <= end:
            self.hand.time = max(when, self.hand.time)
            self.clock.run_due()
        self.hand.time = end

    def sleep(self, ns: int) -> None:
        """Let time pass without looking at timers, as a slow host does."""
        self.hand.time += ns

    def read(self, port: int, size: int = 1) -> int:
        return self.bus.port_in(port, size)

    def write(self, port: int, *values: int, size: int = 1) -> None:
        for value in values:
            self.bus.port_out(port, value, size)


class Probe(Line):
    """A wire that counts its edges."""

    def __init__(self) -> None:
        super().__init__(self._count)
        self.rises = self.falls = 0

    def _count(self, level: bool) -> None:
        if level:
            self.rises += 1
        else:
            self.falls += 1
