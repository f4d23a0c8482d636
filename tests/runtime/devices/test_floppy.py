"""The diskette controller as drivers use it: by DMA, by FIFO, and with what goes wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from runtime.bus import Bus, Line
from runtime.devices.diskette import KINDS, Drive, kind_for
from runtime.devices.dma import Dma
from runtime.devices.floppy import FloppyController
from runtime.disks.disk import SECTOR
from runtime.disks.geometry import FLOPPIES
from runtime.disks.opening import open_disk
from runtime.system.physical import Physical
from tests.runtime.devices.times import HandClock

DATA = random.Random(1).randbytes(2880 * SECTOR)
READ, WRITE = 0xE6, 0xC5


class Rig:
    """A controller, its drives, and a driver."""

    def __init__(self, *drives: Drive | None) -> None:
        self.bus, self.clock, self.irqs = Bus(Physical(1 << 20)), HandClock(), 0
        self.irq = Line(self._count)
        self.dma = Dma(self.bus)
        self.fdc = FloppyController(self.bus, self.irq, self.dma.channels[2], self.clock, drives)

    def _count(self, level: bool) -> None:
        self.irqs += level

    def reset(self) -> list[list[int]]:
        """Reset as drivers do; return what the four drives say."""
        self.bus.port_out(0x3F2, 0, 1)
        self.bus.port_out(0x3F2, 0x1C, 1)
        assert self.status() == 0
        self.clock.settle()
        assert self.irq.is_high
        said = [self.command(8, results=2) for _ in range(4)]
        self.bus.port_out(0x3F7, 0, 1)
        self.command(3, 0xAF, 2)
        return said

    def status(self) -> int:
        return self.bus.port_in(0x3F4, 1)

    def give(self, *data: int) -> None:
        for byte in data:
            assert self.status() & 0xD0 in (0x80, 0x90), f"{self.status():x}"
            self.bus.port_out(0x3F5, byte, 1)

    def results(self, count: int) -> list[int]:
        found = []
        for _ in range(count):
            assert self.status() & 0xF0 == 0xD0, f"{self.status():x}"
            found.append(self.bus.port_in(0x3F5, 1))
        assert self.status() & 0xF0 == 0x80
        return found

    def command(self, *data: int, results: int = 0) -> list[int]:
        """Give a command that needs no time."""
        self.give(*data)
        return self.results(results)

    def seek(self, *data: int) -> list[int]:
        """Seek or recalibrate, and sense."""
        self.command(*data)
        assert self.status() == 0x80 | 1 << (data[1] & 3)
        self.clock.settle()
        assert self.irq.is_high
        return self.command(8, results=2)

    def transfer(
        self, code: int, drive: int, c: int, h: int, r: int, count: int, eot: int = 18
    ) -> list[int]:
        """Move *count* sectors by DMA from or to 1000h."""
        self.program(count * SECTOR, 0x46 if code & 0x1F in (6, 2) else 0x4A)
        self.give(code, h << 2 | drive, c, h, r, 2, eot, 0x1B, 0xFF)
        assert self.status() & 0xF0 == 0x10
        self.clock.settle()
        assert self.irq.is_high
        return self.results(7)

    def program(self, size: int, mode: int) -> None:
        for port, value in (
            (10, 6), (12, 0), (11, mode), (4, 0), (4, 0x10), (0x81, 0),
            (5, size - 1 & 0xFF), (5, size - 1 >> 8), (10, 2),
        ):  # fmt: skip
            self.bus.port_out(port, value, 1)

    def memory(self, size: int) -> bytes:
        return self.bus.physical.read(0x1000, size)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.img"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def rig(image: Path) -> Rig:
    made = Rig(Drive(open_disk(str(image))))
    assert made.reset() == [[0xC0 | i, 0] for i in range(4)]
    return made


def test_reads(rig: Rig) -> None:
    assert rig.seek(7, 0) == [0x20, 0]
    assert rig.transfer(READ, 0, 0, 0, 1, 1) == [0, 0, 0, 0, 0, 2, 2]
    assert rig.memory(512) == DATA[:512]
    assert rig.seek(0xF, 0, 40) == [0x20, 40]
    at = 40 * 36 * SECTOR
    # A whole cylinder: both heads, and the next one would follow.
    assert rig.transfer(READ, 0, 40, 0, 1, 36) == [4, 0, 0, 41, 0, 1, 2]
    assert rig.memory(36 * 512) == DATA[at : at + 36 * 512]
    assert rig.transfer(0x46, 0, 40, 1, 18, 1) == [4, 0, 0, 41, 1, 1, 2]
    assert rig.memory(512) == DATA[at + 35 * 512 :][:512]
    # More than the track has: end of cylinder.
    assert rig.transfer(0x46, 0, 40, 0, 17, 4) == [0x40, 0x80, 0, 41, 0, 1, 2]


def test_writes_and_formats(rig: Rig, image: Path) -> None:
    rig.seek(0xF, 0, 3)
    rig.bus.physical.write(0x1000, b"w" * 1024)
    assert rig.transfer(WRITE, 0, 3, 0, 18, 2) == [4, 0, 0, 3, 1, 2, 2]
    at = (3 * 36 + 17) * SECTOR
    rig.transfer(READ, 0, 3, 0, 17, 4)
    assert rig.memory(2048) == DATA[at - 512 : at] + b"w" * 1024 + DATA[at + 1024 : at + 1536]
    ids = b"".join(bytes([3, 1, sector, 2]) for sector in range(1, 19))
    rig.bus.physical.write(0x1000, ids)
    rig.program(len(ids), 0x4A)
    rig.give(0x4D, 4, 2, 18, 0x1B, 0xF6)
    rig.clock.settle()
    assert rig.results(7)[:3] == [4, 0, 0]
    rig.transfer(0x46, 0, 3, 1, 1, 18)
    assert rig.memory(18 * 512) == b"\xf6" * (18 * 512)
    assert image.read_bytes() == DATA


def test_protected_media(image: Path) -> None:
    rig = Rig(Drive(open_disk(str(image), access="read")))
    rig.reset()
    assert rig.command(4, 0, results=1) == [0x78]
    assert rig.transfer(WRITE, 0, 0, 0, 1, 1)[:3] == [0x40, 2, 0]
    rig.seek(0xF, 0, 9)
    assert rig.command(4, 4, results=1) == [0x6C]


def test_places_that_are_not_there(rig: Rig) -> None:
    assert rig.transfer(READ, 0, 0, 0, 19, 1, 20)[:3] == [0x40, 4, 0]
    assert rig.transfer(READ, 0, 5, 0, 1, 1)[:3] == [0x40, 4, 0x10]  # the head is elsewhere
    assert rig.seek(0xF, 0, 82) == [0x20, 82]
    assert rig.transfer(READ, 0, 82, 0, 1, 1)[:3] == [0x40, 1, 0]
    assert rig.transfer(READ, 1, 0, 0, 1, 1)[:3] == [0x41, 1, 0]  # no such drive
    assert rig.seek(7, 1) == [0x71, 0]
    assert rig.command(4, 1, results=1) == [0x29]
    rig.bus.port_out(0x3F7, 2, 1)  # 250 kbit/s: not this medium's
    rig.seek(7, 0)
    assert rig.transfer(READ, 0, 0, 0, 1, 1)[:3] == [0x40, 1, 0]


def test_implied_seek(rig: Rig) -> None:
    rig.command(0x13, 0, 0x57, 0)
    assert rig.transfer(READ, 0, 70, 1, 5, 1)[:3] == [0x24, 0, 0]
    assert rig.memory(512) == DATA[(70 * 36 + 22) * 512 :][:512]
    assert rig.command(0xE, results=10)[:1] == [70]


def test_a_run_of_sectors_beyond_the_end_of_a_track(rig: Rig) -> None:
    """SeaBIOS reads so; without MT, or beyond the medium, it is an error as on the chip."""
    rig.seek(0xF, 0, 3)
    at = 3 * 36 * SECTOR + 16 * SECTOR
    assert rig.transfer(READ, 0, 3, 0, 17, 3, 19) == [4, 0, 0, 3, 1, 2, 2]
    assert rig.memory(3 * 512) == DATA[at : at + 3 * 512]
    assert rig.transfer(READ, 0, 3, 0, 17, 40, 56)[:4] == [4, 0, 0, 4]  # another cylinder
    assert rig.memory(40 * 512) == DATA[at : at + 40 * 512]
    assert rig.seek(0xF, 0, 79) == [0x20, 79]
    assert rig.transfer(READ, 0, 79, 1, 18, 2, 19)[:2] == [0x40, 1]
    rig.seek(0xF, 0, 79)
    assert rig.transfer(0x66, 0, 79, 0, 18, 2, 19)[:2] == [0x40, 4]


def test_read_id_turns(rig: Rig) -> None:
    rig.seek(0xF, 0, 2)
    seen = set()
    for _ in range(60):
        rig.give(0x4A, 4)
        rig.clock.settle()
        st0, st1, st2, c, h, r, n = rig.results(7)
        assert (st0, st1, st2, c, h, n) == (4, 0, 0, 2, 1, 2)
        seen.add(r)
        rig.clock.hand.ns += 7_654_321
    assert seen == set(range(1, 19))


def test_without_dma(rig: Rig) -> None:
    rig.command(3, 0xAF, 3)
    rig.give(0x46, 0, 0, 0, 2, 2, 3, 0x1B, 0xFF)
    found = bytearray()
    while True:
        rig.clock.settle()
        assert rig.irq.is_high
        if not rig.status() & 0x20:
            break
        while rig.status() == 0xF0:
            found.append(rig.bus.port_in(0x3F5, 1))
    assert found == DATA[512:1536]
    assert rig.results(7)[:2] == [0x40, 0x80]  # the count never ends: nobody counts
    rig.give(0x45, 0, 0, 0, 1, 2, 1, 0x1B, 0xFF)
    rig.clock.settle()
    for _ in range(512):
        assert rig.status() == 0xB0
        rig.bus.port_out(0x3F5, 0x55, 1)
    assert rig.results(7)[:2] == [0x40, 0x80]
    rig.command(3, 0xAF, 2)
    rig.transfer(READ, 0, 0, 0, 1, 2)
    assert rig.memory(1024) == b"U" * 512 + DATA[512:1024]


def test_waits_for_dma(rig: Rig) -> None:
    """A channel that is masked holds the transfer up until somebody opens it."""
    rig.give(0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
    rig.clock.settle()
    assert not rig.irq.is_high
    rig.program(512, 0x46)
    rig.clock.settle()
    assert rig.results(7)[:3] == [0, 0, 0]
    assert rig.memory(512) == DATA[:512]


def test_verify_and_scan(rig: Rig) -> None:
    rig.give(0x56, 0, 0, 0, 1, 2, 18, 0x1B, 0)
    rig.clock.settle()
    assert rig.results(7)[:3] == [0, 0, 0]
    rig.bus.physical.write(0x1000, DATA[1024:1536] * 3)
    rig.program(3 * 512, 0x4A)
    rig.give(0x51, 0, 0, 0, 1, 2, 18, 0x1B, 1)
    rig.clock.settle()
    st0, _, st2, _, _, r, _ = rig.results(7)
    assert (st0, st2 & 0xC, r) == (0, 8, 4)


def test_change_line(rig: Rig, image: Path) -> None:
    changed = lambda: rig.bus.port_in(0x3F7, 1) >> 7  # noqa: E731
    assert changed() == 1  # since power came
    rig.seek(7, 0)
    assert changed() == 1  # no step was needed
    rig.seek(0xF, 0, 1)
    assert changed() == 0
    drive = rig.fdc.drives[0]
    assert drive is not None
    drive.insert(None)
    assert changed() == 1
    rig.seek(7, 0)
    assert changed() == 1
    assert rig.transfer(READ, 0, 0, 0, 1, 1)[:3] == [0x40, 1, 0]
    drive.insert(open_disk(str(image)))
    rig.seek(0xF, 0, 1)
    assert changed() == 0


def test_commands_without_data(rig: Rig) -> None:
    assert rig.command(0x10, results=1) == [0x90]
    assert rig.command(0x18, results=1) == [0x80]  # PART ID: of the 82078
    assert rig.command(0x8, results=1) == [0x80]
    assert rig.command(0x94, results=1) == [0x10]
    rig.command(0x13, 0, 0x4F, 7)
    rig.command(0x12, 0x84)
    rig.reset()
    assert rig.command(0xE, results=10) == [0, 0, 0, 0, 0xAF, 2, 0, 0x84, 0x4F, 7]
    assert rig.command(0x14, results=1) == [0]
    rig.reset()
    assert rig.command(0xE, results=10)[7:] == [4, 0x20, 0]
    assert rig.seek(0xCF, 0, 5) == [0x20, 5]
    assert rig.seek(0x8F, 0, 3) == [0x20, 2]
    rig.command(0x13, 0, 0x10, 0)
    rig.bus.port_out(0x3F4, 0x80, 1)  # software reset; it takes polling back on
    rig.clock.settle()
    assert rig.irq.is_high


@pytest.mark.parametrize("size", [160, 360, 720, 1200, 1440, 1680, 2880])
def test_all_formats(tmp_path: Path, size: int) -> None:
    """The last sector of each format is read at its rate, in the drive for it."""
    path = tmp_path / "a.img"
    path.write_bytes(bytes(size * 1024 - 512) + b"last" * 128)
    disk = open_disk(str(path))
    rig = Rig(Drive(disk))
    rig.reset()
    geometry = FLOPPIES[size]
    rate = {160: 2, 360: 2, 720: 2, 2880: 3}.get(size, 0)
    rig.bus.port_out(0x3F7, rate, 1)
    rig.seek(0xF, 0, geometry.cylinders - 1)
    end = geometry.sectors
    head = geometry.heads - 1
    assert rig.transfer(0x46, 0, geometry.cylinders - 1, head, end, 1, end)[:3] == [head << 2, 0, 0]
    assert rig.memory(512) == b"last" * 128


def test_forty_tracks_in_a_drive_of_eighty(tmp_path: Path) -> None:
    path = tmp_path / "a.img"
    path.write_bytes(DATA[: 360 << 10])
    disk = open_disk(str(path))
    assert kind_for(disk) == KINDS["360K"]
    rig = Rig(Drive(disk, KINDS["1.2M"]))
    rig.reset()
    rig.bus.port_out(0x3F7, 1, 1)
    rig.seek(0xF, 0, 20)
    assert rig.transfer(READ, 0, 10, 1, 9, 1, 9)[:3] == [4, 0, 0]
    assert rig.memory(512) == DATA[(10 * 18 + 17) * 512 :][:512]
