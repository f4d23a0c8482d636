"""The parallel port on a bare bus."""

from __future__ import annotations

from runtime.bus import Bus, Line
from runtime.clock import SECOND, Clock, CountedTime
from runtime.devices.parallel import Parallel
from runtime.system.physical import Physical

DATA, STATUS, CONTROL = 0x378, 0x379, 0x37A


def test_printing() -> None:
    """STROBE takes a byte; the printer is busy meanwhile and acknowledges once."""
    bus, time, out, edges = Bus(Physical(1 << 16)), CountedTime(lambda: 0), bytearray(), []
    clock = Clock(time)
    Parallel(bus, Line(edges.append), clock, on_output=out.extend)
    for byte in b"page\f":
        assert bus.port_in(STATUS, 1) & 0xF8 == 0xD8
        bus.port_out(DATA, byte, 1)
        bus.port_out(CONTROL, 0x1D, 1)
        assert not bus.port_in(STATUS, 1) & 0x80
        bus.port_out(CONTROL, 0x1C, 1)
        assert bus.port_in(STATUS, 1) & 0xC0 == 0x80
    assert edges == [True, False] * 5
    time.skip_to(SECOND)
    clock.run_due()
    assert out == b"page\f"


def test_without_a_printer() -> None:
    """The latches can be read back, as a BIOS does to find ports; nobody is ready."""
    bus = Bus(Physical(1 << 16))
    Parallel(bus, Line(), Clock(CountedTime(lambda: 0)))
    bus.port_out(DATA, 0xAA, 1)
    assert bus.port_in(DATA, 1) == 0xAA
    bus.port_out(CONTROL, 0x2C, 1)
    assert bus.port_in(DATA, 1) == 0xFF  # PS/2: input
    assert bus.port_in(CONTROL, 1) == 0xEC
    assert bus.port_in(STATUS, 1) == 0x7F
