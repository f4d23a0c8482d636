"""Insns that have met a compiled device, where page tables, rights and borders of pages matter."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from runtime.bus import Bus
from runtime.clock import Clock
from runtime.devices.vga import Vga
from runtime.devices.vgastate import LEFT
from runtime.system import segments
from tests.running import STRATEGIES
from tests.runtime.devices.vga_board import Still
from tests.system.test_paging import CODE, CR0, DATA, RW, US, A, D, Machine, P

pytestmark = pytest.mark.particular
PLANES = 0xA0000
# mov ecx, 20; again: mov [DATA+11h], al; mov bl, [DATA+12h]; inc eax; loop again; hlt
LOOP = "b914000000 a211000200 8a1d12000200 40 e2f2 f4"
WIDE = "b914000000 a3fe0f0200 8b1dfe0f0200 40 e2f2 f4"  # the same with 32 bits at DATA+FFEh


class Adapter:
    """The paging machine with a VGA whose plane 0 is written to and read from."""

    def __init__(self, strategy: str) -> None:
        self.machine = Machine(strategy)
        bus = Bus(self.machine.physical)
        self.vga = Vga(bus, Clock(Still()), 1 << 16)
        for port, value in ((0x3C4, 0x0102), (0x3C4, 0x0604), (0x3CE, 0xFF08), (0x3CE, 0x0506)):
            bus.port_out(port, value, 2)
        self.vga.state[LEFT] = 1 << 40
        self.machine.p.connect(bus.port_in, bus.port_out)
        self.plane = self.vga.memory.bytes[:, 0]
        self.machine.map(CODE, CODE, P | RW | US)

    def run(self, code: str, eax: int = 1) -> tuple[object, ...]:
        self.machine.p.cpu.eax = eax
        return self.machine.run(code)[:4]


@pytest.fixture(params=STRATEGIES)
def adapter(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    made = Adapter(request.param)
    yield made
    made.machine.linear.close()


def test_a_page_shows_the_window_then_something_else(adapter: Adapter) -> None:
    """Page tables say what it is, each time, and are marked; code that knows a device is right."""
    machine, plane = adapter.machine, adapter.plane
    machine.map(DATA, PLANES + 0x5000, P | RW | US)
    machine.start(0)
    plane[0x5012] = 77
    assert adapter.run(LOOP)[0] == "halt"
    assert (plane[0x5011], machine.p.cpu.ebx & 0xFF) == (20, 77)
    assert machine.pte(DATA) & (A | D) == A | D
    machine.map(DATA, PLANES + 0x7000, P | RW | US)
    machine.p.forget_page(DATA)
    adapter.run(LOOP, 101)
    assert (plane[0x5011], plane[0x7011]) == (20, 120)
    machine.map(DATA, 0x300000, P | RW | US)
    machine.p.forget_page(DATA)
    machine.physical.write(0x300012, b"\x55")
    adapter.run(LOOP, 31)
    assert machine.physical.read(0x300011, 2) == bytes([50, 0x55])
    assert (machine.p.cpu.ebx & 0xFF, plane[0x7011]) == (0x55, 120)
    machine.map(DATA, PLANES, P | RW | US)
    machine.p.forget_page(DATA)
    adapter.run(LOOP, 61)
    assert (plane[0x11], plane[0x7011]) == (80, 120)


def test_rights_are_those_of_the_page(adapter: Adapter) -> None:
    """Ring 3 may not write to what is read-only, or see what is the supervisor's."""
    machine = adapter.machine
    machine.map(DATA, PLANES, P | RW | US)
    machine.start(3)
    code = LOOP.replace("f4", "cd80")  # ring 3 may not halt
    adapter.run(code)
    for bits, error in ((P | US, 7), (P | RW, 7), (US | RW, 6)):
        machine.map(DATA, PLANES, bits)
        machine.p.forget_page(DATA)
        assert adapter.run(code, 200) == ("fault", 14, DATA + 0x11, error)
    assert adapter.plane[0x11] == 20


def test_accesses_across_pages(adapter: Adapter) -> None:
    """Each byte goes where its page is: to the window, and to memory."""
    machine, plane = adapter.machine, adapter.plane
    machine.map(DATA, PLANES, P | RW | US)
    machine.map(DATA + 0x1000, 0x300000, P | RW | US)
    machine.start(0)
    adapter.run(WIDE, 0x44332211)
    assert machine.p.cpu.ebx == 0x44332211 + 19
    assert plane[0xFFE:0x1001].tobytes() + machine.physical.read(0x300000, 2) == (
        struct.pack("<H", 0x2211 + 19) + b"\0" + bytes([0x33, 0x44])
    )
    machine.map(DATA + 0x1000, PLANES + 0x1000, P | RW | US)
    machine.p.forget_page(DATA + 0x1000)
    adapter.run(WIDE, 0x11223344)
    assert plane[0xFFE:0x1002].tobytes() == struct.pack("<I", 0x11223344 + 19)


def test_address_line_20(adapter: Adapter) -> None:
    """Held at 0, it makes the window appear 1 MiB higher; let through, it does not."""
    machine = adapter.machine
    segments.set_flat(machine.p.cpu, 0)
    machine.p.cpu.r32[CR0] |= 1
    machine.p.update_paging()
    code = LOOP.replace("11000200", "11001a00").replace("12000200", "12001a00")
    machine.p.set_a20(enabled=False)
    adapter.run(code)
    assert adapter.plane[0x11] == 20
    machine.p.set_a20(enabled=True)
    adapter.run(code, 101)
    assert (adapter.plane[0x11], machine.physical.read(0x1A0011, 1)) == (20, b"\x78")
    machine.p.set_a20(enabled=False)
    adapter.run(code, 31)
    assert adapter.plane[0x11] == 50
