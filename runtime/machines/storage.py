"""Disks of a PC: diskette drives, two IDE channels, their DMA, and what CMOS says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from runtime.bus import Bus, Line
from runtime.clock import Clock
from runtime.devices.ata import AtaDisk
from runtime.devices.atapi import AtapiDrive
from runtime.devices.cdrom import CdRom
from runtime.devices.diskette import Drive
from runtime.devices.dma import Dma
from runtime.devices.floppy import FloppyController
from runtime.devices.ide import IdeChannel
from runtime.devices.idedevice import IdeDevice
from runtime.devices.pci import PciHost
from runtime.devices.piixide import PiixIde
from runtime.disks.disk import Disk
from runtime.disks.geometry import disk_geometry

_FLOPPY_IRQ, _FLOPPY_DMA = 6, 2
_CHANNELS = ((0x1F0, 0x3F6, 14), (0x170, 0x376, 15))
_FLOPPIES = 2
_PIIX = (1, 1)  # PCI device and function


@dataclass
class Drives:
    """What is in the drives; ValueError, when they are wired, for what no drive can hold."""

    # A and B; None: a drive without a diskette. A PC without diskette drives has an empty list.
    floppies: list[Disk | None] = field(default_factory=lambda: [None])
    # Master and slave of the first channel, then of the second: a disk, a CD drive, or nobody.
    ide: list[Disk | CdRom | None] = field(default_factory=list)


class Storage:
    """The controllers and what they drive."""

    def __init__(
        self, bus: Bus, clock: Clock, line: Callable[[int], Line], pci: PciHost, drives: Drives
    ) -> None:
        """Wire everything; `line` returns the wire of an IRQ."""
        if len(drives.floppies) > _FLOPPIES or len(drives.ide) > 2 * len(_CHANNELS):
            raise ValueError("a PC has two diskette drives and four IDE drives at most")
        self.drives = drives
        self.dma = Dma(bus)
        self.floppies = [_diskette(disk, i) for i, disk in enumerate(drives.floppies)]
        self.floppy = FloppyController(
            bus, line(_FLOPPY_IRQ), self.dma.channels[_FLOPPY_DMA], clock, self.floppies
        )
        devices = [_device(clock, what, i) for i, what in enumerate(drives.ide)]
        self.channels = [
            IdeChannel(bus, line(irq), devices[2 * i : 2 * i + 2], command=command, control=control)
            for i, (command, control, irq) in enumerate(_CHANNELS)
        ]
        self.piix = PiixIde(bus, self.channels)
        pci.add(*_PIIX, self.piix.function)

    @property
    def cds(self) -> list[CdRom]:
        """The CD drives, in order."""
        return [what for what in self.drives.ide if isinstance(what, CdRom)]

    def change(self, drive: Drive | CdRom, disk: Disk | None) -> None:
        """Put another medium into a drive, or none; ValueError if the drive cannot hold it."""
        old = drive.disk
        drive.insert(disk)
        if old is not None:
            old.flush()
            old.close()

    def describe(self, ram: bytearray) -> None:
        """Put into CMOS what a BIOS looks for: types of drives, geometry of two disks."""
        kinds = [*(drive.kind.cmos for drive in self.floppies), 0, 0]
        ram[0x10] = kinds[0] << 4 | kinds[1]
        count = len(self.floppies)
        ram[0x14] = ram[0x14] & 0x3E | (1 | count - 1 << 6 if count else 0)
        ram[0x12] = 0
        first = [*self.drives.ide, None, None][:2]
        for what, at, nibble in zip(first, (0x1B, 0x24), (4, 0), strict=True):
            if what is None or isinstance(what, CdRom):
                continue
            ram[0x12] |= 15 << nibble
            ram[0x19 if nibble else 0x1A] = 47
            cylinders, heads, sectors = disk_geometry(what)
            low, high = cylinders & 0xFF, cylinders >> 8
            control = 0xC0 | (heads > 8) << 3
            ram[at : at + 9] = bytes([low, high, heads, 0xFF, 0xFF, control, low, high, sectors])
        total = sum(ram[0x10:0x2E])
        ram[0x2E], ram[0x2F] = total >> 8 & 0xFF, total & 0xFF

    def reset(self) -> None:
        """Do what the RESET pins do."""
        self.dma.reset()
        self.floppy.reset()
        for channel in self.channels:
            channel.reset()

    def close(self) -> None:
        """Write back and give back all images."""
        images: Sequence[Disk | None] = [
            *(drive.disk for drive in self.floppies),  # which may be others than at the beginning
            *(what.disk if isinstance(what, CdRom) else what for what in self.drives.ide),
        ]
        for disk in images:
            if disk is not None:
                disk.flush()
                disk.close()


def _diskette(disk: Disk | None, number: int) -> Drive:
    try:
        return Drive(disk)
    except ValueError as error:
        raise ValueError(f"diskette drive {'AB'[number]}: {error}") from None


def _device(clock: Clock, what: Disk | CdRom | None, number: int) -> IdeDevice | None:
    if what is None:
        return None
    serial = f"JE{number + 1:05}"
    if isinstance(what, CdRom):
        return AtapiDrive(clock, what, serial=serial)
    return AtaDisk(clock, what, serial=serial)
