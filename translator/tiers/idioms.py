"""What one insn of a host does and the IR says in several ops: shifts of two registers, carries."""

from __future__ import annotations

from typing import NamedTuple

from translator.ir import Op, Value


class Funnel(NamedTuple):
    """`left`: the high half of high:low << by; else the low half of high:low >> by."""

    left: bool
    high: Value
    low: Value
    by: int


def funnel(v: Value) -> Funnel | None:
    """Recognise a shift of two 32-bit values by a constant; None if *v* is anything else."""
    if v.op is not Op.TRUNC or v.width != 32 or v.args[0].op is not Op.LSHR:
        return None
    wide, by = v.args[0].args
    if wide.width != 64 or by.op is not Op.CONST:
        return None
    count = int(str(by.attr))
    left = wide.op is Op.SHL and count == 32 and wide.args[1].op is Op.CONST
    if left:
        count = int(str(wide.args[1].attr))
        wide = wide.args[0]
    halves = _halves(wide)
    return None if halves is None or not 0 < count < 32 else Funnel(left, *halves, count)


def _halves(wide: Value) -> tuple[Value, Value] | None:
    """Return what `Value.concat` made one."""
    if wide.op is not Op.OR:
        return None
    high, low = wide.args
    if high.op is not Op.SHL or low.op is not Op.ZEXT or low.args[0].width != 32:
        return None
    above, by = high.args
    if above.op is not Op.ZEXT or above.args[0].width != 32 or str(by.attr) != "32":
        return None
    return above.args[0], low.args[0]


class Carried(NamedTuple):
    """A sum or difference of three: `whole` has all its bits; `out`: the carry is meant."""

    whole: Value
    out: bool


def carried(v: Value) -> Carried | None:
    """Recognise the 32-bit result of adc and sbb, or its carry."""
    if v.op is not Op.TRUNC or v.width not in (1, 32):
        return None
    whole, out = v.args[0], v.width == 1
    if out:
        if whole.op is not Op.LSHR or whole.args[1].op is not Op.CONST:
            return None
        # Of a difference any bit from 32 up is the borrow.
        whole, by = whole.args[0], str(whole.args[1].attr)
        if by != ("32" if whole.op is Op.ADD else "63"):
            return None
    if whole.op not in (Op.ADD, Op.SUB) or whole.args[0].op is not whole.op:
        return None
    parts = (*whole.args[0].args, whole.args[1])
    if any(p.op is not Op.ZEXT or p.width != 64 for p in parts):
        return None
    widths = tuple(p.args[0].width for p in parts)
    return Carried(whole, out) if widths == (32, 32, 1) else None
