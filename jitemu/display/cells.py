"""Frame -> what a terminal shows: characters in two colours each, and the bytes that draw them."""

from __future__ import annotations

import numpy as np

from runtime.screen.codepage import shown
from runtime.screen.frame import Frame
from runtime.screen.render import cells, numbers_of_colours, render
from runtime.screen.screen import cursor_of

_POINTS = np.array([ord(c) for c in shown(bytes(range(256)))], np.uint32)
_HALF = ord("▀")
_RESET = "\x1b[0m"
# A cell: character, foreground and background as 0xRRGGBB.
CELL = np.dtype([("character", np.uint32), ("front", np.uint32), ("back", np.uint32)])


def picture(frame: Frame, rows: int, columns: int) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Return cells for at most rows x columns of a terminal, and where the cursor is."""
    if frame.is_text:
        return _text(frame, rows, columns)
    return _blocks(render(frame), rows, columns), None


def _packed(colours: np.ndarray) -> np.ndarray:
    """Turn ... x 3 bytes into numbers 0xRRGGBB."""
    wide = colours.astype(np.uint32)
    packed: np.ndarray = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return packed


def _text(frame: Frame, rows: int, columns: int) -> tuple[np.ndarray, tuple[int, int] | None]:
    codes, attributes, _ = cells(frame)
    found = np.zeros(codes.shape, CELL)
    palette = _packed(frame.palette)[numbers_of_colours(frame)]
    if not frame.is_on:
        palette = np.zeros_like(palette)
    back = attributes >> 4 & (7 if frame.attribute[0x10] & 8 else 15)
    found["character"] = _POINTS[codes]
    found["front"], found["back"] = palette[attributes & 15], palette[back]
    cursor = cursor_of(frame)
    top = 0  # of the part shown, if the terminal is too small: that with the cursor
    if cursor is not None and cursor.row >= rows:
        top = min(cursor.row - rows + 1, max(len(codes) - rows, 0))
    found = found[top : top + rows, :columns]
    if cursor is None or not cursor.is_visible or cursor.column >= columns:
        return found, None
    return found, (cursor.row - top, cursor.column)


def _blocks(pixels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Show pixels as half blocks, as large as fits with the proportions of a 4:3 display."""
    height = min(2 * rows, max(columns * 3 // 4, 2)) & ~1
    width = min(columns, max(height * 4 // 3, 1))
    across = (np.arange(width) * pixels.shape[1] + pixels.shape[1] // 2) // width
    down = (np.arange(height) * pixels.shape[0] + pixels.shape[0] // 2) // height
    colours = _packed(pixels[down[:, None], across])
    found = np.zeros((height // 2, width), CELL)
    found["character"], found["front"], found["back"] = _HALF, colours[::2], colours[1::2]
    return found


def _colour(number: int, layer: int, is_true: bool) -> str:
    """Select a colour; layer 38 is the front, 48 the back."""
    red, green, blue = number >> 16, number >> 8 & 0xFF, number & 0xFF
    if is_true:
        return f"{layer};2;{red};{green};{blue}"
    if red == green == blue:
        level = 16 if red < 4 else 231 if red > 246 else 232 + (red - 3) // 10
        return f"{layer};5;{level}"
    # The cube of 6 levels: 0, 95, 135, 175, 215, 255.
    r, g, b = (
        0 if part < 48 else 1 if part < 115 else (part - 35) // 40 for part in (red, green, blue)
    )
    return f"{layer};5;{16 + 36 * r + 6 * g + b}"


def draw(cells: np.ndarray, was: np.ndarray | None, *, is_true: bool) -> str:
    """Return what turns the terminal's picture *was* into another; None: it shows nothing."""
    parts: list[str] = []
    if was is None or was.shape != cells.shape:
        parts.append(f"{_RESET}\x1b[2J")
        changed = np.ones(cells.shape, bool)
    else:
        changed = cells != was
    front = back = -1
    for row in map(int, np.flatnonzero(changed.any(axis=1))):
        at = -2
        line = cells[row].tolist()
        for column in map(int, np.flatnonzero(changed[row])):
            character, new_front, new_back = line[column]
            if column != at:
                parts.append(f"\x1b[{row + 1};{column + 1}H")
            selections = []
            if new_front != front:
                selections.append(_colour(new_front, 38, is_true))
            if new_back != back:
                selections.append(_colour(new_back, 48, is_true))
            if selections:
                parts.append(f"\x1b[{';'.join(selections)}m")
                front, back = new_front, new_back
            parts.append(chr(character))
            at = column + 1
    if parts:
        parts.append(_RESET)
    return "".join(parts)
