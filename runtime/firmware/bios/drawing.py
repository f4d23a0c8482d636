"""Characters and pixels in graphics modes: rectangles of colours out of memory and into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from runtime.firmware.bios import bda, vbe
from runtime.firmware.bios.modes import MODES, VideoMode
from runtime.firmware.call import Call

if TYPE_CHECKING:
    from runtime.devices.vga import Vga
    from runtime.firmware.bios.bios import Bios
    from runtime.firmware.bios.int10 import Shown

_XOR = 0x80  # in a colour: invert what is there


class Surface(Protocol):
    """What is drawn on: colours as numbers in arrays, a row for each line."""

    width: int
    height: int

    def get(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return a copy of a rectangle."""
        ...

    def put(self, x: int, y: int, colors: np.ndarray) -> None:
        """Draw a rectangle."""
        ...


class Linear256:
    """Mode 13h: a byte for a pixel at A0000h."""

    width, height = 320, 200

    def __init__(self, call: Call) -> None:
        self.call = call

    def get(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return a copy of a rectangle."""
        data = self.call.read(0xA0000 + y * 320, height * 320)
        return np.frombuffer(data, np.uint8).reshape(height, 320)[:, x : x + width].copy()

    def put(self, x: int, y: int, colors: np.ndarray) -> None:
        """Draw a rectangle."""
        for i, line in enumerate(colors.astype(np.uint8)):
            self.call.write(0xA0000 + (y + i) * 320 + x, line.tobytes())


class Cga:
    """Modes 4 to 6: even and odd lines in halves of 16 KiB at B8000h, one or two bits a pixel."""

    height = 200

    def __init__(self, call: Call, bits: int) -> None:
        self.call, self.bits = call, bits
        self.each = 8 // bits
        self.width = 80 * self.each

    def _place(self, y: int) -> int:
        return 0xB8000 + (y >> 1) * 80 + (y & 1) * 0x2000

    def _line(self, y: int) -> np.ndarray:
        data = np.frombuffer(self.call.read(self._place(y), 80), np.uint8)
        bits = np.unpackbits(data).reshape(-1, self.bits)
        return bits[:, 0] if self.bits == 1 else bits[:, 0] << 1 | bits[:, 1]

    def get(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return a copy of a rectangle."""
        return np.array([self._line(y + i)[x : x + width] for i in range(height)])

    def put(self, x: int, y: int, colors: np.ndarray) -> None:
        """Draw a rectangle."""
        for i, part in enumerate(colors.astype(np.uint8)):
            line = self._line(y + i)
            line[x : x + len(part)] = part & (1 << self.bits) - 1
            if self.bits == 2:
                line = np.column_stack((line >> 1, line & 1)).reshape(-1)
            self.call.write(self._place(y + i), np.packbits(line).tobytes())


class Planar:
    """Sixteen colours in four planes of the adapter."""

    def __init__(self, vga: Vga, width: int, height: int, start: int = 0) -> None:
        vga.memory.sync()
        self.width, self.height, self.start, self.pitch = width, height, start, width // 8
        self.bytes = vga.memory.bytes

    def _rows(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return a view of the bytes that a rectangle touches: lines, bytes, planes."""
        at = self.start + y * self.pitch
        lines = self.bytes[at : at + height * self.pitch].reshape(height, self.pitch, 4)
        return lines[:, x // 8 : (x + width + 7) // 8]

    def get(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return a copy of a rectangle."""
        bits = np.unpackbits(self._rows(x, y, width, height), axis=1)  # lines, pixels, planes
        return (bits @ np.array([1, 2, 4, 8], np.uint8))[:, x % 8 : x % 8 + width]

    def put(self, x: int, y: int, colors: np.ndarray) -> None:
        """Draw a rectangle."""
        height, width = colors.shape
        rows = self._rows(x, y, width, height)
        bits = np.unpackbits(rows, axis=1)
        for plane in range(4):
            bits[:, x % 8 : x % 8 + width, plane] = colors >> plane & 1
        rows[...] = np.packbits(bits, axis=1)


class Packed:
    """A VBE mode of one to four bytes a pixel."""

    def __init__(self, vga: Vga, width: int, height: int, pitch: int, size: int) -> None:
        self.width, self.height, self.pitch, self.size = width, height, pitch, size
        vga.memory.sync()
        self.linear = vga.linear

    def _rows(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        lines = self.linear[y * self.pitch : (y + height) * self.pitch].reshape(height, self.pitch)
        return lines[:, x * self.size : (x + width) * self.size]

    def get(self, x: int, y: int, width: int, height: int) -> np.ndarray:
        """Return a copy of a rectangle."""
        parts = self._rows(x, y, width, height).reshape(height, width, self.size)
        colors = np.zeros((height, width), np.uint32)
        for i in range(self.size):
            colors |= parts[:, :, i].astype(np.uint32) << 8 * i
        return colors

    def put(self, x: int, y: int, colors: np.ndarray) -> None:
        """Draw a rectangle."""
        height, width = colors.shape
        parts = [(colors >> 8 * i & 0xFF).astype(np.uint8) for i in range(self.size)]
        self._rows(x, y, width, height)[...] = np.dstack(parts).reshape(height, -1)


def surface(bios: Bios, call: Call, page: int) -> Surface | None:
    """Return what the mode that is set draws on; None where nothing can be drawn."""
    mode = vbe.current(bios)
    if mode is not None and bios.vga is not None:
        if mode.depth == 4:
            return Planar(bios.vga, mode.width, mode.height)
        return Packed(bios.vga, mode.width, mode.height, vbe.pitch(bios), (mode.depth + 7) // 8)
    found: VideoMode | None = MODES.get(call.load(bda.VIDEO_MODE, 8) & 0x7F)
    if found is None or found.kind == "text":
        return None
    if found.kind == "linear":
        return Linear256(call)
    if found.kind == "cga":
        return Cga(call, 1 if found.colors == 2 else 2)
    if bios.vga is None:
        return None
    start = (page * found.page_size) & 0xFFFF
    return Planar(bios.vga, found.width, found.lines, start if start + 0x2000 <= 0x10000 else 0)


# -- pixels ----------------------------------------------------------------------------------------
def write_pixel(bios: Bios, call: Call, x: int, y: int, page: int, color: int) -> None:
    """Draw a pixel, or invert it (bit 7 of the colour, but in modes of 256 colours)."""
    on = surface(bios, call, page)
    if on is None or x >= on.width or y >= on.height:
        return
    if color & _XOR and not isinstance(on, Linear256 | Packed):
        color = int(on.get(x, y, 1, 1)[0, 0]) ^ color & 0x7F
    on.put(x, y, np.array([[color]], np.uint32))


def read_pixel(bios: Bios, call: Call, x: int, y: int, page: int) -> int:
    """Return the colour of a pixel; 0 outside."""
    on = surface(bios, call, page)
    if on is None or x >= on.width or y >= on.height:
        return 0
    return int(on.get(x, y, 1, 1)[0, 0]) & 0xFF


# -- characters ------------------------------------------------------------------------------------
def _glyphs(call: Call, s: Shown, run: bytes) -> np.ndarray:
    """Return the pixels of characters beside each other: 1 and 0."""
    height = min(s.height, 32)
    place = call.load(4 * 0x43, 32)
    base = (place >> 16 << 4) + (place & 0xFFFF)
    is_cga = s.mode in (4, 5, 6)
    rows = {}
    for value in set(run):
        start = base + value * height
        if is_cga and value >= 0x80:
            upper = call.load(4 * 0x1F, 32)
            start = (upper >> 16 << 4) + (upper & 0xFFFF) + (value - 0x80) * 8
        rows[value] = np.frombuffer(call.read(start, height), np.uint8)
    cells = np.column_stack([rows[value] for value in run])
    return np.unpackbits(cells, axis=1)


def write(
    bios: Bios, call: Call, s: Shown, page: int, row: int, column: int, run: bytes, color: int
) -> None:
    """Draw characters in a row, and what does not fit there in the next ones.

    *page* is the background colour in mode 13h.
    """
    on = surface(bios, call, 0 if s.mode == 0x13 else page)
    if on is None:
        return
    background = page if s.mode == 0x13 else 0
    columns = on.width // 8
    while run and column < columns and (row + 1) * s.height <= on.height:
        part, run = run[: columns - column], run[columns - column :]
        pixels = _glyphs(call, s, part).astype(np.uint32)
        x, y = column * 8, row * s.height
        if color & _XOR and not isinstance(on, Linear256 | Packed):
            here = on.get(x, y, pixels.shape[1], pixels.shape[0])
            on.put(x, y, here ^ pixels * (color & 0x7F))
        else:
            on.put(x, y, np.where(pixels, color, background).astype(np.uint32))
        row, column = row + 1, 0


def read_character(bios: Bios, call: Call, s: Shown, page: int, row: int, column: int) -> int:
    """Return the character that looks like what is there; 0 if none does."""
    on = surface(bios, call, page)
    x, y = column * 8, row * s.height
    if on is None or x + 8 > on.width or y + s.height > on.height:
        return 0
    here = np.packbits(on.get(x, y, 8, s.height) != 0, axis=1).tobytes()
    place = call.load(4 * 0x43, 32)
    font = call.read((place >> 16 << 4) + (place & 0xFFFF), 128 * s.height)
    for value in range(128):
        if font[value * s.height : (value + 1) * s.height] == here:
            return value
    return 0


def scroll(
    bios: Bios,
    call: Call,
    s: Shown,
    page: int,
    window: tuple[int, int, int, int],
    lines: int,
    color: int,
) -> None:
    """Move a window of character cells up by some rows, down if negative."""
    on = surface(bios, call, page)
    if on is None:
        return
    top, left, bottom, right = window
    x, y = left * 8, top * s.height
    width, height = (right - left + 1) * 8, (bottom - top + 1) * s.height
    if x + width > on.width or y >= on.height:
        return
    height = min(height, on.height - y)
    shift = min(abs(lines) * s.height, height)
    blank = np.full((shift, width), color, np.uint32)
    if shift == height:
        on.put(x, y, blank)
        return
    if lines > 0:
        kept = on.get(x, y + shift, width, height - shift)
        on.put(x, y, np.vstack((kept, blank)))
    else:
        kept = on.get(x, y, width, height - shift)
        on.put(x, y, np.vstack((blank, kept)))
