"""Long file names: paths of functions 71xxh on one side, places on drives on the other.

A path may mix long and short names, in any case.  Dates are Windows's: 100 ns since 1601.
Source: Ralf Brown's Interrupt List, INT 21h AH=71h.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from runtime.personalities.dos import drives, names
from runtime.personalities.dos.drives import Entry, Path
from runtime.personalities.dos.errors import (
    INVALID_HANDLE,
    NO_MORE_FILES,
    PATH_NOT_FOUND,
    DosError,
)

if TYPE_CHECKING:
    import os

    from runtime.personalities.dos.kernel import Kernel, Place

PATH_MAX, NAME_MAX = 260, 255
_TICKS, _FROM_1601 = 10_000_000, 11_644_473_600  # a second; s from 1601 to 1970
_SEARCHES_MAX = 256
_SPECIAL = drives.HIDDEN | drives.SYSTEM | drives.DIRECTORY


class Found(NamedTuple):
    """Something in a directory."""

    long: bytes
    entry: Entry
    status: os.stat_result


class Searches:
    """What find next goes on with, by handle."""

    def __init__(self) -> None:
        """Begin without searches."""
        self._found: OrderedDict[int, list[Found]] = OrderedDict()
        self._last = 0

    def begin(self, found: list[Found]) -> int:
        """Keep what was found; return the handle. Searches that nobody ends are forgotten."""
        self._last = self._last % 0x7FFF + 1
        self._found.pop(self._last, None)
        self._found[self._last] = found
        while len(self._found) > _SEARCHES_MAX:
            self._found.popitem(last=False)
        return self._last

    def next(self, handle: int) -> Found:
        """Return the next one; DosError behind the last."""
        found = self._found.get(handle)
        if found is None:
            raise DosError(INVALID_HANDLE)
        if not found:
            raise DosError(NO_MORE_FILES)
        return found.pop(0)

    def end(self, handle: int) -> None:
        """Forget a search; DosError."""
        if self._found.pop(handle, None) is None:
            raise DosError(INVALID_HANDLE)


def resolve(dos: Kernel, text: bytes) -> tuple[Place, bytes]:
    """Read a path: its place in short names, and the last name as it was given. DosError.

    What is not there has the name that was given, or a template.
    """
    from runtime.personalities.dos.kernel import Place

    number, text = dos.split_drive(text)
    drive = dos.drives[number]
    text = text.replace(b"/", b"\\")
    found: Path = () if text[:1] == b"\\" else drive.current
    parts = [p for p in text.split(b"\\") if p not in (b"", b".")]
    last = b""
    for i, part in enumerate(parts):
        if part == b"..":
            if not found:
                raise DosError(PATH_NOT_FOUND)
            found, last = found[:-1], b""
            continue
        last = part.rstrip(b" .")
        if not last:
            raise DosError(PATH_NOT_FOUND)
        short = None if is_template(last) else drive.short_name(found, last)
        if short is None and i + 1 < len(parts):
            raise DosError(PATH_NOT_FOUND)
        found = (*found, last if short is None else short)
    return Place(number, drive, found), last


def is_template(name: bytes) -> bool:
    """Whether a name has wildcards."""
    return b"*" in name or b"?" in name


def _pattern(template: bytes) -> re.Pattern[bytes]:
    if template == b"*.*":
        template = b"*"
    parts = {0x2A: b".*", 0x3F: b"."}
    text = b"".join(parts.get(c, re.escape(bytes((c,)))) for c in names.upper(template))
    return re.compile(text + rb"\.?", re.DOTALL)  # a dot at the end asks for no extension


def search(place: Place, allowed: int, required: int) -> list[Found]:
    """Return what fits a path with wildcards, and attributes. DosError."""
    if not place.path or allowed & 0x3F == drives.VOLUME:
        return []
    template = place.path[-1]
    pattern = _pattern(template)
    found = []
    for one in contents(place.drive, place.path[:-1]):
        attributes = one.entry.attributes
        if attributes & _SPECIAL & ~allowed or required & ~attributes:
            continue
        if one.entry.name == template or any(
            pattern.fullmatch(names.upper(n)) for n in (one.long, one.entry.name)
        ):
            found.append(one)
    return found


def contents(drive: drives.Drive, path: Path) -> list[Found]:
    """Return all that is in a directory, with long names. DosError."""
    with drive.directory(path) as (_, known):
        long = {short: known.long(host) for short, host in known.of_short.items()}
    found = []
    for entry in drive.entries(path):
        inside = path if entry.name == b"." else path[:-1]
        if entry.name not in (b".", b".."):
            inside = (*path, entry.name)
        try:
            status = drive.status(inside)
        except DosError:
            continue
        found.append(Found(long.get(entry.name, entry.name), entry, status))
    return found


def short_of(long: bytes) -> bytes:
    """Return an 8.3 name for a long one, without looking whether it is taken."""
    made = names.Names()
    made.update([names.to_host(long)])
    return next(iter(made.of_short))


def to_filetime(seconds: float) -> int:
    """Return a Unix time as Windows has it."""
    return max(int((seconds + _FROM_1601) * _TICKS), 0)


def from_filetime(ticks: int) -> float:
    """Return the Unix time of a Windows time."""
    return ticks / _TICKS - _FROM_1601
