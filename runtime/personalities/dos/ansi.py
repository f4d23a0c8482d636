"""Escape sequences in what DOS prints on its own screen, as ANSI.SYS understands them.

A terminal that the text goes to understands them by itself. Text in, BIOS services out.
Source: MS-DOS 6 Technical Reference, ANSI.SYS; Ralf Brown's Interrupt List, table of INT 29h.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runtime.firmware.bios import bda, int10, modes

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.firmware.bios.bios import Bios

_ESCAPE, _TAB, _WIDTH = 0x1B, 9, 8
_USUAL = 0x07  # attribute
_BOLD, _BLINK = 0x08, 0x80
# Numbers, words in quotes, and = in front of modes; then the letter. A sequence ends it at 64.
_SEQUENCE = re.compile(rb"\x1b\[([=?]?)((?:\d+|\"[^\"]*\"|'[^']*'|;)*)([A-Za-z])", re.DOTALL)
_BEGUN = re.compile(rb"\x1b(\[[=?]?(\d+|\"[^\"]*\"?|'[^']*'?|;)*)?\Z", re.DOTALL)
_LONGEST = 64
# Red and blue are the other way round in attributes.
_COLORS = (0, 4, 2, 6, 1, 5, 3, 7)
_MODES = frozenset((*range(7), *range(0x0D, 0x14)))
_WRAP = 7  # the "mode" of lines that go on


class Ansi:
    """What is kept between two pieces of text: a sequence that has begun, colours, a place."""

    def __init__(self, bios: Bios, answer: Callable[[bytes], None]) -> None:
        """Print by a BIOS; *answer* types what a sequence asks for."""
        self.bios, self.call, self.answer = bios, bios.call, answer
        self.attribute: int | None = None  # None: what is there stays
        self._held = b""
        self._saved = 0, 0  # row, column

    def write(self, data: bytes) -> None:
        """Print text at the cursor."""
        data, self._held = self._held + data, b""
        done = 0
        for found in _SEQUENCE.finditer(data):
            self._text(data[done : found.start()])
            self._do(found[1], found[2], found[3])
            done = found.end()
        rest = data[done:]
        begun = _BEGUN.search(rest)
        if begun is not None and len(begun[0]) < _LONGEST:
            rest, self._held = rest[: begun.start()], begun[0]
        self._text(rest)

    # -- text --------------------------------------------------------------------------------------
    @property
    def _page(self) -> int:
        return self.call.load(bda.PAGE, 8) & 7

    def _text(self, data: bytes) -> None:
        """Print text without sequences; a tab is spaces."""
        first, *others = data.split(b"\t")
        self._put(first)
        for part in others:
            column = self._shown().cursors[self._page] & 0xFF
            self._put(b" " * (_WIDTH - column % _WIDTH))
            self._put(part)

    def _put(self, data: bytes) -> None:
        if data:
            color = _USUAL if self.attribute is None else self.attribute & 15
            int10.put_text(self.bios, self.call, data, self._page, self.attribute, color)

    # -- sequences ---------------------------------------------------------------------------------
    def _shown(self) -> int10.Shown:
        return int10.shown(self.call)

    def _do(self, sign: bytes, text: bytes, letter: bytes) -> None:
        numbers = [int(n) if n.isdigit() else 0 for n in text.split(b";")]
        if letter in b"hl":
            self._set_mode(numbers[0])
        elif not sign and letter in _ACTIONS:
            _ACTIONS[letter](self, numbers)

    def _move(self, row: int, column: int) -> None:
        s = self._shown()
        row, column = max(0, min(row, s.rows - 1)), max(0, min(column, s.columns - 1))
        int10.move_cursor(self.bios, self.call, s, s.page, row, column)

    def _place(self) -> tuple[int, int]:
        cursor = self._shown().cursors[self._page]
        return cursor >> 8, cursor & 0xFF

    def _to(self, numbers: list[int]) -> None:
        """Go to a row and column, from 1 on: H, f."""
        row, column = (*numbers, 0)[:2]
        self._move((row or 1) - 1, (column or 1) - 1)

    def _step(self, numbers: list[int], rows: int, columns: int) -> None:
        """Go up, down, right or left: A to D."""
        row, column = self._place()
        count = numbers[0] or 1
        self._move(row + rows * count, column + columns * count)

    def _save(self, numbers: list[int]) -> None:
        """Remember where the cursor is: s."""
        self._saved = self._place()

    def _restore(self, numbers: list[int]) -> None:
        """Go back there: u."""
        self._move(*self._saved)

    def _report(self, numbers: list[int]) -> None:
        """Type where the cursor is: n."""
        if numbers[0] == 6:
            row, column = self._place()
            self.answer(b"\x1b[%d;%dR" % (row + 1, column + 1))

    def _clear(self, window: tuple[int, int, int, int]) -> None:
        s = self._shown()
        attribute = _USUAL if self.attribute is None else self.attribute
        if not s.is_text:
            attribute = 0
        int10.scroll_window(self.bios, self.call, s, s.page, window, 0, attribute)

    def _erase(self, numbers: list[int]) -> None:
        """Clear what is behind the cursor, in front of it, or all, and go home: J."""
        s = self._shown()
        row, column = self._place()
        last, right, kind = s.rows - 1, s.columns - 1, numbers[0]
        if kind == 2:
            self._clear((0, 0, last, right))
            self._move(0, 0)
        elif kind == 1:
            self._clear((0, 0, row - 1, right))
            self._clear((row, 0, row, column))
        else:
            self._clear((row, column, row, right))
            self._clear((row + 1, 0, last, right))

    def _erase_line(self, numbers: list[int]) -> None:
        """Clear the line from the cursor on, up to it, or all of it: K."""
        row, column = self._place()
        right = self._shown().columns - 1
        left = 0 if numbers[0] in (1, 2) else column
        self._clear((row, left, row, column if numbers[0] == 1 else right))

    def _color(self, numbers: list[int]) -> None:
        """Set colours: m."""
        found = _USUAL if self.attribute is None else self.attribute
        for number in numbers:
            if number == 0:
                found = _USUAL
            elif number == 1:
                found |= _BOLD
            elif number == 5:
                found |= _BLINK
            elif number == 7:
                found = found & (_BOLD | _BLINK) | 0x70
            elif number == 8:
                found = found & 0xF0 | found >> 4 & 7
            elif 30 <= number <= 37:
                found = found & 0xF8 | _COLORS[number - 30]
            elif 40 <= number <= 47:
                found = found & 0x8F | _COLORS[number - 40] << 4
        self.attribute = found

    def _set_mode(self, number: int) -> None:
        """Set a display mode."""
        if number in _MODES and number != _WRAP:
            modes.set_mode(self.bios, self.call, number)


_ACTIONS: dict[bytes, Callable[[Ansi, list[int]], None]] = {
    b"H": Ansi._to,
    b"f": Ansi._to,
    b"A": lambda ansi, numbers: ansi._step(numbers, -1, 0),
    b"B": lambda ansi, numbers: ansi._step(numbers, 1, 0),
    b"C": lambda ansi, numbers: ansi._step(numbers, 0, 1),
    b"D": lambda ansi, numbers: ansi._step(numbers, 0, -1),
    b"s": Ansi._save,
    b"u": Ansi._restore,
    b"n": Ansi._report,
    b"J": Ansi._erase,
    b"K": Ansi._erase_line,
    b"m": Ansi._color,
}
