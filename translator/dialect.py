"""What bytes mean: the opcodes, prefixes and immediates of a mode and a processor."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from translator.insn import Imm, Operand, Reg, Special
from translator.mode import USER, Mode, Model
from translator.opcodes import SSE_OPCODES, TABLE, VEX, Row, table_of
from translator.state import SEGMENTS

FIXED: dict[str, Operand] = {
    **{name: Reg(i, 8) for i, name in enumerate(("al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"))},
    **{name: Reg(i, 16) for i, name in enumerate(("ax", "cx", "dx", "bx", "sp", "bp", "si", "di"))},
    "eax": Reg(0, 32),
    "1": Imm("one", 8, 1),
    "st0": Special("st", 0, 80),
    **{name: Special("seg", i, 16) for i, name in enumerate(SEGMENTS)},
}
# How a prefix byte counts: 1 operand size, 2 address size, 3 repeat, 4 lock, 5 segment that
# matters (FS GS have a base, CS cannot be written), 6 segment without effect (flat data).
_PREFIX = {0x66: 1, 0x67: 2, 0xF2: 3, 0xF3: 3, 0xF0: 4, 0x2E: 5, 0x64: 5, 0x65: 5}
_PREFIX |= dict.fromkeys((0x26, 0x36, 0x3E), 6)
_PREFIX_SEGMENTED = _PREFIX | dict.fromkeys((0x26, 0x36, 0x3E), 5)
_PREFIX_OLD = {b: k for b, k in _PREFIX_SEGMENTED.items() if not 0x64 <= b <= 0x67}
_PREFIX_8086 = _PREFIX_OLD | {0xF1: 4}


def _immediates(rows: list[Row]) -> list[tuple[str, ...]]:
    """Immediate operand letters for each of the eight reg fields."""
    result = []
    for reg in range(8):
        letters: tuple[str, ...] = ()
        for row in rows:
            if row.reg in (-1, reg) and (row.exact < 0 or row.exact >> 3 & 7 == reg):
                letters = tuple(
                    o for o in row.operands if o[0] in "IJOAK" and o not in FIXED and o != "Av"
                )
                break
        result.append(letters)
    return result


class _Form(NamedTuple):
    modrm: bool
    immediates: list[tuple[str, ...]]


def _forms_of(table: dict[bytes, list[Row]]) -> dict[bytes, _Form]:
    return {op: _Form(any(r.modrm for r in rows), _immediates(rows)) for op, rows in table.items()}


_FORMS = _forms_of(TABLE)
UNKNOWN = _Form(False, [()] * 8)


class Dialect(NamedTuple):
    """What bytes mean: differs between modes and processors."""

    prefixes: dict[int, int]
    table: dict[bytes, list[Row]]
    forms: dict[bytes, _Form]
    sensitive: dict[bytes, int]  # opcodes -> reg fields (mask) whose insns ask for the mode
    is_8086: bool
    has_vex: bool
    registers: frozenset[bytes]  # opcodes whose ModRM byte always names registers


def _make(mode: Mode) -> Dialect:
    table = table_of(mode.model)
    prefixes = _PREFIX if mode.is_flat else _PREFIX_SEGMENTED
    if not mode.has_386:
        prefixes = _PREFIX_8086 if mode.model == Model.I8086 else _PREFIX_OLD
    sensitive = {}
    for opcode, rows in table.items():
        fields = [row.reg for row in rows if "system" in row.attrs]
        if fields:
            sensitive[opcode] = 0xFF if -1 in fields else sum({1 << reg for reg in fields})
    sensitive |= {} if mode.has_sse else dict.fromkeys(SSE_OPCODES, 0xFF)
    if mode.has_386 and mode.model != Model.MAX:
        sensitive |= {op: sensitive.get(op, 0) | n for op, n in _changed(table).items()}
    is_8086 = mode.model == Model.I8086
    # In real mode it is LES, whatever follows.
    has_vex = mode.model == Model.MAX and not mode.is_real
    # Ring 3 cannot tell: these fault.
    registers = frozenset(bytes([0x0F, n]) for n in range(0x20, 0x24) if mode is not USER)
    return Dialect(prefixes, table, _forms_of(table), sensitive, is_8086, has_vex, registers)


def _changed(table: dict[bytes, list[Row]]) -> dict[bytes, int]:
    """Return the opcodes that mean something else on the latest processor: reg fields (mask)."""
    found = {bytes([VEX]): 0xFF}
    for opcode in TABLE.keys() | table.keys():
        now, then = TABLE.get(opcode, []), table.get(opcode, [])
        for row in (row for row in (*now, *then) if (row in now) != (row in then)):
            reg = row.exact >> 3 & 7 if row.exact >= 0 else row.reg
            mask = 1 << reg if then and reg >= 0 else 0xFF
            found[opcode] = found.get(opcode, 0) | mask
    return found


dialect_of = lru_cache(maxsize=None)(_make)


class Form(NamedTuple):
    """What follows an opcode: ModRM, immediates for each reg field; which of these are sensitive.

    Sensitive (mask) is an insn that the mode changes.
    """

    opcode: bytes
    modrm: bool
    immediates: list[tuple[str, ...]]
    sensitive: int


def forms(model: Model) -> Iterator[Form]:
    """Go through the opcodes of a processor, and those that only later ones have."""
    dialect = dialect_of(Mode(model=model))
    for opcode in dialect.forms.keys() | _FORMS.keys():
        form = dialect.forms.get(opcode, UNKNOWN)
        yield Form(opcode, form.modrm, form.immediates, dialect.sensitive.get(opcode, 0))
