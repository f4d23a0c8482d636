"""The terminal of a DOS program: keys as soon as it wants some, its screen as soon as it draws.

Until then what it prints goes straight to the terminal, which stays as it was.
"""

from __future__ import annotations

import os
import select
import termios
import threading
import time
from typing import TYPE_CHECKING

from runtime.screen.console import Console

if TYPE_CHECKING:
    from jitemu.display.terminal import TerminalDisplay
    from runtime.personalities.dos.system import Dos

_ESCAPE_WAIT = 0.03  # s for what follows ESC, if it is no key of its own
_HELD = 0.02  # s
_TIMES, _PAUSE = 3, 2.0  # Ctrl-C so often within so many seconds ends a program
_LFLAG, _CC = 3, 6  # of termios attributes


class Impatience:
    """Counts how often Ctrl-C is pressed without a pause."""

    def __init__(self) -> None:
        """Begin with patience."""
        self._times: list[float] = []

    def grows(self, chord: tuple[str, ...]) -> bool:
        """Take note of a chord; True if it was Ctrl-C for the third time in two seconds."""
        if chord != ("ctrl", "c"):
            self._times.clear()
            return False
        now = time.monotonic()
        self._times = [t for t in self._times if now - t < _PAUSE] + [now]
        return len(self._times) >= _TIMES


class DosTerminal:
    """Terminal on descriptors 0 and 1."""

    def __init__(self, dos: Dos) -> None:
        """Wait for the program to want keys or to draw."""
        self.dos = dos
        self._saved: list[object] | None = None
        self._keys: threading.Thread | None = None
        self._wake_read = self._wake = -1
        self._display: TerminalDisplay | None = None
        dos.display.on_draw = self._show
        if dos.buffered is not None:
            dos.buffered.on_wanted = self._want

    def _console(self) -> Console:
        machine = self.dos.machine
        ps2, loop = machine.ps2, machine.loop
        vga = self.dos.display.vga
        return Console(loop.post, lambda: loop.is_elsewhere, ps2.keyboard, ps2.mouse, vga)

    # -- keys --------------------------------------------------------------------------------------
    def _want(self) -> None:
        """Let keys come one by one, without echo; Ctrl-C stays the terminal's."""
        if self._keys is not None or self._display is not None:
            return
        self._saved = termios.tcgetattr(0)
        new = termios.tcgetattr(0)
        new[_LFLAG] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
        new[0] &= ~(termios.ICRNL | termios.IXON)
        new[_CC][termios.VMIN], new[_CC][termios.VTIME] = 1, 0
        termios.tcsetattr(0, termios.TCSADRAIN, new)
        self._wake_read, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._keys = threading.Thread(target=self._read, name="keys", daemon=True)
        self._keys.start()

    def _read(self) -> None:
        from jitemu.display import keys

        console, pending = self._console(), b""
        while True:
            wait = _ESCAPE_WAIT if pending else None
            ready, _, _ = select.select([0, self._wake_read], [], [], wait)
            if self._wake_read in ready:
                return
            data = os.read(0, 4096) if ready else b""
            if ready and not data:
                return
            chords, pending = keys.parse(pending + data, is_all=not ready)
            for chord in chords:
                console.press("-".join(chord), _HELD)

    def _leave_keys(self) -> None:
        if self._keys is not None:
            os.write(self._wake, b"x")
            if threading.current_thread() is not self._keys:
                self._keys.join(1)
            self._keys = None
        if self._saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]
            self._saved = None

    # -- the screen --------------------------------------------------------------------------------
    def _show(self) -> bool:
        """Show the screen from now on."""
        from jitemu.display.terminal import TerminalDisplay

        self.dos.display.adapter()
        self._leave_keys()
        loop, impatience = self.dos.machine.loop, Impatience()

        class Display(TerminalDisplay):
            """The screen; keys go to the program, but Ctrl-C again and again ends it."""

            def _press(self, chords: list[tuple[str, ...]], pending: bytes) -> None:
                super()._press(chords, pending)
                if any(map(impatience.grows, chords)):
                    loop.stop("interrupt")

        self._display = Display(self._console(), lambda: loop.stop("quit"))
        return True

    def close(self) -> None:
        """Give the terminal back as it was, with the last text of the screen."""
        display, self._display = self._display, None
        if display is not None:
            text = self._console().screen.text.rstrip()
            display.close()
            if text:
                os.write(1, (text + "\n").encode())
        self._leave_keys()
