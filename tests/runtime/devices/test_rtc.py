"""The MC146818: time in all its formats, setting it, and its three interrupts."""

from __future__ import annotations

from datetime import datetime

import pytest

from runtime.clock import SECOND
from runtime.devices.rtc import A, B, C, D, Rtc, set_memory_size
from tests.runtime.devices.bare import Board, Probe

START = datetime(1999, 12, 31, 23, 59, 58)


class Machine(Board):
    def __init__(self) -> None:
        super().__init__()
        self.irq = Probe()
        self.rtc = Rtc(self.bus, self.irq, self.clock, START)

    def get(self, index: int) -> int:
        self.write(0x70, index)
        return self.read(0x71)

    def put(self, index: int, value: int) -> None:
        self.write(0x70, index)
        self.write(0x71, value)

    def time(self) -> list[int]:
        return [self.get(i) for i in (0x32, 9, 8, 7, 4, 2, 0)]


def test_time_goes_on_over_the_end_of_the_century() -> None:
    m = Machine()
    assert m.time() == [0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58]
    assert m.get(6) == 6  # Friday
    m.wait(2 * SECOND)
    assert m.time() == [0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00]
    assert m.get(6) == 7


def test_binary_and_twelve_hours() -> None:
    m = Machine()
    m.put(B, 0x04)
    assert m.time() == [19, 99, 12, 31, 0x80 | 11, 59, 58]
    m.wait(2 * SECOND)
    assert m.get(4) == 12  # midnight is 12 AM


def test_setting_the_time() -> None:
    m = Machine()
    m.put(B, 0x82)
    for index, value in ((0, 0x30), (2, 0x15), (4, 0x07), (7, 4), (8, 7), (9, 0x26), (0x32, 0x20)):
        m.put(index, value)
    m.wait(5 * SECOND)
    assert m.get(0) == 0x30  # it stands still meanwhile
    m.put(B, 0x02)
    m.wait(SECOND)
    assert m.time() == [0x20, 0x26, 0x07, 0x04, 0x07, 0x15, 0x31]


def test_a_date_that_is_none_changes_nothing() -> None:
    m = Machine()
    m.put(8, 0x45)
    m.wait(SECOND)
    assert m.get(8) == 0x12


def test_update_in_progress_shows_shortly_before_a_second() -> None:
    m = Machine()
    assert not m.get(A) & 0x80
    m.wait(SECOND - 1_000_000)
    assert m.get(A) & 0x80
    m.wait(1_000_000)
    assert not m.get(A) & 0x80


def test_periodic_interrupt_at_1024_hz() -> None:
    m = Machine()
    m.put(B, 0x42)
    count = 0
    for _ in range(1024):
        m.wait(SECOND // 1024 + 1)
        count += m.irq.is_high
        assert m.get(C) & 0xC0 == 0xC0
        assert not m.irq.is_high
        assert m.get(C) == m.get(C) & 0x10  # reading clears
    assert count == 1024


def test_each_reading_of_c_makes_room_for_an_edge_on_slow_hosts() -> None:
    """More than a period passes between any two looks at the clock; none may lose the interrupt."""
    m = Machine()
    m.put(B, 0x42)
    m.wait(SECOND // 1024 + 1)
    now = m.hand.now

    def late() -> int:
        m.sleep(SECOND // 1000)
        return now()

    m.hand.now = late  # type: ignore[method-assign]
    for count in range(1, 9):
        assert (m.irq.is_high, m.irq.rises) == (True, count)
        assert m.get(C) & 0xC0 == 0xC0
        assert m.irq.falls == count
        m.clock.run_due()


def test_periodic_flag_without_interrupt() -> None:
    m = Machine()
    m.wait(SECOND // 1024 + 1)
    assert m.get(C) == 0x40
    assert m.irq.rises == 0


def test_update_ended_interrupt() -> None:
    m = Machine()
    m.put(B, 0x12)
    m.wait(SECOND // 2)
    assert m.irq.rises == 0
    m.wait(SECOND // 2)
    assert m.irq.is_high
    assert m.get(C) & 0x90 == 0x90
    m.wait(SECOND)
    assert m.irq.rises == 2


@pytest.mark.parametrize(
    ("alarm", "seconds"),
    [((0x00, 0x00, 0x00), 2), ((0x05, 0xFF, 0xC0), 7), ((0xC0, 0x59, 0x23), 1)],
)
def test_alarm(alarm: tuple[int, int, int], seconds: int) -> None:
    m = Machine()
    for index, value in zip((1, 3, 5), alarm, strict=True):
        m.put(index, value)
    m.put(B, 0x22)
    m.wait(seconds * SECOND - 1)
    assert not m.irq.is_high
    m.wait(1)
    assert m.irq.is_high
    assert m.get(C) & 0xA0 == 0xA0


def test_alarm_is_seen_without_interrupt() -> None:
    m = Machine()
    for index, value in ((1, 0), (3, 0), (5, 0)):
        m.put(index, value)
    m.wait(3600 * SECOND)
    assert m.get(C) & 0x20


def test_memory_keeps_bytes_and_d_says_that_it_does() -> None:
    m = Machine()
    m.put(0x40, 0xA5)
    m.rtc.reset()
    assert (m.get(0x40), m.get(D)) == (0xA5, 0x80)


def test_nmi_mask() -> None:
    m = Machine()
    m.write(0x70, 0x8F)
    assert not m.rtc.nmi_enabled
    m.write(0x71, 0x5A)
    assert m.get(0x0F) == 0x5A
    assert m.rtc.nmi_enabled


@pytest.mark.parametrize(
    ("size", "base", "extended", "high"),
    [(1 << 20, 640, 0, 0), (16 << 20, 640, 15 << 10, 0), (128 << 20, 640, 0xFC00, 112 << 4)],
)
def test_memory_size(size: int, base: int, extended: int, high: int) -> None:
    ram = bytearray(128)
    set_memory_size(ram, size)
    found = [ram[i] | ram[i + 1] << 8 for i in (0x15, 0x17, 0x30, 0x34)]
    assert found == [base, extended, extended, high]
