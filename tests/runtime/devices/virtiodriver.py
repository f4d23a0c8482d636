"""A driver of paravirtual devices, over either interface, with one queue layout for both."""

from __future__ import annotations

import struct

from runtime.bus import Bus
from runtime.devices.virtio.device import VirtioDevice
from runtime.devices.virtio.pci import VirtioPci
from runtime.system.physical import Physical

BASE, MEMORY = 0xC000, 0xFE000000
QUEUES, BUFFERS = 0x10000, 0x80000  # in RAM; 32 KiB for each queue
EVENT_INDEX, INDIRECT = 1 << 29, 1 << 28


def ram() -> Physical:
    return Physical(4 << 20, 1 << 32)


class Driver:
    """Sets a device up and offers buffers."""

    def __init__(self, device: VirtioDevice, *, modern: bool, features: int = 0) -> None:
        self.physical, self.modern = device.queues[0].physical, modern
        self.bus = Bus(self.physical)
        self.pci = VirtioPci(self.bus, device)
        self.device = device
        function = self.pci.function
        function.write(0x10, BASE, 4)
        function.write(0x20, MEMORY, 4)
        function.write(4, 7, 2)
        self.sizes: list[int] = []
        self.offered = [0] * len(device.queues)
        self.taken = [0] * len(device.queues)
        self.free = BUFFERS
        self.features = features
        self.start()

    def start(self) -> None:
        """Go through the steps of 3.1.1."""
        self.set_status(0)
        self.set_status(3)
        if self.modern:
            for half in range(2):
                self.store(8, half, 4)
                self.store(12, (self.features | 1 << 32) >> 32 * half & 0xFFFFFFFF, 4)
            self.set_status(11)
            assert self.load(20, 1) == 11
        else:
            self.bus.port_out(BASE + 4, self.features, 4)
        for number in range(len(self.device.queues)):
            self.set_up(number)
        self.set_status(15 if self.modern else 7)

    def load(self, at: int, size: int) -> int:
        return self.physical.load(MEMORY + at, 8 * size)

    def store(self, at: int, value: int, size: int) -> None:
        self.physical.store(MEMORY + at, value, 8 * size)

    def set_status(self, value: int) -> None:
        if self.modern:
            self.store(20, value, 1)
        else:
            self.bus.port_out(BASE + 18, value, 1)

    def set_up(self, number: int) -> None:
        table = QUEUES + number * 0x8000
        if self.modern:
            self.store(22, number, 2)
            size = self.load(24, 2)
        else:
            self.bus.port_out(BASE + 14, number, 2)
            size = self.bus.port_in(BASE + 12, 2)
        self.sizes.append(size)
        used = -(-(table + 16 * size + 6 + 2 * size) // 4096) * 4096
        if not self.modern:
            self.bus.port_out(BASE + 8, table >> 12, 4)
            return
        for at, value in ((32, table), (40, table + 16 * size), (48, used)):
            self.store(at, value, 4)
            self.store(at + 4, 0, 4)
        self.store(28, 1, 2)

    def places(self, number: int) -> tuple[int, int, int]:
        """Return where table, available and used ring of a queue are."""
        size, table = self.sizes[number], QUEUES + number * 0x8000
        available = table + 16 * size
        return table, available, -(-(available + 6 + 2 * size) // 4096) * 4096

    def buffer(self, data: bytes | int) -> tuple[int, int, int]:
        """Place bytes to be read, or room to be written: address, size, flag."""
        at, size = self.free, data if isinstance(data, int) else len(data)
        if isinstance(data, bytes):
            self.physical.write(at, data)
        self.free += -(-size // 16) * 16
        return at, size, 2 if isinstance(data, int) else 0

    def offer(self, number: int, *parts: bytes | int, indirect: bool = False) -> list[int]:
        """Offer a chain of bytes to read and sizes to write; return the places of its buffers."""
        table, *_ = self.places(number)
        rows = [self.buffer(part) for part in parts]
        raw = b"".join(
            struct.pack("<QIHH", at, size, flag | (i + 1 < len(rows)), i + 1)
            for i, (at, size, flag) in enumerate(rows)
        )
        if indirect:
            at, size, _ = self.buffer(raw)
            raw = struct.pack("<QIHH", at, size, 4, 0)
        self.physical.write(table, raw)
        self.make_available(number, 0)
        return [at for at, _, _ in rows]

    def make_available(self, number: int, head: int) -> None:
        _, available, _ = self.places(number)
        size = self.sizes[number]
        self.physical.write(
            available + 4 + 2 * (self.offered[number] % size), struct.pack("<H", head)
        )
        self.offered[number] += 1
        self.physical.write(available + 2, struct.pack("<H", self.offered[number] & 0xFFFF))

    def notify(self, number: int = 0) -> None:
        if self.modern:
            self.store(0x3000, number, 2)
        else:
            self.bus.port_out(BASE + 16, number, 2)

    def used(self, number: int = 0) -> list[int]:
        """Return how many bytes were written to each chain that came back."""
        _, _, used = self.places(number)
        index = int.from_bytes(self.physical.read(used + 2, 2), "little")
        found = []
        while self.taken[number] & 0xFFFF != index:
            at = used + 4 + 8 * (self.taken[number] % self.sizes[number])
            found.append(int.from_bytes(self.physical.read(at + 4, 4), "little"))
            self.taken[number] += 1
        return found

    def interrupts(self) -> int:
        """Take the interrupt back, and say why it came."""
        level = self.pci.function.intx.is_high
        why = self.load(0x1000, 1) if self.modern else self.bus.port_in(BASE + 19, 1)
        assert bool(why) == level
        assert not self.pci.function.intx.is_high
        return why
