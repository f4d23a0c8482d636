"""A diskette drive: its medium, where its head is, and its change line.

Source for rates and tracks: IBM PC/AT and PS/2 Technical References (diskette drives).
"""

from __future__ import annotations

from typing import NamedTuple

from runtime.disks.disk import SECTOR, Disk
from runtime.disks.geometry import Geometry, floppy_geometry

RATE_500K, RATE_300K, RATE_250K, RATE_1M = range(4)  # as in the configuration control register


class Kind(NamedTuple):
    """A type of drive."""

    cmos: int  # its number in CMOS byte 10h
    cylinders: int  # that its head can reach


KINDS = {
    "360K": Kind(1, 43),
    "1.2M": Kind(2, 84),
    "720K": Kind(3, 84),
    "1.44M": Kind(4, 84),
    "2.88M": Kind(5, 84),
}


def kind_for(disk: Disk | None) -> Kind:
    """Return the drive that PCs had for a medium; ValueError if it is larger than any."""
    if disk is None:
        return KINDS["1.44M"]
    geometry = floppy_geometry(disk.sectors)
    if geometry.cylinders <= 43:
        return KINDS["360K"]
    if geometry.sectors >= 36:
        return KINDS["2.88M"]
    return KINDS["1.2M" if geometry.sectors == 15 else "1.44M"]


class Drive:
    """One drive; who owns the machine inserts and removes images."""

    def __init__(self, disk: Disk | None = None, kind: Kind | None = None) -> None:
        """Make a drive of a kind (None: the one for the image), with an image in it or none."""
        self.kind = kind or kind_for(disk)
        self.track = 0  # over which its head is
        self.has_changed = True
        self.disk: Disk | None = None
        self.geometry = Geometry(0, 0, 0)
        self.insert(disk)

    def insert(self, disk: Disk | None) -> None:
        """Replace the medium; ValueError, and no change, if it is larger than any diskette."""
        geometry = Geometry(0, 0, 0) if disk is None else floppy_geometry(disk.sectors)
        self.disk, self.geometry, self.has_changed = disk, geometry, True

    @property
    def rate(self) -> int | None:
        """The data rate at which the medium can be read; None without one."""
        if self.disk is None:
            return None
        if self.geometry.sectors > 24:
            return RATE_1M
        if self.geometry.sectors > 10:
            return RATE_500K
        return RATE_300K if self.kind == KINDS["1.2M"] else RATE_250K

    @property
    def cylinder(self) -> int:
        """The medium's cylinder below the head; 40 cylinders are every second track of 80."""
        if self.kind == KINDS["1.2M"] and self.geometry.cylinders <= 43:
            return self.track >> 1
        return self.track

    def step(self, tracks: int) -> None:
        """Move the head; a step with a medium in the drive takes the change line back."""
        track = max(0, min(self.track + tracks, self.kind.cylinders - 1))
        if tracks and self.disk is not None:
            self.has_changed = False
        self.track = track

    def read(self, lba: int) -> bytes:
        """Return a sector."""
        return bytes(SECTOR) if self.disk is None else self.disk.read(lba, 1)

    def write(self, lba: int, data: bytes) -> None:
        """Change sectors."""
        if self.disk is not None:
            self.disk.write(lba, data)
