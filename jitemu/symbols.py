"""Guest address -> name: the symbols of the program and of the libraries that it has mapped.

Files are found by the host's own list of mappings, so that it does not matter how the guest sees
them, and read when the first address in them is asked for.
"""

from __future__ import annotations

import contextlib
import os
import struct
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from runtime.memory import Memory
    from runtime.regions import Region

_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")  # Elf32_Ehdr, System V ABI (gABI)
_SEGMENT = struct.Struct("<8I")  # Elf32_Phdr
_SECTION = struct.Struct("<10I")  # Elf32_Shdr
_SYMBOL = struct.Struct("<IIIBBH")  # Elf32_Sym
_LOAD, _SYMTAB, _DYNSYM = 1, 2, 11
_FUNCTIONS = frozenset({0, 2, 10})  # STT_NOTYPE (assembly), STT_FUNC, STT_GNU_IFUNC
_LARGEST = 512 << 20  # bytes of a file that is read
_FAR = 1 << 16  # bytes behind a symbol without a size that are taken to be its


class Symbol(NamedTuple):
    """A function: address in its file, size (0: unknown), name."""

    address: int
    size: int
    name: str


class Table:
    """The functions of one ELF file."""

    def __init__(self, data: bytes) -> None:
        """Read a file's content; what is damaged has no symbols."""
        self.segments: list[tuple[int, int, int]] = []  # file offset, address, size
        self.symbols: list[Symbol] = []
        with contextlib.suppress(struct.error, IndexError):
            self._read(data)
        self.symbols.sort()
        self.starts = [symbol.address for symbol in self.symbols]

    def _read(self, data: bytes) -> None:
        head = _HEADER.unpack_from(data)
        if head[0][:5] != b"\x7fELF\1":
            return
        _, _, _, _, _, phoff, shoff, _, _, _, phnum, _, shnum, _ = head
        for number in range(phnum):
            kind, offset, address, _, size, *_ = _SEGMENT.unpack_from(data, phoff + 32 * number)
            if kind == _LOAD:
                self.segments.append((offset, address, size))
        sections = [_SECTION.unpack_from(data, shoff + 40 * number) for number in range(shnum)]
        tables = {section[1]: section for section in sections if section[1] in (_SYMTAB, _DYNSYM)}
        found = tables.get(_SYMTAB) or tables.get(_DYNSYM)
        if found is None:
            return
        _, _, _, _, offset, size, link, *_ = found
        text_at, text_size = sections[link][4:6]
        text = data[text_at : text_at + text_size]
        count = min(size, len(data) - offset) // _SYMBOL.size
        rows = data[offset : offset + count * _SYMBOL.size]
        best: dict[int, Symbol] = {}
        for name_at, value, length, info, _, section in _SYMBOL.iter_unpack(rows):
            if info & 15 in _FUNCTIONS and value and section and name_at:
                name = text[name_at : text.index(b"\0", name_at)].decode(errors="replace")
                known = best.get(value)
                # Of several names, one of a function, and the shortest.
                if known is None or (length, -len(name)) > (known.size, -len(known.name)):
                    best[value] = Symbol(value, length, name)
        self.symbols = list(best.values())

    def address(self, offset: int) -> int | None:
        """Return the address, as in the file's symbols, of an offset in the file."""
        for start, address, size in self.segments:
            if start <= offset < start + size:
                return address + offset - start
        return None

    def find(self, address: int) -> Symbol | None:
        """Return the function that holds an address."""
        index = bisect_right(self.starts, address) - 1
        if index < 0:
            return None
        symbol = self.symbols[index]
        inside = address - symbol.address < (symbol.size or _FAR)
        return symbol if inside else None


class Place(NamedTuple):
    """Where an address is: function and offset in it, or file and offset in that, or neither."""

    address: int
    function: str = ""
    offset: int = 0
    file: str = ""  # the guest's path, or what /proc/self/maps says, as [heap]

    def __str__(self) -> str:
        """Return function+0x1c (libc.so.6); as much as is known."""
        base = os.path.basename(self.file)
        plus = f"+{self.offset:#x}" if self.offset else ""
        if self.function:
            return f"{self.function}{plus} ({base})" if base else f"{self.function}{plus}"
        return f"{base}{plus}" if base else f"{self.address:#010x}"


class Symbols:
    """Names addresses of one guest memory."""

    def __init__(self, mem: Memory) -> None:
        self.mem = mem
        self.tables: dict[tuple[int, int], Table] = {}  # device and inode -> its functions

    def place(self, address: int) -> Place:
        """Return what is known of an address."""
        region = next((r for r in self.mem.regions() if r.start <= address < r.end), None)
        if region is None:
            return Place(address)
        if region.key is None or not region.key[0]:
            return Place(address, file=region.name, offset=address - region.start)
        offset = region.offset + address - region.start
        table = self.tables.get(region.key)
        if table is None:
            table = self.tables[region.key] = self._load(region)
        inside = table.address(offset)
        symbol = table.find(inside) if inside is not None else None
        if symbol is None or inside is None:
            return Place(address, file=region.name, offset=offset)
        return Place(address, symbol.name, inside - symbol.address, region.name)

    def _load(self, region: Region) -> Table:
        start = self.mem.base + region.start
        with contextlib.suppress(OSError, ValueError):
            for line in Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines():
                span, _, _, _, _, *path = line.split(None, 5)
                first, last = (int(end, 16) for end in span.split("-"))
                if path and first <= start < last:
                    return self._read(path[0], region.key)
        return Table(b"")

    def _read(self, path: str, key: tuple[int, int] | None) -> Table:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != key or status.st_size > _LARGEST:
                return Table(b"")
            return Table(file.read())
