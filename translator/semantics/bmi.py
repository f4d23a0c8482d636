"""Bit manipulation of later processors: POPCNT, LZCNT, BMI1, BMI2 (SDM vol. 1, 5.1.16)."""

from __future__ import annotations

from translator import features, flags
from translator.builder import Builder
from translator.insn import Imm, Operand
from translator.ir import Value
from translator.semantics import Dst, insn

STEPS = 5  # distances of 1 to 16 bits


def _with_flags(b: Builder, res: Value, cf: Value) -> Value:
    """Set ZF SF CF; OF ← 0; AF and PF, mostly undefined, ← 0 as on hardware."""
    b.set_flags(flags.BITS, res, cf, b.const(0, 1))
    return res


# -- counts --------------------------------------------------------------------------------------
@insn("popcnt")
def popcnt(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← number of 1 bits; ZF: src = 0; the other flags ← 0."""
    return _with_flags(b, src.popcnt(), b.const(0, 1))


@insn("lzcnt")
def lzcnt(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← number of leading 0 bits; CF: src = 0; ZF of dst; the other flags, undefined, ← 0."""
    return _with_flags(b, src.ctlz(), src.eq(0))


@insn("tzcnt")
def tzcnt(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← number of trailing 0 bits; flags as lzcnt."""
    return _with_flags(b, src.cttz(), src.eq(0))


# -- lowest bit, fields --------------------------------------------------------------------------
@insn("andn")
def andn(b: Builder, dst: Dst, left: Value, right: Value) -> Value:
    """Dst ← ~left & right; CF ← 0."""
    return _with_flags(b, ~left & right, b.const(0, 1))


@insn("blsr")
def blsr(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← src without its lowest 1 bit; CF: src = 0."""
    return _with_flags(b, src - 1 & src, src.eq(0))


@insn("blsmsk")
def blsmsk(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← all bits up to the lowest 1 bit; CF: src = 0."""
    return _with_flags(b, src - 1 ^ src, src.eq(0))


@insn("blsi")
def blsi(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← the lowest 1 bit of src; CF: src ≠ 0."""
    return _with_flags(b, -src & src, src.ne(0))


def _low_bits(b: Builder, src: Value, count: Value) -> Value:
    """The low bits of src: all of them if count, 8 bits wide, is 32 or more."""
    wide = count.zext(32)
    mask = b.const(1, 32).shl(wide & 31) - 1
    return wide.ult(32).select(src & mask, src)


@insn("bextr")
def bextr(b: Builder, dst: Dst, src: Value, field: Value) -> Value:
    """Dst ← bits of src: field's byte 0 says from where, byte 1 how many; ZF; the others ← 0."""
    start = field.trunc(8).zext(32)
    moved = start.ult(32).select(src.lshr(start & 31), 0)
    res = _low_bits(b, moved, field.bits(8, 8))
    b.set_flags(flags.BITS, res.ne(0).zext(8), b.const(0, 1), b.const(0, 1))  # without SF
    return res


@insn("bzhi")
def bzhi(b: Builder, dst: Dst, src: Value, count: Value) -> Value:
    """Dst ← the low bits of src, as many as count's byte 0 says; CF: more than there are."""
    number = count.trunc(8)
    return _with_flags(b, _low_bits(b, src, number), (number & 0xE0).ne(0))


# -- without flags -------------------------------------------------------------------------------
@insn("mulx")
def mulx(b: Builder, high: Dst, low: Operand, src: Value) -> Value:
    """High:low ← EDX * src, unsigned; where both are one register, it gets the high half."""
    product = b.reg(2).zext(64) * src.zext(64)
    b.write(low, product.trunc(32))
    return product.bits(32, 32)


@insn("shlx")
def shlx(b: Builder, dst: Dst, src: Value, count: Value) -> Value:
    """Dst ← src << count."""
    return src.shl(count & 31)


@insn("shrx")
def shrx(b: Builder, dst: Dst, src: Value, count: Value) -> Value:
    """Dst ← src >> count, zeros in."""
    return src.lshr(count & 31)


@insn("sarx")
def sarx(b: Builder, dst: Dst, src: Value, count: Value) -> Value:
    """Dst ← src >> count, sign in."""
    return src.ashr(count & 31)


@insn("rorx")
def rorx(b: Builder, dst: Dst, src: Value, count: Imm) -> Value:
    """Dst ← src rotated right."""
    assert count.value is not None
    number = count.value & 31
    return src.lshr(number) | src.shl(32 - number) if number else src


# -- scattered fields ----------------------------------------------------------------------------
def _moves(mask: Value) -> list[Value]:
    """For each step the bits of a mask that move right by its distance when the mask is packed.

    Parallel suffix: a bit moves by as many places as there are 0 bits below it.
    """
    moves, zeros = [], (~mask).shl(1)
    for step in range(STEPS):
        odd = zeros  # bit i: whether an odd number of bits of `zeros` is at i or below
        for distance in (1, 2, 4, 8, 16):
            odd = odd ^ odd.shl(distance)
        move = odd & mask
        moves.append(move)
        mask = mask ^ move | move.lshr(1 << step)
        zeros = zeros & ~odd
    return moves


def extract(src: Value, mask: Value) -> Value:
    """Pack the bits of src that the mask selects."""
    res = src & mask
    for step, move in enumerate(_moves(mask)):
        bits = res & move
        res = res ^ bits | bits.lshr(1 << step)
    return res


def deposit(src: Value, mask: Value) -> Value:
    """Spread the low bits of src to where the mask has 1 bits."""
    res = src
    for step, move in reversed(list(enumerate(_moves(mask)))):
        res = res & ~move | res.shl(1 << step) & move
    return res & mask


@insn("pext")
def pext(b: Builder, dst: Dst, src: Value, mask: Value) -> Value:
    """Dst ← the bits of src that the mask selects, packed."""
    if "bmi2" in features.HOST:
        return b.host("pext", 32, src, mask)
    return extract(src, mask)


@insn("pdep")
def pdep(b: Builder, dst: Dst, src: Value, mask: Value) -> Value:
    """Dst ← the low bits of src, at the places that the mask selects."""
    if "bmi2" in features.HOST:
        return b.host("pdep", 32, src, mask)
    return deposit(src, mask)
