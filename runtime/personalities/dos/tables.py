"""DOS's own data in guest memory: list of lists, devices, directories, tables of characters.

Programs read them with functions 52h, 34h, 5D06h, 65h and 66h, and by walking from there.
Source: Ralf Brown's Interrupt List, INT 21h AH=52h, AX=5D06h, AH=65h (formats).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from runtime.firmware.bios.bios import EBDA_SEGMENT
from runtime.personalities.dos.mcb import SYSTEM

if TYPE_CHECKING:
    from runtime.firmware.call import Call
    from runtime.personalities.dos.kernel import Kernel

SEGMENT = 0x0080
END_OF_MEMORY = EBDA_SEGMENT  # behind conventional memory
UPPER_MEMORY = 0xC800, 0xE000  # between where video ROMs are and the page frame of EMS
_LISTS = 0x26  # offset of the list of lists
_INDOS, _CRITICAL = 0x0321, 0x0320  # in the swappable data area, as DOS 4 to 6 have them
_SDA, SDA_SIZE, SDA_KEPT = 0x0320, 0x0460, 0x001A
_SFT, _CDS, _DPB, _NLS, _FCBS = 0x0800, 0x0C00, 0x1400, 0x1700, 0x1B00
_DEVICES, DISK_DEVICE, _MEDIUM = 0x0100, 0x01A0, 0x01F8
_END = 0x1C00
LAST_DRIVE = 26
CDS_SIZE = 0x58
_NUL_ATTRIBUTES, _CHARACTER = 0x8004, 0x8000

# Upper case of 80h to FFh in code page 437 (country 1), and what letters are sorted as.
_UPPER_FROM = bytes(range(0x80, 0x100))
_UPPER_HIGH = bytearray(_UPPER_FROM)
for _small, _capital in (
    (0x81, 0x9A), (0x82, 0x90), (0x83, 0x41), (0x84, 0x8E), (0x85, 0x41), (0x86, 0x8F),
    (0x87, 0x80), (0x88, 0x45), (0x89, 0x45), (0x8A, 0x45), (0x8B, 0x49), (0x8C, 0x49),
    (0x8D, 0x49), (0x91, 0x92), (0x93, 0x4F), (0x94, 0x99), (0x95, 0x4F), (0x96, 0x55),
    (0x97, 0x55), (0x98, 0x59), (0xA0, 0x41), (0xA1, 0x49), (0xA2, 0x4F), (0xA3, 0x55),
    (0xA4, 0xA5),
):  # fmt: skip
    _UPPER_HIGH[_small - 0x80] = _capital


class Tables(NamedTuple):
    """Where the tables are: offsets in SEGMENT, but for the segment of the first block."""

    lists: int
    indos: int
    critical: int
    first_block: int
    upper: int
    file_upper: int
    file_characters: int
    collating: int
    double_bytes: int
    case_map: tuple[int, int]  # segment, offset of a procedure
    medium: tuple[int, int]  # of a byte that says: fixed disk


def _far(offset: int, segment: int = SEGMENT) -> bytes:
    return struct.pack("<HH", offset, segment)


def _put(dos: Kernel, offset: int, data: bytes) -> None:
    dos.memory.copy_to(SEGMENT, offset, data)


def upper(value: int) -> int:
    """Return a character of code page 437 as a capital."""
    if value >= 0x80:
        return _UPPER_HIGH[value - 0x80]
    return value - 32 if 0x61 <= value <= 0x7A else value


def _collating() -> bytes:
    """Return what each character is sorted as: letters as capitals without accents."""
    same = {0x80: 0x43, 0x8E: 0x41, 0x8F: 0x41, 0x90: 0x45, 0x92: 0x41, 0x99: 0x4F, 0x9A: 0x55}
    same |= {0x9F: 0x24, 0x9B: 0x24, 0x9C: 0x24, 0x9D: 0x24, 0x9E: 0x24, 0xA5: 0x4E, 0xA6: 0xA6}
    return bytes(same.get(upper(c), upper(c)) for c in range(256))


def build(dos: Kernel) -> Tables:
    """Write the tables; memory behind them is free for blocks."""
    at = _NLS
    places = []
    characters = b"\x16\0\1\0\xff\0\0\x20\2\x0e" + b'."/\\[]:|<>+=;,'
    for table in (
        b"\x80\0" + bytes(_UPPER_HIGH),
        b"\x80\0" + bytes(_UPPER_HIGH),
        characters,
        b"\0\1" + _collating(),
        b"\0\0\0\0",
    ):
        _put(dos, at, table)
        places.append(at)
        at += len(table) + 15 & ~15
    case_map = dos.machine.callbacks.add(_map_case, ends="retf")
    first = SEGMENT + (_END >> 4)
    upper_at, file_upper, allowed, collating, lead = places
    made = Tables(
        lists=_LISTS,
        indos=_INDOS,
        critical=_CRITICAL,
        first_block=first,
        upper=upper_at,
        file_upper=file_upper,
        file_characters=allowed,
        collating=collating,
        double_bytes=lead,
        case_map=case_map,
        medium=(SEGMENT, _MEDIUM),
    )
    _put(dos, _MEDIUM, b"\xf8")
    _put(dos, _LISTS - 2, struct.pack("<H", first))
    _devices(dos)
    lists = bytearray(0x40)
    lists[0:4] = _far(_DPB)
    lists[4:8] = _far(_SFT)
    lists[8:12] = _far(_DEVICES + 0x80)  # CLOCK$
    lists[12:16] = _far(_DEVICES + 0x20)  # CON
    struct.pack_into("<H", lists, 0x10, 512)
    lists[0x12:0x16] = _far(_FCBS)
    lists[0x16:0x1A] = _far(_CDS)
    lists[0x1A:0x1E] = _far(_FCBS)
    lists[0x20] = 0  # block devices: filled in by finish
    lists[0x21] = LAST_DRIVE
    lists[0x22:0x34] = _device(b"NUL", _NUL_ATTRIBUTES, _DEVICES + 0x20)
    lists[0x3F:0x40] = b"\x08"
    _put(dos, _LISTS, bytes(lists))
    # No file is in these system file tables: open files are not in guest memory.
    _put(dos, _SFT, struct.pack("<IH", 0xFFFFFFFF, 5) + bytes(5 * 0x3B))
    _put(dos, _FCBS, struct.pack("<IH", 0xFFFFFFFF, 0))
    _put(dos, _SDA, bytes(0x20))
    return made


def _device(name: bytes, attributes: int, following: int) -> bytes:
    link = _far(following) if following else b"\xff\xff\xff\xff"
    # Strategy and interrupt routines: a far return, at the end of the table of devices.
    routine = _DEVICES + 0xF0
    return link + struct.pack("<HHH", attributes, routine, routine) + name.ljust(8)


def _devices(dos: Kernel) -> None:
    rows = ((b"CON", 0x8013), (b"AUX", 0x8000), (b"PRN", 0xA0C0), (b"CLOCK$", 0x8008))
    for index, (name, attributes) in enumerate(rows):
        at = _DEVICES + 0x20 * (index + 1)
        following = at + 0x20 if index + 1 < len(rows) else 0
        _put(dos, at, _device(name, attributes, following))
    _put(dos, _DEVICES + 0xF0, b"\xcb")
    _put(dos, DISK_DEVICE, _device(b"\1", 0, 0))


def finish(dos: Kernel) -> None:
    """Let DOS own the first block of memory, as its own data and buffers do."""
    start = dos.arena.allocate(0x10, SYSTEM, b"SD")
    dos.memory.write(start << 4, bytes(0x100))


def describe_drives(dos: Kernel) -> None:
    """Write the table of current directories."""
    rows = bytearray(LAST_DRIVE * CDS_SIZE)
    for number in range(LAST_DRIVE):
        at = number * CDS_SIZE
        drive = dos.drives.get(number)
        path = b"%c:\\" % (65 + number)
        if drive is not None:
            path += b"\\".join(drive.current)
            # Physical (and network) drive: redirected ones have no parameter block.
            struct.pack_into("<H", rows, at + 0x43, 0xC000)
        rows[at : at + min(len(path), 67)] = path[:67]
        rows[at + 0x45 : at + 0x49] = b"\xff\xff\xff\xff"
        struct.pack_into("<H", rows, at + 0x4F, 2)
    _put(dos, _CDS, bytes(rows))


def _map_case(call: Call) -> None:
    """AL as a capital: what the country information's pointer leads to."""
    if call.al >= 0x80:
        call.al = upper(call.al)
