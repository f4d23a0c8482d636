"""Disassembly by capstone, of host code and of guest code. The only importer of capstone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any


@cache
def _engine(bits: int, detail: bool) -> Any:
    import capstone

    mode = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}[bits]
    engine = capstone.Cs(capstone.CS_ARCH_X86, mode)
    engine.detail = detail
    return engine


def jumps(code: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (offset, size, target offset) of every direct jump in x86-64 code."""
    for address, size, mnemonic, operands in _engine(64, False).disasm_lite(code, 0):
        if mnemonic.startswith("j") and operands[:1].isdigit():
            yield address, size, int(operands, 0)


def ends_with_jump(code: bytes) -> bool:
    """Whether x86-64 code cannot run past its end."""
    last = ""
    for _, _, mnemonic, _ in _engine(64, False).disasm_lite(code, 0):
        last = mnemonic
    return last in ("jmp", "ret")


def lines(code: bytes, address: int, bits: int = 64) -> Iterator[tuple[int, bytes, str]]:
    """Yield (address, bytes, text) of every insn."""
    for at, size, mnemonic, operands in _engine(bits, False).disasm_lite(code, address):
        offset = at - address
        yield at, code[offset : offset + size], f"{mnemonic} {operands}".rstrip()
