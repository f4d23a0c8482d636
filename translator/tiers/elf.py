"""Object file -> sections, symbols and relocations: what stencils and native support code need."""

from __future__ import annotations

import io
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
    """A parsed object file: code sections by name, symbols as (section, offset)."""

    sections: dict[str, Code]
    symbols: dict[str, tuple[str, int]]


def parse(data: bytes) -> Object:
    """Parse an x86-64 relocatable object."""
    from elftools.elf.elffile import ELFFile  # only where something is compiled

    elf = ELFFile(io.BytesIO(data))
    headers = list(elf.iter_sections())
    table = elf.get_section_by_name(".symtab")
    entries = [
        (s.name, s["st_shndx"], s["st_value"], s["st_info"]["type"]) for s in table.iter_symbols()
    ]

    def symbol(index: int) -> tuple[str, int]:
        """Name of a relocation's symbol, and its offset where it is a local of a section."""
        name, section, value, kind = entries[index]
        if isinstance(section, int):
            return ("" if kind == "STT_SECTION" else name) or headers[section].name, value
        return name, 0

    sections = {
        s.name: Code(s.name, s.data())
        for s in headers
        if s["sh_flags"] & 2 and s["sh_size"] and not s.name.startswith(".eh_frame")
    }
    symbols = {
        name: (headers[section].name, value)
        for name, section, value, kind in entries
        if isinstance(section, int) and name and kind != "STT_SECTION"
    }
    for header in headers:
        if header["sh_type"] != "SHT_RELA":
            continue
        target = sections.get(headers[header["sh_info"]].name)
        if target is None:
            continue
        for r in header.iter_relocations():
            name, _ = symbol(r["r_info_sym"])
            size, is_relative = KINDS[r["r_info_type"]]
            target.relocs.append(Reloc(r["r_offset"], size, name, r["r_addend"], is_relative))
    faults = sections.pop(FAULT_SECTION, None)
    if faults is not None:
        _distribute(faults, sections, symbols)
    return Object(sections, symbols)


def _distribute(faults: Code, sections: dict[str, Code], symbols: dict[str, tuple[str, int]]) -> None:
    """Give each (access, recovery, pc) triple of the fault section to its code section."""
    at = {r.offset: r for r in faults.relocs}
    for offset in range(0, len(faults.code), 12):
        access, recovery, pc = at[offset], at[offset + 4], at.get(offset + 8)
        section, base = symbols.get(access.symbol, (access.symbol, 0))
        _, recovery_base = symbols.get(recovery.symbol, (recovery.symbol, 0))
        number = int.from_bytes(faults.code[offset + 8 : offset + 12], "little")
        sections[section].faults.append(
            Fault(
                base + access.addend,
                recovery_base + recovery.addend,
                pc.symbol if pc else "",
                number,
            )
        )
