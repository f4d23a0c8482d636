"""Video modes: what registers they have, and INT 10h function 00h, which sets one.

Register values: IBM, Personal System/2 Hardware Interface Technical Reference, *Video Subsystem*,
the tables of each mode; palettes as IBM's adapters come up with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.firmware.bios.palettes import grays, palette
from runtime.firmware.call import Call

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

_SEQUENCER, _MISC, _GRAPHICS, _ATTRIBUTE, _STATUS = 0x3C4, 0x3C2, 0x3CE, 0x3C0, 0x3DA
_KEEP = 0x80  # added to a mode's number: memory is not cleared
_GRAY, _OWN_PALETTE = 2, 8  # in the data area's flags: colours become gray, or are left alone


@dataclass(frozen=True)
class VideoMode:
    """A mode as the BIOS sees it."""

    number: int
    kind: str  # "text", "cga", "planar", "linear"
    columns: int
    rows: int
    height: int  # of characters
    segment: int
    page_size: int  # bytes
    colors: int
    width: int  # pixels
    lines: int
    sequencer: bytes  # registers 1 to 4
    misc: int
    crtc: bytes
    attribute: bytes
    graphics: bytes
    palette: str

    @property
    def pages(self) -> int:
        """Number of pages that fit."""
        whole = 0x8000 if self.kind == "text" else 0x40000 // 4
        if self.kind in ("linear", "cga"):
            return 1
        return min(8, max(1, whole // self.page_size))


_TEXT_COLORS = "00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f"
_CGA_COLORS = "00 01 02 03 04 05 06 07 10 11 12 13 14 15 16 17"
_MONO = "00 08 08 08 08 08 08 08 10 18 18 18 18 18 18 18"
_TEXT_40 = "2d 27 28 90 2b a0 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 14 1f 96 b9 a3 ff"
_TEXT_80 = "5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 1f 96 b9 a3 ff"
_TEXT_MONO = "5f 4f 50 82 55 81 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 0f 96 b9 a3 ff"
_CGA_320 = "2d 27 28 90 2b 80 bf 1f 00 c1 00 00 00 00 00 00 9c 8e 8f 14 00 96 b9 a2 ff"
_CGA_640 = "5f 4f 50 82 54 80 bf 1f 00 c1 00 00 00 00 00 00 9c 8e 8f 28 00 96 b9 c2 ff"
_EGA_320 = "2d 27 28 90 2b 80 bf 1f 00 c0 00 00 00 00 00 00 9c 8e 8f 14 00 96 b9 e3 ff"
_EGA_640 = "5f 4f 50 82 54 80 bf 1f 00 c0 00 00 00 00 00 00 9c 8e 8f 28 00 96 b9 e3 ff"
_EGA_350 = "5f 4f 50 82 54 80 bf 1f 00 40 00 00 00 00 00 00 83 85 5d 28 0f 63 ba e3 ff"
_VGA_480 = "5f 4f 50 82 54 80 0b 3e 00 40 00 00 00 00 00 00 ea 8c df 28 00 e7 04 e3 ff"
_VGA_2 = "5f 4f 50 82 54 80 0b 3e 00 40 00 00 00 00 00 00 ea 8c df 28 00 e7 04 c3 ff"
_VGA_256 = "5f 4f 50 82 54 80 bf 1f 00 41 00 00 00 00 00 00 9c 8e 8f 28 40 96 b9 a3 ff"
_GRAY_2 = "00 08 00 00 18 18 00 00 00 08 00 00 00 18 00 00"
_BLACK_WHITE = " ".join(["00", *["3f"] * 15])
_PLAIN_17 = "00 17 17 17 17 17 17 17 17 17 17 17 17 17 17 17"
_LINEAR = "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f"
_CGA_4 = "00 13 15 17 02 04 06 07 10 11 12 13 14 15 16 17"
# number; kind; columns, rows, character height; segment, page size; colors, width, lines;
# sequencer; miscellaneous output; CRTC; palette and attribute registers; graphics; palette
_ROWS = (
    "01 text 40 25 16 b800 0800 16 360 400|08 03 00 02|67|TEXT_40|TEXT_COLORS|0c 00 0f 08|"
    "00 00 00 00 00 10 0e 00 ff|ega",
    "03 text 80 25 16 b800 1000 16 720 400|00 03 00 02|67|TEXT_80|TEXT_COLORS|0c 00 0f 08|"
    "00 00 00 00 00 10 0e 00 ff|ega",
    "05 cga 40 25 8 b800 4000 4 320 200|09 03 00 02|63|CGA_320|CGA_4|01 00 03 00|"
    "00 00 00 00 00 30 0f 0f ff|cga",
    "06 cga 80 25 8 b800 4000 2 640 200|01 01 00 06|63|CGA_640|PLAIN_17|01 00 01 00|"
    "00 00 00 00 00 00 0d 0f ff|cga",
    "07 text 80 25 16 b000 1000 2 720 400|00 03 00 02|66|TEXT_MONO|MONO|0e 00 0f 08|"
    "00 00 00 00 00 10 0a 00 ff|mono",
    "0d planar 40 25 8 a000 2000 16 320 200|09 0f 00 06|63|EGA_320|CGA_COLORS|01 00 0f 00|"
    "00 00 00 00 00 00 05 0f ff|cga",
    "0e planar 80 25 8 a000 4000 16 640 200|01 0f 00 06|63|EGA_640|CGA_COLORS|01 00 0f 00|"
    "00 00 00 00 00 00 05 0f ff|cga",
    "0f planar 80 25 14 a000 8000 2 640 350|01 0f 00 06|a2|EGA_350|GRAY_2|0b 00 05 00|"
    "00 00 00 00 00 00 05 05 ff|mono",
    "10 planar 80 25 14 a000 8000 16 640 350|01 0f 00 06|a3|EGA_350|TEXT_COLORS|01 00 0f 00|"
    "00 00 00 00 00 00 05 0f ff|ega",
    "11 planar 80 30 16 a000 a000 2 640 480|01 0f 00 06|e3|VGA_2|BLACK_WHITE|01 00 0f 00|"
    "00 00 00 00 00 00 05 01 ff|ega",
    "12 planar 80 30 16 a000 a000 16 640 480|01 0f 00 06|e3|VGA_480|TEXT_COLORS|01 00 0f 00|"
    "00 00 00 00 00 00 05 0f ff|ega",
    "13 linear 40 25 8 a000 fa00 256 320 200|01 0f 00 0e|63|VGA_256|LINEAR|41 00 0f 00|"
    "00 00 00 00 00 40 05 0f ff|vga",
)


def _parse(row: str) -> VideoMode:
    head, sequencer, misc, crtc, colors, attribute, graphics, named = row.split("|")
    number, kind, columns, rows, height, segment, page, count, width, lines = head.split()
    names = {name[1:]: value for name, value in globals().items() if isinstance(value, str)}
    return VideoMode(
        *(int(number, 16), kind, int(columns), int(rows), int(height), int(segment, 16)),
        *(int(page, 16), int(count), int(width), int(lines)),
        bytes.fromhex(sequencer),
        int(misc, 16),
        bytes.fromhex(names[crtc]),
        bytes.fromhex(names[colors] + attribute),
        bytes.fromhex(graphics),
        named,
    )


_PARSED = {mode.number: mode for mode in map(_parse, _ROWS)}
# Monochrome variants of text and CGA modes are the same on a VGA.
MODES = _PARSED | {0: _PARSED[1], 2: _PARSED[3], 4: _PARSED[5]}


def current(call: Call) -> VideoMode:
    """Return the mode that the data area names; text if it names none."""
    return MODES.get(call.load(bda.VIDEO_MODE, 8) & 0x7F, MODES[3])


def program(bios: Bios, mode: VideoMode, flags: int = 0) -> None:
    """Write a mode's values into the adapter's registers."""
    out, bus = bios.out, bios.bus
    bios.inp(_STATUS)
    out(_ATTRIBUTE, 0)  # the display is dark meanwhile
    bus.port_out(_SEQUENCER, 0x0100, 2)
    for index, value in enumerate(mode.sequencer, 1):
        bus.port_out(_SEQUENCER, index | value << 8, 2)
    out(_MISC, mode.misc)
    bus.port_out(_SEQUENCER, 0x0300, 2)
    crtc = 0x3D4 if mode.misc & 1 else 0x3B4
    bus.port_out(crtc, 0x0011, 2)
    for index, value in enumerate(mode.crtc):
        bus.port_out(crtc, index | value << 8, 2)
    for index, value in enumerate(mode.graphics):
        bus.port_out(_GRAPHICS, index | value << 8, 2)
    bios.inp(_STATUS if mode.misc & 1 else 0x3BA)
    if not flags & _OWN_PALETTE:
        write_attributes(bios, mode.attribute)
        out(0x3C6, 0xFF)
        colors = palette(mode.palette)
        write_colors(bios, 0, grays(colors) if flags & _GRAY else colors)
    else:
        write_attributes(bios, mode.attribute[16:], 16)
    out(_ATTRIBUTE, 0x20)


def write_attributes(bios: Bios, values: bytes, first: int = 0) -> None:
    """Write registers of the attribute controller; the display goes dark for it."""
    for index, value in enumerate(values, first):
        bios.out(_ATTRIBUTE, index)
        bios.out(_ATTRIBUTE, value)


def write_colors(bios: Bios, first: int, values: bytes) -> None:
    """Write entries of the palette: three bytes each."""
    bios.out(0x3C8, first)
    for value in values:
        bios.out(0x3C9, value)


def set_mode(bios: Bios, call: Call, number: int) -> bool:
    """Set a mode of VGA; False if there is no such mode."""
    from runtime.firmware.bios import fonts, vbe

    mode = MODES.get(number & 0x7F)
    if mode is None:
        return False
    vbe.leave(bios)
    flags = call.load(bda.VIDEO_FLAGS, 8)
    if mode.kind == "text":
        mode = fonts.with_scan_lines(mode, flags)
    program(bios, mode, flags)
    note(bios, call, mode, number)
    if mode.kind == "text":
        fonts.load(bios, call, mode.height)
    if not number & _KEEP:
        clear(bios, call, mode)
    return True


def note(bios: Bios, call: Call, mode: VideoMode, number: int) -> None:
    """Write into the data area that a mode was set."""
    call.write(bda.VIDEO_MODE, bytes([number & 0x7F]))
    call.store(bda.COLUMNS, mode.columns, 16)
    call.store(bda.PAGE_SIZE, mode.page_size & 0xFFFF, 16)
    call.write(bda.PAGE_START, bytes(2 + 16))
    call.store(bda.CURSOR_SHAPE, 0x0607 if mode.kind == "text" else 0, 16)
    call.store(bda.PAGE, 0, 8)
    call.store(bda.CRTC, 0x3D4 if mode.misc & 1 else 0x3B4, 16)
    selects = {1: 0x2C, 3: 0x29, 5: 0x2A, 6: 0x1E, 7: 0x29, 4: 0x2A, 0: 0x2C, 2: 0x2D}
    call.store(bda.MODE_SELECT, selects.get(number & 0x7F, 0x29), 8)
    call.store(bda.PALETTE, 0x3F if number & 0x7F == 6 else 0x30, 8)
    call.store(bda.ROWS, mode.rows - 1, 8)
    call.store(bda.CHARACTER_HEIGHT, mode.height, 16)
    call.store(bda.VIDEO_CONTROL, 0x60 | number & _KEEP, 8)
    call.store(bda.VIDEO_SWITCHES, 0xF9, 8)
    call.store(bda.VIDEO_FLAGS, call.load(bda.VIDEO_FLAGS, 8) | 1, 8)
    call.store(bda.DISPLAY_INDEX, 8, 8)
    place = bios.font_places[mode.height]
    call.store(4 * 0x43, place[0] << 16 | place[1], 32)


def clear(bios: Bios, call: Call, mode: VideoMode) -> None:
    """Empty the display's memory."""
    if mode.kind == "text":
        call.write(mode.segment << 4, b"\x20\x07" * 0x4000)
    elif mode.kind == "planar" and bios.vga is not None:
        bios.vga.memory.clear()
    else:
        call.write(mode.segment << 4, bytes(0x8000 if mode.kind == "cga" else 0x10000))
