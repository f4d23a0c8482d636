"""Make runtime/screen/glyphs.py: an 8x8, 8x14 and 8x16 font of code page 437, free of any ROM.

    apt-get download xfonts-base && dpkg-deb -x xfonts-base_*.deb x
    python -m tests.generate.fonts x/usr/share/fonts/X11/misc > runtime/screen/glyphs.py

Letters and signs are those of X.Org's 8x13B, 8x13 and 5x8 (font-misc-misc: public domain) and,
8 rows high, of Dale Schumacher's clB8x8; lines and blocks are computed here.
"""

from __future__ import annotations

import gzip
import struct
import sys
import unicodedata
from pathlib import Path

from runtime.screen.codepage import CP437

Glyph = list[int]  # rows of 8 bits
HEADER = '''"""Glyphs of code page 437: code -> rows of 8 pixels in hex, for 8, 14 and 16 rows.

Made by tests/generate/fonts.py from X.Org's 8x13B, 8x13 and 5x8 (public domain) and clB8x8:

Copyright 1989 Dale Schumacher.  Permission to use, copy, modify, and distribute this software and
its documentation for any purpose and without fee is hereby granted, provided that the above
copyright notice appear in all copies and that both that copyright notice and this permission
notice appear in supporting documentation, and that the name of Dale Schumacher not be used in
advertising or publicity pertaining to distribution of the software without specific, written prior
permission.  Dale Schumacher makes no representations about the suitability of this software for
any purpose.  It is provided "as is" without express or implied warranty.
"""

GLYPHS = """
'''


def read_pcf(path: Path) -> dict[int, Glyph]:
    """Return the glyphs of an X11 font (Portable Compiled Format), 8 pixels wide at most."""
    data = gzip.decompress(path.read_bytes())
    (count,) = struct.unpack_from("<I", data, 4)
    rows = [struct.unpack_from("<4I", data, 8 + 16 * i) for i in range(count)]
    tables = {kind: offset for kind, _, _, offset in rows}

    def table(kind: int) -> tuple[int, str, int]:
        (flags,) = struct.unpack_from("<I", data, tables[kind])
        return flags, ">" if flags & 4 else "<", tables[kind] + 4

    flags, order, at = table(4)  # metrics: left, right, width, ascent, descent
    if flags & 0x100:
        (count,) = struct.unpack_from(order + "H", data, at)
        metrics = [[b - 0x80 for b in data[at + 2 + 5 * i :][:5]] for i in range(count)]
    else:
        (count,) = struct.unpack_from(order + "I", data, at)
        metrics = [
            list(struct.unpack_from(order + "5h", data, at + 4 + 12 * i)) for i in range(count)
        ]
    flags, order, at = table(8)  # bitmaps
    offsets = struct.unpack_from(f"{order}{count}I", data, at + 4)
    bits, pad, is_msb = at + 4 + 4 * count + 16, 1 << (flags & 3), flags & 8
    _, order, at = table(2)  # accelerators
    ascent, descent = struct.unpack_from(order + "2i", data, at + 8)
    _, order, at = table(32)  # encodings
    first, last, high, top, _ = struct.unpack_from(order + "5H", data, at)
    codes = [row << 8 | column for row in range(high, top + 1) for column in range(first, last + 1)]
    numbers = struct.unpack_from(f"{order}{len(codes)}H", data, at + 10)
    found = {}
    for code, number in zip(codes, numbers, strict=True):
        if number == 0xFFFF:
            continue
        left, right, _, up, down = metrics[number]
        stride = -(-(right - left) // (8 * pad)) * pad
        glyph = []
        for y in range(up + down):
            byte = data[bits + offsets[number] + stride * y] if stride else 0
            byte = byte if is_msb else int(f"{byte:08b}"[::-1], 2)
            glyph.append(byte >> left if left >= 0 else byte << -left & 0xFF)
        found[code] = [0] * (ascent - up) + glyph + [0] * (descent - down)
    return found


def bold(glyph: Glyph) -> Glyph:
    """Make strokes two pixels wide."""
    return [row | row >> 1 for row in glyph]


# -- lines and blocks ------------------------------------------------------------------------------
def arms(character: str) -> dict[str, int] | None:
    """Return how many lines go up, down, left and right in a box drawing character."""
    name = unicodedata.name(character, "")
    if not name.startswith("BOX DRAWINGS "):
        return None
    found: dict[str, int] = {}
    words = name.removeprefix("BOX DRAWINGS ").split()
    if words[0] in ("LIGHT", "DOUBLE"):
        kind = 1 if words[0] == "LIGHT" else 2
        pairs = [(word, kind) for word in words[1:] if word != "AND"]
    else:  # "VERTICAL SINGLE AND LEFT DOUBLE"
        words = [word for word in words if word != "AND"]
        pairs = [(words[i], 1 if words[i + 1] == "SINGLE" else 2) for i in (0, 2)]
    for word, lines in pairs:
        for arm in {"VERTICAL": ("UP", "DOWN"), "HORIZONTAL": ("LEFT", "RIGHT")}.get(word, (word,)):
            found[arm] = lines
    return found


def box(found: dict[str, int], height: int) -> Glyph:
    """Draw a box drawing character: each arm from its edge to the lines that it meets."""
    middle = (height - 1) // 2
    columns = {1: [(3, 4)], 2: [(1, 2), (5, 6)]}
    rows = {1: [(middle, middle)], 2: [(middle - 1, middle - 1), (middle + 1, middle + 1)]}
    canvas = [[0] * 8 for _ in range(height)]
    across = {"UP": "LEFT RIGHT", "DOWN": "LEFT RIGHT", "LEFT": "UP DOWN", "RIGHT": "UP DOWN"}
    opposite = {"UP": "DOWN", "DOWN": "UP", "LEFT": "RIGHT", "RIGHT": "LEFT"}
    for arm, count in found.items():
        is_vertical = arm in ("UP", "DOWN")
        own, others = (columns, rows) if is_vertical else (rows, columns)
        sides = across[arm].split()
        crossing = max(found.get(side, 0) for side in sides)
        lines = others[crossing or 1]
        for i, (low, high) in enumerate(own[count]):
            if count == 2:
                is_far = not found.get(sides[i])  # no arm at this side: go round the corner
            else:
                is_far = opposite[arm] in found or not all(found.get(side) for side in sides)
            if arm in ("UP", "LEFT"):
                start, end = 0, lines[-1 if is_far else 0][1]
            else:
                start, end = lines[0 if is_far else -1][0], (height if is_vertical else 8) - 1
            for along in range(start, end + 1):
                for beside in range(low, high + 1):
                    if is_vertical:
                        canvas[along][beside] = 1
                    else:
                        canvas[beside][along] = 1
    return [int("".join(map(str, row)), 2) for row in canvas]


def block(character: str, height: int) -> Glyph | None:
    """Draw shades and halves."""
    half = height // 2
    halves = {
        "█": [0xFF] * height,
        "▄": [0] * half + [0xFF] * (height - half),
        "▀": [0xFF] * half + [0] * (height - half),
        "▌": [0xF0] * height,
        "▐": [0x0F] * height,
        "░": [0x22, 0x88] * half,
        "▒": [0x55, 0xAA] * half,
        "▓": [0xDD, 0x77] * half,
    }
    return halves.get(character)


# -- the fonts -------------------------------------------------------------------------------------
class Sources:
    """The fonts that glyphs are taken from."""

    def __init__(self, folder: Path) -> None:
        names = ("8x13B", "8x13", "5x8", "clB8x8")
        self.large_bold, self.large, self.tiny, self.small = (
            read_pcf(folder / f"{name}.pcf.gz") for name in names
        )

    def glyph(self, character: str, height: int) -> Glyph:
        """Return a character's rows."""
        if character in "\0 \xa0":
            return [0] * height
        found = arms(character)
        if found is not None:
            return box(found, height)
        drawn = block(character, height)
        if drawn is not None:
            return drawn
        return self._small(character) if height == 8 else self._large(character, height)

    def _large(self, character: str, height: int) -> Glyph:
        code = ord(character)
        rows = self.large_bold.get(code)
        if rows is None or not any(rows):
            is_filled = character in "♥♦♣♠•◘◙►◄▲▼▬■∙☻"
            rows = self.large[code] if is_filled else bold(self.large[code])
        if character in "⌠⌡":  # they meet
            rows = [rows[0]] * (character == "⌡") + rows + [rows[-1]] * (character == "⌠")
        above = (height - 13 + 1) // 2
        return ([0] * above + rows + [0] * height)[:height]

    def _small(self, character: str) -> Glyph:
        code = ord(character)
        if code < 0x7F and character in map(chr, range(0x21, 0x7F)):
            return self.small[code]
        tiny = [row >> 1 for row in self.tiny[code]]
        parts = unicodedata.normalize("NFD", character)
        if len(parts) == 2 and parts[0].islower() and parts[0] in map(chr, range(0x61, 0x7B)):
            letter = list(self.small[ord(parts[0])])
            if parts[0] == "c":
                return [*letter[:7], 0x18]
            letter[0:2] = [bold(tiny)[0], bold(tiny)[1]]
            return letter
        return tiny if character in "♥♦♣♠•◘◙►◄▲▼▬■∙☻☺" else bold(tiny)


def main() -> None:
    """Print the module."""
    sources = Sources(Path(sys.argv[1]))
    print(HEADER, end="")
    for character in CP437:
        print(*(bytes(sources.glyph(character, height)).hex() for height in (8, 14, 16)))
    print('"""')


if __name__ == "__main__":
    main()
