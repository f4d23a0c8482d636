"""The screen of a machine, for programs: its text, its pixels, files, waiting for a text."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from runtime.screen.codepage import shown
from runtime.screen.frame import Frame
from runtime.screen.png import png

_LOOK = 0.02  # s between looks at the screen while waiting for a text


class Cursor(NamedTuple):
    """Where characters appear, and whether it is drawn."""

    row: int
    column: int
    is_visible: bool


def text_of(frame: Frame) -> list[str]:
    """Return the rows of a text mode; [] in graphics modes."""
    if not frame.is_text:
        return []
    from runtime.screen.render import cells

    return [shown(row.tobytes()) for row in cells(frame)[0]]


def cursor_of(frame: Frame) -> Cursor | None:
    """Return where the cursor is; None in graphics modes and if it is nowhere on the screen."""
    if not frame.is_text:
        return None
    from runtime.screen.render import cells

    crtc = frame.crtc
    found = np.argwhere(cells(frame)[2] == (crtc[0x0E] << 8 | crtc[0x0F]))
    if not len(found):
        return None
    is_visible = not crtc[0x0A] & 0x20 and crtc[0x0A] & 31 <= crtc[0x0B] & 31
    return Cursor(int(found[0][0]), int(found[0][1]), is_visible)


class Screen:
    """What the guest's display shows now."""

    def __init__(self, frame: Callable[[], Frame]) -> None:
        """*frame* copies what is shown, called by whoever looks."""
        self._frame = frame

    @property
    def frame(self) -> Frame:
        """A copy of what is shown, to be drawn later."""
        return self._frame()

    @property
    def rows(self) -> list[str]:
        """The rows of a text mode, as characters of code page 437; [] in graphics modes."""
        return text_of(self._frame())

    @property
    def text(self) -> str:
        """The rows of a text mode with spaces at their ends removed; "" in graphics modes."""
        return "\n".join(row.rstrip() for row in self.rows)

    @property
    def cursor(self) -> Cursor | None:
        """Where the cursor is; None in graphics modes."""
        return cursor_of(self._frame())

    @property
    def ndarray(self) -> np.ndarray:
        """The pixels: height x width x 3 bytes (red, green, blue)."""
        from runtime.screen.render import render

        return render(self._frame())

    def save(self, path: str | Path) -> None:
        """Write a PNG file; OSError."""
        Path(path).write_bytes(png(self.ndarray))

    def wait_text(
        self,
        text: str,
        timeout: float = 30,
        run: Callable[[float], bool] | None = None,
    ) -> str:
        """Wait until a text is on the screen and return all text; TimeoutError after *timeout* s.

        *run* lets the guest go on for some seconds of host time and says whether it still runs
        (RuntimeError if not); without it somebody else does.
        """
        end = time.monotonic() + timeout
        while text not in (found := self.text):
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(_missing(text, timeout, found))
            if run is None:
                time.sleep(min(_LOOK, left))
            elif not run(min(_LOOK, left)) and text not in self.text:
                raise RuntimeError(f"the machine ended before it showed {text!r}")
        return found


def _missing(text: str, timeout: float, found: str) -> str:
    shown_last = " | ".join(line for line in found.splitlines() if line)[-200:]
    what = f"the screen ends with: {shown_last}" if shown_last else "the screen shows no text"
    return f"no {text!r} within {timeout:g} s; {what}"
