"""Random port and memory traffic to the devices that move data: no traceback, no hang, no leak."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from runtime.bus import Bus, Line
from runtime.devices.cdrom import CdRom
from runtime.devices.pci import PciHost
from runtime.machines.paravirtual import Paravirtual, ParavirtualDevices, Share
from runtime.machines.storage import Drives, Storage
from runtime.system.physical import Physical
from tests.runtime.devices.test_ide import Memory
from tests.runtime.devices.times import HandClock

RAM, BARS = 1 << 20, 0xC000
MEMORY = 0xFE000000
_RANGES = [(0, 16), (0xC0, 32), (0x81, 15), (0x3F0, 8), (0x1F0, 8), (0x170, 8), (0x376, 1)]
_COMMANDS = bytes(
    [0x20, 0x30, 0xC4, 0xC5, 0xC8, 0xCA, 0x25, 0x35, 0xA0, 0xEC, 0xA1, 0x24, 0x34, 0x90]
)


class Victim:
    """A machine without a processor."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.draw = draw = random.Random(seed)
        self.bus, self.clock = Bus(Physical(RAM, 1 << 32)), HandClock()
        lines = {irq: Line() for irq in range(16)}
        pci = PciHost(self.bus, lambda: None)
        protected = Memory(draw.randbytes(1 << 16))
        protected.is_read_only = True
        self.images = [Memory(draw.randbytes(1440 << 10)), Memory(), protected, Memory()]
        self.images[1].bad = {100, 2000}
        floppy, disk, cd, block = self.images
        storage = Storage(
            self.bus,
            self.clock,
            lines.__getitem__,
            pci,
            Drives([floppy, None], [disk, None, CdRom(cd), cd]),
        )
        paravirtual = Paravirtual(
            [block, protected], lambda data: None, bytes, [Share(str(folder), "x")]
        )
        post = lambda call: call()  # noqa: E731
        self.devices = ParavirtualDevices(self.bus, pci, self.clock, post, paravirtual)
        self.storage = storage
        self.ports = [port for first, count in _RANGES for port in range(first, first + count)]
        functions = [storage.piix.function, *(t.function for t in self.devices.transports)]
        for i, function in enumerate(functions):
            for bar in function.bars:
                place = BARS + 0x100 * i if bar.is_io else MEMORY + 0x10000 * i
                function.write(bar.offset, place, 4)
                if bar.is_io:
                    self.ports += range(place, place + bar.size)
            function.write(4, 7, 2)
        self.pages = [MEMORY + 0x10000 * i + 0x1000 * j for i in range(1, 7) for j in range(4)]

    def value(self, size: int) -> int:
        draw = self.draw
        kind = draw.randrange(6)
        if kind == 0:
            return draw.choice(_COMMANDS)
        if kind == 1:
            return draw.randrange(16)
        if kind == 2:
            return draw.choice([0, 1, 0xFF, 0x80, 4, 0xE0, 0xF0, RAM >> 12, 0xFFFFFFFF])
        return draw.getrandbits(8 * size)

    def step(self) -> None:
        draw, bus = self.draw, self.bus
        kind, size = draw.randrange(16), draw.choice([1, 1, 1, 2, 4])
        port = draw.choice(self.ports)
        if kind < 6:
            bus.port_out(port, self.value(size), size)
        elif kind < 9:
            assert bus.port_in(port, size) < 1 << 8 * size
        elif kind == 9:
            port = draw.choice([0x1F0, 0x170])
            assert len(bus.read_stream(port, 2, 300)) <= 600
        elif kind == 10:
            port = draw.choice([0x1F0, 0x170])
            assert bus.write_stream(port, draw.randbytes(draw.choice([12, 512, 2048])), 2) <= 2048
        elif kind == 11:
            address = draw.choice(self.pages) + draw.choice(
                [draw.randrange(64), draw.randrange(4096)]
            )
            bus.physical.store(address, self.value(size), 8 * size)
        elif kind == 12:
            bus.physical.load(draw.choice(self.pages) + draw.randrange(64), 8 * size)
        elif kind == 13:
            self.clock.settle()
        elif kind == 14:
            # Small numbers in memory look like descriptors, rings and places.
            at = draw.randrange(RAM - 4096)
            bus.physical.write(at, bytes(draw.choice([0, 0, 0, 1, 2, 16, 255]) for _ in range(256)))
        else:
            self.sequence()

    def sequence(self) -> None:
        """Do what a driver would, up to a point."""
        draw, bus = self.draw, self.bus
        if draw.randrange(2):
            base = draw.choice([0x1F0, 0x170])
            bus.port_out(base + 6, draw.choice([0xA0, 0xE0, 0xB0, 0xF0, 0x40]), 1)
            for register in range(2, 6):
                bus.port_out(base + register, draw.choice([0, 1, 2, draw.randrange(256)]), 1)
            bus.port_out(base + 7, draw.choice(_COMMANDS), 1)
            self.clock.settle()
            return
        bus.port_out(0x3F2, draw.choice([0x1C, 0x2D, 0x0C]), 1)
        self.clock.settle()
        codes = [0xE6, 0xC5, 0x4A, 0x4D, 0x46, 0x0F, 0x07, 0x08, 3, 0x13, 0x56, 0x51, 0x42, 0x10]
        bus.port_out(0x3F5, draw.choice(codes), 1)
        for _ in range(8):
            bus.port_out(0x3F5, draw.choice([0, 1, 2, 2, 18, draw.randrange(256)]), 1)
        bus.port_out(10, 2, 1)
        self.clock.settle()


def campaign(seed: int, steps: int, folder: Path) -> None:
    shared = folder / "shared"
    shared.mkdir(exist_ok=True)
    victim = Victim(seed, shared)
    before = bytes(victim.images[2].data)
    for number in range(steps):
        began = time.monotonic()
        try:
            victim.step()
        except Exception as error:
            raise AssertionError(f"seed {seed}, step {number}") from error
        assert time.monotonic() - began < 20, f"seed {seed}, step {number}"
    assert victim.images[2].data == before
    assert [p.name for p in folder.iterdir()] == ["shared"]
    victim.devices.close()


@pytest.mark.parametrize("seed", range(2))
def test_random_traffic(tmp_path: Path, seed: int) -> None:
    campaign(seed, 15_000, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(100, 140))
def test_more_random_traffic(tmp_path: Path, seed: int) -> None:
    campaign(seed, 400_000, tmp_path)
