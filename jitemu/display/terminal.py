"""A display in the terminal: the guest's screen in it, keys pressed in it to the guest."""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable

import numpy as np

from jitemu.display import cells, keys
from runtime.screen.console import Console

_FRAME = 1 / 30  # s
_ESCAPE_WAIT = 0.03  # s for what follows ESC, if it is no key of its own
HELP = (
    "Ctrl-] then: q quit · d Ctrl-Alt-Del · r redraw · Ctrl-] itself · other keys go to the guest"
)
_BEGIN, _END = "\x1b[?1049h\x1b[?25l", "\x1b[0m\x1b[?25h\x1b[?1049l"


class TerminalDisplay:
    """Draws until it is closed; at Ctrl-] q it asks for the end of the machine."""

    def __init__(
        self,
        console: Console,
        on_quit: Callable[[], None],
        *,
        input_fd: int = 0,
        output_fd: int = 1,
    ) -> None:
        """Take the terminal over; ValueError if there is none."""
        if not (os.isatty(input_fd) and os.isatty(output_fd)):
            raise ValueError("--display text needs a terminal; try --display none or png")
        self.console, self._on_quit = console, on_quit
        self._input, self._output = input_fd, output_fd
        self._saved = termios.tcgetattr(input_fd)
        self._is_true = os.environ.get("COLORTERM", "") in ("truecolor", "24bit")
        self._shown: np.ndarray | None = None
        self._cursor: tuple[int, int] | None = None
        self._pending = b""
        self._is_command = False
        self._help_until = 0
        self._wake_read, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        tty.setraw(input_fd)
        self._write(_BEGIN)
        self._thread = threading.Thread(target=self._run, name="display", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Show the last picture's end and give the terminal back as it was."""
        os.write(self._wake, b"x")
        if threading.current_thread() is not self._thread:
            self._thread.join(2)
        self._write(_END)
        termios.tcsetattr(self._input, termios.TCSADRAIN, self._saved)
        os.close(self._wake)
        os.close(self._wake_read)

    def _write(self, text: str) -> None:
        data = text.encode()
        while data:
            try:
                data = data[os.write(self._output, data) :]
            except BlockingIOError:
                select.select([], [self._output], [])

    def _run(self) -> None:
        while True:
            wait = _ESCAPE_WAIT if self._pending else _FRAME
            ready, _, _ = select.select([self._input, self._wake_read], [], [], wait)
            if self._wake_read in ready:
                return
            try:
                if self._input in ready:
                    data = os.read(self._input, 4096)
                    if not data:
                        return
                    self._take(data)
                elif self._pending:
                    self._press(*keys.parse(self._pending, is_all=True))
                self.draw()
            except (OSError, RuntimeError) as error:
                print(f"jitemu: display: {error}", file=sys.stderr)
                return

    # -- keys --------------------------------------------------------------------------------------
    def _take(self, data: bytes) -> None:
        """Take bytes of the terminal: commands behind Ctrl-], keys otherwise."""
        while data:
            if self._is_command:
                self._is_command = False
                self._command(data[:1])
                data = data[1:]
                continue
            before, escape, data = data.partition(bytes([keys.ESCAPE]))
            if before:
                self._press(*keys.parse(self._pending + before))
            self._is_command = bool(escape)

    def _press(self, chords: list[tuple[str, ...]], pending: bytes) -> None:
        self._pending = pending
        for chord in chords:
            self.console.press("-".join(chord), 0.02)

    def _command(self, key: bytes) -> None:
        if key in b"qQ":
            self._on_quit()
        elif key in b"dD":
            self.console.press("ctrl-alt-delete")
        elif key in b"rR":
            self._shown = None
        elif key == bytes([keys.ESCAPE]):
            self.console.press("ctrl-bracket_right", 0.02)

    # -- picture -----------------------------------------------------------------------------------
    def draw(self) -> None:
        """Draw what has changed."""
        columns, rows = os.get_terminal_size(self._output)
        found, cursor = cells.picture(self.console.frame(), rows, columns)
        text = cells.draw(found, self._shown, is_true=self._is_true)
        if text or cursor != self._cursor:
            if cursor is not None:
                text += f"\x1b[{cursor[0] + 1};{cursor[1] + 1}H\x1b[?25h"
            self._write(f"\x1b[?25l{text}")
        self._shown, self._cursor = found, cursor
