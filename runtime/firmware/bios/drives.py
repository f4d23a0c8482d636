"""Disks as INT 13h and the boot loader know them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from runtime.disks.disk import SECTOR, Disk
from runtime.disks.geometry import Geometry, bios_geometry, floppy_geometry

CD_SECTOR = 2048
FIRST_DISK, FIRST_CD = 0x80, 0xE0  # BIOS numbers; diskettes count from 0


class Kind(Enum):
    """What sort of drive it is."""

    FLOPPY = "floppy"
    DISK = "hard disk"
    CD = "CD"


class Drive:
    """A drive, and what is in it now."""

    def __init__(
        self, kind: Kind, medium: Callable[[], Disk | None], *, geometry: Geometry | None = None
    ) -> None:
        """Make a drive; *geometry* where it is not that which follows from the medium's size."""
        self.kind, self._medium, self._geometry = kind, medium, geometry
        self._seen = medium()
        self._known: tuple[Disk, Geometry] | None = None

    @property
    def disk(self) -> Disk | None:
        """The medium; None: there is none."""
        return self._medium()

    def take_change(self) -> bool:
        """Whether there is another medium than when this was last asked."""
        seen, self._seen = self._seen, self.disk
        return self._seen is not seen

    @property
    def sector_size(self) -> int:
        """Bytes of a sector as INT 13h functions 41h to 48h count."""
        return CD_SECTOR if self.kind is Kind.CD else SECTOR

    @property
    def sectors(self) -> int:
        """Sectors of that size; 0 without a disk."""
        disk = self.disk
        return 0 if disk is None else disk.sectors * SECTOR // self.sector_size

    @property
    def geometry(self) -> Geometry:
        """Cylinders, heads and sectors; an empty drive has those of what fits into it."""
        disk = self.disk
        if self._geometry is not None:
            return self._geometry
        if disk is None:
            return Geometry(80, 2, 18)
        if self._known is None or self._known[0] is not disk:
            self._known = disk, self._guess(disk)
        return self._known[1]

    def _guess(self, disk: Disk) -> Geometry:
        if self.kind is Kind.FLOPPY:
            try:
                return floppy_geometry(disk.sectors)
            except ValueError:
                return Geometry(80, 2, 36)
        return bios_geometry(disk)

    @property
    def floppy_type(self) -> int:
        """The number of a diskette drive in CMOS and in INT 13h function 8."""
        total = self.geometry.total
        kinds = ((720, 1), (1440, 3), (2400, 2), (2880, 4))
        return next((number for most, number in kinds if total <= most), 5)

    def read(self, sector: int, count: int) -> bytes:
        """Read sectors; OSError if that fails or there is no disk."""
        scale, disk = self.sector_size // SECTOR, self.disk
        if disk is None:
            raise OSError("no disk")
        return disk.read(sector * scale, count * scale)

    def write(self, sector: int, data: bytes) -> None:
        """Write sectors; OSError if that fails, PermissionError if it must not be."""
        disk = self.disk
        if disk is None:
            raise OSError("no disk")
        disk.write(sector * (self.sector_size // SECTOR), data)


class Part:
    """A range of another disk as a disk: an image on a CD."""

    def __init__(self, disk: Disk, first: int, sectors: int) -> None:
        """Show *sectors* of 512 bytes from *first* on, read only."""
        self._disk, self._first = disk, first
        self.sectors, self.is_read_only = sectors, True

    def read(self, sector: int, count: int) -> bytes:
        """Return sectors; zeros behind the end."""
        there = max(0, min(count, self.sectors - sector))
        return self._disk.read(self._first + sector, there) + bytes(SECTOR * (count - there))

    def write(self, sector: int, data: bytes) -> None:
        """Refuse."""
        raise PermissionError("a CD is read only")

    def flush(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: the disk is somebody else's."""
