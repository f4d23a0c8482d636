"""The CD drive: packets by PIO and DMA, discs that come and go."""

from __future__ import annotations

import random

import pytest

from runtime.devices.atapi import AtapiDrive
from runtime.devices.cdrom import CdRom
from tests.runtime.devices.idehost import (
    CONTROL,
    COUNT,
    DATA,
    DEVICE,
    ERROR,
    HIGH,
    LOW,
    MID,
    STATUS,
    Host,
)
from tests.runtime.devices.test_ide import Memory
from tests.runtime.devices.times import HandClock

CONTENTS = random.Random(7).randbytes(100 * 2048)


@pytest.fixture
def cd() -> CdRom:
    return CdRom(Memory(CONTENTS))


@pytest.fixture
def host(cd: CdRom) -> Host:
    clock = HandClock()
    return Host(clock, [None, AtapiDrive(clock, cd)])


def packet(host: Host, *data: int, limit: int = 0xFFFE, dma: bool = False) -> bytes | int:
    """Send a packet; return the data that it gives, or the error register."""
    host.out(DEVICE, 0xB0)
    host.out(ERROR, dma)
    host.out(MID, limit & 0xFF)
    host.out(HIGH, limit >> 8)
    host.out(STATUS, 0xA0)
    assert host.status() & 0x89 == 8
    assert host.see(COUNT) & 3 == 1
    irqs = host.irqs
    host.give(bytes(data).ljust(12, b"\0"))
    found = b""
    while (status := host.status()) & 8:
        assert host.see(COUNT) & 3 == 2
        size = host.see(MID) | host.see(HIGH) << 8
        assert size <= limit
        found += host.take(size)
    assert host.irqs > irqs
    assert host.see(COUNT) & 3 == 3
    return host.see(ERROR) if status & 1 else found


def sense(host: Host) -> tuple[int, int, int]:
    data = packet(host, 3, 0, 0, 0, 18)
    assert isinstance(data, bytes)
    assert len(data) == 18
    return data[2], data[12], data[13]


def test_identity(host: Host) -> None:
    host.out(CONTROL, 4, 0)
    host.clock.settle()
    host.out(DEVICE, 0xB0)
    assert host.status() == 0
    assert [host.see(p) for p in (ERROR, COUNT, LOW, MID, HIGH)] == [1, 1, 1, 0x14, 0xEB]
    assert host.command(0xEC) & 1
    assert (host.see(ERROR), host.see(MID), host.see(HIGH)) == (4, 0x14, 0xEB)
    assert host.command(0xA1) == 0x48
    words = host.take(512)
    assert words[:2] == b"\xc0\x85"
    assert sum(words) & 0xFF == 0
    assert packet(host, 0x12, 0, 0, 0, 36)[:2] == b"\5\x80"  # type: ignore[index]
    assert packet(host, 0x12, 0, 0, 0, 5) == b"\5\x80\0\x21\x1f\0"  # the last word is filled up


@pytest.mark.parametrize("limit", [0xFFFE, 2048, 4096, 3000, 512])
def test_reads(host: Host, limit: int) -> None:
    assert (
        packet(host, 0x28, 0, 0, 0, 0, 7, 0, 0, 40, limit=limit) == CONTENTS[7 * 2048 : 47 * 2048]
    )
    assert packet(host, 0xA8, 0, 0, 0, 0, 99, 0, 0, 0, 1, limit=limit) == CONTENTS[99 * 2048 :]
    assert packet(host, 0x28, 0, 0, 0, 0, 9) == b""


def test_dma(host: Host) -> None:
    host.start_master([65536, 65536], to_memory=True)
    packet(host, 0x28, 0, 0, 0, 0, 3, 0, 0, 64, dma=True)
    assert host.memory(65536 * 2) == CONTENTS[3 * 2048 : 67 * 2048]
    assert host.bus.port_in(0xC002, 1) & 5 == 4


def test_errors(host: Host) -> None:
    assert packet(host, 0x28, 0, 0, 0, 0, 99, 0, 0, 2) == 0x54
    assert sense(host) == (5, 0x21, 0)
    assert sense(host) == (0, 0, 0)
    assert packet(host, 0xFF) == 0x54
    assert sense(host) == (5, 0x20, 0)
    assert packet(host, 0x2A, 0, 0, 0, 0, 0, 0, 0, 1) == 0x54  # WRITE


def test_bad_sectors(host: Host, cd: CdRom) -> None:
    assert isinstance(cd.disk, Memory)
    cd.disk.bad = {9 * 4 + 1}
    assert packet(host, 0x28, 0, 0, 0, 0, 9, 0, 0, 1) == 0x30
    assert sense(host) == (3, 0x11, 0)


def test_tables(host: Host) -> None:
    assert packet(host, 0x25) == (99).to_bytes(4, "big") + (2048).to_bytes(4, "big")
    toc = bytes([0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xAA, 0, 0, 0, 0, 100])
    assert packet(host, 0x43, 0, 0, 0, 0, 0, 0, 0, 200) == toc
    assert packet(host, 0x43, 0, 0, 0, 0, 0, 0, 0, 4) == toc[:4]
    found = packet(host, 0x43, 2, 0, 0, 0, 0, 0xAA, 0, 200)
    assert found == bytes([0, 10, 1, 1, 0, 0x14, 0xAA, 0, 0, 0, 3, 25])
    assert packet(host, 0x43, 0, 1, 0, 0, 0, 0, 0, 200) == b"\0\x0a\1\1\0\x14\1\0\0\0\0\0"
    for page in (1, 0x0D, 0x0E, 0x2A, 0x3F):
        data = packet(host, 0x5A, 0, page, 0, 0, 0, 0, 1, 0)
        assert isinstance(data, bytes)
        assert int.from_bytes(data[:2], "big") == len(data) - 2
    for code in (0x46, 0x51, 0x52, 0xBD, 0x42):
        assert isinstance(packet(host, code, 0, 0, 0, 0, 0, 0, 0, 255, 64), bytes)


def test_discs_come_and_go(host: Host, cd: CdRom) -> None:
    assert packet(host, 0) == b""
    assert packet(host, 0x1E, 0, 0, 0, 1) == b""
    assert packet(host, 0x1B, 0, 0, 0, 2) == 0x54  # locked
    assert sense(host) == (5, 0x53, 2)
    packet(host, 0x1E)
    assert packet(host, 0x1B, 0, 0, 0, 2) == b""
    assert packet(host, 0) == 0x20
    assert sense(host) == (2, 0x3A, 0)
    assert packet(host, 0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8) == bytes([0, 6, 4, 0x10, 3, 1, 0, 0])
    cd.insert(Memory(CONTENTS[: 10 * 2048]))
    assert packet(host, 0) == 0x60
    assert sense(host) == (6, 0x28, 0)
    assert packet(host, 0x25)[:4] == b"\0\0\0\x09"  # type: ignore[index]
    cd.insert(None)
    assert packet(host, 0x28, 0, 0, 0, 0, 0, 0, 0, 1) == 0x20
    assert packet(host, 0x43, 0, 0, 0, 0, 0, 0, 0, 12) == 0x20


def test_device_reset_stops_a_transfer(host: Host) -> None:
    host.out(DEVICE, 0xB0)
    host.out(STATUS, 0xA0)
    host.status()
    host.give(bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]))
    assert host.status() & 8
    assert host.bus.port_in(DATA, 2) == int.from_bytes(CONTENTS[:2], "little")
    host.out(STATUS, 8)
    assert host.status() == 0
    assert host.see(MID) == 0x14
