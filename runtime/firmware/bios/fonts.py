"""Character generators: INT 10h function 11h, and what text modes need of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.firmware.bios.modes import VideoMode, current
from runtime.firmware.bios.table import Services, registrar
from runtime.firmware.call import Call
from runtime.system.segments import ES

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

SERVICES: Services = {}
service = registrar(SERVICES)
_CELL, _BLOCK = 32, 8192  # bytes of plane 2 for a glyph, for a set of 256
_LINES_350 = {0x06: 0xBF, 0x07: 0x1F, 0x09: 0x4D, 0x0A: 0x0B, 0x0B: 0x0C, 0x10: 0x83, 0x11: 0x85}
_LINES_350 |= {0x12: 0x5D, 0x14: 0x0D, 0x15: 0x63, 0x16: 0xBA}
_LINES_200 = {0x09: 0xC7, 0x0A: 0x06, 0x0B: 0x07, 0x14: 0x07}


def with_scan_lines(mode: VideoMode, flags: int) -> VideoMode:
    """Return a text mode with the number of lines that function 12h BL=30h asked for."""
    crtc, changes = bytearray(mode.crtc), {0: _LINES_350, 0x80: _LINES_200}.get(flags & 0x90)
    if changes is None or mode.number == 7:
        return mode
    for register, value in changes.items():
        crtc[register] = value
    if flags & 0x80:
        return replace(mode, crtc=bytes(crtc), height=8, lines=200)
    return replace(mode, crtc=bytes(crtc), height=14, lines=350, misc=mode.misc & 0x3F | 0x80)


def block_offset(block: int) -> int:
    """Return where a block of 256 glyphs begins in plane 2."""
    return (block & 3) * 0x4000 + (0x2000 if block & 4 else 0)


def put_glyphs(bios: Bios, glyphs: bytes, height: int, first: int, block: int) -> None:
    """Write glyphs into plane 2."""
    if bios.vga is None or not height:
        return
    bios.vga.memory.sync()
    plane, place = bios.vga.memory.bytes, block_offset(block)
    for index in range(min(len(glyphs) // height, 256 - first)):
        at = place + (first + index) * _CELL
        rows = glyphs[index * height : (index + 1) * height]
        plane[at : at + _CELL, 2] = list(rows[:_CELL].ljust(_CELL, b"\0"))


def load(bios: Bios, call: Call, height: int, block: int = 0) -> None:
    """Load one of the ROM's fonts."""
    from runtime.screen.font import font

    put_glyphs(bios, font(height), height, 0, block)


def _set_height(bios: Bios, call: Call, height: int) -> None:
    """Let characters of a text mode have a height: rows, cursor and page size follow."""
    mode = with_scan_lines(current(call), call.load(bda.VIDEO_FLAGS, 8))
    port = call.load(bda.CRTC, 16)
    lines = 350 if mode.lines == 350 else mode.lines
    doubled = 0x80 if lines == 200 else 0
    bios.out(port, 0x09)
    kept = bios.inp(port + 1) & 0x60
    for index, value in (
        (0x09, kept | doubled | height - 1),
        (0x0A, max(height - 2, 0)),
        (0x0B, height - 1),
        (0x14, height - 1),
    ):
        bios.bus.port_out(port, index | value << 8, 2)
    rows = lines // height
    shown = rows * height * (2 if doubled else 1)
    bios.bus.port_out(port, 0x12 | (shown - 1 & 0xFF) << 8, 2)
    columns = call.load(bda.COLUMNS, 16)
    call.store(bda.ROWS, rows - 1, 8)
    call.store(bda.CHARACTER_HEIGHT, height, 16)
    call.store(bda.PAGE_SIZE, (rows * columns * 2 + 0xFF) & ~0xFF, 16)
    top, bottom = (height - 2, height - 1) if height < 14 else (height - 3, height - 2)
    call.store(bda.CURSOR_SHAPE, top << 8 | bottom, 16)


@service(0x00, 0x10)
def load_own(bios: Bios, call: Call) -> None:
    """Load CX glyphs of BH rows at ES:BP from character DX on into block BL."""
    height = call.bh
    if not 1 <= height <= _CELL:
        return
    count = min(call.cx, 256)
    glyphs = call.read(call.linear(ES, call.bp), count * height)
    put_glyphs(bios, glyphs, height, call.dx & 0xFF, call.bl)
    if call.al & 0x10:
        _set_height(bios, call, height)


@service(0x01, 0x02, 0x04, 0x11, 0x12, 0x14)
def load_rom(bios: Bios, call: Call) -> None:
    """Load a font of the ROM into block BL."""
    height = {1: 14, 2: 8, 4: 16}[call.al & 15]
    load(bios, call, height, call.bl)
    if call.al & 0x10:
        _set_height(bios, call, height)


@service(0x03)
def select_blocks(bios: Bios, call: Call) -> None:
    """Show the blocks that BL names."""
    bios.bus.port_out(0x3C4, 0x03 | call.bl << 8, 2)


@service(0x20)
def set_upper(bios: Bios, call: Call) -> None:
    """Let vector 1Fh point to ES:BP: glyphs 80h to FFh, 8 rows, of CGA's modes."""
    call.store(4 * 0x1F, call.es << 16 | call.bp, 32)


def _set_graphics(bios: Bios, call: Call, place: tuple[int, int], height: int) -> None:
    call.store(4 * 0x43, place[0] << 16 | place[1], 32)
    rows = {1: 14, 2: 25, 3: 43}.get(call.bl, call.dl)
    call.store(bda.CHARACTER_HEIGHT, height, 16)
    call.store(bda.ROWS, max(rows, 1) - 1, 8)


@service(0x21)
def set_graphics(bios: Bios, call: Call) -> None:
    """Let vector 43h point to ES:BP: glyphs of CX rows for graphics modes; BL, DL: rows of text."""
    _set_graphics(bios, call, (call.es, call.bp), call.cx)


@service(0x22, 0x23, 0x24)
def set_graphics_rom(bios: Bios, call: Call) -> None:
    """Let vector 43h point to a font of the ROM."""
    height = {0x22: 14, 0x23: 8, 0x24: 16}[call.al]
    _set_graphics(bios, call, bios.font_places[height], height)


@service(0x30)
def tell(bios: Bios, call: Call) -> None:
    """ES:BP: font BH; CX: rows of a character, DL: rows of the display less one."""
    places = bios.font_places
    upper, graphics = call.load(4 * 0x1F, 32), call.load(4 * 0x43, 32)
    upper_rom = bios.vectors[0x1F]
    found = {
        0: (upper >> 16, upper & 0xFFFF),
        1: (graphics >> 16, graphics & 0xFFFF),
        2: places[14],
        3: places[8],
        4: upper_rom,
        5: places[14],
        6: places[16],
        7: places[16],
    }.get(call.bh)
    if found is None:
        return
    call.es, call.bp = found
    call.cx = call.load(bda.CHARACTER_HEIGHT, 16)
    call.dl = call.load(bda.ROWS, 8)
