"""ATA disks on an IDE channel: addresses, PIO and DMA, errors, resets, who is there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from runtime.devices.ata import AtaDisk
from runtime.devices.pci import Function
from runtime.devices.piixide import PiixIde
from runtime.disks.disk import SECTOR, Disk
from runtime.disks.opening import open_disk
from tests.runtime.devices.idehost import (
    CONTROL,
    COUNT,
    DEVICE,
    ERROR,
    HIGH,
    LOW,
    MEMORY,
    MID,
    STATUS,
    Host,
)
from tests.runtime.devices.times import HandClock

SECTORS = 16 * 63 * 20
CONTENTS = random.Random(3).randbytes(SECTORS * SECTOR)


class Memory:
    """A disk in memory, of which some sectors may be bad."""

    def __init__(self, data: bytes = CONTENTS) -> None:
        self.data, self.sectors, self.is_read_only = bytearray(data), len(data) // SECTOR, False
        self.bad: set[int] = set()
        self.flushes = 0

    def read(self, sector: int, count: int) -> bytes:
        if self.bad & set(range(sector, sector + count)):
            raise OSError
        return bytes(self.data[sector * SECTOR : (sector + count) * SECTOR])

    def write(self, sector: int, data: bytes) -> None:
        if self.bad & set(range(sector, sector + len(data) // SECTOR)):
            raise OSError
        self.data[sector * SECTOR : sector * SECTOR + len(data)] = data

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        pass


@pytest.fixture
def disk() -> Memory:
    return Memory()


@pytest.fixture
def host(disk: Disk) -> Host:
    clock = HandClock()
    return Host(clock, [AtaDisk(clock, disk), None])


def at(lba: int, count: int = 1) -> bytes:
    return CONTENTS[lba * SECTOR : (lba + count) * SECTOR]


def test_identify(host: Host) -> None:
    host.out(DEVICE, 0xA0)
    assert host.command(0xEC) == 0x58
    words = host.take(512)
    assert host.see(STATUS) == 0x50
    text = bytearray(words[54:94])
    text[::2], text[1::2] = text[1::2], text[::2]
    assert text == b"jitemu disk".ljust(40)
    word = [int.from_bytes(words[i : i + 2], "little") for i in range(0, 512, 2)]
    assert (word[1], word[3], word[6]) == (20, 16, 63)
    assert word[60] | word[61] << 16 == word[100] == SECTORS
    assert sum(words) & 0xFF == 0
    assert host.irqs == 1


@pytest.mark.parametrize("code", [0x20, 0xC4])
def test_pio_reads(host: Host, code: int) -> None:
    """A block, an interrupt; with READ MULTIPLE blocks have 16 sectors."""
    host.place(1000, 40)
    assert host.command(code) == 0x58
    found, block = b"", SECTOR * (16 if code == 0xC4 else 1)
    while len(found) < 40 * SECTOR:
        found += host.take(min(block, 40 * SECTOR - len(found)))
        assert host.status() in (0x58, 0x50)
    assert found == at(1000, 40)
    assert host.see(STATUS) == 0x50
    assert host.irqs == 40 * SECTOR // block + (1 if code == 0xC4 else 0)
    assert [host.see(p) for p in (COUNT, LOW, MID, HIGH)] == [0, 1039 & 0xFF, 1039 >> 8, 0]


def test_pio_writes(host: Host, disk: Memory) -> None:
    new = random.Random(4).randbytes(5 * SECTOR)
    for code, block in ((0x30, 1), (0xC5, 16)):
        host.place(77, 5)
        irqs = host.irqs
        assert host.command(code) == 0x58
        assert host.irqs == irqs  # the first block is not told of
        for i in range(0, 5, block):
            host.give(new[i * SECTOR : (i + block) * SECTOR])
            assert host.see(CONTROL) == 0xD0
            assert host.status() == (0x58 if i + block < 5 else 0x50)
        assert disk.data == CONTENTS[: 77 * SECTOR] + new + CONTENTS[82 * SECTOR :]
        new = new[::-1]
    host.command(0xE7)
    assert disk.flushes == 1


def test_chs(host: Host) -> None:
    """Places count by the geometry that the host set."""
    host.out(COUNT, 1)
    host.out(DEVICE, 0xA7)  # 7 + 1 heads
    host.out(COUNT, 17)
    assert host.command(0x91) == 0x50
    host.out(COUNT, 2)
    host.out(LOW, 17)
    host.out(MID, 3)
    host.out(HIGH, 0)
    host.out(DEVICE, 0xA2)
    host.command(0x21)
    assert host.take(512) == at((3 * 8 + 2) * 17 + 16)
    host.status()
    assert [host.see(p) for p in (LOW, MID, HIGH, DEVICE)] == [1, 3, 0, 0xA3]
    host.take(512)
    host.out(COUNT, 1)
    host.out(LOW, 18)
    assert host.command(0x20) == 0x51
    assert host.see(ERROR) == 0x10
    host.out(LOW, 0)
    assert host.command(0x40) == 0x51


def test_48_bits(disk: Memory) -> None:
    disk.sectors = 1 << 33

    def read(sector: int, count: int) -> bytes:
        return b"".join((sector + i).to_bytes(8, "little") * 64 for i in range(count))

    disk.read = read  # type: ignore[method-assign]
    clock = HandClock()
    host = Host(clock, [AtaDisk(clock, disk)])
    lba = 0x1_2345_6789
    host.place48(lba, 3)
    assert host.command(0x24) == 0x58
    for i in range(3):
        assert host.take(512)[:8] == (lba + i).to_bytes(8, "little")
        host.status()
    low = [host.see(p) for p in (LOW, MID, HIGH)]
    host.out(CONTROL, 0x80)
    high = [host.see(p) for p in (LOW, MID, HIGH)]
    assert bytes(low + high) == (lba + 2).to_bytes(6, "little")
    host.place48(1 << 33, 1)
    assert host.command(0x24) == 0x51


@pytest.mark.parametrize("sizes", [[65536] * 3, [1000, 64000, 37400], [512] * 400])
def test_dma_reads(host: Host, sizes: list[int]) -> None:
    host.place(5, 300 & 0xFF if sizes[0] == 512 else 200)
    count = 44 if sizes[0] == 512 else 200
    host.start_master(sizes, to_memory=True)
    host.command(0xC8)
    room = min(sum(sizes), count * SECTOR)
    assert host.memory(room) == at(5, count)[:room]
    status = host.see(0xC002)
    assert bool(status & 1) == (sum(sizes) > count * SECTOR)
    assert bool(status & 4) == (sum(sizes) >= count * SECTOR)
    host.out(0xC002, 4)
    host.out(0xC000, 8)
    assert host.see(0xC002) & 5 == 0


def test_a_long_transfer_lets_others_act(host: Host) -> None:
    """Many MiB go in parts, through one table."""
    host.place48(7, 5000)
    host.start_master([65536] * 39 + [5000 * SECTOR - 39 * 65536], to_memory=True)
    host.command(0x25)
    assert host.memory(5000 * SECTOR) == at(7, 5000)
    assert host.see(0xC002) & 5 == 4
    assert host.irqs == 1
    host.place48(100, 5000)
    host.start_master([50000] * 52, to_memory=False)
    assert host.command(0x35) == 0x50
    assert host.see(0xC002) & 5 == 5  # the table goes on
    host.out(0xC000, 0)
    host.place(100, 200)
    host.start_master([65536, 36864], to_memory=True)
    host.command(0xC8)
    assert host.memory(200 * SECTOR) == at(7, 200)


def test_dma_writes(host: Host, disk: Memory) -> None:
    new = random.Random(5).randbytes(9 * SECTOR)
    host.bus.physical.write(MEMORY, new)
    host.place(400, 9)
    host.command(0xCA)
    assert not host.irq.is_high
    host.start_master([len(new)], to_memory=False)  # the disk was first
    assert host.irq.is_high
    assert host.see(0xC002) & 5 == 4
    assert host.status() == 0x50
    assert disk.data == CONTENTS[: 400 * SECTOR] + new + CONTENTS[409 * SECTOR :]


def test_errors(host: Host, disk: Memory) -> None:
    disk.bad = {50}
    host.place(49, 3)
    assert host.command(0x20) == 0x58
    host.take(512)
    assert host.status() == 0x51
    assert (host.see(ERROR), host.see(LOW)) == (0x40, 50)
    host.place(48, 8)
    host.start_master([4096], to_memory=True)
    assert host.command(0xC8) == 0x51
    assert host.see(ERROR) == 0x40
    host.place(SECTORS - 1, 2)
    assert host.command(0x20) == 0x58
    assert host.take(512) == at(SECTORS - 1)
    assert host.status() == 0x51
    assert host.see(ERROR) == 0x10
    for code in (0x00, 0x08, 0xA0, 0xA1, 0xB0, 0xF1):
        assert host.command(code) == 0x51
        assert host.see(ERROR) == 4
    disk.is_read_only = True
    host.place(0, 1)
    assert host.command(0x30) == 0x51
    assert disk.data == CONTENTS


def test_features(host: Host) -> None:
    for value, status in ((0x45, 0x50), (0x22, 0x50), (0x0C, 0x50), (0x47, 0x51), (0x88, 0x51)):
        host.out(ERROR, 3)
        host.out(COUNT, value)
        assert host.command(0xEF) == status
    host.out(COUNT, 3)
    assert host.command(0xC6) == 0x51  # not a power of two
    host.out(COUNT, 8)
    assert host.command(0xC6) == 0x50
    host.command(0xEC)
    words = host.take(512)
    assert words[118:120] == bytes([8, 1])
    assert words[127] == 4
    assert host.command(0xE5) == 0x50
    assert host.see(COUNT) == 0xFF


def test_resets(host: Host) -> None:
    host.place(9, 9)
    host.command(0x20)
    host.out(CONTROL, 4)
    assert host.see(STATUS) == 0x80
    host.out(CONTROL, 0)
    assert host.see(STATUS) & 0x80
    assert host.status() == 0x50
    assert [host.see(p) for p in (ERROR, COUNT, LOW, MID, HIGH, DEVICE)] == [1, 1, 1, 0, 0, 0]
    irqs = host.irqs
    host.out(CONTROL, 2)  # no interrupts
    host.command(0x90)
    assert host.irqs == irqs
    host.out(CONTROL, 0)
    host.out(STATUS, 0x90)
    assert host.status() == 0x50
    assert host.irqs == irqs + 1
    assert host.see(ERROR) == 1


def test_polling_needs_no_timers(host: Host) -> None:
    """A host that only reads the status sees the command end when its time has come."""
    host.place(0, 1)
    host.out(STATUS, 0x20)
    assert host.see(CONTROL) & 0x80
    host.clock.hand.ns += 1_000_000
    assert host.see(CONTROL) == 0x58


def test_who_is_there(host: Host, disk: Memory) -> None:
    host.out(DEVICE, 0xB0)
    assert host.see(STATUS) == 0
    host.out(COUNT, 0x55)
    assert host.see(COUNT) == 0
    host.out(STATUS, 0xEC)
    host.clock.settle()
    assert host.irqs == 0
    host.out(DEVICE, 0xA0)
    assert host.see(STATUS) == 0x50
    assert host.see(COUNT) == 0x55
    clock = HandClock()
    empty = Host(clock, [])
    empty.out(DEVICE, 0xA0)
    assert [empty.see(p) for p in range(0x1F1, 0x1F8)] == [0] * 7
    empty.out(CONTROL, 4, 0)
    other = Memory(CONTENTS[: 5000 * SECTOR])
    both = Host(clock, [AtaDisk(clock, disk), AtaDisk(clock, other)])
    both.place(3, 1, slave=1)
    assert both.command(0x20) == 0x58
    assert both.take(512) == at(3)
    both.place(4999, 1, slave=1)
    assert both.command(0x20) == 0x58
    both.take(512)
    both.place(5000, 1, slave=1)
    assert both.command(0x20) == 0x51
    both.out(DEVICE, 0xA0)
    assert both.see(STATUS) == 0x50


def test_pci_function(host: Host) -> None:
    piix = PiixIde(host.bus, [host.channel])
    function: Function = piix.function
    assert function.read(0, 4) == 0x70108086
    assert function.read(8, 4) >> 8 == 0x010180
    function.write(0x20, 0xFFFFFFFF, 4)
    assert function.read(0x20, 4) == 0xFFFFFFF1
    function.write(0x20, 0xC100, 4)
    function.write(4, 5, 2)
    host.bus.port_out(0xC104, 0x12345677, 4)
    assert host.bus.port_in(0xC104, 4) == 0x12345674
    assert host.bus.port_in(0xC10C, 4) == 0xFFFFFFFF
    function.write(4, 0, 2)
    assert host.bus.owner_of(0xC100) is None


def test_image_files(tmp_path: Path) -> None:
    path = tmp_path / "a.img"
    path.write_bytes(CONTENTS)
    clock = HandClock()
    host = Host(clock, [AtaDisk(clock, open_disk(str(path)))])
    host.place(6, 1)
    host.command(0x30)
    host.give(b"s" * 512)
    assert host.status() == 0x50
    host.place(6, 1)
    host.command(0x20)
    assert host.take(512) == b"s" * 512
    assert path.read_bytes() == CONTENTS
