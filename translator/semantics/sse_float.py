"""Floating point in XMM registers (SDM vol. 1, 10.4.1, 11.4.1, 12.3).

The host's own vector unit computes (HOST rows named like the insns), so that rounding, NaNs and
the exception flags of MXCSR are the hardware's.
"""

from __future__ import annotations

from translator.builder import Builder
from translator.flags import Rule
from translator.insn import Imm, Operand, Special
from translator.ir import Op, Value
from translator.semantics import insn
from translator.semantics.simd import enter_mmx, is_mm, shuffle, whole


# -- arithmetic ----------------------------------------------------------------------------------
def _binary(name: str) -> None:
    @insn(name)
    def binary(b: Builder, dst: Operand, src: Operand) -> Value:
        """Dst ← dst operation src; a scalar insn leaves the lanes above."""
        return b.host(name, 128, b.read(dst, 128), whole(b, src))


def _unary(name: str) -> None:
    @insn(name)
    def unary(b: Builder, dst: Operand, src: Operand) -> Value:
        """Dst ← operation(src)."""
        return b.host(name, 128, whole(b, src))


for _op in ("add", "sub", "mul", "div", "min", "max"):
    for _kind in ("ps", "pd", "ss", "sd"):
        _binary(_op + _kind)
for _op in ("addsub", "hadd", "hsub"):
    for _kind in ("ps", "pd"):
        _binary(_op + _kind)
for _name in ("sqrtss", "sqrtsd", "rsqrtss", "rcpss", "cvtss2sd", "cvtsd2ss"):
    _binary(_name)
for _name in ("sqrtps", "sqrtpd", "rsqrtps", "rcpps"):
    _unary(_name)
for _name in ("cvtps2pd", "cvtpd2ps", "cvtdq2ps", "cvtdq2pd"):
    _unary(_name)
for _name in ("cvtps2dq", "cvttps2dq", "cvtpd2dq", "cvttpd2dq"):
    _unary(_name)


# -- comparison ----------------------------------------------------------------------------------
def _compare(name: str, row: str) -> None:
    @insn(name)
    def compare(b: Builder, dst: Operand, src: Operand, predicate: Imm) -> Value:
        """Each lane of dst ← all ones if the predicate holds, else 0."""
        assert predicate.value is not None
        return b.host(f"{row}{predicate.value & 7}", 128, b.read(dst, 128), whole(b, src))


for _kind in ("ps", "pd", "ss"):
    _compare("cmp" + _kind, "cmp" + _kind)
_compare("cmpsd.x", "cmpsd")


def _szp(zf: Value, pf: Value, cf: Value) -> Value:
    """Form the szp group (state.py): SF = 0; byte 4 makes up for the parity of byte 0."""
    return (zf ^ 1).zext(64) | (zf ^ pf).zext(64).shl(32)


# The arguments are not operands, but ZF and PF as bytes and CF as a bit.
COMIS = Rule(
    "comis",
    {
        "szp": _szp,
        "cf": lambda zf, pf, cf: cf,
        "of": lambda zf, pf, cf: zf.unit.const(0, 1),
        "af": lambda zf, pf, cf: zf.unit.const(0, 8),
    },
)


def _compare_flags(name: str) -> None:
    @insn(name)
    def comis(b: Builder, dst: Operand, src: Operand) -> None:
        """ZF PF CF ← 111 unordered, 000 dst > src, 001 dst < src, 100 equal; OF SF AF ← 0."""
        zf = b.host(name, 8, b.read(dst, 128), whole(b, src))
        pf, cf = (b.unit.emit(Op.PART, 8, zf, attr=i) for i in (1, 2))
        b.set_flags(COMIS, zf, pf, cf.trunc(1))


for _name in ("comiss", "comisd", "ucomiss", "ucomisd"):
    _compare_flags(_name)


# -- conversion with general and MMX registers ---------------------------------------------------
def _from_integer(name: str) -> None:
    @insn(name)
    def cvtsi2(b: Builder, dst: Operand, src: Value) -> Value:
        """Low lane of dst ← 32-bit integer src."""
        return b.host(name, 128, b.read(dst, 128), src)


def _to_integer(name: str) -> None:
    @insn(name)
    def cvt2si(b: Builder, dst: Operand, src: Operand) -> Value:
        """Dst ← low lane of src as a 32-bit integer."""
        return b.host(name, 32, whole(b, src))


for _kind in ("ss", "sd"):
    _from_integer("cvtsi2" + _kind)
    _to_integer(f"cvt{_kind}2si")
    _to_integer(f"cvtt{_kind}2si")


@insn("cvtpi2ps")
def cvtpi2ps(b: Builder, dst: Operand, src: Operand) -> Value:
    """Low half of dst ← two 32-bit integers; a memory operand leaves the x87 state alone."""
    if is_mm(src):
        enter_mmx(b)
    res = b.host("cvtdq2ps", 128, b.vec("widen", 64, 128, b.read(src)))
    return shuffle(b, 64, (2, 1), b.read(dst), res)


@insn("cvtpi2pd")
def cvtpi2pd(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← two 32-bit integers; a memory operand leaves the x87 state alone."""
    if is_mm(src):
        enter_mmx(b)
    return b.host("cvtdq2pd", 128, b.vec("widen", 64, 128, b.read(src)))


def _to_mmx(name: str, row: str) -> None:
    @insn(name)
    def cvt2pi(b: Builder, dst: Operand, src: Operand) -> Value:
        """MMX dst ← two lanes of src as 32-bit integers."""
        enter_mmx(b)
        if isinstance(src, Special) and src.width == 64:
            # The high lanes must not raise exceptions.
            value = b.vec("widen", 64, 128, b.read(src, 64))
        else:
            value = whole(b, src)
        return b.host(row, 128, value).trunc(64)


for _letter in ("", "t"):
    _to_mmx(f"cvt{_letter}ps2pi", f"cvt{_letter}ps2dq")
    _to_mmx(f"cvt{_letter}pd2pi", f"cvt{_letter}pd2dq")
