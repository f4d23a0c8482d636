"""The colours that modes begin with: 256 entries of three 6-bit parts."""

from __future__ import annotations

import functools

_GRAYS = bytes.fromhex("00 05 08 0b 0e 11 14 18 1c 20 24 28 2d 32 38 3f")
# For each intensity and saturation, the five levels that a part goes through round the wheel.
_WHEELS = (
    (0x00, 0x10, 0x1F, 0x2F, 0x3F),
    (0x1F, 0x27, 0x2F, 0x37, 0x3F),
    (0x2D, 0x31, 0x36, 0x3A, 0x3F),
    (0x00, 0x07, 0x0E, 0x15, 0x1C),
    (0x0E, 0x11, 0x15, 0x18, 0x1C),
    (0x14, 0x16, 0x18, 0x1A, 0x1C),
    (0x00, 0x04, 0x08, 0x0C, 0x10),
    (0x08, 0x0A, 0x0C, 0x0E, 0x10),
    (0x0B, 0x0C, 0x0D, 0x0F, 0x10),
)


def _ega(index: int) -> bytes:
    """Six bits: red, green, blue a third; red, green, blue two thirds."""
    return bytes(0x2A * (index >> bit & 1) + 0x15 * (index >> bit + 3 & 1) for bit in (2, 1, 0))


def _cga(index: int) -> bytes:
    """Four colour bits, of which intensity is bit 4; dark yellow is brown."""
    bright = 0x15 if index & 0x10 else 0
    parts = [0x2A * (index >> bit & 1) + bright for bit in (2, 1, 0)]
    if index & 0x17 == 6:
        parts[1] = 0x15
    return bytes(parts)


def _mono(index: int) -> bytes:
    level = {0: 0, 8: 0x2A, 0x10: 0, 0x18: 0x3F}[index & 0x18]
    return bytes([level] * 3)


def _wheel(levels: tuple[int, ...]) -> bytes:
    """24 colours: blue, magenta, red, yellow, green, cyan, and back."""
    low, high, out = levels[0], levels[-1], []
    red, green, blue = low, low, high
    for part, rising in ((0, True), (2, False), (1, True), (0, False), (2, True), (1, False)):
        for step in range(4):
            out.append((red, green, blue))
            value = levels[step + 1] if rising else levels[3 - step]
            red, green, blue = (
                value if part == i else old for i, old in enumerate((red, green, blue))
            )
    return bytes(value for color in out for value in color)


@functools.cache
def palette(name: str) -> bytes:
    """Return the palette "ega", "cga", "mono" or "vga"."""
    if name == "vga":
        basic = b"".join(_cga(i & 7 | (i & 8) << 1) for i in range(16))
        grays = b"".join(bytes([level] * 3) for level in _GRAYS)
        return (basic + grays + b"".join(map(_wheel, _WHEELS))).ljust(768, b"\0")
    entry = {"ega": _ega, "cga": _cga, "mono": _mono}[name]
    return b"".join(entry(i) for i in range(64)).ljust(768, b"\0")


def grays(colors: bytes) -> bytes:
    """Return colours of three bytes each as grays that are as bright."""
    new = bytearray()
    for red, green, blue in zip(colors[::3], colors[1::3], colors[2::3], strict=True):
        new += bytes([min(63, (red * 77 + green * 151 + blue * 28 + 128) >> 8)] * 3)
    return bytes(new)
