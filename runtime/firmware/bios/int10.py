"""INT 10h: the display. Text services here; colours, fonts, state and VBE in files of their own.

IBM BIOS reference, INT 10h; Ralf Brown, INT 10.  Text is written to memory in whole rows.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from runtime.firmware.bios import bda, modes
from runtime.firmware.bios.table import Services, registrar
from runtime.firmware.call import Call
from runtime.firmware.callbacks import Result
from runtime.system.segments import ES

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

SERVICES: Services = {}
service = registrar(SERVICES)
_BELL, _BACKSPACE, _LINE_FEED, _RETURN = 7, 8, 10, 13
_COLUMNS_MAX = 512  # whatever the guest wrote into the data area
_MODES_OF_TEXT = frozenset({0, 1, 2, 3, 7})


def serve_10(bios: Bios, call: Call) -> Result | None:
    """Serve INT 10h; unknown functions do nothing."""
    found = SERVICES.get(call.ah)
    return found(bios, call) if found is not None else None


def sub_services(services: Services, bios: Bios, call: Call) -> Result | None:
    """Serve a function by AL."""
    found = services.get(call.al)
    return found(bios, call) if found is not None else None


class Shown(NamedTuple):
    """What the data area says of the display."""

    mode: int
    columns: int
    page_size: int
    rows: int
    height: int
    page: int
    crtc: int
    cursors: tuple[int, ...]

    @property
    def is_text(self) -> bool:
        """Whether memory holds characters."""
        return self.mode in _MODES_OF_TEXT

    def start(self, page: int) -> int:
        """Return the linear address of a page of text."""
        base = 0xB0000 if self.mode == 7 else 0xB8000
        return base + (page * self.page_size & 0x7FFF)


def shown(call: Call) -> Shown:
    """Read the data area."""
    data = call.read(bda.VIDEO_MODE, bda.CHARACTER_HEIGHT + 2 - bda.VIDEO_MODE)
    mode, columns, page_size, _, *cursors = struct.unpack_from("<BHHH8H", data)
    page, crtc = struct.unpack_from("<BH", data, bda.PAGE - bda.VIDEO_MODE)
    rows, height = struct.unpack_from("<BH", data, bda.ROWS - bda.VIDEO_MODE)
    return Shown(
        mode & 0x7F,
        min(columns, _COLUMNS_MAX) or 80,
        page_size,
        rows + 1,
        height or 16,
        page & 7,
        crtc,
        tuple(cursors),
    )


# -- the cursor ------------------------------------------------------------------------------------
def _write_crtc_word(bios: Bios, port: int, index: int, value: int) -> None:
    """Write two registers of the CRT controller, the high byte first."""
    bios.bus.port_out(port, index | (value >> 8 & 0xFF) << 8, 2)
    bios.bus.port_out(port, index + 1 | (value & 0xFF) << 8, 2)


def move_cursor(bios: Bios, call: Call, s: Shown, page: int, row: int, column: int) -> None:
    """Put the cursor of a page somewhere."""
    call.store(bda.CURSORS + 2 * page, row << 8 | column, 16)
    if page == s.page and s.is_text:
        _write_crtc_word(bios, s.crtc, 0x0E, page * s.page_size // 2 + row * s.columns + column)


@service(0x00)
def set_mode(bios: Bios, call: Call) -> None:
    """Set mode AL; AL returns what IBM's VGA returns."""
    number = call.al
    if modes.set_mode(bios, call, number):
        call.al = 0x3F if number & 0x7F == 6 else 0x30 if number & 0x7F <= 7 else 0x20


@service(0x01)
def set_cursor_shape(bios: Bios, call: Call) -> None:
    """CH, CL: first and last line; bit 5 of CH hides it. Lines of 8 are scaled to the font."""
    top, bottom = call.ch, call.cl
    call.store(bda.CURSOR_SHAPE, call.cx, 16)
    height = call.load(bda.CHARACTER_HEIGHT, 16)
    if not call.load(bda.VIDEO_CONTROL, 8) & 1 and height > 8 and bottom < 8 and top < 0x20:
        if bottom == top + 1 or bottom == 7:
            top, bottom = (
                (height - 3 if bottom - top < 2 else (top + 1) * height // 8 - 1),
                height - 2,
            )
        else:
            top, bottom = (top + 1) * height // 8 - 1, (bottom + 1) * height // 8 - 1
    _write_crtc_word(bios, call.load(bda.CRTC, 16), 0x0A, (top & 0x3F) << 8 | bottom & 0x1F)


@service(0x02)
def set_cursor(bios: Bios, call: Call) -> None:
    """DH, DL: row and column on page BH."""
    move_cursor(bios, call, shown(call), call.bh & 7, call.dh, call.dl)


@service(0x03)
def get_cursor(bios: Bios, call: Call) -> None:
    """DX: place on page BH; CX: shape."""
    page = call.bh & 7
    call.dx, call.cx = call.load(bda.CURSORS + 2 * page, 16), call.load(bda.CURSOR_SHAPE, 16)
    call.ax = 0


@service(0x04)
def light_pen(bios: Bios, call: Call) -> None:
    """AH 0: there is none."""
    call.ah = 0


@service(0x05)
def select_page(bios: Bios, call: Call) -> None:
    """Show page AL."""
    s, page = shown(call), call.al & 7
    call.store(bda.PAGE, page, 8)
    start = page * s.page_size
    call.store(bda.PAGE_START, start & 0xFFFF, 16)
    is_text = s.is_text
    _write_crtc_word(bios, s.crtc, 0x0C, start // 2 if is_text else start)
    position = s.cursors[page]
    if is_text:
        place = start // 2 + (position >> 8) * s.columns + (position & 0xFF)
        _write_crtc_word(bios, s.crtc, 0x0E, place)


# -- scrolling -------------------------------------------------------------------------------------
@service(0x06, 0x07)
def scroll(bios: Bios, call: Call) -> None:
    """Scroll a window up (06h) or down by AL lines, 0: all; BH: attribute of new ones."""
    s = shown(call)
    window = (call.ch, call.cl, min(call.dh, s.rows - 1), min(call.dl, s.columns - 1))
    lines = call.al if call.ah == 6 else -call.al
    scroll_window(bios, call, s, s.page, window, lines, call.bh)


def scroll_window(
    bios: Bios,
    call: Call,
    s: Shown,
    page: int,
    window: tuple[int, int, int, int],
    lines: int,
    attribute: int,
) -> None:
    """Move a window's text up by some lines (down if negative; 0: clear it)."""
    top, left, bottom, right = window
    if top > bottom or left > right:
        return
    count = bottom - top + 1
    if not lines or abs(lines) >= count:
        lines = count
    if not s.is_text:
        from runtime.firmware.bios import drawing

        drawing.scroll(bios, call, s, page, (top, left, bottom, right), lines, attribute)
        return
    pitch, width = 2 * s.columns, 2 * (right - left + 1)
    place = s.start(page) + top * pitch
    blank = bytes((0x20, attribute)) * (right - left + 1)
    text = call.read(place, count * pitch)
    rows = [text[i * pitch : (i + 1) * pitch] for i in range(count)]
    inner = [row[2 * left : 2 * left + width] for row in rows]
    inner = inner[lines:] + [blank] * lines if lines > 0 else [blank] * -lines + inner[:lines]
    whole = (
        row[: 2 * left] + new + row[2 * left + width :]
        for row, new in zip(rows, inner, strict=True)
    )
    call.write(place, b"".join(whole))


# -- characters ------------------------------------------------------------------------------------
@service(0x08)
def read_character(bios: Bios, call: Call) -> None:
    """AL, AH: character and attribute at the cursor of page BH."""
    s, page = shown(call), call.bh & 7
    row, column = s.cursors[page] >> 8, s.cursors[page] & 0xFF
    if s.is_text:
        call.ax = call.load(s.start(page) + 2 * (row * s.columns + column), 16)
    else:
        from runtime.firmware.bios import drawing

        call.ax = drawing.read_character(bios, call, s, page, row, column)


@service(0x09, 0x0A)
def write_character(bios: Bios, call: Call) -> None:
    """Write AL CX times at the cursor of page BH, which stays; with attribute BL (09h)."""
    s, page = shown(call), call.bh & 7
    row, column = s.cursors[page] >> 8, s.cursors[page] & 0xFF
    count = call.cx
    if not s.is_text:
        from runtime.firmware.bios import drawing

        page_or_color = call.bh if s.mode == 0x13 else page
        count = min(count, s.columns * s.rows)
        drawing.write(bios, call, s, page_or_color, row, column, bytes([call.al]) * count, call.bl)
        return
    start = s.start(page)
    place = start + 2 * (row * s.columns + column)
    count = min(count, max(0, (0x8000 - (place & 0x7FFF)) // 2))
    if call.ah == 9:
        call.write(place, bytes((call.al, call.bl)) * count)
    elif count:
        cells = bytearray(call.read(place, 2 * count))
        cells[::2] = bytes([call.al]) * count
        call.write(place, bytes(cells))


def put_text(
    bios: Bios, call: Call, text: bytes, page: int, attribute: int | None, color: int = 7
) -> None:
    """Write as a teletype does: control characters move, the end of the display scrolls.

    *attribute*: None leaves those that are there; *color* is for graphics modes.
    """
    s = shown(call)
    row, column = s.cursors[page] >> 8, s.cursors[page] & 0xFF
    run = bytearray()

    def flush() -> None:
        if run:
            _put_run(bios, call, s, page, row, column - len(run), bytes(run), attribute, color)
            run.clear()

    for value in text:
        if value == _RETURN:
            flush()
            column = 0
        elif value == _BACKSPACE:
            flush()
            column = max(0, column - 1)
        elif value == _BELL:
            continue
        else:
            if value != _LINE_FEED:
                run.append(value)
                column += 1
                if column < s.columns:
                    continue
            flush()
            if value != _LINE_FEED:
                column = 0
            row += 1
            if row >= s.rows:
                row = s.rows - 1
                below = _attribute_below(call, s, page, row, column) if s.is_text else 0
                window = (0, 0, s.rows - 1, s.columns - 1)
                scroll_window(bios, call, s, page, window, 1, below)
    flush()
    move_cursor(bios, call, s, page, row, column)


def _attribute_below(call: Call, s: Shown, page: int, row: int, column: int) -> int:
    """Return the attribute at the cursor, which new lines get."""
    return call.load(s.start(page) + 2 * (row * s.columns + min(column, s.columns - 1)) + 1, 8)


def _put_run(
    bios: Bios,
    call: Call,
    s: Shown,
    page: int,
    row: int,
    column: int,
    run: bytes,
    attribute: int | None,
    color: int,
) -> None:
    """Write characters of one row."""
    if not s.is_text:
        from runtime.firmware.bios import drawing

        drawing.write(bios, call, s, page, row, column, run, color)
        return
    place = s.start(page) + 2 * (row * s.columns + column)
    if attribute is None:
        cells = bytearray(call.read(place, 2 * len(run)))
        cells[::2] = run
    else:
        cells = bytearray(2 * len(run))
        cells[::2], cells[1::2] = run, bytes([attribute]) * len(run)
    call.write(place, bytes(cells))


@service(0x0E)
def teletype(bios: Bios, call: Call) -> None:
    """Write AL at the cursor of the page that is shown; BL is its colour in graphics modes."""
    put_text(bios, call, bytes([call.al]), call.load(bda.PAGE, 8) & 7, None, call.bl)


@service(0x13)
def write_string(bios: Bios, call: Call) -> None:
    """Write CX characters at ES:BP to DH, DL on page BH.

    AL bit 0: the cursor moves; bit 1: each character is followed by its attribute.
    """
    page, place = call.bh & 7, call.linear(ES, call.bp)
    count, flags, s = call.cx, call.al, shown(call)
    before = s.cursors[page]
    row, column = (call.dh, call.dl) if call.dh != 0xFF else (before >> 8, before & 0xFF)
    move_cursor(bios, call, s, page, row, column)
    if flags & 2:
        cells = call.read(place, 2 * count)
        start = 0
        for end in range(1, count + 1):  # runs of one attribute
            if end == count or cells[2 * end + 1] != cells[2 * start + 1]:
                attribute = cells[2 * start + 1]
                put_text(bios, call, cells[2 * start : 2 * end : 2], page, attribute, attribute)
                start = end
    else:
        put_text(bios, call, call.read(place, count), page, call.bl, call.bl)
    if not flags & 1:
        move_cursor(bios, call, s, page, before >> 8, before & 0xFF)


@service(0x0F)
def get_mode(bios: Bios, call: Call) -> None:
    """AL: mode; AH: columns; BH: page."""
    number = call.load(bda.VIDEO_MODE, 8) | call.load(bda.VIDEO_CONTROL, 8) & 0x80
    call.ah, call.al, call.bh = call.load(bda.COLUMNS, 8), number, call.load(bda.PAGE, 8)


# -- what other files serve ------------------------------------------------------------------------
@service(0x0B, 0x10)
def colors(bios: Bios, call: Call) -> Result | None:
    """Palette and border."""
    from runtime.firmware.bios import colors as them

    if call.ah == 0x0B:
        them.set_cga(bios, call)
        return None
    return sub_services(them.SERVICES, bios, call)


@service(0x0C, 0x0D)
def pixels(bios: Bios, call: Call) -> None:
    """Write (0Ch) or read the pixel CX, DX of page BH: AL."""
    from runtime.firmware.bios import drawing

    if call.ah == 0x0C:
        drawing.write_pixel(bios, call, call.cx, call.dx, call.bh & 7, call.al)
    else:
        call.al = drawing.read_pixel(bios, call, call.cx, call.dx, call.bh & 7)


@service(0x11)
def fonts(bios: Bios, call: Call) -> Result | None:
    """Character generators."""
    from runtime.firmware.bios import fonts as them

    return sub_services(them.SERVICES, bios, call)


@service(0x12, 0x1A, 0x1B, 0x1C)
def state(bios: Bios, call: Call) -> Result | None:
    """Tell what adapter this is; save and restore its state."""
    from runtime.firmware.bios import videostate

    return videostate.FUNCTIONS[call.ah](bios, call)


@service(0x4F)
def extensions(bios: Bios, call: Call) -> Result | None:
    """VBE."""
    from runtime.firmware.bios import vbe

    return vbe.serve(bios, call)
