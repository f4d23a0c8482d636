"""File control blocks: the fields of one in guest memory, and the open files behind them.

Source: Ralf Brown's Interrupt List, INT 21h AH=0Fh (format of file control block).
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from runtime.personalities.dos import clockwork, names
from runtime.personalities.dos.errors import FILE_NOT_FOUND, INVALID_HANDLE, DosError
from runtime.personalities.dos.handles import HostFile

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel, Place

EXTENDED = 0xFF
_HEAD = 7  # bytes in front of an extended FCB
_BLOCK, _RECORD_SIZE, _SIZE, _DATE, _NUMBER, _RECORD, _RANDOM = 12, 14, 16, 20, 24, 32, 33
_MARK = 0xD0  # in the reserved bytes: the word behind it is the number of an open file
_DEFAULT_SIZE = 128


class Fcb:
    """A file control block in guest memory."""

    def __init__(self, dos: Kernel, segment: int, offset: int) -> None:
        """Look at an FCB, extended or not."""
        self.dos, self.memory = dos, dos.memory
        self.at = (segment << 4) + offset
        self.is_extended = self.memory.u8(self.at) == EXTENDED
        self.attributes = self.memory.u8(self.at + 6) if self.is_extended else 0
        if self.is_extended:
            self.at += _HEAD

    @property
    def eleven(self) -> bytes:
        """Name and extension, padded, in capitals."""
        return names.upper(self.memory.read(self.at + 1, 11))

    @property
    def drive(self) -> int:
        """Drive number as functions take it."""
        return self.memory.u8(self.at)

    def place(self, eleven: bytes | None = None) -> Place:
        """Return what file it names, in its drive's current directory; DosError."""
        from runtime.personalities.dos.kernel import Place

        number = self.dos.drive_number(self.drive)
        drive = self.dos.drives[number]
        name = names.joined(self.eleven if eleven is None else eleven)
        return Place(number, drive, (*drive.current, name))

    # -- fields ------------------------------------------------------------------------------------
    @property
    def record_size(self) -> int:
        """Size of a record in bytes."""
        return self.memory.u16(self.at + _RECORD_SIZE) or _DEFAULT_SIZE

    @property
    def sequential(self) -> int:
        """Number of the current record: block and record of 128 in it."""
        return self.memory.u16(self.at + _BLOCK) * 128 + self.memory.u8(self.at + _RECORD)

    @sequential.setter
    def sequential(self, value: int) -> None:
        self.memory.put16(self.at + _BLOCK, value // 128)
        self.memory.put8(self.at + _RECORD, value % 128)

    @property
    def random(self) -> int:
        """Number of the random record; three bytes count if records are 64 bytes or more."""
        value = self.memory.u32(self.at + _RANDOM)
        return value if self.record_size < 64 else value & 0xFFFFFF

    @random.setter
    def random(self, value: int) -> None:
        size = 4 if self.record_size < 64 else 3
        data = (value & 0xFFFFFFFF).to_bytes(4, "little")[:size]
        self.memory.write(self.at + _RANDOM, data)

    # -- the open file -----------------------------------------------------------------------------
    def attach(self, file: HostFile) -> None:
        """Fill the fields of an FCB whose file was opened."""
        dos = self.dos
        number = dos.add_fcb_file(file)
        date, clock = clockwork.packed(file.times())
        drive = self.drive or dos.drive + 1
        self.memory.put8(self.at, drive)
        self.memory.put16(self.at + _BLOCK, 0)
        fields = struct.pack("<HIHH", _DEFAULT_SIZE, file.size(), date, clock)
        mark = struct.pack("<BH", _MARK, number)
        self.memory.write(self.at + _RECORD_SIZE, fields + mark + bytes(5))

    def file(self) -> HostFile:
        """Return the open file; DosError if there is none."""
        mark, number = struct.unpack("<BH", self.memory.read(self.at + _NUMBER, 3))
        found = self.dos.fcb_files.get(number) if mark == _MARK else None
        if found is None:
            raise DosError(INVALID_HANDLE)
        return found[1]

    def close(self) -> None:
        """Close the file; DosError if it is not open."""
        mark, number = struct.unpack("<BH", self.memory.read(self.at + _NUMBER, 3))
        if mark != _MARK or number not in self.dos.fcb_files:
            raise DosError(FILE_NOT_FOUND)
        self.dos.fcb_files.pop(number)[1].close()
        self.memory.write(self.at + _NUMBER, bytes(3))

    def read(self, record: int, count: int) -> bytes:
        """Read records, the last one maybe in part."""
        file = self.file()
        file.seek(record * self.record_size, os.SEEK_SET)
        return file.read(count * self.record_size)

    def write(self, record: int, data: bytes) -> None:
        """Write from the beginning of a record on; none end the file there."""
        file = self.file()
        file.seek(record * self.record_size, os.SEEK_SET)
        if data:
            file.write(data)
        else:
            file.truncate()
        self.memory.put32(self.at + _SIZE, file.size())


# What ends a name for function 29h, and what stands between names.
_SEPARATORS = b":.;,=+"
_ENDS = _SEPARATORS + b'/"[]<>|' + bytes(range(33))


def parse(text: bytes, old: bytes, control: int) -> tuple[int, bytes, bool]:
    """Read a file name as function 29h does: its length in *text*, twelve bytes, has wildcards.

    *old* are the twelve bytes that the FCB holds; *control* is AL of the function.
    """
    at = 0
    if control & 1:
        while text[at : at + 1] and text[at] in _SEPARATORS + b" \t":
            at += 1
    else:
        while text[at : at + 1] and text[at] in b" \t":
            at += 1
    drive = old[0] if control & 2 else 0
    name = old[1:9] if control & 4 else b" " * 8
    extension = old[9:12] if control & 8 else b"   "
    if text[at + 1 : at + 2] == b":" and text[at : at + 1].isalpha():
        drive, at = (text[at] & 0xDF) - 64, at + 2
    word, at = _word(text, at)
    if word:
        name = names.padded(word[:8])[:8] if b"*" in word else word[:8].ljust(8)
    if text[at : at + 1] == b".":
        word, at = _word(text, at + 1)
        extension = (b"?" * 3 if word[:1] == b"*" else _spread(word)).ljust(3)[:3]
    found = bytes([drive]) + names.upper(name + extension)
    return at, found, b"?" in found[1:]


def _spread(word: bytes) -> bytes:
    head, star, _ = word.partition(b"*")
    return head + b"???" if star else word


def _word(text: bytes, at: int) -> tuple[bytes, int]:
    start = at
    while at < len(text) and text[at] not in _ENDS:
        at += 1
    return text[start:at], at
