"""The I/O APIC on a bare board, and together with a local APIC: edges, levels, EOI, masks."""

from __future__ import annotations

import random

from runtime.bus import Line
from runtime.devices import apic
from runtime.devices.apic import LocalApic
from runtime.devices.ioapic import BASE, PINS, IoApic, Message
from tests.runtime.devices.bare import Board, Probe

LEVEL, MASKED, LOGICAL = 1 << 15, 1 << 16, 1 << 11
REMOTE_IRR = 1 << 14


class Wired(Board):
    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Message] = []
        self.chip = IoApic(self.bus, self.sent.append)

    def put(self, index: int, value: int) -> None:
        self.physical.store(BASE, index, 32)
        self.physical.store(BASE + 16, value, 32)

    def get(self, index: int) -> int:
        self.physical.store(BASE, index, 32)
        return self.physical.load(BASE + 16, 32)

    def entry(self, pin: int, low: int, destination: int = 0) -> None:
        self.put(0x11 + 2 * pin, destination << 24)
        self.put(0x10 + 2 * pin, low)


def test_registers() -> None:
    m = Wired()
    assert m.get(1) == 0x170011
    m.put(0, 5 << 24)
    assert (m.get(0), m.get(2)) == (5 << 24, 5 << 24)
    assert [m.get(0x10 + 2 * pin) for pin in range(PINS)] == [MASKED] * PINS
    m.entry(3, 0xFFFFFFFF, 0x12)
    assert (m.get(0x16), m.get(0x17)) == (0x1AFFF, 0x12000000)
    m.put(0x40, 1)
    assert m.get(0x40) == m.get(0xFF) == 0
    m.chip.reset()
    assert m.get(0x16) == MASKED


def test_edges() -> None:
    m, line = Wired(), Probe()
    m.chip.connect(line, 4, 7)
    line.set(True)
    assert not m.sent  # masked: lost
    m.entry(4, 0x31, 3)
    m.entry(7, LOGICAL | 0x132, 1)
    assert not m.sent
    line.set(False)
    line.set(True)
    assert m.sent == [Message(0x31, 0, 3, False, False), Message(0x32, 1, 1, True, False)]
    assert (line.rises, line.falls) == (2, 1)  # who saw the wire before still does


def test_levels_come_again_until_they_are_low() -> None:
    m = Wired()
    m.chip.set(10, True)
    m.entry(10, LEVEL | 0x41)
    assert len(m.sent) == 1
    assert m.get(0x24) & REMOTE_IRR
    m.chip.set(10, False)
    m.chip.set(10, True)
    m.chip.end(0x42)
    assert len(m.sent) == 1
    m.chip.end(0x41)
    assert len(m.sent) == 2
    m.chip.set(10, False)
    m.chip.end(0x41)
    assert len(m.sent) == 2
    assert not m.get(0x24) & REMOTE_IRR
    m.put(0x24, LEVEL | MASKED | 0x41)
    m.chip.set(10, True)
    assert len(m.sent) == 2
    m.put(0x24, LEVEL | 0x41)
    assert len(m.sent) == 3
    m.put(0x24, 0x41)  # an edge from now on: its remote IRR is gone
    assert not m.get(0x24) & REMOTE_IRR


def test_a_processor_ends_levels() -> None:
    board = Board()
    intr = Line()
    local = LocalApic(board.bus, board.clock, intr, lambda: None, lambda: 0)
    chip = IoApic(board.bus, local.take)
    local.on_end = chip.end

    def write(at: int, value: int) -> None:
        board.physical.store(apic.BASE + at, value, 32)

    wire = Line()
    chip.connect(wire, 11)
    for index, value in ((0x26, LEVEL | 0x51), (0x27, 0)):
        board.physical.store(BASE, index, 32)
        board.physical.store(BASE + 16, value, 32)
    wire.set(True)
    assert not intr.is_high  # the local APIC is off, what comes is lost
    wire.set(False)
    chip.end(0x51)
    write(0xF0, 0x1FF)
    wire.set(True)
    assert local.acknowledge() == 0x51
    assert board.physical.load(apic.BASE + 0x180 + 0x20, 32) == 1 << 0x11  # TMR
    write(0xB0, 0)
    assert intr.is_high  # again, as the wire is high still
    assert local.acknowledge() == 0x51
    wire.set(False)
    write(0xB0, 0)
    assert not intr.is_high


def test_nonsense_does_no_harm() -> None:
    m, draw = Wired(), random.Random(1)
    for _ in range(20000):
        at = BASE + draw.choice([0, 16, draw.randrange(0xFF0)])
        size = draw.choice([8, 16, 32])
        if draw.random() < 0.4:
            m.chip.set(draw.randrange(PINS), draw.random() < 0.5)
        elif draw.random() < 0.5:
            m.physical.store(at, draw.getrandbits(size), size)
        else:
            assert 0 <= m.physical.load(at, size) < 1 << size
    for message in m.sent:
        assert 0 <= message.vector < 256
