"""COMMAND.COM /C for programs that run commands, where no real one is on the path.

One command: a program found as DOS finds it, or one of the few built-in commands that makefiles
use; with redirected handles. Batch files and a prompt need a real COMMAND.COM.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from runtime.personalities.dos import calls_files, calls_keys, names, tables
from runtime.personalities.dos import psp as layout
from runtime.personalities.dos.drives import DIRECTORY, READ_ONLY
from runtime.personalities.dos.errors import FILE_NOT_FOUND, DosError

if TYPE_CHECKING:
    from runtime.personalities.dos.handles import OpenFile
    from runtime.personalities.dos.kernel import Kernel, Place

NAME = b"COMMAND.COM"
_REDIRECTION = re.compile(rb"(>>|>|<)\s*([^\s<>|]+)")
_BLOCK = 1 << 15
_STDIN, _STDOUT = 0, 1


class Command(NamedTuple):
    """A command line, taken apart."""

    word: bytes
    rest: bytes  # as it stands behind the word
    redirections: list[tuple[bytes, bytes]]


def parse(tail: bytes) -> Command | None:
    """Read what stands behind COMMAND.COM; None if that is not /C and a command."""
    match = re.match(rb"\s*/[cC]\s*(.*)", tail, re.DOTALL)
    if match is None:
        return None
    redirections = [(m[1], m[2]) for m in _REDIRECTION.finditer(match[1])]
    text = _REDIRECTION.sub(b"", match[1]).strip()
    word = re.match(rb"[^\s/]*", text)
    assert word is not None
    return Command(names.upper(word[0]), text[word.end() :], redirections)


def find(dos: Kernel, word: bytes) -> Place | None:
    """Return the program that a word names: here, or along the path."""
    folders = [b""]
    if b"\\" not in word and b":" not in word:
        segment = dos.memory.u16((dos.psp << 4) + layout.ENVIRONMENT)
        block = layout.variables(dos.memory.copy_from(segment, 0, 0x8000)) if segment else b""
        for entry in block.split(b"\0"):
            if names.upper(entry[:5]) == b"PATH=":
                folders += [f.rstrip(b"\\") + b"\\" for f in entry[5:].split(b";") if f]
    has_extension = b"." in word.rpartition(b"\\")[2]
    for folder in folders:
        for extension in (b"",) if has_extension else (b".COM", b".EXE"):
            try:
                return dos.resolve_entry(folder + word + extension)
            except DosError:
                continue
    return None


def open_redirections(dos: Kernel, command: Command) -> list[tuple[int, OpenFile]]:
    """Open the files that handles are redirected to; DosError."""
    found: list[tuple[int, OpenFile]] = []
    for sign, text in command.redirections:
        if sign == b"<":
            found.append((_STDIN, calls_files.open_file(dos, text, 0)))
            continue
        try:
            file = calls_files.open_file(dos, text, 1) if sign == b">>" else None
        except DosError:
            file = None
        if file is None:
            file = calls_files.create_file(dos, text, 0)
        file.seek(0, 2)
        found.append((_STDOUT, file))
    return found


def redirect(dos: Kernel, psp: int, files: list[tuple[int, OpenFile]]) -> None:
    """Let a program's handles lead to files."""
    for handle, file in files:
        with contextlib.suppress(DosError):
            dos.files.close(psp, handle)
        dos.files.put(psp, handle, dos.files.enter(file))


# -- built-in commands -----------------------------------------------------------------------------
def _echo(dos: Kernel, rest: bytes) -> None:
    calls_keys.put(dos, rest[1:] + b"\r\n")


def _matching(dos: Kernel, text: bytes) -> list[Place]:
    """Return the files that a path with wildcards names; DosError if there are none."""
    place = dos.resolve(text)
    if not place.path:
        raise DosError(FILE_NOT_FOUND)
    folder, template = place.path[:-1], names.padded(place.path[-1])
    found = place.drive.search(folder, template, 0)
    return [place._replace(path=(*folder, entry.name)) for entry in found]


def _delete(dos: Kernel, rest: bytes) -> None:
    for text in rest.split():
        for place in _matching(dos, text):
            if not place.drive.entry(place.path).attributes & READ_ONLY:
                place.drive.remove(place.path)


def _copy(dos: Kernel, rest: bytes) -> None:
    words = [word for word in rest.split() if not word.startswith(b"/")]
    target = dos.resolve(words[1] if len(words) > 1 else b".")
    is_folder = not target.path or (
        target.drive.exists(target.path)
        and bool(target.drive.entry(target.path).attributes & DIRECTORY)
    )
    for source in _matching(dos, words[0]):
        path = target.path
        if is_folder:
            path = (*path, source.path[-1])
        old = calls_files.open_file(dos, source.text(), 0)
        try:
            new = calls_files.create_file(dos, target._replace(path=path).text(), 0)
            try:
                while data := old.read(_BLOCK):
                    new.write(data)
            finally:
                new.close()
        finally:
            old.close()


def _type(dos: Kernel, rest: bytes) -> None:
    file = calls_files.open_file(dos, rest.strip(), 0)
    try:
        while data := file.read(_BLOCK):
            calls_keys.put(dos, data)
    finally:
        file.close()


def _change(dos: Kernel, rest: bytes) -> None:
    place = dos.resolve(rest.strip() or b".")
    if not place.drive.exists(place.path):
        raise DosError(FILE_NOT_FOUND)
    place.drive.current = place.path
    tables.describe_drives(dos)


def _make(dos: Kernel, rest: bytes) -> None:
    place = dos.resolve(rest.strip())
    place.drive.make_directory(place.path)


def _remove(dos: Kernel, rest: bytes) -> None:
    place = dos.resolve(rest.strip())
    place.drive.remove_directory(place.path)


def _rename(dos: Kernel, rest: bytes) -> None:
    old, new = rest.split()
    place = dos.resolve(old)
    wanted = dos.resolve(new).path[-1:]
    place.drive.rename(place.path, (*place.path[:-1], *wanted))


BUILT_IN: dict[bytes, Callable[[Kernel, bytes], None]] = {
    b"ECHO": _echo,
    b"DEL": _delete,
    b"ERASE": _delete,
    b"COPY": _copy,
    b"TYPE": _type,
    b"CD": _change,
    b"CHDIR": _change,
    b"MD": _make,
    b"MKDIR": _make,
    b"RD": _remove,
    b"RMDIR": _remove,
    b"REN": _rename,
    b"RENAME": _rename,
    b"REM": lambda dos, rest: None,
}


def run_built_in(dos: Kernel, command: Command) -> int:
    """Do a built-in command, or say that it is none; return the exit code."""
    function = BUILT_IN.get(command.word)
    if function is None:
        if command.word.endswith(b".BAT"):
            dos.report.unsupported("batch files without a COMMAND.COM")
        calls_keys.put(dos, b"Bad command or file name\r\n", 2)
        return 1
    kept: list[tuple[int, int]] = []
    try:
        for handle, file in open_redirections(dos, command):
            number = dos.files.number(dos.psp, handle)
            kept.append((handle, number))
            dos.files.put(dos.psp, handle, dos.files.enter(file))
        function(dos, command.rest)
    except (DosError, OSError, ValueError, IndexError):
        calls_keys.put(dos, b"File not found\r\n", 2)
        return 1
    finally:
        for handle, number in reversed(kept):
            dos.files.close(dos.psp, handle)
            dos.files.put(dos.psp, handle, number)
    return 0
