"""Character devices: the console, on the host's standard streams, and what is not there.

Redirected streams are files to the guest, as under a DOS shell; a terminal is CON.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Protocol

from runtime.personalities.dos.handles import (
    IS_DEVICE,
    IS_STDIN,
    IS_STDOUT,
    NOT_EOF,
    SPECIAL,
    OpenFile,
)

if TYPE_CHECKING:
    from runtime.personalities.dos.keyboard import Keys

END_OF_FILE = 0x1A
ENDLESS = 200  # reads behind the end of the input until the program is taken to hang
# What code page 437 shows for control characters is for the screen; a terminal acts on these.
_CONTROL = frozenset(b"\a\b\t\n\r\x1b")
_TO_TERMINAL = [
    bytes((c,)) if c in _CONTROL else bytes((c,)).decode("cp437").encode() for c in range(256)
]


class EndOfInput(Exception):  # noqa: N818 (it is no error of ours)
    """The program goes on reading although its input has ended: it would do so for ever."""


class OutputClosed(Exception):  # noqa: N818 (somebody has had enough)
    """Nobody reads the standard output any more."""


def for_terminal(data: bytes) -> bytes:
    """Return text of code page 437 as a terminal shows it."""
    return b"".join([_TO_TERMINAL[c] for c in data])


class Output:
    """Where text goes: a host descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd, self.is_terminal = fd, os.isatty(fd)

    def write(self, data: bytes) -> None:
        """Write all; OSError, OutputClosed."""
        if self.is_terminal:
            data = for_terminal(data)
        try:
            while data:
                data = data[os.write(self.fd, data) :]
        except BrokenPipeError:
            raise OutputClosed from None


class Input:
    """Characters from a host descriptor that is no terminal; a line's end is CR LF, as in DOS."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._held = bytearray()
        self._last = 0
        self._at_end = 0

    def _fill(self) -> bool:
        """Read more; False at the end."""
        try:
            data = os.read(self.fd, 4096)
        except OSError:
            data = b""
        for c in data:
            if c == 10 and self._last != 13:
                self._held.append(13)
            self._held.append(c)
            self._last = c
        return bool(data)

    def ready(self) -> bool:
        """Whether a character can be read without waiting."""
        if not self._held and select.select([self.fd], [], [], 0)[0]:
            self._fill()
        return bool(self._held)

    def read(self) -> int:
        """Wait for a character; END_OF_FILE behind the last one. EndOfInput."""
        while not self._held:
            if not self._fill():
                self.note_end()
                return END_OF_FILE
        return self._held.pop(0)

    def note_end(self) -> None:
        """Count a read behind the end; EndOfInput if there are too many."""
        self._at_end += 1
        if self._at_end > ENDLESS:
            raise EndOfInput

    def take(self, size: int) -> bytes:
        """Return what was read ahead."""
        data = bytes(self._held[:size])
        del self._held[:size]
        return data


class StandardInput(OpenFile):
    """Handle 0 where the host's stdin is no terminal: a file."""

    is_device = False
    info = 0
    mode = 0

    def __init__(self, source: Input) -> None:
        super().__init__()
        self.source = source

    def read(self, size: int) -> bytes:
        """Read what there is, as it is."""
        data = self.source.take(size) or os.read(self.source.fd, size)
        if not data:
            self.source.note_end()
        return data

    def seek(self, offset: int, whence: int) -> int:
        """Move if the host's file can."""
        try:
            return os.lseek(self.source.fd, offset, whence)
        except OSError:
            return 0

    def input_ready(self) -> bool:
        """Whether there is something to read."""
        return self.source.ready()


class StandardOutput(OpenFile):
    """Handles 1 and 2 where they are no terminal: a file."""

    is_device = False
    info = 0
    mode = 1

    def __init__(self, out: Output) -> None:
        super().__init__()
        self.out = out
        self.position = 0

    def write(self, data: bytes) -> int:
        """Write all."""
        self.out.write(data)
        self.position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int) -> int:
        """Move if the host's file can; else tell how much was written."""
        try:
            return os.lseek(self.out.fd, offset, whence)
        except OSError:
            return self.position


class Screen(Protocol):
    """What shows text."""

    def write(self, data: bytes) -> None:
        """Show characters of code page 437."""
        ...


class Console(OpenFile):
    """CON: what is typed, and the screen.

    *keys* gives characters as DOS's CON does: for keys without one, 0 and the scan code.
    """

    name = b"CON"

    def __init__(self, out: Screen, keys: Keys) -> None:
        super().__init__()
        self.out, self.keys = out, keys
        self.is_raw = False
        self.info = IS_DEVICE | IS_STDIN | IS_STDOUT | NOT_EOF | SPECIAL

    def write(self, data: bytes) -> int:
        """Show text."""
        self.out.write(data)
        return len(data)

    def input_ready(self) -> bool:
        """Whether a key was pressed."""
        return self.keys.ready()
