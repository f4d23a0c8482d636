"""The 8237A pair: where the bytes go, when the count ends, what the registers show."""

from __future__ import annotations

import pytest

from runtime.bus import Bus
from runtime.devices.dma import Dma
from runtime.system.physical import Physical

READ, WRITE, VERIFY, AUTO, DOWN = 8, 4, 0, 0x10, 0x20


@pytest.fixture
def bus() -> Bus:
    return Bus(Physical(1 << 20))


def program(bus: Bus, channel: int, address: int, count: int, mode: int) -> None:
    """Set a channel up as a BIOS does: mask, mode, address, page, count - 1, unmask."""
    base, step = (0, 1) if channel < 4 else (0xC0, 2)
    page = {0: 0x87, 1: 0x83, 2: 0x81, 3: 0x82, 5: 0x8B, 6: 0x89, 7: 0x8A}[channel]
    number, units = channel & 3, address >> (channel >> 2)

    def out(register: int, value: int) -> None:
        bus.port_out(base + register * step, value, 1)

    out(10, 4 | number)
    out(12, 0)
    out(11, 0x40 | mode | number)
    for register, value in ((number * 2, units & 0xFFFF), (number * 2 + 1, count - 1)):
        out(register, value & 0xFF)
        out(register, value >> 8)
    bus.port_out(page, address >> 16, 1)
    out(10, number)


def test_bytes_to_memory(bus: Bus) -> None:
    dma = Dma(bus)
    assert dma.channels[2].to_memory(b"no") == (0, False)  # masked
    program(bus, 2, 0x12340, 6, WRITE)
    assert dma.channels[2].to_memory(b"abcd") == (4, False)
    bus.port_out(12, 0, 1)
    assert [bus.port_in(4, 1), bus.port_in(4, 1)] == [0x44, 0x23]
    assert [bus.port_in(5, 1), bus.port_in(5, 1)] == [1, 0]
    assert dma.channels[2].to_memory(b"efgh") == (2, True)
    assert bus.physical.read(0x12340, 7) == b"abcdef\0"
    assert not dma.channels[2].is_ready  # masked itself
    assert bus.port_in(8, 1) == 4
    assert bus.port_in(8, 1) == 0


def test_from_memory_again_and_again(bus: Bus) -> None:
    dma = Dma(bus)
    bus.physical.write(0x500, b"0123")
    program(bus, 1, 0x500, 4, READ | AUTO)
    channel = dma.channels[1]
    assert channel.from_memory(3) == (b"012", False)
    assert channel.from_memory(10) == (b"3", True)
    assert channel.from_memory(4) == (b"0123", True)
    assert channel.is_ready


def test_words_pages_and_wraps(bus: Bus) -> None:
    """Words count in units of two, 128 KiB to a page; addresses wrap within their page."""
    dma = Dma(bus)
    program(bus, 5, 0x3FFFC, 4, WRITE)
    assert dma.channels[5].to_memory(b"abcdefgh") == (8, True)
    assert bus.physical.read(0x3FFFC, 4) == b"abcd"
    assert bus.physical.read(0x20000, 4) == b"efgh"
    program(bus, 3, 0x2FFFE, 4, WRITE)
    assert dma.channels[3].to_memory(b"wxyz") == (4, True)
    assert bus.physical.read(0x2FFFE, 2) + bus.physical.read(0x20000, 2) == b"wxyz"


def test_backwards_and_verify(bus: Bus) -> None:
    dma = Dma(bus)
    program(bus, 2, 0x1003, 4, WRITE | DOWN)
    assert dma.channels[2].to_memory(b"abcd") == (4, True)
    assert bus.physical.read(0x1000, 4) == b"dcba"
    program(bus, 6, 0x1006, 4, WRITE | DOWN)
    assert dma.channels[6].to_memory(b"ABCDEFGH") == (8, True)
    assert bus.physical.read(0x1000, 8) == b"GHEFCDAB"
    program(bus, 2, 0x1000, 4, VERIFY)
    assert dma.channels[2].to_memory(b"zzzz") == (4, True)
    assert bus.physical.read(0x1000, 4) == b"GHEF"


def test_rom_is_not_changed(bus: Bus) -> None:
    dma = Dma(bus)
    bus.physical.set_rom(0xF0000, 0x1000)
    program(bus, 2, 0xEFFFE, 4, WRITE)
    assert dma.channels[2].to_memory(b"ab") == (2, False)
    program(bus, 2, 0xF0000, 4, WRITE)
    assert dma.channels[2].to_memory(b"abcd") == (4, True)
    assert bus.physical.read(0xEFFFE, 4) == b"ab\0\0"


def test_waiting_devices_are_called(bus: Bus) -> None:
    dma, calls = Dma(bus), []
    channel = dma.channels[2]
    channel.on_ready = lambda: calls.append(channel.is_ready)
    channel.wants = True
    assert bus.port_in(8, 1) == 0x40
    program(bus, 2, 0, 1, WRITE)
    assert calls == [True]
    bus.port_out(8, 4, 1)  # the whole chip off
    assert not channel.is_ready
    bus.port_out(13, 0, 1)
    assert bus.port_in(15, 1) == 0xFF
    bus.port_out(15, 0xB, 1)
    assert channel.is_ready
    assert calls == [True, True]


def test_masters_reach_nothing_beyond_memory(bus: Bus) -> None:
    """Reads beyond memory give ones, writes go nowhere; devices get bytes."""
    physical = bus.physical
    assert physical.master_read(0xFFFFE, 4) == b"\0\0\xff\xff"
    physical.master_write(0xFFFFE, b"abcd")
    assert physical.read(0xFFFFE, 2) == b"ab"
    seen: list[tuple[int, int, int]] = []
    physical.add_device(
        0xA0000, 0x1000, lambda address, size: address & 0xFF, lambda *a: seen.append(a)
    )
    physical.master_write(0x9FFFF, b"xyz")
    assert seen == [(0xA0000, ord("y"), 1), (0xA0001, ord("z"), 1)]
    assert physical.master_read(0x9FFFF, 4) == b"x\0\1\2"
    seen.clear()
    physical.master_write(0xA0003, b"abcdefghi")
    assert seen == [
        (0xA0003, ord("a"), 1),
        (0xA0004, int.from_bytes(b"bcde", "little"), 4),
        (0xA0008, int.from_bytes(b"fghi", "little"), 4),
    ]
