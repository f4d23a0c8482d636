"""A raw image: sector n is at byte 512 * n of a host file."""

from __future__ import annotations

import os

from runtime.disks.disk import SECTOR
from runtime.disks.files import read_at, size_of, write_at


class Raw:
    """A disk whose sectors are the bytes of a file; a last sector that is cut off ends in zeros."""

    def __init__(self, fd: int, *, write: bool = False) -> None:
        """Take over an open file; it is never written unless *write* is set."""
        self._fd, self.is_read_only = fd, not write
        self.sectors = -(-size_of(fd) // SECTOR)

    def read(self, sector: int, count: int) -> bytes:
        """Return *count* sectors."""
        return read_at(self._fd, sector * SECTOR, count * SECTOR)

    def write(self, sector: int, data: bytes) -> None:
        """Change whole sectors within the disk."""
        if self.is_read_only:
            raise PermissionError("the image is read only")
        room = (self.sectors - sector) * SECTOR
        write_at(self._fd, sector * SECTOR, data[:room])

    def flush(self) -> None:
        """Wait until the host has written everything."""
        if not self.is_read_only:
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
