"""Compiled objects: the headers that are read here say what a library reads."""

from __future__ import annotations

import io

import pytest

from tests.translator.test_regions import BRANCHY, grow
from translator.tiers import backend, elf
from translator.tiers.regioncode import source


@pytest.fixture(scope="module")
def data() -> bytes:
    return backend.compile_object(source(grow(BRANCHY, 0)))


def test_sections(data: bytes) -> None:
    """Contents and relocations of all that is loaded, but for unwinding tables."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.relocation import RelocationSection

    file = ELFFile(io.BytesIO(data))
    found = elf.parse(data).sections
    names = {".eh_frame", elf.FAULT_SECTION}
    for section in file.iter_sections():
        if section["sh_flags"] & 2 and section["sh_size"] and section.name not in names:
            assert found.pop(section.name).code == section.data()
    assert not found
    for section in file.iter_sections():
        if isinstance(section, RelocationSection) and section.name == ".rela.text":
            offsets = sorted(r["r_offset"] for r in section.iter_relocations())
            relocs = elf.parse(data).sections[".text"].relocs
            assert [r.offset for r in relocs] == offsets
            assert relocs


def test_symbols(data: bytes) -> None:
    from elftools.elf.elffile import ELFFile

    file = ELFFile(io.BytesIO(data))
    symbol = file.get_section_by_name(".symtab").get_symbol_by_name("region")[0]
    want = ".text", symbol["st_value"], symbol["st_size"]
    assert elf.parse(data).symbols["region"] == want
