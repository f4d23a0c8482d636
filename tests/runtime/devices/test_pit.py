"""The 8254: modes, latches and IRQ 0, as its datasheet draws them."""

from __future__ import annotations

import pytest

from runtime.clock import SECOND
from runtime.devices.pit import HZ, Pit
from tests.runtime.devices.bare import Board, Probe


def ns(ticks: int) -> int:
    """Return when a tick is, in ns."""
    return -(-ticks * SECOND // HZ)


class Machine(Board):
    def __init__(self) -> None:
        super().__init__()
        self.irq = Probe()
        self.pit = Pit(self.bus, self.irq, self.clock)

    def program(self, index: int, mode: int, count: int, bcd: int = 0) -> None:
        self.write(0x43, index << 6 | 0x30 | mode << 1 | bcd)
        self.write(0x40 + index, count & 0xFF, count >> 8)

    def count(self, index: int = 0) -> int:
        self.write(0x43, index << 6)
        return self.read(0x40 + index) | self.read(0x40 + index) << 8

    def status(self, index: int = 0) -> int:
        self.write(0x43, 0xE0 | 2 << index)
        return self.read(0x40 + index)

    def tick(self, ticks: int) -> None:
        """Let time pass up to a number of ticks from the beginning."""
        self.wait(ns(ticks) - self.hand.time)


def test_rate_generator_interrupts_each_period() -> None:
    m = Machine()
    m.program(0, 2, 1000)
    m.tick(999)
    assert (m.irq.rises, m.count()) == (0, 1)
    m.tick(1000)
    assert (m.irq.rises, m.count()) == (1, 1000)
    m.tick(10_500)
    assert (m.irq.rises, m.count()) == (10, 500)


def test_zero_is_the_largest_count() -> None:
    m = Machine()
    m.program(0, 3, 0)
    m.wait(SECOND)
    assert m.irq.rises == 18


def test_square_wave() -> None:
    m = Machine()
    m.program(2, 3, 5)
    m.pit.counters[2].set_gate(True)
    seen = []
    for tick in range(11):
        m.tick(tick)
        seen.append((m.status(2) >> 7, m.count(2)))
    period = [(1, 4), (1, 2), (1, 0), (0, 4), (0, 2)]
    assert seen == period * 2 + period[:1]


def test_one_interrupt_on_terminal_count() -> None:
    m = Machine()
    m.program(0, 0, 100)
    assert m.status() & 0x80 == 0
    m.tick(100)
    assert (m.irq.rises, m.status() & 0x80) == (1, 0x80)
    m.tick(110)
    assert m.count() == 0xFFF6
    m.tick(100_000)
    assert m.irq.rises == 1


def test_gate_stops_terminal_count() -> None:
    m = Machine()
    counter = m.pit.counters[2]
    counter.set_gate(True)
    m.program(2, 0, 100)
    m.tick(40)
    counter.set_gate(False)
    m.tick(500)
    assert m.count(2) == 60
    counter.set_gate(True)
    m.tick(559)
    assert not counter.output()
    m.tick(560)
    assert counter.output()


def test_one_shot_begins_with_the_gate() -> None:
    m = Machine()
    counter = m.pit.counters[2]
    m.program(2, 1, 50)
    m.tick(100)
    assert counter.output()
    counter.set_gate(True)
    assert not counter.output()
    m.tick(149)
    assert not counter.output()
    m.tick(150)
    assert counter.output()
    counter.set_gate(False)
    counter.set_gate(True)  # again
    assert not counter.output()


@pytest.mark.parametrize("mode", [4, 5])
def test_strobes(mode: int) -> None:
    m = Machine()
    counter = m.pit.counters[2]
    counter.set_gate(mode == 4)
    m.program(2, mode, 10)
    counter.set_gate(True)
    seen = []
    for tick in range(8, 13):
        m.tick(tick)
        seen.append(counter.output())
    assert seen == [True, True, False, True, True]


def test_software_strobe_interrupts_behind_it() -> None:
    m = Machine()
    m.program(0, 4, 1000)
    m.tick(1000)
    assert m.irq.rises == 0
    m.tick(1001)
    assert m.irq.rises == 1
    m.write(0x40, 0xE8, 0x03)  # a new count, without a control word
    m.tick(2002)
    assert m.irq.rises == 2


def test_latched_count_waits_for_both_bytes() -> None:
    m = Machine()
    m.program(0, 2, 0x1234)
    m.tick(0x34)
    m.write(0x43, 0)
    m.tick(0x100)
    m.write(0x43, 0)  # ignored: the first is not read yet
    assert (m.read(0x40), m.read(0x40)) == (0x00, 0x12)
    assert m.count() == 0x1134


def test_read_back_status_before_count() -> None:
    m = Machine()
    m.program(0, 2, 1000)
    m.program(1, 3, 500)
    m.tick(100)
    m.write(0x43, 0xC0 | 2 | 4)
    assert m.read(0x40) == 0x80 | 0x34
    assert m.read(0x40) | m.read(0x40) << 8 == 900
    assert m.read(0x41) & 0x3F == 0x36


def test_null_count_until_a_count_is_written() -> None:
    m = Machine()
    m.write(0x43, 0x34)
    assert m.status() & 0x40
    m.write(0x40, 1, 0)
    assert not m.status() & 0x40


def test_single_bytes() -> None:
    m = Machine()
    m.write(0x43, 0x14)  # counter 0, low byte only, mode 2
    m.write(0x40, 200)
    m.tick(50)
    assert m.read(0x40) == 150
    m.write(0x43, 0x24)  # high byte only
    m.write(0x40, 2)
    m.wait(ns(10))
    assert m.read(0x40) == 1


def test_decimal_counting() -> None:
    m = Machine()
    m.program(0, 2, 0x1000, bcd=1)
    m.tick(1)
    assert m.count() == 0x0999
    m.tick(1000)
    assert m.irq.rises == 1


def test_new_count_comes_with_the_next_period() -> None:
    m = Machine()
    m.program(0, 2, 1000)
    m.tick(300)
    m.write(0x40, 100, 0)
    assert m.status() & 0x40
    assert m.count() == 700
    m.tick(1000)
    assert m.irq.rises == 1
    m.tick(1100)
    assert (m.irq.rises, m.count()) == (2, 100)


def test_slow_host_loses_no_ticks_and_makes_no_flood() -> None:
    m = Machine()
    m.program(0, 2, 1193)  # 1 ms
    m.tick(1193)
    m.sleep(100_000_000)
    m.clock.run_due()
    assert m.irq.rises == 2  # not a hundred at once
    m.wait(200_000_000)
    assert abs(m.irq.rises - 300) <= 2
    m.wait(100_000_000)
    assert abs(m.irq.rises - 400) <= 2


def test_pulses_wait_until_the_last_one_is_served() -> None:
    m = Machine()
    is_behind = False
    m.pit.is_behind = lambda: is_behind
    m.program(0, 2, 1193)
    m.wait(10_500_000)
    is_behind = True
    m.wait(50_000_000)
    assert m.irq.rises == 10
    is_behind = False
    m.wait(100_000_000)
    assert abs(m.irq.rises - 160) <= 2


def test_long_pauses_are_forgotten() -> None:
    m = Machine()
    m.program(0, 2, 1193)
    m.sleep(3600 * SECOND)
    m.wait(SECOND)
    assert m.irq.rises < 2100


@pytest.mark.parametrize("mode", [0, 4])
def test_a_short_count_is_not_missed_by_a_slow_host(
    mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The count is over before the timer is set: the interrupt comes all the same, once."""
    m = Machine()
    now, passed = m.pit.clock.now, 0

    def slow() -> int:
        nonlocal passed
        passed += 50_000_000  # each look at the clock takes 50 ms
        return now() + passed

    monkeypatch.setattr(m.pit.clock, "now", slow)
    m.program(0, mode, 15)
    for _ in range(10):
        m.pit.clock.run_due()
    assert m.irq.rises == 1
