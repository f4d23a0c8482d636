"""What a controller sees of a disk: numbered sectors of 512 bytes."""

from __future__ import annotations

from typing import Protocol

SECTOR = 512


class DiskError(Exception):
    """An image that cannot be used; its text is one line for the user."""


class Disk(Protocol):
    """Sectors of 512 bytes. `OSError`: the host could not read or write, or the image is broken."""

    sectors: int
    is_read_only: bool

    def read(self, sector: int, count: int) -> bytes:
        """Return *count* sectors; what lies behind the end is zeros."""
        ...

    def write(self, sector: int, data: bytes) -> None:
        """Change whole sectors; PermissionError on a disk that is read only."""
        ...

    def flush(self) -> None:
        """Return when all that was written will outlive a loss of the host's power."""
        ...

    def close(self) -> None:
        """Give the image back; nothing may use it any more."""
        ...
