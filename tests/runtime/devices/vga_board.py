"""A VGA on a bare bus, standard modes by IBM's parameter tables, and accesses as a guest's."""

from __future__ import annotations

import numpy as np

from runtime.bus import Bus
from runtime.clock import Clock
from runtime.devices.vga import Vga
from runtime.screen.font import font
from runtime.system.physical import Physical

_TEXT_COLOURS = "00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f"
_TIMES_80 = "5f 4f 50 82 55 81 bf 1f"
_TIMES_80_PLANAR = "5f 4f 50 82 54 80 bf 1f"
_TIMES_40 = "2d 27 28 90 2b 80 bf 1f"
_NONE = "00 00 00 00 00 00"
# mode -> miscellaneous output; sequencer 1 to 4; CRT controller; attribute; graphics
# (IBM, Personal System/2 and PC BIOS Interface Technical Reference, parameter table)
MODES = {
    0x01: (
        "67", "08 03 00 02",
        "2d 27 28 90 2b a0 bf 1f 00 4f 0d 0e 00 00 00 00 9c 8e 8f 14 1f 96 b9 a3 ff",
        f"{_TEXT_COLOURS} 0c 00 0f 08", "00 00 00 00 00 10 0e 00 ff",
    ),
    0x03: (
        "67", "00 03 00 02",
        f"{_TIMES_80} 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 1f 96 b9 a3 ff",
        f"{_TEXT_COLOURS} 0c 00 0f 08", "00 00 00 00 00 10 0e 00 ff",
    ),
    0x04: (
        "63", "09 03 00 02",
        f"{_TIMES_40} 00 c1 {_NONE} 9c 8e 8f 14 00 96 b9 a2 ff",
        "00 13 15 17 02 04 06 07 10 11 12 13 14 15 16 17 01 00 03 00",
        "00 00 00 00 00 30 0f 0f ff",
    ),
    0x06: (
        "63", "01 01 00 06",
        f"{_TIMES_80_PLANAR} 00 c1 {_NONE} 9c 8e 8f 28 00 96 b9 c2 ff",
        "00 17 17 17 17 17 17 17 17 17 17 17 17 17 17 17 01 00 01 00",
        "00 00 00 00 00 00 0d 0f ff",
    ),
    0x07: (
        "66", "00 03 00 02",
        f"{_TIMES_80} 00 4f 0d 0e 00 00 00 00 9c 8e 8f 28 0d 96 b9 a3 ff",
        "00 08 08 08 08 08 08 08 10 18 18 18 18 18 18 18 0e 00 0f 08",
        "00 00 00 00 00 10 0a 00 ff",
    ),
    0x0D: (
        "63", "09 0f 00 06",
        f"{_TIMES_40} 00 c0 {_NONE} 9c 8e 8f 14 00 96 b9 e3 ff",
        "00 01 02 03 04 05 06 07 10 11 12 13 14 15 16 17 01 00 0f 00",
        "00 00 00 00 00 00 05 0f ff",
    ),
    0x12: (
        "e3", "01 0f 00 06",
        f"5f 4f 50 82 54 80 0b 3e 00 40 {_NONE} ea 8c df 28 00 e7 04 e3 ff",
        f"{_TEXT_COLOURS} 01 00 0f 00", "00 00 00 00 00 00 05 0f ff",
    ),
    0x13: (
        "63", "01 0f 00 0e",
        f"{_TIMES_80_PLANAR} 00 41 {_NONE} 9c 8e 8f 28 40 96 b9 a3 ff",
        "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 41 00 0f 00",
        "00 00 00 00 00 40 05 0f ff",
    ),
}  # fmt: skip


class Still:
    """A time that only tests move."""

    ns = 0

    def now(self) -> int:
        """Return what was set."""
        return self.ns


class Board:
    """The adapter, and what a guest does with it."""

    def __init__(self, memory: int = 4 << 20, span: int = 16 << 20, home: int = 8 << 20) -> None:
        self.time = Still()
        self.physical = Physical(1 << 20, span)
        self.bus = Bus(self.physical)
        self.vga = Vga(self.bus, Clock(self.time), memory, home)

    def out(self, port: int, index: int, value: int) -> None:
        """Write a register behind an index port, with one access."""
        self.bus.port_out(port, index | value << 8, 2)

    def attribute(self, index: int, value: int) -> None:
        self.bus.port_in(0x3DA if self.vga.misc & 1 else 0x3BA, 1)
        self.bus.port_out(0x3C0, index | 0x20 if index > 15 else index, 1)
        self.bus.port_out(0x3C0, value, 1)
        self.bus.port_out(0x3C0, 0x20, 1)

    def dispi(self, index: int, value: int) -> None:
        self.bus.port_out(0x1CE, index, 2)
        self.bus.port_out(0x1CF, value, 2)

    def poke(self, address: int, data: bytes) -> None:
        """Write bytes one by one, each where it is then: RAM or a callback."""
        for i, byte in enumerate(data):
            self.physical.store(address + i, byte, 8)

    def peek(self, address: int) -> int:
        return self.physical.load(address, 8)

    def set_mode(self, mode: int) -> None:
        """Do what a BIOS does; colours n of the palette are (n, 2n, 63 - n) mod 64."""
        misc, sequencer, crtc, attribute, graphics = MODES[mode]
        self.bus.port_out(0x3C2, int(misc, 16), 1)
        for index, value in enumerate(bytes.fromhex(sequencer), 1):
            self.out(0x3C4, index, value)
        base = 0x3D4 if int(misc, 16) & 1 else 0x3B4
        self.out(base, 0x11, 0)
        for index, value in enumerate(bytes.fromhex(crtc)):
            self.out(base, index, value)
        for index, value in enumerate(bytes.fromhex(graphics)):
            self.out(0x3CE, index, value)
        for index, value in enumerate(bytes.fromhex(attribute)):
            self.attribute(index, value)
        self.bus.port_out(0x3C6, 0xFF, 1)
        self.bus.port_out(0x3C8, 0, 1)
        for n in range(256):
            for part in (n, 2 * n, 63 - n):
                self.bus.port_out(0x3C9, part & 63, 1)
        if mode < 4 or mode == 7:
            self.load_font(16)

    def load_font(self, height: int, start: int = 0) -> None:
        """Put a font into plane 2, as INT 10h AH=11h does."""
        saved = [(0x3C4, 2, 3), (0x3C4, 4, 2), (0x3CE, 5, 0x10), (0x3CE, 6, self.vga.graphics[6])]
        for port, index, value in [(0x3C4, 2, 4), (0x3C4, 4, 6), (0x3CE, 4, 2), (0x3CE, 5, 0)]:
            self.out(port, index, value)
        self.out(0x3CE, 6, 4)
        glyphs = font(height)
        for code in range(256):
            glyph = glyphs[code * height : (code + 1) * height]
            self.poke(0xA0000 + start + 32 * code, glyph)
        for port, index, value in [*saved, (0x3CE, 4, 0)]:
            self.out(port, index, value)

    def colour(self, n: int) -> list[int]:
        """Return what colour n of the palette is on the display."""
        return [p << 2 | p >> 4 for p in (n & 63, 2 * n & 63, 63 - n & 63)]

    def numbers(self, pixels: np.ndarray) -> np.ndarray:
        """Return the numbers in the palette of pixels, by their first two parts (n < 64)."""
        return pixels[..., 0] >> 2
