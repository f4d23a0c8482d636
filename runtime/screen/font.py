"""The character generators of a display adapter's ROM: 256 glyphs each, a byte for a row."""

from __future__ import annotations

import functools

HEIGHTS = (8, 14, 16)


@functools.cache
def font(height: int) -> bytes:
    """Return the glyphs of 8, 14 or 16 rows; KeyError: there is no such height."""
    from runtime.screen.glyphs import GLYPHS

    column = {rows: i for i, rows in enumerate(HEIGHTS)}[height]
    return bytes.fromhex("".join(GLYPHS.split()[column::3]))
