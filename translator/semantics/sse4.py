"""SSE4.1, and what of SSE4.2 works on lanes (SDM vol. 1, 12.8 to 12.12)."""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.insn import Imm, Mem, Operand, Special
from translator.ir import Op, Value
from translator.semantics import Dst, insn
from translator.semantics.simd import load_low, shuffle, whole


def _number(imm: Imm) -> int:
    """Return an immediate that belongs to the shape."""
    assert imm.value is not None
    return imm.value


# -- moves of parts ------------------------------------------------------------------------------
def _extract(name: str, lane: int) -> None:
    @insn(name)
    def extract(b: Builder, dst: Dst, src: Special, index: Imm) -> Value:
        """Dst ← the lane of src that the immediate numbers, zero-extended in a register."""
        return b.read(src).bits(lane * (_number(index) % (128 // lane)), lane)


def _insert(name: str, lane: int) -> None:
    @insn(name)
    def insert(b: Builder, dst: Operand, src: Operand, index: Imm) -> Value:
        """The lane of dst that the immediate numbers ← src."""
        number = b.read(src).trunc(lane)
        where = _number(index) % (128 // lane)
        return b.unit.emit(Op.VEC, 128, b.read(dst), number, attr=("insert", lane, where))


_extract("pextrb", 8)
_extract("pextrd", 32)
_extract("extractps", 32)
_insert("pinsrb", 8)
_insert("pinsrd", 32)


@insn("insertps")
def insertps(b: Builder, dst: Operand, src: Operand, how: Imm) -> Value:
    """A lane of dst ← a lane of src (or memory); then the lanes in a mask ← 0."""
    number = _number(how)
    source = 0 if isinstance(src, Mem) else number >> 6
    order = [0, 1, 2, 3]
    order[number >> 4 & 3] = 4 + source
    res = shuffle(b, 32, order, b.read(dst), whole(b, src))
    if not number & 15:
        return res
    kept = (4 if number >> i & 1 else i for i in range(4))
    return shuffle(b, 32, kept, res, b.const(0, 128))


@insn("movntdqa")
def movntdqa(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← src, 128 bits, past the caches; #GP if it is not aligned."""
    return whole(b, src)


# -- blends --------------------------------------------------------------------------------------
def _blend(name: str, lane: int) -> None:
    @insn(name)
    def blend(b: Builder, dst: Operand, src: Operand, mask: Imm) -> Value:
        """The lanes of dst in the mask ← those of src."""
        count = 128 // lane
        order = (i + count * (_number(mask) >> i & 1) for i in range(count))
        return shuffle(b, lane, order, b.read(dst), whole(b, src))


def _blend_by(name: str, lane: int) -> None:
    @insn(name)
    def blend_by(b: Builder, dst: Operand, src: Operand) -> Value:
        """The lanes of dst whose sign bits in XMM0 are set ← those of src."""
        return b.vec("blend", lane, 128, b.read(dst), whole(b, src), b.xmm(0))


_blend("blendps", 32)
_blend("blendpd", 64)
_blend("pblendw", 16)
_blend_by("pblendvb", 8)
_blend_by("blendvps", 32)
_blend_by("blendvpd", 64)


# -- what the host's own unit computes -----------------------------------------------------------
def _round(name: str) -> None:
    @insn(name)
    def round_(b: Builder, dst: Operand, src: Operand, how: Imm) -> Value:
        """Dst ← src rounded to integers, as the immediate or MXCSR says."""
        return b.host(f"{name}:{_number(how) & 15}", 128, whole(b, src))


def _binary(name: str, used: int) -> None:
    @insn(name)
    def binary(b: Builder, dst: Operand, src: Operand, how: Imm) -> Value:
        """Dst ← dst operation src."""
        row = f"{name}:{_number(how) & used}"
        return b.host(row, 128, b.read(dst), whole(b, src))


_round("roundps")
_round("roundpd")
_binary("roundss", 15)  # dst gives the lanes above
_binary("roundsd", 15)
_binary("dpps", 255)
_binary("dppd", 255)
_binary("mpsadbw", 7)


@insn("phminposuw")
def phminposuw(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← the smallest word of src, unsigned, and its number above it."""
    return b.host("phminposuw", 128, whole(b, src))


# -- integers ------------------------------------------------------------------------------------
@insn("ptest")
def ptest(b: Builder, dst: Operand, src: Operand) -> None:
    """ZF: src & dst = 0; CF: src & ~dst = 0; the other flags ← 0."""
    left, right = b.read(dst), whole(b, src)
    missing = b.vec("andn", 64, 128, left, right)
    both = (left & right).ne(0).zext(8)  # bit 7, SF, is 0
    b.set_flags(flags.BITS, both, missing.eq(0), b.const(0, 1))


@insn("pmuldq")
def pmuldq(b: Builder, dst: Operand, src: Operand) -> Value:
    """Each half of dst ← product of its signed low doubleword with src's."""

    def low(value: Value) -> Value:
        high = b.unit.emit(Op.VEC, 128, value, attr=("shl", 64, 32))
        return b.unit.emit(Op.VEC, 128, high, attr=("ashr", 64, 32))

    return b.vec("mul", 64, 128, low(b.read(dst)), low(whole(b, src)))


def _low_lanes(b: Builder, src: Operand) -> Value:
    """Read the low part of an XMM register, or memory of that size."""
    if not isinstance(src, Mem) or src.width > 16:
        return load_low(b, src, src.width) if isinstance(src, Mem) else b.read(src, 128)
    return b.vec("widen", 16, 128, b.read(src))


def _extend(letters: str, source: int, lane: int) -> None:
    @insn("pmovsx" + letters)
    def pmovsx(b: Builder, dst: Operand, src: Operand) -> Value:
        """Dst ← the low lanes of src, sign-extended."""
        return b.unit.emit(Op.VEC, 128, _low_lanes(b, src), attr=("extend", lane, source))

    @insn("pmovzx" + letters)
    def pmovzx(b: Builder, dst: Operand, src: Operand) -> Value:
        """Dst ← the low lanes of src, zero-extended."""
        times, count = lane // source, 128 // source
        order = (i // times if i % times == 0 else count for i in range(count))
        return shuffle(b, source, order, _low_lanes(b, src), b.const(0, 128))


for _letters, _source, _lane in (
    ("bw", 8, 16),
    ("bd", 8, 32),
    ("bq", 8, 64),
    ("wd", 16, 32),
    ("wq", 16, 64),
    ("dq", 32, 64),
):
    _extend(_letters, _source, _lane)
