"""Shifts (SDM vol. 1, 7.3.4).

The count is masked to five bits; a masked count of zero leaves every flag alone.  OF is defined
for a count of one only; like today's hardware, others give it the value of the first step, and AF
becomes 0.  A count known at translation (shape) makes straight code, one in CL keeps the old
flags by selection.

The 8086 does not mask the count.  It and the 80286 give OF the value of the last step.
"""

from __future__ import annotations

from collections.abc import Callable

from translator import flags
from translator.builder import Builder
from translator.insn import Imm, Operand
from translator.ir import Value
from translator.mode import Model
from translator.semantics import insn

Count = int | Value  # from 1 up, or a Value that may be 0
Compute = Callable[[Count], tuple[Value, Value]]  # count -> result, CF


def _shift(
    b: Builder, dst: Value, count: Operand, of: Value, compute: Compute, *, is_left: bool = False
) -> Value:
    """Shift by a static or dynamic count and set the flags."""
    unless = None
    if isinstance(count, Imm):
        static = (count.value or 0) & 31
        if not static:
            return dst
        res, cf = compute(static)
    else:
        dynamic = _dynamic_count(b, b.read(count), dst.width)
        res, cf = compute(dynamic)
        unless = dynamic.eq(0)
    rule = flags.SHIFT
    if not b.mode.has_386:
        of = last_step(res, cf, is_left=is_left)
        right = rule if b.mode.model == Model.I8086 else flags.SHIFT_RIGHT_286
        rule = flags.OLD_SHIFT_LEFT if is_left else right
    b.set_flags(rule, res, cf, of, unless=unless)
    return res


def _dynamic_count(b: Builder, count: Value, width: int) -> Value:
    if b.mode.model != Model.I8086:
        return count & 31
    # Nothing is left after width + 1 steps, however many come.
    return count.ult(width + 1).select(count, b.const(width + 1, 8))


def last_step(res: Value, cf: Value, *, is_left: bool) -> Value:
    """OF of the last step: whether it changed the sign; only the result knows."""
    return res.msb() ^ (cf if is_left else res.bit(res.width - 2))


def first_step_left(dst: Value) -> Value:
    """OF of a shift to the left by one: the sign changes."""
    return dst.msb() ^ dst.bit(dst.width - 2)


def _count(count: Count) -> Count:
    """Widen a count for a shift of 64 bits."""
    return count if isinstance(count, int) else count.zext(64)


@insn("shl")
def shl(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← dst << count."""

    def compute(count: Count) -> tuple[Value, Value]:
        if isinstance(count, int) and dst.width == 32:
            return dst.shl(count), dst.bit(32 - count)
        wide = dst.zext(64).shl(_count(count))
        return wide.trunc(dst.width), wide.bit(dst.width)

    return _shift(b, dst, count, first_step_left(dst), compute, is_left=True)


@insn("setmo", "setmoc")
def setmo(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← all ones, unless the count is 0 (8086, undocumented: D0 to D3 /6)."""
    unless = None if isinstance(count, Imm) else b.read(count).eq(0)
    ones = b.const(-1, dst.width)
    b.set_flags(flags.LOGIC, ones, ones, ones, unless=unless)
    return ones if unless is None else unless.select(dst, ones)


def _right(wide: Value, count: Count, width: int) -> tuple[Value, Value]:
    """Shift right a value of 64 bits; return result and the last bit shifted out."""
    if isinstance(count, int):
        return wide.lshr(count).trunc(width), wide.bit(count - 1)
    # One bit more below keeps the last bit shifted out.
    out = wide.shl(1).lshr(count.zext(64))
    return out.lshr(1).trunc(width), out.bit(0)


@insn("shr")
def shr(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← dst >> count, zeros in."""

    def compute(count: Count) -> tuple[Value, Value]:
        if isinstance(count, int) and dst.width == 32:
            return dst.lshr(count), dst.bit(count - 1)
        return _right(dst.zext(64), count, dst.width)

    return _shift(b, dst, count, dst.msb(), compute)


@insn("sar")
def sar(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← dst >> count, sign in."""

    def compute(count: Count) -> tuple[Value, Value]:
        if isinstance(count, int) and dst.width == 32:
            return dst.ashr(count), dst.bit(count - 1)
        # The sign fills 64 bits: counts up to 31 never run out of it.
        return _right(dst.sext(64), count, dst.width)

    return _shift(b, dst, count, b.const(0, 1), compute)


@insn("shld")
def shld(b: Builder, dst: Value, src: Value, count: Operand) -> Value:
    """Dst ← high part of dst:src << count; 16 bits by more than 16 go on with dst."""

    def compute(count: Count) -> tuple[Value, Value]:
        if dst.width == 16:
            wide = dst.concat(src).concat(dst).zext(64).shl(_count(count))
            return wide.bits(32, 16), wide.bit(48)
        res = dst.concat(src).shl(_count(count)).bits(32, 32)
        if isinstance(count, int):
            return res, dst.bit(32 - count)
        return res, dst.zext(64).shl(count.zext(64)).bit(32)

    return _shift(b, dst, count, first_step_left(dst), compute)


@insn("shrd")
def shrd(b: Builder, dst: Value, src: Value, count: Operand) -> Value:
    """Dst ← low part of src:dst >> count; 16 bits by more than 16 go on with dst."""

    def compute(count: Count) -> tuple[Value, Value]:
        wide = src.concat(dst)
        wide = wide if dst.width == 32 else dst.concat(wide).zext(64)
        if isinstance(count, int):
            return wide.lshr(count).trunc(dst.width), wide.bit(count - 1)
        # A count of 0 is masked to 31 here: its CF is never taken.
        cf = wide.lshr(((count - 1) & 31).zext(64)).bit(0)
        return wide.lshr(count.zext(64)).trunc(dst.width), cf

    return _shift(b, dst, count, dst.msb() ^ src.bit(0), compute)
