"""A line typed at the console: keys in, echo and the finished line out (functions 0Ah and 3Fh)."""

from __future__ import annotations

from collections.abc import Callable

BACKSPACE, TAB, LINE_FEED, ENTER, ESCAPE, BREAK, RUB_OUT = 8, 9, 10, 13, 27, 3, 127
_F1, _F2, _F3, _F4, _LEFT, _RIGHT = 0x3B, 0x3C, 0x3D, 0x3E, 0x4B, 0x4D
_BELL = b"\a"


class LineEditor:
    """A line under way; it goes on where it was when keys were missing."""

    def __init__(self, limit: int, template: bytes, echo: Callable[[bytes], None]) -> None:
        """Begin a line of at most *limit* characters; *template* is what F1 to F3 recall."""
        self.limit, self.template, self.echo = limit, template, echo
        self.text = bytearray()
        self._is_extended = False

    def key(self, value: int) -> bool:
        """Take a character (0: a key without one, whose code is the next); True at the end."""
        if self._is_extended:
            self._is_extended = False
            self._function(value)
        elif value == 0:
            self._is_extended = True
        elif value == ENTER:
            return True
        elif value in (BACKSPACE, RUB_OUT):
            self._rub_out()
        elif value == ESCAPE:
            self.echo(b"\\\r\n")
            self.text.clear()
        elif value == LINE_FEED:
            self.echo(b"\r\n")
        else:
            self._add(value)
        return False

    def _add(self, value: int) -> None:
        if len(self.text) >= self.limit:
            self.echo(_BELL)
            return
        self.text.append(value)
        self.echo(shown(value))

    def _rub_out(self) -> None:
        if self.text:
            width = len(shown(self.text.pop()))
            self.echo(b"\b \b" * width)

    def _function(self, code: int) -> None:
        have = len(self.text)
        if code in (_F1, _RIGHT):
            for value in self.template[have : have + 1]:
                self._add(value)
        elif code == _F3:
            for value in self.template[have:]:
                self._add(value)
        elif code == _LEFT:
            self._rub_out()


def shown(value: int) -> bytes:
    """Return how a character is echoed: control characters as ^X, a tab as it is."""
    if value < 32 and value != TAB:
        return b"^%c" % (value + 64)
    return bytes((value,))
