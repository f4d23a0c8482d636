"""Open files and devices behind DOS handles, and the two tables that lead there.

A handle is an index into the program's job file table (in its PSP, 20 bytes unless function 67h
made it longer), whose bytes are indexes into the system file table: `Files.table` here.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from runtime.personalities.dos.errors import INVALID_HANDLE, TOO_MANY_FILES, DosError

if TYPE_CHECKING:
    from runtime.personalities.dos.memory import RealMemory

CLOSED = 0xFF
MAX_FILES = 255
IS_DEVICE, IS_NUL, IS_STDIN, IS_STDOUT, RAW, NOT_EOF, SPECIAL, CLOCK = 128, 4, 1, 2, 32, 64, 16, 8
JFT_COUNT, JFT_POINTER = 0x32, 0x34  # in a PSP


class OpenFile:
    """Something that is open; several handles may lead to it."""

    info = IS_DEVICE  # function 4400h
    is_device = True
    name = b""  # of a file or device, 8.3
    mode = 2  # access: 0 read, 1 write, 2 both
    is_private = False  # children do not inherit it

    def __init__(self) -> None:
        self.users = 0

    def read(self, size: int) -> bytes:
        """Read at most *size* bytes; b"" at the end. OSError."""
        return b""

    def write(self, data: bytes) -> int:
        """Write; return how many bytes were taken. OSError."""
        return len(data)

    def seek(self, offset: int, whence: int) -> int:
        """Move the file pointer; devices stay at 0. OSError."""
        return 0

    def truncate(self) -> None:
        """End the file at its pointer."""

    def close(self) -> None:
        """Nobody uses it any more."""

    def input_ready(self) -> bool:
        """Whether a read would give something at once."""
        return True


class Nul(OpenFile):
    """NUL: takes all, gives nothing."""

    info = IS_DEVICE | IS_NUL
    name = b"NUL"


class HostFile(OpenFile):
    """A file of a drive."""

    is_device = False

    def __init__(self, fd: int, name: bytes, drive: int, mode: int) -> None:
        """Take over a host descriptor; *drive* 0 is A:."""
        super().__init__()
        self.fd, self.name, self.drive, self.mode = fd, name, drive, mode
        self.is_written = False
        self.stamp: tuple[float, float] | None = None  # set by function 5701h

    @property
    def info(self) -> int:  # type: ignore[override]
        """Drive, and whether nothing was written yet."""
        return self.drive & 0x3F | (0 if self.is_written else 0x40)

    def read(self, size: int) -> bytes:
        """Read at the file pointer."""
        return os.read(self.fd, size)

    def write(self, data: bytes) -> int:
        """Write at the file pointer."""
        self.is_written, self.stamp = True, None
        return os.write(self.fd, data)

    def seek(self, offset: int, whence: int) -> int:
        """Move the file pointer."""
        return os.lseek(self.fd, offset, whence)

    def truncate(self) -> None:
        """End the file at its pointer, or lengthen it up to there."""
        self.is_written, self.stamp = True, None
        os.ftruncate(self.fd, os.lseek(self.fd, 0, os.SEEK_CUR))

    def size(self) -> int:
        """Return its size in bytes."""
        return os.fstat(self.fd).st_size

    def times(self) -> float:
        """Return when it was last written, as Unix time."""
        return self.stamp[1] if self.stamp else os.fstat(self.fd).st_mtime

    def set_times(self, when: float) -> None:
        """Let it have been written at a time."""
        self.stamp = when, when
        os.utime(self.fd, self.stamp)

    def input_ready(self) -> bool:
        """Whether it is not at its end."""
        return os.lseek(self.fd, 0, os.SEEK_CUR) < self.size()

    def close(self) -> None:
        """Close it."""
        if self.stamp:
            os.utime(self.fd, self.stamp)
        os.close(self.fd)


class Files:
    """The system file table."""

    def __init__(self, memory: RealMemory) -> None:
        """Begin with nothing open."""
        self.memory = memory
        self.table: list[OpenFile | None] = []

    def enter(self, file: OpenFile) -> int:
        """Give an open file a row; DosError if there are too many."""
        for number, held in enumerate(self.table):
            if held is None:
                self.table[number] = file
                break
        else:
            if len(self.table) >= MAX_FILES - 1:
                file.close()
                raise DosError(TOO_MANY_FILES)
            number = len(self.table)
            self.table.append(file)
        file.users = 1
        return number

    def leave(self, number: int) -> None:
        """One user fewer."""
        file = self.table[number]
        if file is None:
            return
        file.users -= 1
        if file.users <= 0:
            self.table[number] = None
            file.close()

    # -- a program's handles -----------------------------------------------------------------------
    def _jft(self, psp: int) -> tuple[int, int]:
        """Return address and size of a program's table."""
        base = psp << 4
        count, far = self.memory.u16(base + JFT_COUNT), self.memory.u32(base + JFT_POINTER)
        return (far >> 16 << 4) + (far & 0xFFFF), count

    def handles(self, psp: int) -> bytes:
        """Return a program's table."""
        return self.memory.read(*self._jft(psp))

    def set_handles(self, psp: int, table: bytes) -> None:
        """Write a program's table."""
        address, count = self._jft(psp)
        self.memory.write(address, table[:count])

    def number(self, psp: int, handle: int) -> int:
        """Return the row that a handle leads to; DosError if it is not open."""
        address, count = self._jft(psp)
        number = self.memory.u8(address + handle) if handle < count else CLOSED
        if number >= len(self.table) or self.table[number] is None:
            raise DosError(INVALID_HANDLE)
        return number

    def file(self, psp: int, handle: int) -> OpenFile:
        """Return what a handle leads to; DosError."""
        found = self.table[self.number(psp, handle)]
        assert found is not None
        return found

    def free_handle(self, psp: int) -> int:
        """Return the first handle that is not open; DosError if there is none."""
        free = self.handles(psp).find(CLOSED)
        if free < 0:
            raise DosError(TOO_MANY_FILES)
        return free

    def put(self, psp: int, handle: int, number: int) -> None:
        """Let a handle lead to a row."""
        address, _ = self._jft(psp)
        self.memory.put8(address + handle, number)

    def open(self, psp: int, file: OpenFile) -> int:
        """Give an open file a handle; closes it if that fails. DosError."""
        try:
            handle = self.free_handle(psp)
        except DosError:
            file.close()
            raise
        self.put(psp, handle, self.enter(file))
        return handle

    def close(self, psp: int, handle: int) -> None:
        """Close a handle; DosError."""
        self.leave(self.number(psp, handle))
        self.put(psp, handle, CLOSED)

    def duplicate(self, psp: int, handle: int, to: int | None = None) -> int:
        """Make another handle for the same file, or redirect *to*; return it. DosError."""
        number = self.number(psp, handle)
        file = self.file(psp, handle)
        if to is None:
            to = self.free_handle(psp)
        elif to == handle:
            return to
        elif to >= self._jft(psp)[1]:
            raise DosError(INVALID_HANDLE)
        file.users += 1  # before the other one is closed, which may be the same file
        with contextlib.suppress(DosError):
            self.close(psp, to)
        self.put(psp, to, number)
        return to

    def close_all(self, psp: int) -> None:
        """Close all handles of a program that ends."""
        _, count = self._jft(psp)
        for handle in range(min(count, MAX_FILES)):
            try:
                self.close(psp, handle)
            except DosError:
                continue
