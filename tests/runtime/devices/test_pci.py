"""Configuration space, base addresses, interrupt routing, PAM; power management."""

from __future__ import annotations

import pytest

from runtime.bus import Line
from runtime.clock import SECOND
from runtime.devices.acpi import TIMER_HZ, PowerManagement
from runtime.devices.chipset import HostBridge, IsaBridge
from runtime.devices.pci import Function, PciHost
from tests.runtime.devices.bare import Board, Probe

ENABLE = 1 << 31


class Machine(Board):
    def __init__(self) -> None:
        super().__init__()
        self.resets, self.off = 0, 0
        self.pci = PciHost(self.bus, self.reset)
        self.lines = [Probe() for _ in range(16)]
        self.bridge = HostBridge(self.physical)
        self.isa = IsaBridge(self.pci, lambda irq: self.lines[irq])
        self.power = PowerManagement(self.bus, self.lines[9], self.clock, self.power_off)
        for function, what in enumerate((self.isa, None, None, self.power)):
            if what is not None:
                self.pci.add(1, function, what)
        self.pci.add(0, 0, self.bridge)

    def reset(self) -> None:
        self.resets += 1

    def power_off(self) -> None:
        self.off += 1

    def config(self, device: int, function: int, offset: int, size: int = 4) -> int:
        self.write(0xCF8, ENABLE | device << 11 | function << 8 | offset & 0xFC, size=4)
        return self.read(0xCFC + (offset & 3), size)

    def configure(self, device: int, function: int, offset: int, value: int, size: int = 4) -> None:
        self.write(0xCF8, ENABLE | device << 11 | function << 8 | offset & 0xFC, size=4)
        self.write(0xCFC + (offset & 3), value, size=size)


def card(pin: int = 1) -> tuple[Function, list[tuple[str, int | None]]]:
    """Return a function with ports and memory, and a list of where they were mapped."""
    seen: list[tuple[str, int | None]] = []
    made = Function((0x1234, 0x5678), 0x030000, pin=pin)
    made.add_bar(0, 0x1000, lambda place: seen.append(("memory", place)))
    made.add_bar(1, 0x20, lambda place: seen.append(("ports", place)), kind=1)
    return made, seen


def test_ids_and_absent_functions() -> None:
    m = Machine()
    assert m.config(0, 0, 0) == 0x12378086
    assert m.config(1, 0, 2, 2) == 0x7000
    assert m.config(1, 3, 3, 1) == 0x71
    assert m.config(7, 0, 0) == 0xFFFFFFFF
    m.write(0xCF8, 1 << 11, size=4)  # not enabled
    assert m.read(0xCFC, 4) == 0xFFFFFFFF
    assert m.config(1, 0, 0x0E, 1) == 0x80


def test_ids_cannot_be_written() -> None:
    m = Machine()
    m.configure(0, 0, 0, 0)
    assert m.config(0, 0, 0) == 0x12378086


def test_sizes_of_base_addresses_and_mapping() -> None:
    m = Machine()
    made, seen = card()
    m.pci.add(3, 0, made)
    m.configure(3, 0, 0x10, 0xFFFFFFFF)
    m.configure(3, 0, 0x14, 0xFFFFFFFF)
    assert m.config(3, 0, 0x10) == 0xFFFFF000
    assert m.config(3, 0, 0x14) == 0xFFFFFFE1
    m.configure(3, 0, 0x10, 0xFEB00123)
    m.configure(3, 0, 0x14, 0xC000)
    assert seen == []  # decoding is off
    m.configure(3, 0, 4, 3, 2)
    assert seen == [("memory", 0xFEB00000), ("ports", 0xC000)]
    m.configure(3, 0, 4, 2, 2)
    assert seen[2:] == [("ports", None)]
    made.reset()
    assert seen[3:] == [("memory", None)]


def test_a_slot_is_taken_once() -> None:
    m = Machine()
    with pytest.raises(ValueError, match="exists"):
        m.pci.add(1, 0, card()[0])


def test_interrupts_go_where_the_bridge_says() -> None:
    m = Machine()
    (first, _), (second, _) = card(), card(pin=2)
    m.pci.add(2, 0, first)  # PIRQB#
    m.pci.add(1, 5, second)  # PIRQB#, too
    first.intx.set(True)
    assert not any(line.is_high for line in m.lines)
    m.configure(1, 0, 0x61, 11, 1)
    assert m.lines[11].is_high
    second.intx.set(True)
    first.intx.set(False)
    assert m.lines[11].is_high
    m.configure(1, 0, 0x61, 10, 1)
    assert (m.lines[11].is_high, m.lines[10].is_high) == (False, True)
    second.intx.set(False)
    assert not m.lines[10].is_high


def test_two_wires_on_one_irq() -> None:
    m = Machine()
    (first, _), (second, _) = card(), card()
    m.pci.add(2, 0, first)
    m.pci.add(3, 0, second)
    for pirq in range(4):
        m.configure(1, 0, 0x60 + pirq, 10, 1)
    first.intx.set(True)
    second.intx.set(True)
    first.intx.set(False)
    assert m.lines[10].is_high
    second.intx.set(False)
    assert not m.lines[10].is_high


def test_reset_control() -> None:
    m = Machine()
    m.write(0xCF9, 0x02)
    assert m.resets == 0
    m.write(0xCF9, 0x06)
    assert m.resets == 1
    m.write(0xCF8, ENABLE, size=4)
    assert m.read(0xCF8, 4) == ENABLE


def test_pam_lets_writes_through() -> None:
    m = Machine()
    page = m.physical
    assert not page.is_writable(0xF0)
    m.configure(0, 0, 0x59, 0x30, 1)
    assert page.is_writable(0xF0)
    assert page.is_writable(0xFF)
    assert not page.is_writable(0xC8)
    m.configure(0, 0, 0x5B, 0x03, 1)  # C8000 to CBFFF
    assert [page.is_writable(p) for p in (0xC7, 0xC8, 0xCB, 0xCC)] == [False, True, True, False]
    m.configure(0, 0, 0x5B, 0x01, 1)
    assert not page.is_writable(0xC8)
    m.bridge.reset()
    assert not page.is_writable(0xF0)


def power(m: Machine) -> int:
    m.configure(1, 3, 0x40, 0x601)
    m.configure(1, 3, 0x80, 1, 1)
    return 0x600


def test_power_off() -> None:
    m = Machine()
    base = power(m)
    assert m.bus.owner_of(base) == "acpi"
    m.write(0xB2, 0xF1)
    assert m.read(base + 4, 2) & 1  # SCI_EN
    m.write(base + 4, 1 | 0 << 10, size=2)
    assert m.off == 0
    m.write(base + 4, 1 | 0 << 10 | 1 << 13, size=2)
    assert m.off == 1
    m.write(base + 4, 1 | 1 << 10 | 1 << 13, size=2)
    assert m.off == 1
    assert m.read(base, 2) & 0x8000  # awake again


def test_power_off_by_its_high_byte() -> None:
    m = Machine()
    base = power(m)
    m.write(base + 5, 0x20)
    assert m.off == 1


def test_pm_timer() -> None:
    m = Machine()
    base = power(m)
    m.wait(SECOND)
    assert m.read(base + 8, 4) == TIMER_HZ
    m.wait(9 * SECOND)
    assert m.read(base + 8, 4) == 10 * TIMER_HZ % (1 << 24)


def test_timer_overflow_interrupts() -> None:
    m = Machine()
    base = power(m)
    m.write(base + 2, 1, size=2)
    m.wait(2 * SECOND)
    assert m.lines[9].rises == 0
    m.wait(SECOND)
    assert m.lines[9].is_high
    m.write(base, 1, size=2)
    assert not m.lines[9].is_high
    m.wait(3 * SECOND)
    assert m.lines[9].rises == 2


def test_power_button() -> None:
    m = Machine()
    base = power(m)
    m.write(base + 2, 0x100, size=2)
    m.power.press_power_button()
    assert m.lines[9].is_high
    assert m.read(base, 2) & 0x100


def test_ports_move_and_go() -> None:
    m = Machine()
    base = power(m)
    m.configure(1, 3, 0x40, 0xB001)
    assert m.bus.owner_of(base) is None
    assert m.bus.owner_of(0xB03F) == "acpi"
    m.configure(1, 3, 0x40, 0x0081)  # somebody is there
    assert m.bus.owner_of(0x80) is None
    m.configure(1, 3, 0x80, 0, 1)
    assert m.bus.owner_of(0xB000) is None


def test_line_is_a_line() -> None:
    assert isinstance(card()[0].intx, Line)


def test_base_addresses_in_ram_are_ram() -> None:
    m = Machine()
    made, seen = card()
    m.pci.add(3, 0, made)
    m.configure(3, 0, 4, 7, 2)
    for place in (0x5000, m.physical.size - 0x1000):
        m.configure(3, 0, 0x10, place)
    assert seen == []
    m.configure(3, 0, 0x10, m.physical.size)
    assert seen == [("memory", m.physical.size)]
