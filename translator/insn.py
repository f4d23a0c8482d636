"""What decoding yields: Insn and its operands. Immediates, displacements and targets are slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from translator.mode import USER, Mode


class Reg(NamedTuple):
    """A general register; 8-bit indices 4-7 are AH CH DH BH."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    width: int


class Mem(NamedTuple):
    """A memory operand. Registers are indices or -1; `seg` is a segment index (state.SEGMENTS)."""

    seg: int
    base: int
    index: int  # type: ignore[assignment]  # hides tuple.index
    scale: int
    has_disp: bool
    width: int
    addr_width: int


class Imm(NamedTuple):
    """An immediate: its number stands in the slot; `value` only where it belongs to the shape."""

    slot: str
    width: int
    value: int | None = None


class Special(NamedTuple):
    """Any other register: kind is seg, xmm, mm, st, cr, dr."""

    kind: str
    index: int  # type: ignore[assignment]  # hides tuple.index
    width: int


Operand = Reg | Mem | Imm | Special


@dataclass(frozen=True, slots=True)
class Insn:
    """One decoded insn. `key` identifies its shape: two insns with one key differ only in slots."""

    mnemonic: str
    operands: tuple[Operand, ...]
    width: int  # operand size: 16 or 32
    addr_width: int
    length: int
    key: bytes
    slots: dict[str, int]  # imm, imm2, disp
    lock: bool = False
    rep: int = 0  # 0xf3, 0xf2 or 0
    seg: int = -1  # overriding segment or -1
    mode: Mode = USER
    condition: bytes = b""  # conditions.py: where it holds, the insn is handed to Python
