"""Sizes -> cylinders, heads and sectors, for those who address disks by them.

Sources: the diskette formats of the IBM PC's DOS; ATA-4, annex B (16 heads and 63 sectors at most,
16383 cylinders for all that is larger); Phoenix EDD 1.1 for the BIOS's own translation.
"""

from __future__ import annotations

from typing import NamedTuple

from runtime.disks.disk import Disk


class Geometry(NamedTuple):
    """How many there are of each; sectors count from 1."""

    cylinders: int
    heads: int
    sectors: int

    @property
    def total(self) -> int:
        """Sectors of the whole disk."""
        return self.cylinders * self.heads * self.sectors

    def lba(self, cylinder: int, head: int, sector: int) -> int | None:
        """Return a sector's number from 0; None if there is no such place."""
        if cylinder < self.cylinders and head < self.heads and 1 <= sector <= self.sectors:
            return (cylinder * self.heads + head) * self.sectors + sector - 1
        return None


# KiB: the formats of diskettes; the larger ones are those of formatting programs (XDF is not).
FLOPPIES = {
    160: Geometry(40, 1, 8),
    180: Geometry(40, 1, 9),
    320: Geometry(40, 2, 8),
    360: Geometry(40, 2, 9),
    640: Geometry(80, 2, 8),
    720: Geometry(80, 2, 9),
    800: Geometry(80, 2, 10),
    820: Geometry(82, 2, 10),
    1200: Geometry(80, 2, 15),
    1440: Geometry(80, 2, 18),
    1520: Geometry(80, 2, 19),
    1600: Geometry(80, 2, 20),
    1680: Geometry(80, 2, 21),
    1722: Geometry(82, 2, 21),
    1743: Geometry(83, 2, 21),
    1760: Geometry(80, 2, 22),
    1840: Geometry(80, 2, 23),
    1920: Geometry(80, 2, 24),
    2880: Geometry(80, 2, 36),
    3120: Geometry(80, 2, 39),
    3200: Geometry(80, 2, 40),
    3520: Geometry(80, 2, 44),
    3840: Geometry(80, 2, 48),
}


def floppy_geometry(sectors: int) -> Geometry:
    """Return the diskette format of an image: the smallest that holds all of its sectors.

    What lies behind the end of a short image reads as zeros. ValueError: larger than any diskette.
    """
    for geometry in sorted(FLOPPIES.values(), key=lambda g: g.total):
        if sectors <= geometry.total and geometry in _COMMON:
            return geometry if sectors < geometry.total else _exact(sectors)
        if sectors == geometry.total:
            return geometry
    raise ValueError(f"{sectors / 2:g} KiB are more than a diskette has")


_COMMON = frozenset(FLOPPIES[size] for size in (160, 180, 320, 360, 720, 1200, 1440, 2880))


def _exact(sectors: int) -> Geometry:
    return next(g for g in FLOPPIES.values() if g.total == sectors)


def disk_geometry(disk: Disk) -> Geometry:
    """Return the geometry that a hard disk tells of itself, at most 16383/16/63.

    An old disk's partition table shows how it was made: its partitions end where a cylinder does.
    """
    heads, sectors = 16, 63
    if (guess := _partitioned(disk)) is not None and guess[0] <= 16:
        heads, sectors = guess
    return Geometry(max(1, min(disk.sectors // (heads * sectors), 16383)), heads, sectors)


def bios_geometry(disk: Disk) -> Geometry:
    """Return the geometry of INT 13h, at most 1024/255/63."""
    if (guess := _partitioned(disk)) is not None:
        heads, sectors = guess
        cylinders = disk.sectors // (heads * sectors)
        if 1 <= cylinders <= 1024:
            return Geometry(cylinders, heads, sectors)
    physical = disk_geometry(disk)
    if physical.cylinders <= 1024:
        return physical
    heads = next((h for h in (32, 64, 128) if disk.sectors <= 1024 * h * 63), 255)
    return Geometry(max(1, min(disk.sectors // (heads * 63), 1024)), heads, 63)


def _partitioned(disk: Disk) -> tuple[int, int] | None:
    """Return heads and sectors by which the disk was partitioned, as far as its table says."""
    try:
        table = disk.read(0, 1)
    except OSError:
        return None
    if table[510:512] != b"\x55\xaa":
        return None
    for at in range(446, 510, 16):
        head, sector = table[at + 5], table[at + 6] & 63
        first = int.from_bytes(table[at + 8 : at + 12], "little")
        count = int.from_bytes(table[at + 12 : at + 16], "little")
        cylinder = (table[at + 6] & 0xC0) << 2 | table[at + 7]
        if not table[at + 4] or not count or not sector or head == 255:
            continue
        whole = (cylinder * (head + 1) + head) * sector + sector
        if cylinder < 1023 and whole == first + count:
            return head + 1, sector
    return None
