"""Shifts and rotates (SDM vol. 1, 7.3.4 and 7.3.5).

The count is masked to five bits; a masked count of zero leaves every flag alone.  OF is defined
for a count of one only; for others it is computed by the same formula.  A count known at
translation (shape) makes straight code, one in CL keeps the old flags by selection.
"""

from __future__ import annotations

from collections.abc import Callable

from translator import flags
from translator.builder import Builder
from translator.insn import Imm, Operand
from translator.ir import Value
from translator.semantics import insn

# (value, count) -> result, CF, OF. The count is an int from 1 up or a Value that may be 0.
Compute = Callable[[Value, "int | Value"], tuple[Value, Value, Value]]


def _shift(b: Builder, dst: Value, count: Operand, rule: flags.Rule, compute: Compute) -> Value:
    """Shift by a static or dynamic count and set the flags of *rule*."""
    if isinstance(count, Imm):
        static = (count.value or 0) & 31
        if static:
            res, cf, of = compute(dst, static)
            b.set_flags(rule, res, cf, of)
            return res
        return dst
    dynamic = b.read(count) & 31
    res, cf, of = compute(dst, dynamic)
    b.set_flags(rule, res, cf, of, unless=dynamic.eq(0))
    return res


def _count(count: int | Value, width: int) -> int | Value:
    """Widen a count for a shift at *width* bits."""
    return count if isinstance(count, int) else count.zext(width)


@insn("shl")
def shl(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← dst << count."""

    def compute(dst: Value, count: int | Value) -> tuple[Value, Value, Value]:
        if isinstance(count, int) and dst.width == 32:
            res, cf = dst.shl(count), dst.bit(32 - count)
        else:
            wide = dst.zext(64).shl(_count(count, 64))
            res, cf = wide.trunc(dst.width), wide.bit(dst.width)
        return res, cf, res.msb() ^ cf

    return _shift(b, dst, count, flags.SHIFT, compute)


def _right(dst: Value, count: int | Value, wide: Value) -> tuple[Value, Value]:
    """Shift right the value widened to 64 bits; return result and the last bit shifted out."""
    if isinstance(count, int):
        return wide.lshr(count).trunc(dst.width), wide.bit(count - 1)
    # One bit more below keeps the last bit shifted out.
    out = wide.shl(1).lshr(count.zext(64))
    return out.lshr(1).trunc(dst.width), out.bit(0)


@insn("shr")
def shr(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← dst >> count, zeros in."""

    def compute(dst: Value, count: int | Value) -> tuple[Value, Value, Value]:
        if isinstance(count, int) and dst.width == 32:
            return dst.lshr(count), dst.bit(count - 1), dst.msb()
        return *_right(dst, count, dst.zext(64)), dst.msb()

    return _shift(b, dst, count, flags.SHIFT, compute)


@insn("sar")
def sar(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← dst >> count, sign in."""

    def compute(dst: Value, count: int | Value) -> tuple[Value, Value, Value]:
        clear = b.const(0, 1)
        if isinstance(count, int) and dst.width == 32:
            return dst.ashr(count), dst.bit(count - 1), clear
        # The sign fills 64 bits: counts up to 31 never run out of it.
        return *_right(dst, count, dst.sext(64)), clear

    return _shift(b, dst, count, flags.SHIFT, compute)


def _turn(dst: Value, left: int | Value) -> Value:
    """Rotate left by a count already below the width."""
    if isinstance(left, int):
        return dst.shl(left) | dst.lshr(dst.width - left) if left else dst
    return dst.shl(left) | dst.lshr(-left & (dst.width - 1))


@insn("rol")
def rol(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← dst rotated left."""

    def compute(dst: Value, count: int | Value) -> tuple[Value, Value, Value]:
        res = _turn(dst, _fit(count, dst.width) & (dst.width - 1))
        return res, res.bit(0), res.msb() ^ res.bit(0)

    return _shift(b, dst, count, flags.ROTATE, compute)


@insn("ror")
def ror(b: Builder, dst: Value, count: Operand) -> Value:
    """Dst ← dst rotated right."""

    def compute(dst: Value, count: int | Value) -> tuple[Value, Value, Value]:
        res = _turn(dst, -_fit(count, dst.width) & (dst.width - 1))
        return res, res.msb(), res.msb() ^ res.bit(dst.width - 2)

    return _shift(b, dst, count, flags.ROTATE, compute)


def _fit(count: int | Value, width: int) -> int | Value:
    return count if isinstance(count, int) else count.fit(width)


def _turn_carry(
    b: Builder, dst: Value, count: int | Value, *, right: bool
) -> tuple[Value, Value]:
    """Rotate CF:dst left, or right, in 64 bits; return result and CF."""
    size = dst.width + 1
    ring = b.flag("cf").zext(64).shl(dst.width) | dst.zext(64)
    # A shift by `size` meets only zeros or moves everything out; 33 stays below 64.
    if isinstance(count, int):
        up = (-count if right else count) % size
        ring = ring.shl(up) | ring.lshr(size - up)
    else:
        # Nine and seventeen bits come round within a count of 31.
        turn = count.zext(64) if size > 31 else count.zext(64).urem(size)
        rest = b.const(size, 64) - turn
        ring = ring.shl(rest) | ring.lshr(turn) if right else ring.shl(turn) | ring.lshr(rest)
    return ring.trunc(dst.width), ring.bit(dst.width)


@insn("rcl")
def rcl(b: Builder, dst: Value, count: Operand) -> Value:
    """CF:dst ← CF:dst rotated left."""

    def compute(dst: Value, count: int | Value) -> tuple[Value, Value, Value]:
        res, cf = _turn_carry(b, dst, count, right=False)
        return res, cf, res.msb() ^ cf

    return _shift(b, dst, count, flags.ROTATE, compute)


@insn("rcr")
def rcr(b: Builder, dst: Value, count: Operand) -> Value:
    """CF:dst ← CF:dst rotated right."""

    def compute(dst: Value, count: int | Value) -> tuple[Value, Value, Value]:
        res, cf = _turn_carry(b, dst, count, right=True)
        return res, cf, res.msb() ^ res.bit(dst.width - 2)

    return _shift(b, dst, count, flags.ROTATE, compute)


@insn("shld")
def shld(b: Builder, dst: Value, src: Value, count: Operand) -> Value:
    """Dst ← high part of dst:src << count; 16 bits by more than 16 go on with dst."""

    def compute(dst: Value, count: int | Value) -> tuple[Value, Value, Value]:
        if dst.width == 32:
            wide = dst.concat(src).shl(_count(count, 64))
            res = wide.lshr(32).trunc(32)
            cf = dst.bit(32 - count) if isinstance(count, int) else _carry_left(dst, count)
        else:
            wide = dst.concat(src).concat(dst).zext(64).shl(_count(count, 64))
            res, cf = wide.bits(32, 16), wide.bit(48)
        return res, cf, res.msb() ^ dst.msb()

    return _shift(b, dst, count, flags.SHIFT, compute)


def _carry_left(dst: Value, count: Value) -> Value:
    """Return the bit that a shift left by 1 to 31 moves out last."""
    return dst.zext(64).shl(count.zext(64)).bit(32)


@insn("shrd")
def shrd(b: Builder, dst: Value, src: Value, count: Operand) -> Value:
    """Dst ← low part of src:dst >> count; 16 bits by more than 16 go on with dst."""

    def compute(dst: Value, count: int | Value) -> tuple[Value, Value, Value]:
        wide = src.concat(dst)
        wide = wide if dst.width == 32 else dst.concat(wide).zext(64)
        if isinstance(count, int):
            res, cf = wide.lshr(count).trunc(dst.width), wide.bit(count - 1)
        else:
            res = wide.lshr(count.zext(64)).trunc(dst.width)
            # Count 0 is masked to 31 here: its flags are never taken.
            cf = wide.lshr(((count - 1) & 31).zext(64)).bit(0)
        return res, cf, res.msb() ^ dst.msb()

    return _shift(b, dst, count, flags.SHIFT, compute)
