"""Multiplication and division (SDM vol. 1, 7.3.2.3 and 7.3.2.4).

Undefined flags are today's hardware's, on 8086 and 80286 those that their microcode leaves: of the
high half of a product, and on the 8086 of the last subtraction of a division.
"""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.ir import Leave, Value
from translator.mode import Model
from translator.semantics import Dst, insn
from translator.state import Exit

DIVIDE_ERROR = 0


def _wide_result(b: Builder, product: Value, width: int) -> None:
    """Write a double-width product to AX, DX:AX or EDX:EAX."""
    if width == 8:
        b.set_reg("ax", product)
    else:
        b.set_reg(0, product.trunc(width))
        b.set_reg(2, product.bits(width, width))


@insn("mul")
def mul(b: Builder, src: Value) -> None:
    """(E)DX:(E)AX ← (E)AX * src, unsigned; CF OF: the high half is not 0."""
    w = src.width
    product = b.reg(0, w).zext(2 * w) * src.zext(2 * w)
    over = product.bits(w, w).ne(0)
    if b.mode.has_386:
        b.set_flags(flags.MULTIPLY, product.trunc(w), over, over)
    else:
        _old_flags(b, product.bits(w, w), over, b.const(0, 1))
    _wide_result(b, product, w)


def _old_flags(b: Builder, high: Value, over: Value, carry: Value) -> None:
    """Set flags of a product as the 8086 and the 80286 do; *carry* counts into the high half."""
    af = b.const(1 << flags.AF, 8)
    if b.mode.model == Model.I8086:
        res = high + carry.zext(high.width)
        af = high.trunc(8) ^ res.trunc(8)
        high = res
    b.set_flags(flags.OLD_MULTIPLY, high, over, af)


@insn("imul1")
def imul1(b: Builder, src: Value) -> None:
    """(E)DX:(E)AX ← (E)AX * src, signed; CF OF: the low half alone is not the product."""
    w = src.width
    product, _ = _signed_product(b, b.reg(0, w), src)
    _wide_result(b, product, w)


def _signed_product(b: Builder, left: Value, right: Value) -> tuple[Value, Value]:
    """Multiply and set the flags; return the product at twice the width and at the width."""
    w = left.width
    product = left.sext(2 * w) * right.sext(2 * w)
    res = product.trunc(w)
    over = product.ne(res.sext(2 * w))
    if b.mode.has_386:
        b.set_flags(flags.MULTIPLY, res, over, over)
    else:
        _old_flags(b, product.bits(w, w), over, res.msb())
    return product, res


@insn("imul2")
def imul2(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← dst * src, signed."""
    return _signed_product(b, dst, src)[1]


@insn("imul3")
def imul3(b: Builder, dst: Dst, left: Value, right: Value) -> Value:
    """Dst ← left * right, signed."""
    return _signed_product(b, left, right)[1]


def _dividend(b: Builder, width: int) -> Value:
    """Read AX, DX:AX or EDX:EAX."""
    if width == 8:
        return b.reg("ax")
    return b.reg(2, width).concat(b.reg(0, width))


def _set_quotient(b: Builder, quot: Value, rem: Value, width: int) -> None:
    """Write AL, AH or (E)AX, (E)DX."""
    if width == 8:
        b.set_reg("ax", rem.trunc(8).concat(quot.trunc(8)))
    else:
        b.set_reg(0, quot.trunc(width))
        b.set_reg(2, rem.trunc(width))


def _divide_error(b: Builder, cond: Value) -> None:
    """Raise #DE; on the 8086 its return address is behind the insn."""
    if b.mode.model == Model.I8086:
        b.exit_if(cond, Leave(Exit.TRAP, "next", DIVIDE_ERROR))
    else:
        b.fault_if(cond, "#DE")


def _flags_8086(b: Builder, num: Value, den: Value, *, is_signed: bool) -> None:
    """Set the flags that the 8086's division leaves, of magnitudes of 2w and w bits.

    They are those of the last subtraction that it tried; a bit shifted out of the remainder spares
    the trial.  CF is the complement of the quotient's top bit; idiv clears it and OF.
    """
    w = den.width
    rest, low = num.bits(w, w), num.trunc(w)
    left, first = rest, b.const(0, 1)
    for i in range(w):
        out = rest.msb()
        tried = rest.shl(1) | low.bit(w - 1 - i).zext(w)
        left = out.select(left, tried)
        goes = out | den.ule(tried)
        rest = goes.select(tried - den, tried)
        first = first if i else goes
    b.set_flags(flags.SUB, left - den, left, den)
    b.set_flag("cf", b.const(0, 1) if is_signed else ~first)
    if is_signed:
        b.set_flag("of", b.const(0, 1))


@insn("div")
def div(b: Builder, src: Value) -> None:
    """Quotient and remainder of (E)DX:(E)AX / src; #DE if it does not fit. Flags stay."""
    w = src.width
    # Eight-bit division is done at 32 bits, 16 and 32 at twice their width.
    calc = max(2 * w, 32)
    num, den = _dividend(b, w).zext(calc), src.zext(calc)
    _divide_error(b, den.eq(0))
    quot = num.udiv(den)
    _divide_error(b, quot.lshr(w).ne(0))
    if b.mode.model == Model.I8086:
        _flags_8086(b, num.trunc(2 * w), src, is_signed=False)
    _set_quotient(b, quot, num.urem(den), w)


def _magnitude(value: Value) -> Value:
    return value.msb().select(-value, value)


@insn("idiv")
def idiv(b: Builder, src: Value) -> None:
    """Quotient and remainder of (E)DX:(E)AX / src, signed; #DE if it does not fit."""
    w = src.width
    calc = 32 if w == 8 else 64
    num, den = _dividend(b, w).sext(calc), src.sext(calc)
    _divide_error(b, den.eq(0))
    if 2 * w == calc:
        # The smallest number / -1 fits no integer: the op itself must not see it.
        b.fault_if(num.eq(1 << (calc - 1)) & den.eq(-1), "#DE")
    quot = num.sdiv(den)
    if b.mode.model == Model.I8086:
        # The smallest number is no quotient; REP negates it (undocumented).
        _divide_error(b, b.const((1 << (w - 1)) - 1, calc).ult(_magnitude(quot)))
        whole = num.trunc(2 * w)
        _flags_8086(b, _magnitude(whole), _magnitude(src), is_signed=True)
        quot = -quot if b.insn.rep else quot
    else:
        _divide_error(b, quot.ne(quot.trunc(w).sext(calc)))
    _set_quotient(b, quot, num.srem(den), w)
