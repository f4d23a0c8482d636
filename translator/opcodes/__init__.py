"""The opcode map: text rows -> lookup table. One row an encoding, as in the manual's opcode pages.

A row reads ``[prefix] opcode [/digit | /r | =XX] [m|r] mnemonic [operands] [; attributes]``:

- prefix: ``np`` (none of 66 F2 F3), ``66``, ``f2``, ``f3`` where it selects the insn (SSE);
  rows without one accept any prefix (66 is then the operand size).  ``vex.`` before it: the insn
  is encoded with a VEX prefix of 128 bits, which holds it; C4 stands before the row's opcode.
- opcode: hex bytes; a trailing ``+`` puts a register into its low three bits.
- ``/r``: a ModRM byte follows; ``/digit``: its reg field is that; ``=XX``: it is exactly XX;
  ``m`` or ``r`` restrict it to memory or register forms.
- operands: an addressing letter of the manual (A E G I J M O S V W U P Q N R X Y, and
  Z: register in the opcode, B: register in VEX.vvvv, T: ST(rm), K: immediate that belongs to the
  shape) and a size: b w d q t (80 bits)
  x (128) v (operand size), z (16 or 32), s (8 bits sign-extended to the operand size);
  or a fixed register: al cl dx ax eax Av (accumulator at operand size), 1, st0, es ...
- attributes: ``lock`` (the prefix is allowed when operand 0 is memory), ``system`` (what the insn
  does depends on the processor's mode even where segments are flat).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from translator import features
from translator.mode import Model
from translator.opcodes import bmi, crypto, integer, mmx, old, since, sse, sse4, x87

# Rows of extensions that this host may not offer, by their names in /proc/cpuinfo.
LATER = {
    "sse4_1": sse4.SSE41,
    "sse4_2": sse4.SSE42,
    "popcnt": bmi.POPCNT,
    "abm": bmi.ABM,
    "bmi1": bmi.BMI1,
    "bmi2": bmi.BMI2,
    "adx": bmi.ADX,
    "movbe": bmi.MOVBE,
    "movdiri": bmi.MOVDIRI,
    "movdir64b": bmi.MOVDIR64B,
    "aes": crypto.AES,
    "pclmulqdq": crypto.PCLMULQDQ,
    "sha_ni": crypto.SHA,
    "gfni": crypto.GFNI,
}
VEX = 0xC4
PREFIXES = ("np", "66", "f2", "f3")


class Row(NamedTuple):
    """One encoding."""

    prefix: str  # "", np, 66, f2, f3
    opcode: bytes
    plus: bool  # a register in the opcode's low three bits
    modrm: bool
    reg: int  # required reg field, or -1
    exact: int  # required ModRM byte, or -1
    mod: str  # "", m, r
    mnemonic: str
    operands: tuple[str, ...]
    attrs: frozenset[str]

    @property
    def is_vex(self) -> bool:
        """Whether the insn has a VEX prefix."""
        return self.opcode[0] == VEX and len(self.opcode) > 1


def parse(line: str) -> Row:
    """Parse one row; ValueError if it is not of the form above."""
    body, _, attrs = line.partition(";")
    words = body.split()
    opcode, plus = bytearray(), False
    if words[0].startswith("vex."):
        words[0] = words[0].removeprefix("vex.")
        opcode.append(VEX)
    has_prefix = words[0] == "np" or (words[0] in PREFIXES and len(words[1]) == 2)
    prefix = words.pop(0) if has_prefix else ""
    while words and len(words[0].rstrip("+")) == 2 and _is_hex(words[0].rstrip("+")):
        # a mnemonic is never two hex digits (there is no insn called "ad" or "fa")
        word = words.pop(0)
        plus = word.endswith("+")
        opcode.append(int(word.rstrip("+"), 16))
    modrm, reg, exact, mod = False, -1, -1, ""
    if words[0].startswith("/"):
        modrm, digit = True, words.pop(0)[1:]
        reg = -1 if digit == "r" else int(digit)
    elif words[0].startswith("="):
        modrm, exact = True, int(words.pop(0)[1:], 16)
    if words[0] in ("m", "r"):
        mod = words.pop(0)
    mnemonic = words.pop(0)
    operands = tuple(words[0].split(",")) if words else ()
    if len(words) > 1 or not opcode:
        raise ValueError(line)
    return Row(
        prefix, bytes(opcode), plus, modrm, reg, exact, mod, mnemonic, operands,
        frozenset(attrs.split()),
    )  # fmt: skip


def _is_hex(word: str) -> bool:
    return all(c in "0123456789abcdef" for c in word)


def _parse(text: str) -> list[Row]:
    return [parse(line) for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]


def _rows() -> list[Row]:
    # Later ones first: where F3 makes another insn of an older one (bsr, lzcnt), they win.
    text = "".join(rows for name, rows in LATER.items() if name in features.GUEST)
    return _parse(text + integer.ROWS + x87.ROWS + mmx.ROWS + sse.ROWS)


ROWS = _rows()
Table = dict[bytes, list[Row]]


def _table(rows: list[Row]) -> Table:
    table: Table = {}
    for row in rows:
        for low in range(8) if row.plus else (0,):
            opcode = row.opcode[:-1] + bytes([row.opcode[-1] + low])
            table.setdefault(opcode, []).append(row)
    return table


def _is_286(row: Row) -> bool:
    """Whether the 80286 has a row: no FS and GS, and few of two bytes."""
    if row.opcode[0] == 0x0F and row.opcode not in old.TWO_BYTE_286:
        return False
    if row.opcode[0] in old.SEGMENT_MOVES and row.reg > old.LAST_SEGMENT:
        return False
    return row.prefix in ("", "np") and not {"fs", "gs"} & set(row.operands)


# opcode bytes (0f..., 0f38.., 0f3a.. and VEX's c4 included) -> its rows, in the order written
TABLE = _table(ROWS)
# Those of insns that may use XMM registers or MXCSR.
SSE_OPCODES = frozenset(
    row.opcode
    for row in ROWS
    if row.mnemonic in ("ldmxcsr", "stmxcsr") or any(o[0] in "VWU" for o in row.operands)
)
_FAMILIES: tuple[tuple[str, Callable[[Row], Model]], ...] = (
    (integer.ROWS + x87.ROWS, lambda row: since.of_integer(row.mnemonic)),
    (mmx.ROWS, lambda row: since.of_mmx(row.mnemonic, row.opcode)),
    (sse.ROWS, lambda row: since.of_sse(row.mnemonic, row.opcode, row.prefix)),
)


@cache
def first_processors() -> dict[Row, Model]:
    """Return the first processor with a row, from the 80386 on; rows not there are later ones."""
    return {row: came(row) for text, came in _FAMILIES for row in _parse(text)}


@cache
def table_of(model: Model) -> Table:
    """Return the opcode table of a processor."""
    if model == Model.MAX:
        return TABLE
    if model in (Model.I8086, Model.I286):
        rows = [row for row in _parse(integer.ROWS + x87.ROWS) if _is_286(row)]
        if model == Model.I8086:
            both = [row for row in rows if row.opcode[:1] not in old.NEW_186]
            return _table(_parse(old.ROWS_8086) + both)
        return _table(rows + _parse(old.ROWS_286))
    came = first_processors()
    return _table([r for r in ROWS if came.get(r, Model.MAX) != Model.MAX and came[r] <= model])
