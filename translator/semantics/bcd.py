"""Decimal adjustment (SDM vol. 1, 7.3.2.5).

Undefined flags are as on hardware: OF 0, the others those of AL, after aad those of the addition.
On 8086 and 80286 they are those of the addition or subtraction that adjusts; aad's OF is the
80286's CF.
"""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.insn import Imm
from translator.ir import Value
from translator.mode import Model
from translator.semantics import insn


def _adjusts_low(b: Builder, al: Value) -> Value:
    """Return whether the low digit needs adjusting: above 9, or a carry came out of it."""
    return b.const(9, 8).ult(al & 0x0F) | b.flag("af").bit(flags.AF)


def _set_flags(b: Builder, res: Value, cf: Value, af: Value) -> None:
    b.set_flags(flags.BCD, res, cf, af.zext(8).shl(flags.AF))


def _adjusts_high(b: Builder, al: Value) -> Value:
    """Return whether the high digit needs adjusting; the 8086 forgets the low one's carry."""
    limit = b.const(0x99, 8)
    if b.mode.model == Model.I8086:
        limit = b.flag("af").bit(flags.AF).select(b.const(0x9F, 8), limit)
    return limit.ult(al) | b.flag("cf")


@insn("daa")
def daa(b: Builder) -> None:
    """AL ← decimal sum, after an addition."""
    al = b.reg("al")
    low, high = _adjusts_low(b, al), _adjusts_high(b, al)
    adjust = low.select(b.const(6, 8), 0) + high.select(b.const(0x60, 8), 0)
    res = al + adjust
    _set_flags(b, res, high, low)
    if not b.mode.has_386:
        b.set_flag("of", ((res ^ al) & (res ^ adjust)).msb())
    b.set_reg("al", res)


@insn("das")
def das(b: Builder) -> None:
    """AL ← decimal difference, after a subtraction."""
    al = b.reg("al")
    low, high = _adjusts_low(b, al), _adjusts_high(b, al)
    adjust = low.select(b.const(6, 8), 0) + high.select(b.const(0x60, 8), 0)
    res = al - adjust
    borrow = high if b.mode.model == Model.I8086 else high | (low & al.ult(6))
    _set_flags(b, res, borrow, low)
    if not b.mode.has_386:
        b.set_flag("of", ((al ^ adjust) & (al ^ res)).msb())
    b.set_reg("al", res)


def _unpack(b: Builder, step: int) -> None:
    """Add *step* to AL where it needs adjusting, and count in AH; keep the low digit of AL.

    On the 8086 nothing is carried from AL to AH.
    """
    ax = b.reg("ax")
    al, up = ax.trunc(8), 1 if step > 0 else -1
    adjusts = _adjusts_low(b, al)
    if b.mode.model == Model.I8086:
        moved = (ax.bits(8, 8) + up).concat(al + step)
    else:
        moved = ax + (0x100 * up + step)
    whole = adjusts.select(moved, ax)
    res = whole & 0xFF0F
    if b.mode.has_386:
        _set_flags(b, res.trunc(8), adjusts, adjusts)
    else:
        low = whole.trunc(8)
        _set_flags(b, low, adjusts, adjusts)
        changed = (low & ~al if step > 0 else al & ~low).msb()
        b.set_flag("of", changed)
    b.set_reg("ax", res)


@insn("aaa")
def aaa(b: Builder) -> None:
    """AX ← unpacked decimal sum."""
    _unpack(b, 6)


@insn("aas")
def aas(b: Builder) -> None:
    """AX ← unpacked decimal difference."""
    _unpack(b, -6)


@insn("aam")
def aam(b: Builder, base: Imm) -> None:
    """AH, AL ← AL / base, AL mod base; #DE for base 0."""
    if not base.value:
        b.trap("#DE", after=b.mode.model == Model.I8086)
        return
    al = b.reg("al")
    rem = al.urem(base.value)
    b.set_flags(flags.LOGIC, rem, rem, rem)
    b.set_reg("ax", al.udiv(base.value).concat(rem))


@insn("aad")
def aad(b: Builder, base: Imm) -> None:
    """AX ← AH * base + AL, eight bits."""
    al, product = b.reg("al"), b.reg("ah") * (base.value or 0)
    res = al + product
    b.set_flags(flags.ADD, res, al, product)
    if b.mode.model == Model.I286:
        b.set_flag("of", res.ult(al))
    b.set_reg("ax", res.zext(16))
