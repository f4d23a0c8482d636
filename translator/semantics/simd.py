"""What the semantics of MMX and SSE insns share: operands with their alignment, shuffles."""

from __future__ import annotations

from collections.abc import Iterable

from translator.builder import Builder
from translator.insn import Mem, Operand, Special
from translator.ir import Op, Value
from translator.semantics.x87 import FpStack, wait


def enter_mmx(b: Builder) -> None:
    """Do what every insn with an MMX operand does: TOP ← 0, all x87 registers become valid."""
    wait(b)
    b.unit.emit(Op.FPSTACK, 0, attr=FpStack(0, mode="mmx"))


def aligned(b: Builder, mem: Mem) -> Value:
    """Linear address of a 128-bit operand; #GP unless it is a multiple of 16."""
    address = b.operand_address(mem)
    b.fault_if((address & 15).ne(0), "#GP")
    return address


def is_mm(operand: Operand) -> bool:
    """Tell whether an operand is an MMX register."""
    return isinstance(operand, Special) and operand.kind == "mm"


def whole(b: Builder, src: Operand) -> Value:
    """Read a source as an XMM register: a shorter memory operand gets zeros above it."""
    if not isinstance(src, Mem):
        return b.read(src, 128)
    if src.width == 128:
        return b.load(aligned(b, src), 128)
    return load_low(b, src, src.width)


def load_low(b: Builder, mem: Mem, width: int) -> Value:
    """Read 32 or 64 bits into an XMM register with zeros above."""
    return b.load(b.operand_address(mem), 128, part=width)


def operands(b: Builder, dst: Operand, src: Operand) -> tuple[Value, Value]:
    """Read both operands of a packed insn, 64 bits each if dst is an MMX register."""
    if not is_mm(dst):
        return b.read(dst), whole(b, src)
    enter_mmx(b)
    return b.read(dst), b.read(src).zext(64)


def shuffle(b: Builder, lane: int, mask: Iterable[int], low: Value, high: Value) -> Value:
    """Each lane of the result is the one with that number in high:low."""
    return b.unit.emit(Op.VEC, low.width, low, high, attr=("shuffle", lane, tuple(mask)))
