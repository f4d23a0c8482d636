"""Opcode rows -> the forms that a campaign has to exercise: operand kind and prefix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from translator.opcodes import Row

OPSIZE, ADDRSIZE, REPNE, REP, LOCK = 0x66, 0x67, 0xF2, 0xF3, 0xF0
CS, FS, GS = 0x2E, 0x64, 0x65
FLAT = (0x26, 0x36, 0x3E)  # ES SS DS: segments that hide nothing
STRINGS = {"movs", "cmps", "stos", "lods", "scas"}
# Memory operands that no ModRM byte names, and the insns that count in CX or ECX.
IMPLICIT = STRINGS | {"xlat", "maskmovq", "maskmovdqu"}
COUNTED = {"jcxz", "loop", "loope", "loopne"}
PAUSE = b"\x90"  # behind F3
# Linux executes these for the guest (UMIP); an address that only wraps with its segment's base
# is a fault to it.
EMULATED = {"sgdt", "sidt", "sldt", "str", "smsw"}


class Form(NamedTuple):
    """A row, the kind of its operand, and one prefix or none (0)."""

    row: Row
    is_memory: bool
    prefix: int

    def __str__(self) -> str:
        """Return the form to read: `65 [0f b6] movzx Gv,Eb memory`."""
        row = self.row
        opcode = f"{row.prefix} {row.opcode.hex(' ')}".strip()
        prefix = f"{self.prefix:02x} " if self.prefix else ""
        digit = f" /{row.reg}" if row.reg >= 0 else ""
        kind = " memory" if self.is_memory else ""
        return f"{prefix}[{opcode}{digit}] {row.mnemonic} {','.join(row.operands)}{kind}"


def forms(rows: Iterable[Row]) -> list[Form]:
    """Return every form of some rows."""
    result = []
    for row in rows:
        kinds = [False]
        if row.modrm and row.exact < 0:
            kinds = [is_memory for is_memory, not_mod in ((True, "r"), (False, "m"))
                     if row.mod != not_mod]  # fmt: skip
        elif any(o[0] == "O" for o in row.operands):
            kinds = [True]
        for is_memory in kinds:
            result += [Form(row, is_memory, p) for p in (0, *_prefixes(row, is_memory))]
    return result


def _prefixes(row: Row, is_memory: bool) -> list[int]:
    """Return the prefixes that matter to a form, and those that must not."""
    prefixes = [LOCK]
    if row.prefix in ("", "f2", "f3") or row.is_vex:
        prefixes.append(OPSIZE)
    if row.prefix == "" and len(row.opcode) == 1 and row.opcode != PAUSE:
        prefixes += [REPNE, REP]
    addressed = is_memory or row.mnemonic in IMPLICIT
    if addressed or row.mnemonic in COUNTED:
        prefixes.append(ADDRSIZE)
    if addressed:
        prefixes += [CS, GS, FLAT[0]]
        prefixes += [] if row.mnemonic in EMULATED else [FS]
    return prefixes
