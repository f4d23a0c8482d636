"""Multiplication and division (SDM vol. 1, 7.3.2.3 and 7.3.2.4)."""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.ir import Value
from translator.semantics import Dst, insn


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
    b.set_flags(flags.MULTIPLY, product.trunc(w), over, over)
    _wide_result(b, product, w)


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
    b.set_flags(flags.MULTIPLY, res, over, over)
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


@insn("div")
def div(b: Builder, src: Value) -> None:
    """Quotient and remainder of (E)DX:(E)AX / src; #DE if it does not fit. Flags stay."""
    w = src.width
    # Eight-bit division is done at 32 bits, 16 and 32 at twice their width.
    calc = max(2 * w, 32)
    num, den = _dividend(b, w).zext(calc), src.zext(calc)
    b.fault_if(den.eq(0), "#DE")
    quot = num.udiv(den)
    b.fault_if(quot.lshr(w).ne(0), "#DE")
    _set_quotient(b, quot, num.urem(den), w)


@insn("idiv")
def idiv(b: Builder, src: Value) -> None:
    """Quotient and remainder of (E)DX:(E)AX / src, signed; #DE if it does not fit."""
    w = src.width
    calc = 32 if w == 8 else 64
    num, den = _dividend(b, w).sext(calc), src.sext(calc)
    b.fault_if(den.eq(0), "#DE")
    if 2 * w == calc:
        # The smallest number / -1 fits no integer: the op itself must not see it.
        b.fault_if(num.eq(1 << (calc - 1)) & den.eq(-1), "#DE")
    quot = num.sdiv(den)
    b.fault_if(quot.ne(quot.trunc(w).sext(calc)), "#DE")
    _set_quotient(b, quot, num.srem(den), w)
