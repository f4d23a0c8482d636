"""Decimal adjustment (SDM vol. 1, 7.3.2.5).

Undefined flags are as on hardware: OF 0, the others those of AL, after aad those of the addition.
"""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.insn import Imm
from translator.ir import Value
from translator.semantics import insn


def _adjusts_low(b: Builder, al: Value) -> Value:
    """Return whether the low digit needs adjusting: above 9, or a carry came out of it."""
    return b.const(9, 8).ult(al & 0x0F) | b.flag("af").bit(flags.AF)


def _set_flags(b: Builder, res: Value, cf: Value, af: Value) -> None:
    b.set_flags(flags.BCD, res, cf, af.zext(8).shl(flags.AF))


@insn("daa")
def daa(b: Builder) -> None:
    """AL ← decimal sum, after an addition."""
    al = b.reg("al")
    low = _adjusts_low(b, al)
    high = b.const(0x99, 8).ult(al) | b.flag("cf")
    res = al + low.select(b.const(6, 8), 0) + high.select(b.const(0x60, 8), 0)
    _set_flags(b, res, high, low)
    b.set_reg("al", res)


@insn("das")
def das(b: Builder) -> None:
    """AL ← decimal difference, after a subtraction."""
    al = b.reg("al")
    low = _adjusts_low(b, al)
    high = b.const(0x99, 8).ult(al) | b.flag("cf")
    res = al - low.select(b.const(6, 8), 0) - high.select(b.const(0x60, 8), 0)
    _set_flags(b, res, high | (low & al.ult(6)), low)
    b.set_reg("al", res)


def _unpacked(b: Builder, ax: Value, res: Value, adjusts: Value) -> None:
    """Finish aaa and aas: AX ← res where it adjusts, and only the low digit of AL."""
    res = adjusts.select(res, ax) & 0xFF0F
    _set_flags(b, res.trunc(8), adjusts, adjusts)
    b.set_reg("ax", res)


@insn("aaa")
def aaa(b: Builder) -> None:
    """AX ← unpacked decimal sum."""
    ax = b.reg("ax")
    _unpacked(b, ax, ax + 0x106, _adjusts_low(b, ax.trunc(8)))


@insn("aas")
def aas(b: Builder) -> None:
    """AX ← unpacked decimal difference."""
    ax = b.reg("ax")
    _unpacked(b, ax, ax - 0x106, _adjusts_low(b, ax.trunc(8)))


@insn("aam")
def aam(b: Builder, base: Imm) -> None:
    """AH, AL ← AL / base, AL mod base; #DE for base 0."""
    if not base.value:
        b.trap("#DE")
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
    b.set_reg("ax", res.zext(16))
