"""Integer SIMD: one row per VEC op, its meaning in Python and its portable LLVM text.

A row gets the lane width, the width of the result, the arguments and then the immediates of the
op's attribute (name, lane, *immediates).  Arguments are integers in Python and SSA names of
integer type in LLVM; all of a row's vectors are as wide as its result unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

Text = Callable[[str], str]
Lane = Callable[[int, int, int], int]


class VecOp(NamedTuple):
    """evaluate(lane, width, *ints, *immediates); lower(t, lane, width, *names, *immediates)."""

    evaluate: Callable[..., int]
    lower: Callable[..., str]


# -- Python --------------------------------------------------------------------------------------
def lanes(number: int, lane: int, width: int) -> list[int]:
    """Split a number into its lanes, lowest first."""
    mask = (1 << lane) - 1
    return [number >> at & mask for at in range(0, width, lane)]


def join(numbers: Iterable[int], lane: int) -> int:
    """Put lanes together; each is cut to its width."""
    mask = (1 << lane) - 1
    return sum((number & mask) << i * lane for i, number in enumerate(numbers))


def signed(number: int, lane: int) -> int:
    """Return a lane as a signed number."""
    half = 1 << (lane - 1)
    return (number ^ half) - half


def _signed_lanes(number: int, lane: int, width: int) -> list[int]:
    return [signed(n, lane) for n in lanes(number, lane, width)]


def _clamp(number: int, low: int, high: int) -> int:
    return low if number < low else high if number > high else number


def _clamp_signed(number: int, lane: int) -> int:
    return _clamp(number, -1 << (lane - 1), (1 << (lane - 1)) - 1)


# -- LLVM text -----------------------------------------------------------------------------------
def vector_type(lane: int, width: int) -> str:
    """Return the LLVM vector type."""
    return f"<{width // lane} x i{lane}>"


def _split(t: Text, name: str, lane: int, width: int) -> str:
    """Integer -> vector."""
    return t(f"bitcast i{width} {name} to {vector_type(lane, width)}")


def _whole(t: Text, name: str, lane: int, width: int) -> str:
    """Vector -> integer."""
    return t(f"bitcast {vector_type(lane, width)} {name} to i{width}")


def _splat(lane: int, number: int) -> str:
    return f"splat (i{lane} {number})"


def _call(t: Text, name: str, lane: int, width: int, *args: str, extra: str = "") -> str:
    """Call an LLVM intrinsic that is overloaded on one vector type."""
    ty = vector_type(lane, width)
    values = ", ".join(f"{ty} {a}" for a in args)
    return t(f"call {ty} @llvm.{name}.v{width // lane}i{lane}({values}{extra})")


def _pick(
    t: Text, lane: int, width: int, left: str, right: str, mask: Sequence[int]
) -> tuple[str, int]:
    """Emit a shufflevector; return its name and the width of the result."""
    ty = vector_type(lane, width)
    indices = ", ".join(f"i32 {i}" for i in mask)
    name = t(f"shufflevector {ty} {left}, {ty} {right}, <{len(mask)} x i32> <{indices}>")
    return name, len(mask) * lane


def _pairs(t: Text, lane: int, width: int, name: str) -> tuple[str, str]:
    """Return the even and the odd lanes as vectors of half the width."""
    count = width // lane
    even, _ = _pick(t, lane, width, name, "poison", range(0, count, 2))
    odd, _ = _pick(t, lane, width, name, "poison", range(1, count, 2))
    return even, odd


def _convert(t: Text, how: str, name: str, lane: int, width: int, to: int) -> str:
    """Emit zext, sext or trunc of every lane."""
    count = width // lane
    return t(f"{how} <{count} x i{lane}> {name} to <{count} x i{to}>")


# -- rows lane by lane ---------------------------------------------------------------------------
def _lanewise(compute: Lane, build: Callable[..., str], at_least: int = 64) -> VecOp:
    """Make a row from a function of two lanes and one that emits it for two vectors.

    Vectors narrower than *at_least* are widened, where LLVM only knows what to do with long ones.
    """

    def evaluate(lane: int, width: int, left: int, right: int) -> int:
        pairs = zip(lanes(left, lane, width), lanes(right, lane, width), strict=True)
        return join((compute(lane, a, b) for a, b in pairs), lane)

    def lower(t: Text, lane: int, width: int, left: str, right: str) -> str:
        if width < at_least:
            left, right = (t(f"zext i{width} {x} to i{at_least}") for x in (left, right))
            return t(f"trunc i{at_least} {lower(t, lane, at_least, left, right)} to i{width}")
        a, b = _split(t, left, lane, width), _split(t, right, lane, width)
        return _whole(t, build(t, lane, width, a, b), lane, width)

    return VecOp(evaluate, lower)


def _plain(insn: str, compute: Lane) -> VecOp:
    """Make a row that is one LLVM instruction."""
    return _lanewise(
        compute, lambda t, lane, width, a, b: t(f"{insn} {vector_type(lane, width)} {a}, {b}")
    )


def _intrinsic(name: str, compute: Lane) -> VecOp:
    """Make a row that is one LLVM intrinsic."""
    return _lanewise(compute, lambda t, lane, width, a, b: _call(t, name, lane, width, a, b))


def _compare(predicate: str, compute: Lane) -> VecOp:
    """Make a row that yields all ones or all zeros in each lane."""

    def build(t: Text, lane: int, width: int, a: str, b: str) -> str:
        bits = t(f"icmp {predicate} {vector_type(lane, width)} {a}, {b}")
        return _convert(t, "sext", bits, 1, width // lane, lane)

    return _lanewise(compute, build)


def _widened(how: str, steps: Sequence[str], compute: Lane) -> VecOp:
    """Make a row that computes at twice the lane width and truncates."""
    return _lanewise(compute, _widened_steps(how, steps))


def _widened_steps(how: str, steps: Sequence[str]) -> Callable[..., str]:
    """Each step is an LLVM instruction and its second operand: a number, or `b`, the argument."""

    def build(t: Text, lane: int, width: int, a: str, b: str) -> str:
        wide = vector_type(2 * lane, 2 * width)
        value = _convert(t, how, a, lane, width, 2 * lane)
        other = _convert(t, how, b, lane, width, 2 * lane)
        for step in steps:
            op, operand = step.split()
            operand = other if operand == "b" else _splat(2 * lane, int(operand))
            value = t(f"{op} {wide} {value}, {operand}")
        return _convert(t, "trunc", value, 2 * lane, 2 * width, lane)

    return build


_HIGH_SIGNED = _widened_steps("sext", ("mul b", "lshr 16"))


def _rounded_product(t: Text, lane: int, width: int, a: str, b: str) -> str:
    """Compute (a * b + 0x4000) >> 15 of words from the two halves of the product."""
    ty = vector_type(lane, width)
    high = _HIGH_SIGNED(t, lane, width, a, b)
    low = t(f"lshr {ty} {t(f'mul {ty} {a}, {b}')}, {_splat(lane, 14)}")
    low = t(f"lshr {ty} {t(f'add {ty} {low}, {_splat(lane, 1)}')}, {_splat(lane, 1)}")
    return t(f"add {ty} {t(f'add {ty} {high}, {high}')}, {low}")


def _andn(t: Text, lane: int, width: int, a: str, b: str) -> str:
    ty = vector_type(lane, width)
    inverse = t(f"xor {ty} {a}, {_splat(lane, -1)}")
    return t(f"and {ty} {inverse}, {b}")


def _sign(t: Text, lane: int, width: int, a: str, b: str) -> str:
    ty, bits = vector_type(lane, width), f"<{width // lane} x i1>"
    negated = t(f"sub {ty} zeroinitializer, {a}")
    below = t(f"icmp slt {ty} {b}, zeroinitializer")
    signed_ = t(f"select {bits} {below}, {ty} {negated}, {ty} {a}")
    zero = t(f"icmp eq {ty} {b}, zeroinitializer")
    return t(f"select {bits} {zero}, {ty} zeroinitializer, {ty} {signed_}")


def _sign_lane(lane: int, a: int, b: int) -> int:
    return -a if signed(b, lane) < 0 else a if b else 0


def _low_product(t: Text, lane: int, width: int, a: str, b: str) -> str:
    ty, low = vector_type(lane, width), _splat(lane, (1 << lane // 2) - 1)
    left, right = t(f"and {ty} {a}, {low}"), t(f"and {ty} {b}, {low}")
    return t(f"mul {ty} {left}, {right}")


def _low_product_lane(lane: int, a: int, b: int) -> int:
    low = (1 << lane // 2) - 1
    return (a & low) * (b & low)


def _sum_differences(t: Text, lane: int, width: int, a: str, b: str) -> str:
    """Sum |a - b| of unsigned bytes over each lane of 64 bits; x86 has an insn for each sum."""
    a, b = (_split(t, _whole(t, x, lane, width), 8, width) for x in (a, b))
    ty, res = vector_type(lane, width), "poison"
    for i in range(width // lane):
        mask = range(8 * i, 8 * i + 8)
        left, right = (
            _convert(t, "zext", _pick(t, 8, width, x, "poison", mask)[0], 8, 64, lane)
            for x in (a, b)
        )
        difference = t(f"sub <8 x i64> {left}, {right}")
        absolute = _call(t, "abs", lane, 8 * lane, difference, extra=", i1 false")
        total = t(f"call i64 @llvm.vector.reduce.add.v8i64(<8 x i64> {absolute})")
        res = t(f"insertelement {ty} {res}, i64 {total}, i32 {i}")
    return res


def _sum_differences_lane(lane: int, a: int, b: int) -> int:
    return sum(abs(x - y) for x, y in zip(lanes(a, 8, lane), lanes(b, 8, lane), strict=True))


def _product_sums(t: Text, lane: int, width: int, a: str, b: str) -> str:
    """Multiply words at twice their width, then add neighbours."""
    # The row's lanes are those of the sums: the factors are half as wide.
    half = lane // 2
    a, b = (_split(t, _whole(t, x, lane, width), half, width) for x in (a, b))
    left, right = (_convert(t, "sext", x, half, width, lane) for x in (a, b))
    products = t(f"mul {vector_type(lane, 2 * width)} {left}, {right}")
    even, odd = _pairs(t, lane, 2 * width, products)
    return t(f"add {vector_type(lane, width)} {even}, {odd}")


def _unsigned_product_sums(t: Text, lane: int, width: int, a: str, b: str) -> str:
    """Add neighbouring products of bytes with saturation, in the form that LLVM knows."""
    a, b = (_split(t, _whole(t, x, lane, width), 8, width) for x in (a, b))
    wide, products = 2 * lane, []
    for left, right in zip(_pairs(t, 8, width, a), _pairs(t, 8, width, b), strict=True):
        factors = _convert(t, "zext", left, 8, width // 2, wide)
        others = _convert(t, "sext", right, 8, width // 2, wide)
        products.append(t(f"mul {vector_type(wide, 2 * width)} {factors}, {others}"))
    res = t(f"add {vector_type(wide, 2 * width)} {products[0]}, {products[1]}")
    return _saturate(t, wide, 2 * width, res, -1 << (lane - 1), (1 << (lane - 1)) - 1)


def _saturate(t: Text, lane: int, width: int, name: str, low: int, high: int) -> str:
    """Clamp signed lanes and truncate them to half their width."""
    name = _call(t, "smax", lane, width, name, _splat(lane, low))
    name = _call(t, "smin", lane, width, name, _splat(lane, high))
    return _convert(t, "trunc", name, lane, width, lane // 2)


def _product_sum_lane(lane: int, a: int, b: int) -> int:
    half = lane // 2
    pairs = zip(_signed_lanes(a, half, lane), _signed_lanes(b, half, lane), strict=True)
    return sum(x * y for x, y in pairs)


def _unsigned_product_sum_lane(lane: int, a: int, b: int) -> int:
    half = lane // 2
    pairs = zip(lanes(a, half, lane), _signed_lanes(b, half, lane), strict=True)
    return _clamp_signed(sum(x * y for x, y in pairs), lane)


def _signed_product(lane: int, a: int, b: int) -> int:
    return signed(a, lane) * signed(b, lane)


# -- other rows ----------------------------------------------------------------------------------
def _pack(low: Callable[[int], int], high: Callable[[int], int]) -> VecOp:
    """Make a row that narrows the lanes of both arguments with saturation."""

    def evaluate(lane: int, width: int, left: int, right: int) -> int:
        numbers = _signed_lanes(left, lane, width) + _signed_lanes(right, lane, width)
        half = lane // 2
        return join((_clamp(n, low(half), high(half)) for n in numbers), half)

    def lower(t: Text, lane: int, width: int, left: str, right: str) -> str:
        half = lane // 2
        a, b = _split(t, left, lane, width), _split(t, right, lane, width)
        both, wide = _pick(t, lane, width, a, b, range(2 * width // lane))
        return _whole(t, _saturate(t, lane, wide, both, low(half), high(half)), half, width)

    return VecOp(evaluate, lower)


def _shift(insn: str) -> VecOp:
    """Make a row that shifts every lane by one count, below the lane width: the immediate."""

    def evaluate(lane: int, width: int, value: int, count: int) -> int:
        return join((_shift_lane(insn, lane, n, count) for n in lanes(value, lane, width)), lane)

    def lower(t: Text, lane: int, width: int, value: str, count: int) -> str:
        ty, vector = vector_type(lane, width), _split(t, value, lane, width)
        return _whole(t, t(f"{insn} {ty} {vector}, {_splat(lane, count)}"), lane, width)

    return VecOp(evaluate, lower)


def _shift_by(insn: str) -> VecOp:
    """Make a row that shifts every lane by one count: argument 1, 64 bits wide, any number."""

    def evaluate(lane: int, width: int, value: int, count: int) -> int:
        return join((_shift_lane(insn, lane, n, count) for n in lanes(value, lane, width)), lane)

    def lower(t: Text, lane: int, width: int, value: str, count: str) -> str:
        ty, vector = vector_type(lane, width), _split(t, value, lane, width)
        fits = t(f"icmp ult i64 {count}, {lane}")
        # An LLVM shift by the width or more is poison.
        bounded = t(f"select i1 {fits}, i64 {count}, i64 {lane - 1}")
        if lane < 64:
            bounded = t(f"trunc i64 {bounded} to i{lane}")
        first = t(f"insertelement {ty} poison, i{lane} {bounded}, i32 0")
        counts, _ = _pick(t, lane, width, first, "poison", [0] * (width // lane))
        res = t(f"{insn} {ty} {vector}, {counts}")
        if insn != "ashr":
            res = t(f"select i1 {fits}, {ty} {res}, {ty} zeroinitializer")
        return _whole(t, res, lane, width)

    return VecOp(evaluate, lower)


def _shift_lane(insn: str, lane: int, number: int, count: int) -> int:
    if insn == "ashr":
        return signed(number, lane) >> min(count, lane - 1)
    if count >= lane:
        return 0
    return number << count if insn == "shl" else number >> count


def _abs(lane: int, width: int, value: int) -> int:
    return join((abs(n) for n in _signed_lanes(value, lane, width)), lane)


def _lower_abs(t: Text, lane: int, width: int, value: str) -> str:
    vector = _split(t, value, lane, width)
    return _whole(t, _call(t, "abs", lane, width, vector, extra=", i1 false"), lane, width)


def _shuffle(lane: int, width: int, left: int, right: int, mask: Sequence[int]) -> int:
    both = lanes(left, lane, width) + lanes(right, lane, width)
    return join((both[i] for i in mask), lane)


def _lower_shuffle(
    t: Text, lane: int, width: int, left: str, right: str, mask: Sequence[int]
) -> str:
    a = _split(t, left, lane, width)
    b = a if right == left else _split(t, right, lane, width)
    return _whole(t, _pick(t, lane, width, a, b, mask)[0], lane, width)


def _lower_widen(t: Text, lane: int, width: int, value: str) -> str:
    ty = vector_type(lane, width)
    vector = t(f"insertelement {ty} zeroinitializer, i{lane} {value}, i32 0")
    return _whole(t, vector, lane, width)


def _insert(lane: int, width: int, value: int, number: int, index: int) -> int:
    return value & ~(((1 << lane) - 1) << index * lane) | number << index * lane


def _lower_insert(t: Text, lane: int, width: int, value: str, number: str, index: int) -> str:
    vector = _split(t, value, lane, width)
    ty = vector_type(lane, width)
    res = t(f"insertelement {ty} {vector}, i{lane} {number}, i32 {index}")
    return _whole(t, res, lane, width)


def _extend(lane: int, width: int, value: int, source: int) -> int:
    used = value & (1 << width // lane * source) - 1
    return join(_signed_lanes(used, source, width // lane * source), lane)


def _lower_extend(t: Text, lane: int, width: int, value: str, source: int) -> str:
    vector = _split(t, value, source, width)
    low, used = _pick(t, source, width, vector, "poison", range(width // lane))
    return _whole(t, _convert(t, "sext", low, source, used, lane), lane, width)


def _blend(lane: int, width: int, left: int, right: int, mask: int) -> int:
    three = zip(*(lanes(n, lane, width) for n in (left, right, mask)), strict=True)
    return join((b if m >> lane - 1 else a for a, b, m in three), lane)


def _lower_blend(t: Text, lane: int, width: int, left: str, right: str, mask: str) -> str:
    ty = vector_type(lane, width)
    a, b, m = (_split(t, name, lane, width) for name in (left, right, mask))
    bits = t(f"icmp slt {ty} {m}, zeroinitializer")
    res = t(f"select <{width // lane} x i1> {bits}, {ty} {b}, {ty} {a}")
    return _whole(t, res, lane, width)


def _signs(lane: int, width: int, value: int, source: int) -> int:
    return join((n >> lane - 1 for n in lanes(value, lane, source)), 1)


def _lower_signs(t: Text, lane: int, width: int, value: str, source: int) -> str:
    ty, count = vector_type(lane, source), source // lane
    bits = t(f"icmp slt {ty} {_split(t, value, lane, source)}, zeroinitializer")
    packed = t(f"bitcast <{count} x i1> {bits} to i{count}")
    return t(f"zext i{count} {packed} to i{width}")


VECTORS: dict[str, VecOp] = {
    "add": _plain("add", lambda lane, a, b: a + b),
    "sub": _plain("sub", lambda lane, a, b: a - b),
    "and": _plain("and", lambda lane, a, b: a & b),
    "or": _plain("or", lambda lane, a, b: a | b),
    "xor": _plain("xor", lambda lane, a, b: a ^ b),
    "andn": _lanewise(lambda lane, a, b: ~a & b, _andn),
    "adds": _intrinsic(
        "sadd.sat", lambda lane, a, b: _clamp_signed(signed(a, lane) + signed(b, lane), lane)
    ),
    "addus": _intrinsic("uadd.sat", lambda lane, a, b: min(a + b, (1 << lane) - 1)),
    "subs": _intrinsic(
        "ssub.sat", lambda lane, a, b: _clamp_signed(signed(a, lane) - signed(b, lane), lane)
    ),
    "subus": _intrinsic("usub.sat", lambda lane, a, b: max(a - b, 0)),
    "mins": _intrinsic("smin", lambda lane, a, b: min(signed(a, lane), signed(b, lane))),
    "maxs": _intrinsic("smax", lambda lane, a, b: max(signed(a, lane), signed(b, lane))),
    "minu": _intrinsic("umin", lambda lane, a, b: min(a, b)),
    "maxu": _intrinsic("umax", lambda lane, a, b: max(a, b)),
    "avg": _widened("zext", ("add b", "add 1", "lshr 1"), lambda lane, a, b: (a + b + 1) >> 1),
    "cmpeq": _compare("eq", lambda lane, a, b: -(a == b)),
    "cmpgt": _compare("sgt", lambda lane, a, b: -(signed(a, lane) > signed(b, lane))),
    "mul": _plain("mul", lambda lane, a, b: a * b),
    # The high half of a product of words; with rounding, bits 15 to 30.
    "mulhs": _lanewise(lambda lane, a, b: _signed_product(lane, a, b) >> 16, _HIGH_SIGNED),
    "mulhu": _widened("zext", ("mul b", "lshr 16"), lambda lane, a, b: a * b >> 16),
    "mulhrs": _lanewise(
        lambda lane, a, b: (_signed_product(lane, a, b) >> 14) + 1 >> 1, _rounded_product
    ),
    # Of each lane the product of the low halves, unsigned.
    "mullow": _lanewise(_low_product_lane, _low_product),
    # Lanes of sums of products; madd: signed factors; maddus: unsigned by signed, saturated.
    "madd": _lanewise(_product_sum_lane, _product_sums, 128),
    "maddus": _lanewise(_unsigned_product_sum_lane, _unsigned_product_sums, 128),
    "sad": _lanewise(_sum_differences_lane, _sum_differences, 128),
    "sign": _lanewise(_sign_lane, _sign),
    "abs": VecOp(_abs, _lower_abs),
    # The lanes of the arguments become half as wide: argument 0's are the low ones.
    "packs": _pack(lambda half: -1 << (half - 1), lambda half: (1 << (half - 1)) - 1),
    "packus": _pack(lambda half: 0, lambda half: (1 << half) - 1),
    "shl": _shift("shl"),
    "lshr": _shift("lshr"),
    "ashr": _shift("ashr"),
    "shlby": _shift_by("shl"),
    "lshrby": _shift_by("lshr"),
    "ashrby": _shift_by("ashr"),
    # Immediate: for each lane of the result, the index of a lane of argument 0, then 1.
    "shuffle": VecOp(_shuffle, _lower_shuffle),
    # A number as wide as a lane becomes lane 0, the others 0.
    "widen": VecOp(lambda lane, width, value: value, _lower_widen),
    # Immediate: which lane argument 1, as wide as a lane, replaces.
    "insert": VecOp(_insert, _lower_insert),
    # The low lanes of the argument, as wide as the immediate says, sign-extended.
    "extend": VecOp(_extend, _lower_extend),
    # Each lane is argument 1's where the sign of argument 2's is set, else argument 0's.
    "blend": VecOp(_blend, _lower_blend),
    # The sign bits of the lanes as one number. Immediate: the argument's width.
    "signs": VecOp(_signs, _lower_signs),
}
