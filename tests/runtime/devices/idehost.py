"""A host of an IDE channel: what a driver does, one step a function."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.bus import Bus, Line
from runtime.devices.ide import IdeChannel
from runtime.devices.idedevice import IdeDevice
from runtime.system.physical import Physical
from tests.runtime.devices.times import HandClock

DATA, ERROR, COUNT, LOW, MID, HIGH, DEVICE, STATUS = range(0x1F0, 0x1F8)
CONTROL = 0x3F6
TABLE, MEMORY = 0x800, 0x10000


class Host:
    """A channel with devices, and the bus that drives it."""

    def __init__(self, clock: HandClock, drives: Sequence[IdeDevice | None]) -> None:
        self.clock, self.bus, self.irqs = clock, Bus(Physical(4 << 20)), 0
        self.irq = Line(self._count)
        self.channel = IdeChannel(self.bus, self.irq, drives)
        self.bus.map_ports(
            0xC000, 8,
            lambda port, size: self.channel.master.read(port & 7, size),
            lambda port, value, size: self.channel.master.write(port & 7, value, size),
            owner="bus master",
        )  # fmt: skip

    def _count(self, level: bool) -> None:
        self.irqs += level

    def out(self, port: int, *values: int) -> None:
        for value in values:
            self.bus.port_out(port, value, 1)

    def see(self, port: int) -> int:
        return self.bus.port_in(port, 1)

    def status(self) -> int:
        """Wait, then read the status, which takes the interrupt back."""
        self.clock.settle()
        return self.see(STATUS)

    def place(self, lba: int, count: int, slave: int = 0) -> None:
        """Set 28-bit addresses."""
        self.out(DEVICE, 0xE0 | slave << 4 | lba >> 24)
        self.out(COUNT, count & 0xFF)
        for port, shift in ((LOW, 0), (MID, 8), (HIGH, 16)):
            self.out(port, lba >> shift & 0xFF)

    def place48(self, lba: int, count: int) -> None:
        self.out(DEVICE, 0x40)
        self.out(COUNT, count >> 8 & 0xFF, count & 0xFF)
        for port, shift in ((LOW, 0), (MID, 8), (HIGH, 16)):
            self.out(port, lba >> 24 + shift & 0xFF, lba >> shift & 0xFF)

    def command(self, code: int) -> int:
        """Give a command and wait; return the status."""
        self.out(STATUS, code)
        assert self.see(CONTROL) & 0x80
        return self.status()

    def take(self, size: int) -> bytes:
        """Read a block by words, then by `rep ins`."""
        first = self.bus.port_in(DATA, 2).to_bytes(2, "little")
        return first + self.bus.read_stream(DATA, 2, size // 2 - 1)

    def give(self, data: bytes) -> None:
        self.bus.port_out(DATA, int.from_bytes(data[:4], "little"), 4)
        assert self.bus.write_stream(DATA, data[4:], 2) == len(data) - 4

    def start_master(self, sizes: Sequence[int], *, to_memory: bool) -> None:
        """Give the bus master places of these sizes from MEMORY on, and start it."""
        at, rows = MEMORY, b""
        for i, size in enumerate(sizes):
            last = 0x80000000 if i == len(sizes) - 1 else 0
            rows += at.to_bytes(4, "little") + (size & 0xFFFF | last).to_bytes(4, "little")
            at += size
        self.bus.physical.write(TABLE, rows)
        self.bus.port_out(0xC004, TABLE, 4)
        self.out(0xC002, 6)
        self.out(0xC000, 8 if to_memory else 0, 9 if to_memory else 1)

    def memory(self, size: int) -> bytes:
        return self.bus.physical.read(MEMORY, size)
