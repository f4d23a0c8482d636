"""Rotates (SDM vol. 1, 7.3.5).

The count is masked to five bits; where nothing moves every flag stays.  OF is defined for a count
of one only; like today's hardware, others give it the value of the first step, but rol and ror by
an immediate count leave it alone in registers.
"""

from __future__ import annotations

from collections.abc import Callable

from translator import flags
from translator.builder import Builder
from translator.insn import Imm, Mem, Operand
from translator.ir import Value
from translator.semantics import insn
from translator.semantics.shift import first_step_left

Count = int | Value
Compute = Callable[[Count], tuple[Value, Value]]  # count -> result, CF


def _turn(dst: Value, left: Count) -> Value:
    """Rotate left by a count already below the width."""
    if isinstance(left, int):
        return dst.shl(left) | dst.lshr(dst.width - left) if left else dst
    return dst.shl(left) | dst.lshr(-left & (dst.width - 1))


def _rotate(b: Builder, dst: Value, count: Operand, of: Value, compute: Compute) -> Value:
    """Rotate by a static or dynamic count, CF being the last bit that came round."""
    if isinstance(count, Imm):
        static = (count.value or 0) & 31
        if not static:
            return dst
        res, cf = compute(static & (dst.width - 1))
        has_of = static == 1 or isinstance(b.insn.operands[0], Mem)
        b.set_flags(flags.ROTATE if has_of else flags.CARRY, res, cf, of)
        return res
    dynamic = b.read(count) & 31
    res, cf = compute(dynamic.fit(dst.width) & (dst.width - 1))
    b.set_flags(flags.ROTATE, res, cf, of, unless=dynamic.eq(0))
    return res


@insn("rol")
def rol(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← dst rotated left."""

    def compute(count: Count) -> tuple[Value, Value]:
        res = _turn(dst, count)
        return res, res.bit(0)

    return _rotate(b, dst, count, first_step_left(dst), compute)


@insn("ror")
def ror(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← dst rotated right."""

    def compute(count: Count) -> tuple[Value, Value]:
        res = _turn(dst, -count & (dst.width - 1))
        return res, res.msb()

    return _rotate(b, dst, count, dst.msb() ^ dst.bit(0), compute)


def _rotate_carry(b: Builder, dst: Value, count: Operand, of: Value, *, right: bool) -> Value:
    """Rotate CF:dst within 64 bits; nine and seventeen bits come round within a count of 31."""
    size = dst.width + 1
    ring = b.flag("cf").zext(64).shl(dst.width) | dst.zext(64)
    if isinstance(count, Imm):
        turn = ((count.value or 0) & 31) % size
        if not turn:
            return dst
        left = size - turn if right else turn
        ring = ring.shl(left) | ring.lshr(size - left)
        unmoved = None
    else:
        dynamic = (b.read(count) & 31).zext(64)
        dynamic = dynamic if size > 31 else dynamic.urem(size)
        # A shift right by `size` leaves only zeros; 33 stays below 64.
        rest = b.const(size, 64) - dynamic
        up, down = (rest, dynamic) if right else (dynamic, rest)
        ring = ring.shl(up) | ring.lshr(down)
        unmoved = dynamic.eq(0)
    res = ring.trunc(dst.width)
    b.set_flags(flags.ROTATE, res, ring.bit(dst.width), of, unless=unmoved)
    return res


@insn("rcl")
def rcl(b: Builder, dst: Value, count: Operand) -> Value:
    """CF:dst ← CF:dst rotated left."""
    return _rotate_carry(b, dst, count, first_step_left(dst), right=False)


@insn("rcr")
def rcr(b: Builder, dst: Value, count: Operand) -> Value:
    """CF:dst ← CF:dst rotated right."""
    return _rotate_carry(b, dst, count, dst.msb() ^ b.flag("cf"), right=True)
