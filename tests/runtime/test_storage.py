"""Disks of a PC: what CMOS says, and who answers at which ports."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.bus import Bus, Line
from runtime.clock import Clock, HostTime
from runtime.devices.cdrom import CdRom
from runtime.devices.pci import PciHost
from runtime.disks.disk import Disk
from runtime.disks.opening import open_disk
from runtime.machines.paravirtual import Network, Paravirtual, ParavirtualDevices, Share
from runtime.machines.storage import Drives, Storage
from runtime.system.physical import Physical


def wired(drives: Drives) -> tuple[Storage, Bus, bytearray]:
    bus, ram = Bus(Physical(1 << 20)), bytearray(128)
    ram[0x14] = 0x3E
    lines = {irq: Line() for irq in range(16)}
    pci = PciHost(bus, lambda: None)
    storage = Storage(bus, Clock(HostTime()), lines.__getitem__, pci, drives)
    storage.describe(ram)
    assert (1, 1) in pci.functions
    return storage, bus, ram


def image(path: Path, size: int) -> Disk:
    path.write_bytes(b"")
    with path.open("r+b") as file:
        file.truncate(size)
    return open_disk(str(path))


def test_cmos_says_what_is_there(tmp_path: Path) -> None:
    floppies: list[Disk | None] = [
        image(tmp_path / "a", 1440 << 10),
        image(tmp_path / "b", 2880 << 10),
    ]
    drives = Drives(floppies, [image(tmp_path / "c", 40 << 20), None, CdRom()])
    storage, bus, ram = wired(drives)
    assert (ram[0x10], ram[0x14], ram[0x12], ram[0x19], ram[0x1A]) == (0x45, 0x7F, 0xF0, 47, 0)
    assert ram[0x1B:0x24] == bytes([81, 0, 16, 0xFF, 0xFF, 0xC8, 81, 0, 63])
    assert ram[0x2E] << 8 | ram[0x2F] == sum(ram[0x10:0x2E])
    assert bus.owner_of(0x1F7) == bus.owner_of(0x376) == "ide"
    assert bus.owner_of(0x3F5) == "floppy"
    bus.port_out(0x1F6, 0xA0, 1)
    bus.port_out(0x176, 0xA0, 1)
    assert (bus.port_in(0x1F7, 1), bus.port_in(0x177, 1)) == (0x50, 0)
    assert storage.cds == [drives.ide[2]]
    storage.reset()
    assert bus.port_in(0x175, 1) == 0xEB
    storage.close()


def test_what_does_not_fit(tmp_path: Path) -> None:
    large = image(tmp_path / "large", 5 << 20)
    with pytest.raises(ValueError, match="diskette drive B: 5120 KiB are more than a diskette has"):
        wired(Drives([None, large]))
    with pytest.raises(ValueError, match="four IDE drives at most"):
        wired(Drives([None], [None] * 4 + [large]))


def test_nothing_there() -> None:
    storage, bus, ram = wired(Drives([]))
    assert (ram[0x10], ram[0x14], ram[0x12]) == (0, 0x3E, 0)
    assert bus.port_in(0x1F7, 1) == 0
    storage.close()


def test_paravirtual_devices(tmp_path: Path) -> None:
    bus = Bus(Physical(1 << 20, 1 << 32))
    pci = PciHost(bus, lambda: None)
    shares = [Share(str(tmp_path), "host")]
    what = Paravirtual([image(tmp_path / "a", 4096)], print, bytes, shares, network=Network())
    devices = ParavirtualDevices(bus, pci, Clock(HostTime()), lambda call: call(), what)
    assert [pci.functions[slot, 0].get(2, 2) for slot in range(4, 9)] == [
        0x1001,
        0x1003,
        0x1005,
        0x1009,
        0x1000,
    ]
    pci.functions[7, 0].write(0x10, 0xC000, 4)
    pci.functions[7, 0].write(4, 1, 2)
    assert bus.port_in(0xC014, 4) == 4 | ord("h") << 16 | ord("o") << 24
    devices.close()
