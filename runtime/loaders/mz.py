"""DOS program files: bytes in, what has to be loaded out. MZ executables and .COM images.

Source: Ralf Brown's Interrupt List, INT 21h AH=4Bh (format of EXE file header).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEADER = struct.Struct("<14H")
_PAGE, _PARAGRAPH = 512, 16
COM_MAX = 0x10000 - 0x100 - 2  # bytes of a .COM image: a segment but for PSP and a word of stack


class BadProgram(Exception):  # noqa: N818 (the file is bad)
    """The file is no program that can be loaded; the text says why."""


class MzImage(NamedTuple):
    """An MZ executable."""

    load: bytes  # what goes to memory
    relocations: tuple[tuple[int, int], ...]  # (offset, segment), from the load segment on
    min_extra: int  # paragraphs needed behind the image
    max_extra: int
    ss: int
    sp: int
    cs: int
    ip: int

    @property
    def paragraphs(self) -> int:
        """Size of the image in paragraphs."""
        return len(self.load) + _PARAGRAPH - 1 >> 4

    @property
    def needs_distance(self) -> bool:
        """Whether it is packed by EXEPACK or LINK /E, whose unpackers fail below 64 KiB.

        They count segments down past 0, where only a closed address line 20 helps them: so DOS has
        LOADFIX. Source: Ralf Brown's Interrupt List, INT 21h AH=4Bh (EXEPACK: 'RB' at the entry).
        """
        entry = (self.cs << 4) + self.ip & 0xFFFFF
        return self.load[max(entry - 2, 0) : entry] == b"RB"

    def relocated(self, segment: int) -> bytes:
        """Return the image for a load segment."""
        image = bytearray(self.load)
        for offset, at in self.relocations:
            place = (at << 4) + offset
            if place + 2 <= len(image):
                (value,) = struct.unpack_from("<H", image, place)
                struct.pack_into("<H", image, place, value + segment & 0xFFFF)
        return bytes(image)


def is_mz(data: bytes) -> bool:
    """Whether a file begins like an MZ executable."""
    return data[:2] in (b"MZ", b"ZM")


def parse(data: bytes) -> MzImage:
    """Read an MZ executable; BadProgram."""
    if len(data) < _HEADER.size:
        raise BadProgram("its header is cut off")
    fields = _HEADER.unpack_from(data)
    _, last, pages, count, header, low, high, ss, sp, _, ip, cs, table, _ = fields
    if last > _PAGE:
        raise BadProgram("its header says that the last page has more than 512 bytes")
    end = pages * _PAGE - (_PAGE - last if last else 0)
    start = header * _PARAGRAPH
    if start > end or start > len(data):
        raise BadProgram("its header is longer than the file")
    if end - len(data) >= _PAGE:  # some linkers do not fill the last page
        raise BadProgram(f"it is cut off: {len(data)} of {end} bytes")
    if count and table + 4 * count > len(data):
        raise BadProgram("its relocation table is cut off")
    relocations = tuple(struct.iter_unpack("<HH", data[table : table + 4 * count]))
    load = data[start:end].ljust(end - start, b"\0")
    return MzImage(load, relocations, low, high, ss, sp, cs, ip)


def describe_other(data: bytes) -> str:
    """Say what an MZ executable is for if DOS is only its fallback; "" if it is for DOS.

    LE and LX images are DOS programs more often than not: of extenders like DOS/4GW.
    """
    if len(data) < 0x40:
        return ""
    (place,) = struct.unpack_from("<I", data, 0x3C)
    kinds = {b"PE": "Windows (PE)", b"NE": "Windows 3 (NE)"}
    return kinds.get(data[place : place + 2], "")
