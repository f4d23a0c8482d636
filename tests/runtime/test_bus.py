"""Ports, wires, memory beyond RAM, timers: what devices stand on."""

from __future__ import annotations

import pytest

from runtime.bus import Bus, Line, Stream
from runtime.clock import Clock, CountedTime
from runtime.system.physical import Physical


def bus() -> Bus:
    """Return a bus with 64 KiB of RAM and room for more up to 16 MiB."""
    return Bus(Physical(1 << 16, 16 << 20))


def test_ports_belong_to_one_device() -> None:
    """Accesses go to the owner of their first port; a second claim is refused whole."""
    b, seen = bus(), []
    b.map_ports(
        0x70, 2, lambda port, size: port << 8 | size, lambda *a: seen.append(a), owner="rtc"
    )
    assert b.port_in(0x71, 2) == 0x7102
    assert b.port_in(0x71, 1) == 1  # of the number that is too wide the low byte
    b.port_out(0x70, 9, 1)
    assert seen == [(0x70, 9, 1)]
    with pytest.raises(ValueError, match="x: port 0x70 is rtc's"):
        b.map_ports(0x6F, 8, lambda port, size: 0, lambda *a: None, owner="x")
    assert b.owner_of(0x6F) is None
    b.unmap_ports(0x70, 2)
    assert b.port_in(0x70, 4) == 0xFFFFFFFF
    assert b.unclaimed[0x70, "in"] == 1


def test_streams_move_blocks() -> None:
    """A port with a stream takes and gives many items at once, others none."""
    b, taken = bus(), bytearray()

    def take(data: bytes, size: int) -> int:
        taken.extend(data)
        return len(data)

    stream = Stream(lambda size, count: bytes(size * count), take)
    b.map_ports(0x1F0, 8, lambda port, size: 0, lambda *a: None, owner="ide", stream=stream)
    assert b.read_stream(0x1F0, 2, 3) == bytes(6)
    assert b.write_stream(0x1F0, b"abcd", 2) == 4
    assert taken == b"abcd"
    assert b.read_stream(0x1F1, 2, 3) == b""
    assert b.write_stream(0x1F1, b"ab", 2) == 0


def test_a_line_tells_of_changes() -> None:
    """Levels that stay tell nothing."""
    seen: list[bool] = []
    line = Line(seen.append)
    line.set(True)
    line.set(True)
    line.pulse()
    line.pulse()
    assert seen == [True, False, True, False]


def test_memory_beyond_ram() -> None:
    """What is between RAM and the span is nothing until it is added, and keeps its contents."""
    physical = Physical(1 << 16, 16 << 20)
    physical.store(0x800000, 1, 32)
    assert physical.load(0x800000, 32) == 0xFFFFFFFF
    physical.add_ram(0x800000, 0x10000)
    physical.store(0x800000, 0x1234, 32)
    assert physical.load(0x800000, 32) == 0x1234
    physical.remove(0x800000, 0x10000)
    assert physical.load(0x800000, 8) == 0xFF
    with pytest.raises(ValueError, match="span"):
        physical.add_ram(16 << 20, 0x1000)


def test_timers_fire_in_order_of_time() -> None:
    """A timer that is set again or cancelled does not fire at its old time."""
    executed = 0
    clock, fired = Clock(CountedTime(lambda: executed, 2)), []
    first = clock.timer(lambda: fired.append("first"))
    second = clock.timer(lambda: fired.append("second"))
    third = clock.timer(lambda: fired.append("third"))
    earlier = []
    clock.on_earlier = lambda: earlier.append(clock.next_event())
    first.set(300)
    second.set(200)
    third.set(250)
    third.cancel()
    second.set(400)
    assert clock.next_event() == 300
    assert earlier == [300, 200]
    executed = 150
    clock.run_due()
    assert fired == ["first"]
    executed = 300
    clock.run_due()
    assert fired == ["first", "second"]
    assert clock.next_event() is None
