"""String insns: one iteration each; `lift` repeats them (SDM vol. 1, 7.3.9)."""

from __future__ import annotations

from translator.builder import Builder
from translator.insn import Operand
from translator.ir import Value
from translator.semantics import Dst, insn
from translator.semantics.arith import cmp

ESI, EDI = 6, 7


def _advance(b: Builder, size: int, *registers: int) -> None:
    """Step index registers by *size* bytes in the direction of DF."""
    step = b.get("df")
    if size > 1:
        step = step.shl(size.bit_length() - 1)
    for register in registers:
        width = b.insn.addr_width
        b.set_reg(register, b.reg(register, width) + step.trunc(width))


@insn("movs", string=True)
def movs(b: Builder, dst: Dst, src: Value) -> Value:
    """[EDI] ← [ESI]."""
    _advance(b, src.width // 8, ESI, EDI)
    return src


@insn("cmps", string=True, compares=True)
def cmps(b: Builder, right: Value, left: Value) -> None:
    """Flags of [ESI] - [EDI]; [EDI] is read first."""
    cmp(b, left, right)
    _advance(b, left.width // 8, ESI, EDI)


@insn("stos", string=True)
def stos(b: Builder, dst: Dst, src: Value) -> Value:
    """[EDI] ← accumulator."""
    _advance(b, src.width // 8, EDI)
    return src


@insn("lods", string=True)
def lods(b: Builder, dst: Operand, src: Value) -> None:
    """Accumulator ← [ESI]."""
    b.write(dst, src)
    _advance(b, src.width // 8, ESI)


@insn("scas", string=True, compares=True)
def scas(b: Builder, left: Value, right: Value) -> None:
    """Flags of accumulator - [EDI]."""
    cmp(b, left, right)
    _advance(b, right.width // 8, EDI)
