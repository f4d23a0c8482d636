"""Object file -> sections, symbols and relocations: what stencils and native support code need."""

from __future__ import annotations

import struct
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import NamedTuple

from translator.tiers.hostasm import FAULT_SECTION

# Relocation types (System V ABI, AMD64 supplement, table 4.9): number -> size, is relative.
KINDS = {
    1: (8, False),  # R_X86_64_64
    2: (4, True),  # R_X86_64_PC32
    4: (4, True),  # R_X86_64_PLT32
    10: (4, False),  # R_X86_64_32
    11: (4, False),  # R_X86_64_32S
    12: (2, False),  # R_X86_64_16
    14: (1, False),  # R_X86_64_8
}


class Reloc(NamedTuple):
    """A field to fill: symbol + addend, minus the field's own address if relative."""

    offset: int
    size: int
    symbol: str
    addend: int
    is_relative: bool


class Fault(NamedTuple):
    """A memory access that may fault: offsets of the access and its recovery code; pc's operand."""

    access: int
    recovery: int
    pc: str  # symbol, or "" where the number stands in `pc_value`
    pc_value: int


@dataclass(slots=True)
class Code:
    """One code section of an object file."""

    name: str
    code: bytes
    relocs: list[Reloc] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


class Object(NamedTuple):
    """A parsed object file: sections by name, symbols as (section, offset, size)."""

    sections: dict[str, Code]
    symbols: dict[str, tuple[str, int, int]]


class _Header(NamedTuple):
    """A section header."""

    name: str
    kind: int
    flags: int
    data: bytes
    link: int
    info: int


_HEADERS = struct.Struct("<40xQ10xHHH")  # of the file: where they are, size and number, names
_HEADER = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, address, offset, size, link, info...
_SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size
_RELA = struct.Struct("<QQq")  # offset, info, addend
_SHT_SYMTAB, _SHT_RELA, _SHT_NOBITS = 2, 4, 8
_STT_SECTION, _SHF_ALLOC, _SHN_LORESERVE = 3, 2, 0xFF00


def _name(strings: bytes, at: int) -> str:
    return strings[at : strings.index(b"\0", at)].decode()


def _headers(data: bytes) -> list[_Header]:
    """Read the section headers.

    A library that does this takes a quarter of the time of compiling a short region.
    """
    start, size, number, names_index = _HEADERS.unpack_from(data)
    rows = list(_HEADER.iter_unpack(data[start : start + size * number]))
    found = []
    _, _, _, _, names_at, names_size, *_ = rows[names_index]
    names = data[names_at : names_at + names_size]
    for name, kind, flags, _, offset, length, link, info, _, _ in rows:
        content = b"" if kind == _SHT_NOBITS else data[offset : offset + length]
        found.append(_Header(_name(names, name), kind, flags, content, link, info))
    return found


def parse(data: bytes) -> Object:
    """Parse an x86-64 relocatable object as LLVM writes it."""
    headers = _headers(data)
    table = next(h for h in headers if h.kind == _SHT_SYMTAB)
    strings = headers[table.link].data
    names: list[str] = []
    symbols: dict[str, tuple[str, int, int]] = {}
    for name_at, info, _, section, value, size in _SYMBOL.iter_unpack(table.data):
        name = _name(strings, name_at)
        is_local = 0 < section < _SHN_LORESERVE
        if info & 15 == _STT_SECTION:
            name = headers[section].name
        elif is_local and name:
            symbols[name] = (headers[section].name, value, size)
        names.append(name)
    sections = {
        h.name: Code(h.name, h.data)
        for h in headers
        if h.flags & _SHF_ALLOC and h.data and not h.name.startswith(".eh_frame")
    }
    for header in headers:
        if header.kind != _SHT_RELA:
            continue
        target = sections.get(headers[header.info].name)
        if target is None:
            continue
        for offset, info, addend in _RELA.iter_unpack(header.data):
            size, is_relative = KINDS[info & 0xFFFFFFFF]
            target.relocs.append(Reloc(offset, size, names[info >> 32], addend, is_relative))
    faults = sections.pop(FAULT_SECTION, None)
    if faults is not None:
        _distribute(faults, sections, symbols)
    return Object(sections, symbols)


def functions(obj: Object, names: list[str]) -> list[Code]:
    """Cut functions out of their section; offsets count from each function's start."""
    found = []
    for name in names:
        section_name, start, size = obj.symbols[name]
        section = obj.sections[section_name]
        end = start + size
        relocs, faults = section.relocs, section.faults
        first = bisect_left(relocs, start, key=lambda r: r.offset)
        last = bisect_left(relocs, end, key=lambda r: r.offset)
        low = bisect_left(faults, start, key=lambda f: f.access)
        high = bisect_left(faults, end, key=lambda f: f.access)
        found.append(
            Code(
                name,
                section.code[start:end],
                [r._replace(offset=r.offset - start) for r in relocs[first:last]],
                [
                    f._replace(access=f.access - start, recovery=f.recovery - start)
                    for f in faults[low:high]
                ],
            )
        )
    return found


def _distribute(
    faults: Code, sections: dict[str, Code], symbols: dict[str, tuple[str, int, int]]
) -> None:
    """Give each (access, recovery, pc) triple of the fault section to its code section."""
    at = {r.offset: r for r in faults.relocs}
    for offset in range(0, len(faults.code), 12):
        access, recovery, pc = at[offset], at[offset + 4], at.get(offset + 8)
        section, base, _ = symbols.get(access.symbol, (access.symbol, 0, 0))
        _, recovery_base, _ = symbols.get(recovery.symbol, (recovery.symbol, 0, 0))
        number = int.from_bytes(faults.code[offset + 8 : offset + 12], "little")
        sections[section].faults.append(
            Fault(
                base + access.addend,
                recovery_base + recovery.addend,
                pc.symbol if pc else "",
                number,
            )
        )
    for code in sections.values():
        code.faults.sort()
        code.relocs.sort()
