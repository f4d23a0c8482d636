"""Booting from CDs (Phoenix and IBM, El Torito Bootable CD-ROM Format Specification 1.0).

In: a drive with a CD. Out: what to load, and, if the image is one of a disk, a drive that is it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.disks.geometry import FLOPPIES, Geometry
from runtime.firmware.bios.drives import CD_SECTOR, FIRST_DISK, Drive, Kind, Part

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

_RECORD = 17  # sector of the boot record volume descriptor
_NAME = b"EL TORITO SPECIFICATION"
_BOOTABLE, _X86 = 0x88, 0
_NONE, _FLOPPIES, _DISK = 0, {1: 1200, 2: 1440, 3: 2880}, 4
_SEGMENT = 0x7C0
_MOST = 0x9000  # paragraphs from where an image may be loaded


@dataclass
class Boot:
    """The default entry of a boot catalogue."""

    cd: int  # number of the drive
    media: int  # 0: no emulation
    segment: int
    count: int  # sectors of 512 bytes to be loaded
    sector: int  # of the CD
    number: int = 0  # of the drive that the program is told
    moved: Drive | None = None  # diskette drive that became B:


def find(bios: Bios, number: int) -> Boot | None:
    """Read the boot catalogue of a CD; None if it has none that makes sense. OSError."""
    drive = bios.drives.get(number)
    if drive is None or drive.disk is None:
        return None
    record = drive.read(_RECORD, 1)
    if record[:6] != b"\0CD001" or record[7:30] != _NAME:
        return None
    (where,) = struct.unpack_from("<I", record, 0x47)
    if where >= drive.sectors:
        return None
    catalogue = drive.read(where, 1)
    words = struct.unpack("<16H", catalogue[:32])
    if catalogue[0] != 1 or catalogue[30:32] != b"\x55\xaa" or sum(words) & 0xFFFF:
        return None
    flag, media, segment, _, count, sector = struct.unpack_from("<BBHBxHI", catalogue, 32)
    media &= 15
    if flag != _BOOTABLE or media > _DISK or sector >= drive.sectors:
        return None
    return Boot(number, media, segment or _SEGMENT, count or 1, sector)


def load(bios: Bios, boot: Boot) -> None:
    """Put the image into memory and set up emulation; OSError if that is impossible."""
    drive = bios.drives[boot.cd]
    assert drive.disk is not None
    boot.number = boot.cd
    if boot.media == _NONE:
        if boot.segment > _MOST:
            raise OSError("the boot image's place makes no sense")
        size = min(boot.count * 512, 0xA0000 - (boot.segment << 4))
        data = drive.read(boot.sector, -(-size // CD_SECTOR))[:size]
    else:
        first = boot.sector * 4
        emulated = _emulated(boot, drive, first)
        if boot.media == _DISK:
            _shift_disks(bios)
            boot.number = FIRST_DISK
        else:
            boot.moved, boot.number = bios.drives.pop(0, None), 0
            if boot.moved is not None:
                bios.drives.setdefault(1, boot.moved)
        bios.drives[boot.number] = emulated
        data = emulated.read(0, min(boot.count, 128))
    bios.cd_boot = boot
    bios.call.write(boot.segment << 4, data)


def _emulated(boot: Boot, drive: Drive, first: int) -> Drive:
    assert drive.disk is not None
    left = drive.disk.sectors - first
    if boot.media in _FLOPPIES:
        geometry = FLOPPIES[_FLOPPIES[boot.media]]
        part = Part(drive.disk, first, min(left, geometry.total))
        return Drive(Kind.FLOPPY, lambda: part, geometry=geometry)
    table = drive.disk.read(first, 1)
    head, sector, cylinder = table[451], table[452] & 63, (table[452] & 0xC0) << 2 | table[453]
    geometry = Geometry(cylinder + 1, head + 1, max(sector, 1))
    whole = Part(drive.disk, first, min(left, geometry.total))
    return Drive(Kind.DISK, lambda: whole, geometry=geometry)


def _shift_disks(bios: Bios) -> None:
    """Let each hard disk have the next number."""
    numbers = sorted((n for n in bios.drives if FIRST_DISK <= n < 0x90), reverse=True)
    for number in numbers:
        bios.drives[number + 1] = bios.drives.pop(number)


def specification(bios: Bios, number: int) -> bytes | None:
    """Return the packet of INT 13h function 4Bh; None if nothing was booted from a CD."""
    boot = bios.cd_boot
    if boot is None or number not in (boot.number, 0x7F):
        return None
    controller = boot.cd & 15
    drive = bios.drives[boot.number]
    cylinders, heads, sectors = drive.geometry if boot.media else (1, 1, 1)
    return struct.pack(
        "<BBBBIHHHHBBB",
        *(0x13, boot.media, boot.number, controller, boot.sector, 0, 0, boot.segment, boot.count),
        *(cylinders - 1 & 0xFF, sectors | (cylinders - 1 & 0x300) >> 2, heads - 1),
    )


def end(bios: Bios) -> None:
    """Let drives have their own numbers again."""
    boot, bios.cd_boot = bios.cd_boot, None
    if boot is None or boot.media == _NONE:
        return
    del bios.drives[boot.number]
    if boot.media == _DISK:
        for number in sorted(n for n in bios.drives if FIRST_DISK < n <= 0x90):
            bios.drives[number - 1] = bios.drives.pop(number)
    elif boot.moved is not None:
        bios.drives[0] = boot.moved
        if bios.drives.get(1) is boot.moved:
            del bios.drives[1]
