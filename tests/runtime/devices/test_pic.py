"""The 8259A pair: what its datasheet says of priorities, ends, masks and reading."""

from __future__ import annotations

import pytest

from runtime.devices.pic import Pic
from tests.runtime.devices.bare import Board, Probe


class Machine(Board):
    """Programmed as a PC's BIOS does: vectors 08h and 70h, nothing masked."""

    def __init__(self, icw4: int = 1, *, icw1: int = 0x11) -> None:
        super().__init__()
        self.intr = Probe()
        self.pic = Pic(self.bus, self.intr)
        self.write(0x20, icw1)
        self.write(0x21, 0x08, 0x04, icw4, 0)
        self.write(0xA0, icw1)
        self.write(0xA1, 0x70, 0x02, icw4, 0)

    def serve(self) -> int | None:
        """Acknowledge if INTR is high."""
        return self.pic.acknowledge() if self.intr.is_high else None

    def isr(self, port: int = 0x20) -> int:
        self.write(port, 0x0B)
        return self.read(port)

    def irr(self, port: int = 0x20) -> int:
        self.write(port, 0x0A)
        return self.read(port)


def test_edges_are_kept_and_served_by_priority() -> None:
    m = Machine()
    m.pic.line(5).pulse()
    m.pic.line(1).set(True)
    assert m.irr() == 0x22
    assert m.serve() == 0x09
    assert m.serve() is None  # 5 waits for 1
    m.write(0x20, 0x20)
    assert m.serve() == 0x0D
    m.write(0x20, 0x20)
    assert m.serve() is None  # 1 is still high, but that is no edge
    m.pic.line(1).set(False)
    m.pic.line(1).set(True)
    assert m.serve() == 0x09


def test_higher_interrupts_lower() -> None:
    m = Machine()
    m.pic.line(4).pulse()
    assert m.serve() == 0x0C
    m.pic.line(3).pulse()
    assert m.serve() == 0x0B
    assert m.isr() == 0x18
    m.write(0x20, 0x20)
    assert m.isr() == 0x10


def test_second_chip_hangs_on_input_2() -> None:
    m = Machine()
    m.pic.line(12).pulse()
    m.pic.line(8).pulse()
    m.pic.line(3).pulse()
    assert m.serve() == 0x70
    assert (m.isr(), m.isr(0xA0)) == (0x04, 0x01)
    assert m.serve() is None
    m.write(0xA0, 0x20)
    m.write(0x20, 0x20)
    assert m.serve() == 0x74
    m.write(0xA0, 0x20)
    m.write(0x20, 0x20)
    assert m.serve() == 0x0B


def test_mask_holds_requests_back() -> None:
    m = Machine()
    m.write(0x21, 0x08)
    m.pic.line(3).pulse()
    assert m.serve() is None
    assert m.read(0x21) == 0x08
    m.write(0x21, 0)
    assert m.serve() == 0x0B


def test_request_that_was_masked_meanwhile_is_spurious() -> None:
    m = Machine()
    m.pic.line(3).pulse()
    m.write(0x21, 0xFF)
    assert m.pic.acknowledge() == 0x0F
    assert m.isr() == 0
    m.write(0x21, 0)
    m.write(0xA1, 0)
    m.pic.line(9).pulse()
    m.pic.slave.imr = 0xFF
    assert m.pic.acknowledge() == 0x77  # the second chip's own
    assert (m.isr(), m.isr(0xA0)) == (0x04, 0)


def test_specific_end() -> None:
    m = Machine()
    for irq in (6, 3):
        m.pic.line(irq).pulse()
        m.serve()
    m.write(0x20, 0x66)
    assert m.isr() == 0x08


def test_automatic_end() -> None:
    m = Machine(3)
    m.pic.line(6).pulse()
    assert m.serve() == 0x0E
    assert m.isr() == 0
    m.pic.line(7).pulse()
    assert m.serve() == 0x0F


def test_rotation() -> None:
    m = Machine()
    m.pic.line(3).pulse()
    m.pic.line(4).pulse()
    assert m.serve() == 0x0B
    m.write(0x20, 0xA0)  # non-specific end, 3 becomes the lowest
    m.pic.line(3).pulse()
    assert m.serve() == 0x0C
    m.write(0x20, 0x20)
    assert m.serve() == 0x0B
    m.write(0x20, 0x20)
    m.write(0x20, 0xC5)  # 5 is the lowest, so 6 the highest
    m.pic.line(0).pulse()
    m.pic.line(6).pulse()
    assert m.serve() == 0x0E


def test_rotation_with_automatic_end() -> None:
    m = Machine(3)
    m.write(0x20, 0x80)
    m.pic.line(0).pulse()
    assert m.serve() == 0x08
    m.pic.line(0).pulse()
    m.pic.line(1).pulse()
    assert m.serve() == 0x09
    assert m.serve() == 0x08
    m.write(0x20, 0x00)  # no more


def test_special_mask_mode_lets_lower_ones_in() -> None:
    m = Machine()
    m.pic.line(1).pulse()
    m.serve()
    m.pic.line(6).pulse()
    assert m.serve() is None
    m.write(0x21, 0x02)
    assert m.serve() is None
    m.write(0x20, 0x68)
    assert m.serve() == 0x0E
    m.write(0x20, 0x48)
    assert m.isr() == 0x42


def test_special_fully_nested_mode() -> None:
    m = Machine(0x11)
    m.pic.line(12).pulse()
    assert m.serve() == 0x74
    m.pic.line(10).pulse()
    assert m.serve() == 0x72  # higher in the second chip, though input 2 is in service
    m.pic.line(6).pulse()
    assert m.serve() is None


def test_poll() -> None:
    m = Machine()
    m.write(0x20, 0x0C)
    assert m.read(0x20) == 0
    m.pic.line(4).pulse()
    m.write(0x20, 0x0C)
    assert m.read(0x20) == 0x84
    assert m.isr() == 0x10
    assert not m.intr.is_high


def test_level_triggered_inputs() -> None:
    m = Machine()
    m.write(0x4D1, 0x0C)
    assert m.read(0x4D0, 2) == 0x0C00
    m.pic.line(10).set(True)
    assert m.serve() == 0x72
    m.write(0xA0, 0x20)
    m.write(0x20, 0x20)
    assert m.serve() == 0x72  # it is still there
    m.write(0xA0, 0x20)
    m.write(0x20, 0x20)
    m.pic.line(10).set(False)
    assert m.serve() is None
    m.write(0x4D0, 0xFF)
    assert m.read(0x4D0) == 0xF8  # timer, keyboard and cascade stay edges


def test_level_mode_of_icw1() -> None:
    m = Machine(icw1=0x19)
    m.pic.line(5).set(True)
    assert m.serve() == 0x0D
    m.write(0x20, 0x20)
    assert m.serve() == 0x0D


def test_initialization_forgets() -> None:
    m = Machine()
    m.pic.line(3).pulse()
    m.serve()
    m.pic.line(4).pulse()
    m.write(0x21, 0xF0)
    m.write(0x20, 0x11)
    assert (m.irr(), m.isr()) == (0, 0)
    m.write(0x21, 0x20, 0x04, 0x01)
    assert m.read(0x21) == 0
    m.pic.line(0).pulse()
    assert m.serve() == 0x20


def test_initialization_of_a_single_chip_without_icw4() -> None:
    m = Machine()
    m.write(0x20, 0x12)
    m.write(0x21, 0x40)
    m.write(0x21, 0xAA)  # the mask already
    assert m.read(0x21) == 0xAA


def test_cascade_is_no_line() -> None:
    with pytest.raises(ValueError, match="IRQ 2"):
        Machine().pic.line(2)


def test_two_requests_of_the_second_chip_with_automatic_end() -> None:
    m = Machine(3)
    m.pic.line(9).pulse()
    m.pic.line(10).pulse()
    assert (m.serve(), m.serve(), m.serve()) == (0x71, 0x72, None)
