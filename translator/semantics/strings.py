"""String insns: one iteration each; `lift` repeats them (SDM vol. 1, 7.3.9)."""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.insn import Operand
from translator.ir import Value
from translator.semantics import Dst, insn

ESI, EDI = 6, 7


def advance(b: Builder, size: int, *registers: int) -> None:
    """Step index registers by *size* bytes in the direction of DF."""
    step = b.get("df")
    if size > 1:
        step = step.shl(size.bit_length() - 1)
    for register in registers:
        width = b.insn.addr_width
        b.set_reg(register, b.reg(register, width) + step.trunc(width))


def _compare(b: Builder, left: Value, right: Value) -> None:
    """Flags of left - right. Repeated: of the last iteration; a fault before it shows the old."""
    res = left - right
    if b.insn.rep:
        fits = res.eq(0) if b.insn.rep == 0xF3 else res.ne(0)
        b.going_on = fits & b.reg(1, b.insn.addr_width).ne(1)
    b.set_flags(flags.SUB, res, left, right, unless=b.going_on)


@insn("movs", string=True)
def movs(b: Builder, dst: Dst, src: Value) -> Value:
    """[EDI] ← [ESI]."""
    advance(b, src.width // 8, ESI, EDI)
    return src


@insn("cmps", string=True, compares=True)
def cmps(b: Builder, right: Value, left: Value) -> None:
    """Flags of [ESI] - [EDI]; [EDI] is read first."""
    _compare(b, left, right)
    advance(b, left.width // 8, ESI, EDI)


@insn("stos", string=True)
def stos(b: Builder, dst: Dst, src: Value) -> Value:
    """[EDI] ← accumulator."""
    advance(b, src.width // 8, EDI)
    return src


@insn("lods", string=True)
def lods(b: Builder, dst: Operand, src: Value) -> None:
    """Accumulator ← [ESI]."""
    b.write(dst, src)
    advance(b, src.width // 8, ESI)


@insn("scas", string=True, compares=True)
def scas(b: Builder, left: Value, right: Value) -> None:
    """Flags of accumulator - [EDI]."""
    _compare(b, left, right)
    advance(b, right.width // 8, EDI)
