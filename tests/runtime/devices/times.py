"""A clock that tests move by hand."""

from __future__ import annotations

from runtime.clock import Clock


class Hand:
    """Guest time that stands still until it is moved."""

    def __init__(self) -> None:
        self.ns = 0

    def now(self) -> int:
        return self.ns


class HandClock(Clock):
    """A clock whose time jumps from event to event."""

    def __init__(self) -> None:
        self.hand = Hand()
        super().__init__(self.hand)

    def settle(self, events: int = 1000) -> None:
        """Let all timers fire, at their times."""
        for _ in range(events):
            when = self.next_event()
            if when is None:
                return
            self.hand.ns = max(self.hand.ns, when)
            self.run_due()
        raise AssertionError("timers do not come to rest")
