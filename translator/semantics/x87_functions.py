"""x87: functions of one or two registers (SDM vol. 1, 8.3.5 to 8.3.10)."""

from __future__ import annotations

from translator import helpers
from translator.builder import Builder
from translator.semantics import insn
from translator.semantics.x87 import (
    check,
    opcode,
    part,
    pop,
    set_c1,
    stack,
)

X87_NATIVE = helpers.declare("x87_native", (16, 32))


@insn("fchs", "fabs", "fsqrt", "frndint", "f2xm1")
def unary(b: Builder) -> None:
    """ST(0) ← function(ST(0))."""
    check(b, valid=1)
    res = b.host(b.insn.mnemonic, 80, b.st(0))
    set_c1(b, part(b, res, 1))
    b.set_st(0, res)


@insn("fsin", "fcos")
def fsin(b: Builder) -> None:
    """ST(0) ← function(ST(0)), C2 ← 0; or C2 ← 1 alone, out of range."""
    check(b, valid=1)
    res = b.host(b.insn.mnemonic, 80, b.st(0))
    status = part(b, res, 1)
    b.set("fcc", b.get("fcc") & 0x41 | status.bits(8, 8) & 0x04)
    set_c1(b, status)
    b.set_st(0, res)


@insn("fscale")
def fscale(b: Builder) -> None:
    """ST(0) ← ST(0) · 2 ^ trunc(ST(1))."""
    check(b, valid=3)
    res = b.host("fscale", 80, b.st(0), b.st(1))
    set_c1(b, part(b, res, 1))
    b.set_st(0, res)


@insn("fprem", "fprem1")
def fprem(b: Builder) -> None:
    """ST(0) ← partial remainder of ST(0) / ST(1); C2: incomplete, C0 C3 C1: quotient.

    Where the result is a NaN, hardware leaves C0 and C3 alone.
    """
    check(b, valid=3)
    res = b.host(b.insn.mnemonic, 80, b.st(0), b.st(1))
    status, kind = part(b, res, 1), part(b, res, 2).bits(8, 8)
    is_nan = (kind & 0x45).eq(0x01)
    b.set("fcc", is_nan.select(b.get("fcc") & 0x41, status.bits(8, 8) & 0x45))
    set_c1(b, status)
    b.set_st(0, res)


@insn("fyl2x", "fyl2xp1", "fpatan")
def fyl2x(b: Builder) -> None:
    """ST(1) ← function(ST(0), ST(1)); pop."""
    check(b, valid=3)
    res = b.host(b.insn.mnemonic, 80, b.st(0), b.st(1))
    set_c1(b, part(b, res, 1))
    b.set_st(1, res)
    pop(b)


@insn("fxtract")
def fxtract(b: Builder) -> None:
    """ST(0) ← exponent of ST(0); push its significand."""
    check(b, valid=1, empty=1 << 7)
    significand = b.host("fxtract", 80, b.st(0))
    b.set_st(0, part(b, significand, 1, 80))
    b.set_st(-1, significand)
    set_c1(b, part(b, significand, 2))
    stack(b, -1, fill=1 << 7)


@insn("fptan", "fsincos")
def fptan(b: Builder) -> None:
    """Two results, the second pushed; or C2 ← 1 and no push, which only the host decides."""
    b.call(X87_NATIVE, 0, b.const(opcode(b), 16), b.const(0, 32))
