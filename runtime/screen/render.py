"""Frame -> pixels: an array of rows x columns x 3 bytes (red, green, blue).

A pixel is one of the guest's: 320x200 in mode 13h, whose dots and lines the adapter doubles on its
way to the display.  Registers: see runtime/devices/vga.py.
"""

from __future__ import annotations

import numpy as np

from runtime.screen.frame import Frame, Mode

_LARGEST = 4096  # pixels in a row that registers may ask for, and lines
_CURSOR_PERIOD, _BLINK_PERIOD = 457_000_000, 914_000_000  # ns: 32 and 64 frames at 70 Hz
_FONTS = (0x0000, 0x4000, 0x8000, 0xC000, 0x2000, 0x6000, 0xA000, 0xE000)
_WIDENED_5 = (np.arange(32) << 3 | np.arange(32) >> 2).astype(np.uint8)
_WIDENED_6 = (np.arange(64) << 2 | np.arange(64) >> 4).astype(np.uint8)


def render(frame: Frame, *, blinks: bool = False) -> np.ndarray:
    """Draw a frame; without *blinks*, cursor and blinking text are there at any time."""
    if frame.mode is not None and frame.mode.depth > 4:
        return _packed(frame, frame.mode)
    if frame.is_text:
        pixels = _text(frame, blinks)
    else:
        pixels = _graphics(frame) if frame.mode is None else _planar_mode(frame, frame.mode)
    if not frame.is_on:
        return np.zeros((*pixels.shape, 3), np.uint8)
    return _take(frame.palette, pixels)


def _take(palette: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Replace numbers by colours; faster than indexing by rows of three."""
    words = np.zeros((len(palette), 4), np.uint8)
    words[:, :3] = palette
    wide = words.view(np.uint32).ravel()[pixels]
    return np.ascontiguousarray(wide.view(np.uint8).reshape(*pixels.shape, 4)[..., :3])


# -- modes of the Bochs interface ------------------------------------------------------------------
def _packed(frame: Frame, mode: Mode) -> np.ndarray:
    size = (mode.depth + 7) // 8
    memory = frame.linear
    assert memory is not None
    missing = mode.pitch * mode.height - len(memory)
    if missing > 0:  # the last line begins behind the left edge
        memory = np.concatenate((memory, np.zeros(missing, np.uint8)))
    lines = memory[: mode.pitch * mode.height].reshape(mode.height, mode.pitch)
    lines = lines[:, : mode.width * size]
    if mode.depth == 8:
        return _take(frame.palette, lines)
    if size > 2:
        return np.ascontiguousarray(lines.reshape(mode.height, mode.width, size)[..., 2::-1])
    words = np.ascontiguousarray(lines).view(np.uint16)
    found = np.empty((mode.height, mode.width, 3), np.uint8)
    green, top = (5, 10) if mode.depth == 15 else (6, 11)
    found[..., 0] = _WIDENED_5[words >> top & 31]
    found[..., 1] = (_WIDENED_6 if green == 6 else _WIDENED_5)[words >> 5 & (1 << green) - 1]
    found[..., 2] = _WIDENED_5[words & 31]
    return found


def _planar_mode(frame: Frame, mode: Mode) -> np.ndarray:
    rows = mode.start + np.arange(mode.height) * mode.pitch
    places = rows[:, None] + np.arange(mode.width // 8)
    return _looked_up(
        numbers_of_colours(frame), _sixteen(frame.planes[places & len(frame.planes) - 1])
    )


# -- graphics --------------------------------------------------------------------------------------
def numbers_of_colours(frame: Frame) -> np.ndarray:
    """Return what the attribute controller makes of 16 colours: numbers of the palette."""
    attribute = frame.attribute
    found = np.frombuffer(attribute, np.uint8, 16) & 0x3F
    select = attribute[0x14]
    if attribute[0x10] & 0x80:
        found = found & 0x0F | (select & 3) << 4
    found = found | (select & 0x0C) << 4
    return _looked_up(found, np.arange(16) & attribute[0x12] & 15)


def _looked_up(table: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    found: np.ndarray = table[numbers]
    return found


def _spread(shift: int, count: int) -> np.ndarray:
    """Return what a byte of a plane is as pixels: words of *count* bytes, left to right."""
    bits = 8 // count
    table = np.arange(256)[:, None] >> np.arange(8 - bits, -1, -bits) & (1 << bits) - 1
    pixels: np.ndarray = (table << shift).astype(np.uint8)
    return pixels.view(np.uint64 if count == 8 else np.uint32).ravel()


_EIGHT = [_spread(plane, 8) for plane in range(4)]
_FOUR = [_spread(0, 4), _spread(2, 4)]


def _sixteen(groups: np.ndarray) -> np.ndarray:
    """Turn rows x groups x 4 planes into rows x pixels of 4 bits, 8 a group."""
    words: np.ndarray = _EIGHT[0][groups[..., 0]]
    for plane in (1, 2, 3):
        words |= _EIGHT[plane][groups[..., plane]]
    return words.view(np.uint8)


def _four(groups: np.ndarray) -> np.ndarray:
    """Turn groups into pixels as a CGA has them: 2 bits side by side, planes 2 and 3 above."""
    words = np.empty((*groups.shape[:2], 2), np.uint32)
    for half in (0, 1):
        words[..., half] = _FOUR[0][groups[..., half]] | _FOUR[1][groups[..., half + 2]]
    return words.reshape(len(groups), -1).view(np.uint8)


def _graphics(frame: Frame) -> np.ndarray:
    """Draw modes of the VGA; numbers of the palette."""
    crtc, attribute = frame.crtc, frame.attribute
    is_packed = bool(frame.graphics[5] & 0x40)
    columns = min(frame.columns, _LARGEST // 8)
    height = frame.cell_height
    interleaves = crtc[0x17] & 3 != 3  # lines of a row are at different places
    repeats = frame.doubling * (1 if interleaves else height)
    count = min(-(-frame.lines // repeats), _LARGEST)
    scans = np.arange(count)
    first = -(-(frame.split + 1) // repeats)  # of the lower part of a split screen
    lower = scans >= first
    skipped = (crtc[8] & 31) // (1 if interleaves else height)  # preset row scan
    within = np.where(lower, scans - first, scans + skipped)
    in_row = height if interleaves else 1
    row, scan = within // in_row, within % in_row
    start = np.where(lower, 0, frame.start + (crtc[8] >> 5 & 3))
    counters = (start + row * frame.pitch)[:, None] + np.arange(columns + 1)
    places = np.empty_like(counters)
    for line in range(min(in_row, 4)):
        here = scan % 4 == line
        places[here] = frame.addresses(counters[here], line)
    groups = frame.planes[places]
    if is_packed:
        pixels, width, unit = groups.reshape(count, -1), 4 * columns, 2
    else:
        pixels = _four(groups) if frame.graphics[5] & 0x20 else _sixteen(groups)
        pixels, width, unit = _looked_up(numbers_of_colours(frame), pixels), 8 * columns, 1
    pan = (attribute[0x13] & 7) // unit
    shown: np.ndarray = pixels[:, :width]
    if pan:
        stays = lower if attribute[0x10] & 0x20 else np.zeros(count, bool)
        shown = np.where(stays[:, None], shown, pixels[:, pan : pan + width])
    return shown


# -- text ------------------------------------------------------------------------------------------
def _glyphs(frame: Frame, width: int) -> np.ndarray:
    """Return two fonts as drawn bits: font x code x row x column."""
    select, height = frame.sequencer[3], frame.cell_height
    fonts = [select >> 2 & 3 | select >> 3 & 4, select & 3 | select >> 2 & 4]
    plane = frame.planes[:, 2]
    found = []
    for number in (fonts[1], fonts[0]):  # attribute bit 3 clear: map B, set: map A
        start = _FONTS[number]
        rows = plane[start : start + 256 * 32].reshape(256, 32)[:, :height]
        bits = np.unpackbits(rows, axis=1).reshape(256, height, 8)
        if width == 9:
            ninth = np.zeros((256, height, 1), np.uint8)
            if frame.attribute[0x10] & 4:  # lines of C0 to DF reach their neighbours
                ninth[0xC0:0xE0] = bits[0xC0:0xE0, :, 7:]
            bits = np.concatenate((bits, ninth), axis=2)
        found.append(bits)
    return np.array(found)


def cells(frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes and attributes of the characters shown, rows x columns, and their addresses."""
    first_lower = -(-(frame.split + 1) // (frame.cell_height * frame.doubling))
    rows = np.arange(frame.rows)
    lower = rows >= first_lower
    start = np.where(lower, 0, frame.start + (frame.crtc[8] >> 5 & 3))
    row = np.where(lower, rows - first_lower, rows)
    counters = (start + row * frame.pitch)[:, None] + np.arange(frame.columns)
    places = frame.addresses(counters)
    memory = frame.planes[places]
    return memory[..., 0], memory[..., 1], counters & 0xFFFF


def _text(frame: Frame, blinks: bool) -> np.ndarray:
    """Draw characters; numbers of the palette."""
    width = 8 if frame.sequencer[1] & 1 else 9
    height, attribute = frame.cell_height, frame.attribute
    codes, attributes, counters = cells(frame)
    glyphs = _glyphs(frame, width)
    has_two = frame.sequencer[3] >> 2 & 3 | frame.sequencer[3] >> 3 & 4 != (
        frame.sequencer[3] & 3 | frame.sequencer[3] >> 2 & 4
    )
    upper = attributes >> 3 & 1 if has_two else np.zeros_like(attributes)
    bits = glyphs[upper, codes]  # rows x columns x height x width
    foreground, background = attributes & 15, attributes >> 4
    if attribute[0x10] & 8:  # bit 7 is for blinking
        is_hidden = blinks and frame.when % _BLINK_PERIOD >= _BLINK_PERIOD // 2
        if is_hidden:
            bits[background >= 8] = 0
        background = background & 7
    line = frame.crtc[0x14] & 31
    if line < height:
        underlined = (attributes & 0x77) == 1
        if underlined.any():
            bits[underlined, line] = 1
    _draw_cursor(frame, counters, bits, blinks)
    colours = numbers_of_colours(frame)
    foreground, background = colours[foreground], colours[background]
    pixels = np.where(bits, foreground[..., None, None], background[..., None, None])
    pixels = pixels.transpose(0, 2, 1, 3).reshape(len(codes) * height, -1)
    return _scrolled(frame, pixels)


def _scrolled(frame: Frame, pixels: np.ndarray) -> np.ndarray:
    """Cut to the lines displayed, behind those that smooth scrolling skips."""
    count = min(-(-frame.lines // frame.doubling), _LARGEST)
    pixels = pixels[:, :_LARGEST]
    skipped = min(frame.crtc[8] & 31, frame.cell_height - 1)
    if skipped and frame.split > frame.lines:
        pixels = np.concatenate((pixels[skipped:], pixels[:0]))
    if len(pixels) < count:
        pixels = np.concatenate(
            (pixels, np.zeros((count - len(pixels), pixels.shape[1]), np.uint8))
        )
    return pixels[:count]


def _draw_cursor(frame: Frame, counters: np.ndarray, bits: np.ndarray, blinks: bool) -> None:
    crtc = frame.crtc
    first, last = crtc[0x0A] & 31, min(crtc[0x0B] & 31, frame.cell_height - 1)
    if crtc[0x0A] & 0x20 or first > last:
        return
    if blinks and frame.when % _CURSOR_PERIOD >= _CURSOR_PERIOD // 2:
        return
    skew = crtc[0x0B] >> 5 & 3
    place = (crtc[0x0E] << 8 | crtc[0x0F]) + skew & 0xFFFF
    bits[counters == place, first : last + 1] = 1
