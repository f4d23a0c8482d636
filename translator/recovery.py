"""Flags that were never stored: how to compute them from the registers, when a fault shows them.

A memory access may fault, and then the guest must see exact flags.  Storing them before every
access would cost more than the access.  Instead the planner drops the flags of an insn whose
operands are still in registers (or constants) where the fault happens; only then are they computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from translator import flags
from translator.ir import Op, Unit, Value

Registers = Sequence[int]
Numbers = Sequence[int]  # an insn's slots
Compute = Callable[[Registers, Numbers], int]


class Recovery(NamedTuple):
    """What of an insn's flags can be recovered behind it, while `registers` are unchanged."""

    rule: flags.Rule
    width: int
    groups: frozenset[str]
    registers: int  # mask of general registers that the computation reads
    operands: Callable[[Registers, Numbers], tuple[int, int, int]]  # result, left, right


class _Known(NamedTuple):
    compute: Compute
    registers: int


_BINARY: dict[Op, Callable[[int, int], int]] = {
    Op.ADD: lambda a, b: a + b,
    Op.SUB: lambda a, b: a - b,
    Op.AND: lambda a, b: a & b,
    Op.OR: lambda a, b: a | b,
    Op.XOR: lambda a, b: a ^ b,
    Op.LSHR: lambda a, b: a >> b,
}
# Rules whose left operand follows from result and right operand.
_ADDS, _SUBTRACTS = ("add", "inc"), ("sub", "dec")


def only_rule(unit: Unit) -> tuple[flags.Rule, int] | None:
    """Return the rule and the width by which an insn sets all its flags.

    None if there are several ways, or if its arguments are not operands of one width.
    """
    found = [v for v in unit.ops if v.op in (Op.FLAGS, Op.SETFLAG)]
    if len(found) != 1 or found[0].op is not Op.FLAGS:
        return None
    rule, widths = found[0].attr, {a.width for a in found[0].args}
    assert isinstance(rule, flags.Rule)
    (width, *others) = widths
    return None if others or width > 32 else (rule, width)


def recovery(unit: Unit, slot_index: dict[str, int]) -> Recovery | None:
    """Say how an insn's flags can be recovered from what it leaves in the registers."""
    found = [v for v in unit.ops if v.op in (Op.FLAGS, Op.SETFLAG)]
    if len(found) != 1 or found[0].op is not Op.FLAGS:
        return None
    rule = found[0].attr
    assert isinstance(rule, flags.Rule)
    res, left, right = found[0].args
    solver = _Solver(unit, slot_index)
    r, a, b = (solver.known(v) for v in (res, left, right))
    r = r or solver.written_back(res)
    mask = (1 << res.width) - 1
    if r is not None and b is not None and a is None:
        if rule.name in _ADDS:
            a = _combine(r, b, lambda x, y: x - y & mask)
        elif rule.name in _SUBTRACTS:
            a = _combine(r, b, lambda x, y: x + y & mask)
    elif r is not None and a is not None and b is None and rule.name in _SUBTRACTS:
        b = _combine(a, r, lambda x, y: x - y & mask)
    groups = set(rule.groups)
    if rule.name == "logic":
        a = b = _Known(lambda regs, slots: 0, 0)
    if r is None:
        return None
    if a is None or b is None:
        groups &= {"szp"}
        a = b = _Known(lambda regs, slots: 0, 0)
    if not groups:
        return None
    fr, fa, fb = r.compute, a.compute, b.compute
    return Recovery(
        rule,
        res.width,
        frozenset(groups),
        r.registers | a.registers | b.registers,
        lambda regs, slots: (
            fr(regs, slots) & mask, fa(regs, slots) & mask, fb(regs, slots) & mask,
        ),
    )  # fmt: skip


def _combine(x: _Known, y: _Known, op: Callable[[int, int], int]) -> _Known:
    f, g = x.compute, y.compute
    return _Known(lambda regs, slots: op(f(regs, slots), g(regs, slots)), x.registers | y.registers)


def _field(register: int, shift: int) -> _Known:
    return _Known(lambda regs, slots: regs[register] >> shift, 1 << register)


class _Solver:
    """Finds values of a unit in the registers behind it."""

    def __init__(self, unit: Unit, slot_index: dict[str, int]) -> None:
        self.slot_index = slot_index
        self.written: dict[int, Value] = {}
        for v in unit.ops:
            if v.op is Op.SETREG:
                assert isinstance(v.attr, int)
                self.written[v.attr] = v.args[0]

    def known(self, v: Value) -> _Known | None:
        """Return how to compute a value from constants and registers that the insn left alone."""
        mask = (1 << v.width) - 1
        match v.op:
            case Op.CONST:
                number = v.attr
                assert isinstance(number, int)
                return _Known(lambda regs, slots: number, 0)
            case Op.SLOT:
                index = self.slot_index[str(v.attr)]
                return _Known(lambda regs, slots: slots[index] & mask, 0)
            case Op.GETREG:
                register = v.attr
                assert isinstance(register, int)
                if register in self.written:
                    return None
                return _Known(lambda regs, slots: regs[register], 1 << register)
            case Op.TRUNC | Op.ZEXT:
                inner = self.known(v.args[0])
                if inner is None:
                    return None
                compute = inner.compute
                return _Known(lambda regs, slots: compute(regs, slots) & mask, inner.registers)
            case op if op in _BINARY:
                x, y = self.known(v.args[0]), self.known(v.args[1])
                if x is None or y is None:
                    return None
                return _combine(x, y, lambda p, q: _BINARY[op](p, q) & mask)
            case _:
                return None

    def written_back(self, v: Value) -> _Known | None:
        """Return how to read a value out of the register that the insn wrote it to."""
        for register, full in self.written.items():
            shift = self._position(full, v)
            if shift is not None:
                return _field(register, shift)
        return None

    def _position(self, full: Value, v: Value) -> int | None:
        """Return at which bit *v* stands in a register's new value; None if it does not."""
        if full is v:
            return 0
        if full.op is not Op.OR or v.width >= 32:
            return None
        part = full.args[1]
        shift = 0
        if part.op is Op.SHL and part.args[1].op is Op.CONST:
            shift = int(str(part.args[1].attr))
            part = part.args[0]
        return shift if part.op is Op.ZEXT and part.args[0] is v else None


def flags_unit(rule: flags.Rule, width: int) -> Unit:
    """Return the unit that sets a rule's flags from three slots: imm, imm2, disp."""
    unit = Unit()
    result, left, right = (
        unit.emit(Op.SLOT, 32, attr=name).trunc(width) for name in ("imm", "imm2", "disp")
    )
    unit.emit(Op.FLAGS, 0, result, left, right, attr=rule)
    return unit
