"""Timers: order, times, and that none keeps its caller for ever."""

from __future__ import annotations

from runtime.clock import Clock


class Late:
    """Time that passes with each look."""

    ns = 0

    def now(self) -> int:
        self.ns += 10
        return self.ns


def test_a_timer_that_is_always_due_lets_the_machine_go_on() -> None:
    clock = Clock(Late())
    calls = []

    def again() -> None:
        calls.append(1)
        timer.set(clock.now() + 1)

    timer = clock.timer(again)
    timer.set(0)
    for expected in (1, 2, 3):
        clock.run_due()
        assert len(calls) == expected


def test_timers_come_in_order_and_a_thousand_at_once() -> None:
    clock, source = Clock(Late()), []
    timers = [clock.timer(lambda i=i: source.append(i)) for i in range(1500)]  # type: ignore[misc]
    for i, timer in enumerate(timers):
        timer.set(i % 5)
    clock.run_due()
    assert len(source) == 1000
    clock.run_due()
    assert source == sorted(range(1500), key=lambda i: i % 5)
