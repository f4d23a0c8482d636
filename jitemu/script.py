r"""Unattended runs: a file of lines that say what a person at the machine would do.

    wait_text C:\>               until it is on the screen
    type dir /w                  the rest of the line ...
    type "a b\tc\n"             ... or a text in quotes, with \n \t \\ \" \xHH
    line dir                     a text and Enter
    press ctrl-alt-delete        keys together; press f1 2 holds for 2 s
    mouse 10 -5 1                counts right, down, buttons (1 left, 2 right, 4 middle)
    screenshot out.png
    text out.txt                 the rows of the screen; - is stdout
    sleep 1.5                    seconds
    timeout 60                   of waits from here on; 30 at first
    quit 3                       end the machine, with an exit status; 0 without

Empty lines and those that begin with # do nothing. Behind the last line the machine ends, too,
unless that is `leave`: then it runs on, without the script.
"""

from __future__ import annotations

import shlex
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from runtime.devices import keys
from runtime.screen.console import Console

_TIMEOUT = 30.0  # s
_PATIENCE = 1.0  # s that a script has to notice that the machine has ended


class ScriptError(Exception):
    """What is wrong with a script, or did not come true; with file and line."""


class _Line(NamedTuple):
    number: int
    command: str
    rest: str


class _Finished(Exception):  # noqa: N818 (it is no error)
    def __init__(self, status: int | None) -> None:
        self.status = status  # None: the machine runs on
        super().__init__()


class Script:
    """A script that has been read; `run` does what it says."""

    def __init__(self, text: str, name: str = "script") -> None:
        """ScriptError for the first line that makes no sense."""
        self.name = name
        self._timeout = _TIMEOUT
        self._lines = []
        self.current: _Line | None = None  # what is being done
        self.has_ended = False  # the machine: no text will come any more
        # Further commands, as for what a machine has besides keyboard and screen: rest of a line,
        # seconds to wait at most. They may raise ValueError, TimeoutError, RuntimeError, OSError.
        self.more: dict[str, Callable[[str, float], None]] = {}
        self._own = {
            "wait_text": self._wait_text,
            "type": self._type,
            "line": self._line,
            "press": self._press,
            "mouse": self._mouse,
            "screenshot": self._screenshot,
            "text": self._text,
            "sleep": self._sleep,
            "timeout": self._set_timeout,
            "quit": self._quit,
            "leave": self._leave,
        }
        for number, line in enumerate(text.splitlines(), 1):
            command, _, rest = line.strip().partition(" ")
            if command and not command.startswith("#"):
                self._lines.append(_Line(number, command, rest.strip()))

    @classmethod
    def load(cls, path: str) -> Script:
        """Read a file; ScriptError."""
        try:
            return cls(Path(path).read_text("utf-8"), path)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ScriptError(f"{path}: {reason}") from None

    def check(self) -> None:
        """ScriptError for the first line that cannot be carried out, whatever the guest does."""
        for line in self._lines:
            try:
                if line.command in self._own:
                    _CHECKS[line.command](line.rest)
                elif line.command not in self.more:
                    known = ", ".join(sorted([*self._own, *self.more]))
                    raise ValueError(f"there is no command {line.command!r}; there are {known}")
            except ValueError as error:
                raise self._error(line, error) from None

    def run(self, console: Console) -> int | None:
        """Do what the lines say; return the exit status, None to let the machine run on.

        ScriptError when something does not come true in time.
        """
        for line in self._lines:
            self.current = line
            try:
                if line.command in self._own:
                    self._own[line.command](console, line.rest)
                else:
                    self.more[line.command](line.rest, self._timeout)
            except _Finished as finished:
                return finished.status
            except OSError as error:
                if isinstance(error, TimeoutError):
                    raise self._error(line, error) from None
                raise self._error(line, f"{error.filename}: {error.strerror}") from None
            except (ValueError, RuntimeError) as error:
                raise self._error(line, error) from None
        return 0

    def _error(self, line: _Line, error: object) -> ScriptError:
        return ScriptError(f"{self.name}:{line.number}: {line.command}: {error}")

    # -- commands ----------------------------------------------------------------------------------
    def _wait_text(self, console: Console, rest: str) -> None:
        console.screen.wait_text(unquoted(rest), self._timeout, self._let_run)

    def _let_run(self, seconds: float) -> bool:
        """Wait while another thread runs the guest; say whether it still does."""
        time.sleep(seconds)
        return not self.has_ended

    def _type(self, console: Console, rest: str) -> None:
        console.type(unquoted(rest))
        console.wait_typed(self._timeout, lambda: self.has_ended)

    def _line(self, console: Console, rest: str) -> None:
        console.type(unquoted(rest) + "\n")
        console.wait_typed(self._timeout, lambda: self.has_ended)

    def _press(self, console: Console, rest: str) -> None:
        chord, hold = _pressed(rest)
        console.press(chord, hold)
        console.wait_typed(self._timeout + hold, lambda: self.has_ended)

    def _mouse(self, console: Console, rest: str) -> None:
        console.move(*_numbers(rest, 2, 4))
        console.wait_typed(self._timeout, lambda: self.has_ended)

    def _screenshot(self, console: Console, rest: str) -> None:
        console.screen.save(_path(rest))

    def _text(self, console: Console, rest: str) -> None:
        text = console.screen.text + "\n"
        if _path(rest) == "-":
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            Path(_path(rest)).write_text(text, "utf-8")

    def _sleep(self, console: Console, rest: str) -> None:
        time.sleep(_seconds(rest))

    def _set_timeout(self, console: Console, rest: str) -> None:
        self._timeout = _seconds(rest)

    def _quit(self, console: Console, rest: str) -> None:
        raise _Finished(_status(rest))

    def _leave(self, console: Console, rest: str) -> None:
        raise _Finished(None)


class ScriptRun:
    """A script that runs in a thread of its own while another one runs the machine."""

    def __init__(self, script: Script, console: Console, stop: Callable[[], None]) -> None:
        """Begin; *stop* ends the machine when the script ends or fails."""
        self._script, self._console, self._stop = script, console, stop
        self.status: int | None = None  # when it ended by itself
        self.error: ScriptError | None = None
        self._thread = threading.Thread(target=self._run, name="script", daemon=True)
        self._thread.start()

    def machine_ended(self) -> None:
        """Let the script come to what it waits for: a text that cannot come any more fails."""
        self._script.has_ended = True
        end = time.monotonic() + _PATIENCE
        while self._thread.is_alive() and time.monotonic() < end:
            current = self._script.current
            if current is not None and current.command == "sleep":
                return
            self._thread.join(0.02)

    def _run(self) -> None:
        try:
            self.status = self._script.run(self._console)
            if self.status is None:
                return
        except ScriptError as error:
            self.error = error
        self._stop()


# -- what stands in a line -----------------------------------------------------------------------
def unquoted(text: str) -> str:
    """Take a text out of its quotes, if it has some; ValueError."""
    if not text.startswith('"'):
        return text
    if len(text) < 2 or not text.endswith('"'):
        raise ValueError('a text that begins with " ends with "')
    escapes = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "e": "\x1b", "\\": "\\", '"': '"'}
    found, rest = "", text[1:-1]
    while rest:
        character, rest = rest[0], rest[1:]
        if character == '"':
            raise ValueError('write " within quotes as \\"')
        if character == "\\":
            character, rest = rest[:1], rest[1:]
            if character == "x":
                found, rest = found + chr(int(rest[:2], 16)), rest[2:]
                continue
            if character not in escapes:
                raise ValueError(f"there is no \\{character}; there are \\n \\t \\r \\b \\e \\xHH")
            character = escapes[character]
        found += character
    return found


def _pressed(rest: str) -> tuple[str, float]:
    chord, _, hold = rest.partition(" ")
    keys.chord(chord)
    return chord, _seconds(hold) if hold else 0.1


def _numbers(rest: str, least: int, most: int) -> list[int]:
    words = rest.split()
    if not least <= len(words) <= most:
        raise ValueError(f"{least} to {most} numbers are needed")
    return [int(word) for word in words]


def _seconds(rest: str) -> float:
    seconds = float(rest) if rest else -1.0
    if not 0 <= seconds < 1e9:
        raise ValueError("a number of seconds is needed")
    return seconds


def _status(rest: str) -> int:
    status = int(rest or 0)
    if not 0 <= status <= 255:
        raise ValueError("an exit status is 0 to 255")
    return status


def _path(rest: str) -> str:
    words = shlex.split(rest)
    if len(words) != 1:
        raise ValueError("one file is needed")
    return words[0]


def _needed(rest: str) -> str:
    if not rest:
        raise ValueError("a text is needed")
    return unquoted(rest)


_CHECKS: dict[str, Callable[[str], object]] = {
    "wait_text": _needed,
    "type": lambda rest: keys.strokes(_needed(rest)),
    "line": lambda rest: keys.strokes(unquoted(rest)),
    "press": _pressed,
    "mouse": lambda rest: _numbers(rest, 2, 4),
    "screenshot": _path,
    "text": _path,
    "sleep": _seconds,
    "timeout": _seconds,
    "quit": _status,
    "leave": lambda rest: None,
}
