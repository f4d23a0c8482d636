"""Rotates (SDM vol. 1, 7.3.5).

The count is masked to five bits; where nothing moves every flag stays.  OF is defined for a count
of one only; like today's hardware, others give it the value of the first step, but rol and ror by
an immediate count leave it alone in registers.

The 8086 does not mask the count.  It and the 80286 give OF the value of the last step.
"""

from __future__ import annotations

from collections.abc import Callable

from translator import flags
from translator.builder import Builder
from translator.insn import Imm, Mem, Operand
from translator.ir import Value
from translator.mode import Model
from translator.semantics import insn
from translator.semantics.shift import first_step_left, last_step

Count = int | Value
Compute = Callable[[Count], tuple[Value, Value]]  # count -> result, CF


def _turn(dst: Value, left: Count) -> Value:
    """Rotate left by a count already below the width."""
    if isinstance(left, int):
        return dst.shl(left) | dst.lshr(dst.width - left) if left else dst
    return dst.shl(left) | dst.lshr(-left & (dst.width - 1))


def _dynamic_count(b: Builder, count: Operand) -> Value:
    whole = b.read(count)
    return whole if b.mode.model == Model.I8086 else whole & 31


def _rotate(
    b: Builder, dst: Value, count: Operand, of: Value, compute: Compute, *, is_left: bool
) -> Value:
    """Rotate by a static or dynamic count, CF being the last bit that came round."""
    is_old = not b.mode.has_386
    if isinstance(count, Imm):
        static = (count.value or 0) & 31
        if not static:
            return dst
        res, cf = compute(static & (dst.width - 1))
        has_of = is_old or static == 1 or isinstance(b.insn.operands[0], Mem)
        of = last_step(res, cf, is_left=is_left) if is_old else of
        b.set_flags(flags.ROTATE if has_of else flags.CARRY, res, cf, of)
        return res
    dynamic = _dynamic_count(b, count)
    res, cf = compute(dynamic.fit(dst.width) & (dst.width - 1))
    of = last_step(res, cf, is_left=is_left) if is_old else of
    b.set_flags(flags.ROTATE, res, cf, of, unless=dynamic.eq(0))
    return res


@insn("rol")
def rol(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← dst rotated left."""

    def compute(count: Count) -> tuple[Value, Value]:
        res = _turn(dst, count)
        return res, res.bit(0)

    return _rotate(b, dst, count, first_step_left(dst), compute, is_left=True)


@insn("ror")
def ror(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← dst rotated right."""

    def compute(count: Count) -> tuple[Value, Value]:
        res = _turn(dst, -count & (dst.width - 1))
        return res, res.msb()

    return _rotate(b, dst, count, dst.msb() ^ dst.bit(0), compute, is_left=False)


def _rotate_carry(b: Builder, dst: Value, count: Operand, of: Value, *, right: bool) -> Value:
    """Rotate CF:dst within 64 bits; nine and seventeen bits come round within a count of 31."""
    size = dst.width + 1
    ring = b.flag("cf").zext(64).shl(dst.width) | dst.zext(64)
    if isinstance(count, Imm):
        masked = (count.value or 0) & 31
        turn = masked % size
        if not turn and (b.mode.has_386 or not masked):
            return dst
        left = size - turn if right else turn
        ring = ring.shl(left) | ring.lshr(size - left)
        unmoved = None
    else:
        whole = _dynamic_count(b, count).zext(64)
        dynamic = whole if size > 31 else whole.urem(size)
        # A shift right by `size` leaves only zeros; 33 stays below 64.
        rest = b.const(size, 64) - dynamic
        up, down = (rest, dynamic) if right else (dynamic, rest)
        ring = ring.shl(up) | ring.lshr(down)
        unmoved = (dynamic if b.mode.has_386 else whole).eq(0)
    res = ring.trunc(dst.width)
    if not b.mode.has_386:
        of = last_step(res, ring.bit(dst.width), is_left=not right)
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
