"""A program file and its libraries, as far as code in them can be found without running them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from runtime.loaders import elf
from runtime.memory import EXEC

_LIBRARIES = ("lib/i386-linux-gnu", "usr/lib/i386-linux-gnu", "lib", "usr/lib")
_MOST_LINKS = 40
_EXECUTABLE = 4  # SHF_EXECINSTR


class Code:
    """The executable bytes of one file, and where functions start in them."""

    def __init__(self, path: Path) -> None:
        """Read a file; LoadError if it is no i386 program or library."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            headers = elf.parse(fd, str(path))
            self.entries = [headers.entry] if headers.entry else []
            self.needed: list[str] = []
            self.interpreter = os.fsdecode(headers.interpreter or b"")
            parts = [
                (s.address, os.pread(fd, s.file_size, s.offset))
                for s in headers.segments
                if s.prot & EXEC
            ]
            try:
                self.parts = self._read(ELFFile(file)) or parts
            except (ELFError, ValueError, KeyError, IndexError, UnicodeError, TypeError):
                self.parts = parts  # the loader needs no section headers; damaged ones do no harm
        self.parts.sort()
        self.starts = [start for start, _ in self.parts]

    def _read(self, file: ELFFile) -> list[tuple[int, bytes]]:
        """Collect symbols and libraries; return the sections that hold code."""
        sections = []
        for section in file.iter_sections():
            if section["sh_flags"] & _EXECUTABLE and section["sh_type"] == "SHT_PROGBITS":
                sections.append((section["sh_addr"], section.data()))
            if isinstance(section, SymbolTableSection):
                for symbol in section.iter_symbols():
                    kind = symbol["st_info"]["type"]
                    if kind in ("STT_FUNC", "STT_GNU_IFUNC", "STT_LOOS") and symbol["st_value"]:
                        self.entries.append(symbol["st_value"])
            elif isinstance(section, DynamicSection):
                self.needed += [
                    str(getattr(t, "needed", "")) for t in section.iter_tags("DT_NEEDED")
                ]
        return sections

    @property
    def size(self) -> int:
        """Bytes of code."""
        return sum(len(data) for _, data in self.parts)

    def fetch(self, address: int, size: int) -> bytes:
        """Return up to *size* bytes of code, fewer where its section ends."""
        index = bisect_right(self.starts, address) - 1
        if index < 0:
            return b""
        start, data = self.parts[index]
        return data[address - start : address - start + size]


def find(root: Path | None, name: str) -> Path | None:
    """Return the host path of a guest path; links are followed inside of *root*."""
    if root is None:
        return Path(name) if os.path.isfile(name) else None
    left = list(PurePosixPath(name.lstrip("/")).parts)
    at: list[str] = []
    links = 0
    while left:
        part = left.pop(0)
        if part == "..":
            at = at[:-1]
            continue
        path = root.joinpath(*at, part)
        if not path.is_symlink():
            at.append(part)
            continue
        links += 1
        if links > _MOST_LINKS:
            return None
        target = PurePosixPath(os.readlink(path))
        if target.is_absolute():
            at = []
        left = [p for p in target.parts if p != "/"] + left
    path = root.joinpath(*at)
    return path if path.is_file() else None


def program(root: Path | None, name: str) -> Path | None:
    """Return the host path of PROGRAM, which may be the guest's or the host's, as for a run."""
    found = find(root, name) if root is not None and name.startswith("/") else None
    if found is not None or root is None:
        return found or find(None, name)
    path = Path(name)
    inside = path.resolve() if not path.is_symlink() else path.absolute()
    if inside.is_relative_to(root.resolve()) or path.absolute().is_relative_to(root):
        base = root if path.absolute().is_relative_to(root) else root.resolve()
        return find(root, str(path.absolute().relative_to(base)))
    return path if path.is_file() else None


def closure(root: Path | None, path: Path) -> Iterator[Code]:
    """Yield the code of a program, its interpreter and all libraries that can be found.

    LoadError or OSError if the program itself cannot be read.
    """
    first = Code(path)
    yield first
    seen = {path.resolve()}
    wanted = [first.interpreter, *first.needed]
    while wanted:
        name = wanted.pop(0)
        places = [name] if "/" in name else [f"{folder}/{name}" for folder in _LIBRARIES]
        found = next((p for p in (find(root, place) for place in places) if p), None)
        if not name or found is None or found.resolve() in seen or root is None:
            continue
        seen.add(found.resolve())
        try:
            code = Code(found)
        except OSError:
            continue
        wanted += code.needed
        yield code
