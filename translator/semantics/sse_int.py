"""Integers in the lanes of MMX and XMM registers (SDM vol. 1, 9.4, 11.4.2, 12.6)."""

from __future__ import annotations

from translator.builder import Builder
from translator.insn import Imm, Operand, Special
from translator.ir import Op, Value
from translator.semantics import insn
from translator.semantics.simd import enter_mmx, is_mm, operands, shuffle, whole
from translator.semantics.x87 import FpStack, wait

# mnemonic -> row of vectors.py and lane width
LANEWISE = {
    **{f"padd{s}": ("add", w) for s, w in zip("bwdq", (8, 16, 32, 64), strict=True)},
    **{f"psub{s}": ("sub", w) for s, w in zip("bwdq", (8, 16, 32, 64), strict=True)},
    **{f"padds{s}": ("adds", w) for s, w in (("b", 8), ("w", 16))},
    **{f"paddus{s}": ("addus", w) for s, w in (("b", 8), ("w", 16))},
    **{f"psubs{s}": ("subs", w) for s, w in (("b", 8), ("w", 16))},
    **{f"psubus{s}": ("subus", w) for s, w in (("b", 8), ("w", 16))},
    **{f"pavg{s}": ("avg", w) for s, w in (("b", 8), ("w", 16))},
    **{f"pcmpeq{s}": ("cmpeq", w) for s, w in zip("bwdq", (8, 16, 32, 64), strict=True)},
    **{f"pcmpgt{s}": ("cmpgt", w) for s, w in zip("bwdq", (8, 16, 32, 64), strict=True)},
    **{f"psign{s}": ("sign", w) for s, w in zip("bwd", (8, 16, 32), strict=True)},
    **{
        f"p{row}{s}": (row, w)
        for row in ("mins", "maxs", "minu", "maxu")
        for s, w in zip("bwd", (8, 16, 32), strict=True)
    },
    "pmullw": ("mul", 16),
    "pmulld": ("mul", 32),
    "pmulhw": ("mulhs", 16),
    "pmulhuw": ("mulhu", 16),
    "pmulhrsw": ("mulhrs", 16),
    "pmuludq": ("mullow", 64),
    "pmaddwd": ("madd", 32),
    "pmaddubsw": ("maddus", 16),
    "psadbw": ("sad", 64),
    "packsswb": ("packs", 16),
    "packssdw": ("packs", 32),
    "packuswb": ("packus", 16),
    "packusdw": ("packus", 32),
    "pand": ("and", 64),
    "pandn": ("andn", 64),
    "por": ("or", 64),
    "pxor": ("xor", 64),
    **{f"and{s}": ("and", 64) for s in ("ps", "pd")},
    **{f"andn{s}": ("andn", 64) for s in ("ps", "pd")},
    **{f"or{s}": ("or", 64) for s in ("ps", "pd")},
    **{f"xor{s}": ("xor", 64) for s in ("ps", "pd")},
}
# What these rows yield for two equal arguments: the usual ways to make a constant.
OF_EQUALS = {"xor": 0, "andn": 0, "sub": 0, "cmpgt": 0, "cmpeq": -1}


def _lanewise(name: str, row: str, lane: int) -> None:
    @insn(name)
    def lanewise(b: Builder, dst: Operand, src: Operand) -> Value:
        """Each lane of dst ← dst operation src."""
        if dst == src and row in OF_EQUALS:
            if is_mm(dst):
                enter_mmx(b)
            return b.const(OF_EQUALS[row], 64 if is_mm(dst) else 128)
        left, right = operands(b, dst, src)
        return b.vec(row, lane, left.width, left, right)


for _name, (_row, _lane) in LANEWISE.items():
    _lanewise(_name, _row, _lane)


def _absolute(name: str, lane: int) -> None:
    @insn(name)
    def pabs(b: Builder, dst: Operand, src: Operand) -> Value:
        """Each lane of dst ← |src|."""
        _, value = operands(b, dst, src)
        return b.vec("abs", lane, value.width, value)


def _horizontal(name: str, row: str, lane: int) -> None:
    @insn(name)
    def horizontal(b: Builder, dst: Operand, src: Operand) -> Value:
        """Dst ← even operation odd lane of every pair in src:dst."""
        low, high = operands(b, dst, src)
        count = 2 * low.width // lane
        even = shuffle(b, lane, range(0, count, 2), low, high)
        odd = shuffle(b, lane, range(1, count, 2), low, high)
        return b.vec(row, lane, low.width, even, odd)


for _letter, _lane in (("b", 8), ("w", 16), ("d", 32)):
    _absolute("pabs" + _letter, _lane)
for _op in ("add", "sub"):
    _horizontal(f"ph{_op}w", _op, 16)
    _horizontal(f"ph{_op}d", _op, 32)
    _horizontal(f"ph{_op}sw", _op + "s", 16)


@insn("emms")
def emms(b: Builder) -> None:
    """All x87 registers become empty; TOP ← 0."""
    wait(b)
    b.unit.emit(Op.FPSTACK, 0, attr=FpStack(0, mode="empty"))


# -- shifts --------------------------------------------------------------------------------------
def _shift(name: str, row: str, lane: int) -> None:
    @insn(name)
    def shift(b: Builder, dst: Operand, src: Operand) -> Value:
        """Each lane of dst ← dst shifted by src; by the lane width or more: all bits out."""
        if not isinstance(src, Imm):
            value, amount = operands(b, dst, src)
            return b.vec(row + "by", lane, value.width, value, amount.trunc(64))
        if is_mm(dst):
            enter_mmx(b)
        value, count = b.read(dst), _number(src)
        if count >= lane:
            if row != "ashr":
                return b.const(0, value.width)
            count = lane - 1
        return b.unit.emit(Op.VEC, value.width, value, attr=(row, lane, count))


for _letter, _lane in (("w", 16), ("d", 32), ("q", 64)):
    _shift("psll" + _letter, "shl", _lane)
    _shift("psrl" + _letter, "lshr", _lane)
    if _lane < 64:
        _shift("psra" + _letter, "ashr", _lane)


def _number(imm: Imm) -> int:
    """Return an immediate that belongs to the shape."""
    assert imm.value is not None
    return imm.value


@insn("pslldq")
def pslldq(b: Builder, dst: Value, count: Imm) -> Value:
    """Dst ← dst shifted left by bytes."""
    size = min(_number(count), 16)
    return shuffle(b, 8, range(16 - size, 32 - size), b.const(0, 128), dst)


@insn("psrldq")
def psrldq(b: Builder, dst: Value, count: Imm) -> Value:
    """Dst ← dst shifted right by bytes."""
    size = min(_number(count), 16)
    return shuffle(b, 8, range(size, size + 16), dst, b.const(0, 128))


@insn("palignr")
def palignr(b: Builder, dst: Operand, src: Operand, count: Imm) -> Value:
    """Dst ← dst:src shifted right by bytes."""
    high, low = operands(b, dst, src)
    size, first = low.width // 8, _number(count)
    if first >= size:
        low, high, first = high, b.const(0, low.width), min(first - size, size)
    return shuffle(b, 8, range(first, first + size), low, high)


# -- shuffles ------------------------------------------------------------------------------------
def _unpack(name: str, lane: int, is_high: bool) -> None:
    @insn(name)
    def unpack(b: Builder, dst: Operand, src: Operand) -> Value:
        """Dst ← the lanes of one half of dst and src, in turn."""
        left, right = operands(b, dst, src)
        count = left.width // lane
        first = count // 2 if is_high else 0
        mask = [i + j for i in range(first, first + count // 2) for j in (0, count)]
        return shuffle(b, lane, mask, left, right)


for _half in ("l", "h"):
    for _letter, _lane in (("bw", 8), ("wd", 16), ("dq", 32), ("qdq", 64)):
        _unpack(f"punpck{_half}{_letter}", _lane, _half == "h")
    _unpack(f"unpck{_half}ps", 32, _half == "h")
    _unpack(f"unpck{_half}pd", 64, _half == "h")


def _selectors(imm: Imm, count: int, bits: int) -> list[int]:
    """Split an immediate into selectors."""
    return [_number(imm) >> i * bits & (1 << bits) - 1 for i in range(count)]


@insn("pshufd")
def pshufd(b: Builder, dst: Operand, src: Operand, order: Imm) -> Value:
    """Dst ← the doublewords of src that the immediate selects."""
    value = whole(b, src)
    return shuffle(b, 32, _selectors(order, 4, 2), value, value)


@insn("pshuflw")
def pshuflw(b: Builder, dst: Operand, src: Operand, order: Imm) -> Value:
    """Dst ← src with the words of its low half reordered."""
    value = whole(b, src)
    return shuffle(b, 16, [*_selectors(order, 4, 2), 4, 5, 6, 7], value, value)


@insn("pshufhw")
def pshufhw(b: Builder, dst: Operand, src: Operand, order: Imm) -> Value:
    """Dst ← src with the words of its high half reordered."""
    value = whole(b, src)
    high = [4 + i for i in _selectors(order, 4, 2)]
    return shuffle(b, 16, [0, 1, 2, 3, *high], value, value)


@insn("pshufw")
def pshufw(b: Builder, dst: Operand, src: Operand, order: Imm) -> Value:
    """Dst ← the words of src that the immediate selects."""
    _, value = operands(b, dst, src)
    return shuffle(b, 16, _selectors(order, 4, 2), value, value)


@insn("shufps")
def shufps(b: Builder, dst: Operand, src: Operand, order: Imm) -> Value:
    """Dst ← two lanes of dst, then two of src, as the immediate selects."""
    i, j, k, m = _selectors(order, 4, 2)
    return shuffle(b, 32, (i, j, 4 + k, 4 + m), b.read(dst), whole(b, src))


@insn("shufpd")
def shufpd(b: Builder, dst: Operand, src: Operand, order: Imm) -> Value:
    """Dst ← one half of dst, then one of src, as the immediate selects."""
    i, j = _selectors(order, 2, 1)
    return shuffle(b, 64, (i, 2 + j), b.read(dst), whole(b, src))


@insn("pshufb")
def pshufb(b: Builder, dst: Operand, src: Operand) -> Value:
    """Each byte of dst ← the byte of dst that src's byte numbers, or 0 if its sign bit is set."""
    value, order = operands(b, dst, src)
    if value.width == 128:
        return b.host("pshufb", 128, value, order)
    order = order & 0x8787878787878787  # three bits number one of eight bytes
    halves = (b.vec("widen", 64, 128, half) for half in (value, order))
    return b.host("pshufb", 128, *halves).trunc(64)


@insn("pinsrw")
def pinsrw(b: Builder, dst: Operand, src: Operand, index: Imm) -> Value:
    """Word number immediate of dst ← src."""
    if is_mm(dst):
        enter_mmx(b)
    value = b.read(dst)
    lane = _number(index) % (value.width // 16)
    return b.unit.emit(Op.VEC, value.width, value, b.read(src), attr=("insert", 16, lane))


@insn("pextrw")
def pextrw(b: Builder, dst: Operand, src: Special, index: Imm) -> Value:
    """Dst ← the word of src that the immediate numbers, zero-extended in a register."""
    if is_mm(src):
        enter_mmx(b)
    value = b.read(src)
    return value.bits(16 * (_number(index) % (value.width // 16)), 16)
