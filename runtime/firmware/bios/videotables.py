"""The video parameter table, which programs find through the save pointer at 40:A8.

IBM BIOS reference, section 3, *Video*: 29 entries of 64 bytes, in an order of their own.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.firmware.bios.fonts import with_scan_lines
from runtime.firmware.bios.modes import MODES, VideoMode

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

_LINES_200, _LINES_350, _LINES_400 = 0x80, 0, 0x10  # bits of VIDEO_FLAGS
# Mode and scan lines of each entry; 8 to 0Ch are no modes of a VGA.
_ENTRIES = [(mode, _LINES_200) for mode in range(4)]
_ENTRIES += [(mode, _LINES_400) for mode in (4, 5, 6, 7, 3, 3, 3, 3, 3, 0xD, 0xE, 0xF, 0x10)]
_ENTRIES += [(0xF, _LINES_400), (0x10, _LINES_400)]
_ENTRIES += [(mode, _LINES_350) for mode in range(4)]
_ENTRIES += [(mode, _LINES_400) for mode in (1, 3, 7, 0x11, 0x12, 0x13)]
_POINTERS = 7


def entry(mode: VideoMode) -> bytes:
    """Return the 64 bytes of a mode."""
    head = (mode.columns, mode.rows - 1, mode.height, mode.page_size)
    registers = mode.sequencer + bytes([mode.misc]) + mode.crtc + mode.attribute + mode.graphics
    return struct.pack("<BBBH", *head) + registers


def place(bios: Bios) -> None:
    """Put the tables into the ROM, once, and their address into the data area."""
    if bios.video_tables is None:
        rows = ((MODES[number], lines) for number, lines in _ENTRIES)
        data = b"".join(
            entry(with_scan_lines(mode, lines) if mode.kind == "text" else mode)
            for mode, lines in rows
        )
        segment, offset = bios.callbacks.place(data, 2)
        pointers = struct.pack("<HH", offset, segment).ljust(4 * _POINTERS, b"\0")
        bios.video_tables = bios.callbacks.place(pointers, 2)
    segment, offset = bios.video_tables
    bios.call.store(bda.VIDEO_TABLES, segment << 16 | offset, 32)
