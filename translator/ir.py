"""The intermediate representation: ops, values, units.

A unit is a straight list of values in execution order: semantics build it, passes and tiers
read it.  Every value has a width in bits; 80 means an x87 extended real, 128 an XMM register,
0 no result.  Control leaves a unit by its terminal, by a side exit (`EXIT_IF`) or by a fault.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from translator.mode import USER, Mode

F80 = 80


class Op(enum.Enum):
    """Every IR op: (number of value arguments, has a side effect)."""

    # Leaves. attr: the number, the slot's name, the register's index, the field's name.
    CONST = (0, False, 1)
    SLOT = (0, False, 2)
    GETREG = (0, False, 3)
    SETREG = (1, True, 4)
    GET = (0, False, 5)
    SET = (1, True, 6)
    # x87 register ST(attr), counted from the TOP that the insn started with.
    GETST = (0, False, 7)
    SETST = (1, True, 8)
    # Integers.
    ADD = (2, False, 20)
    SUB = (2, False, 21)
    MUL = (2, False, 22)
    UDIV = (2, False, 23)
    UREM = (2, False, 24)
    SDIV = (2, False, 25)
    SREM = (2, False, 26)
    AND = (2, False, 27)
    OR = (2, False, 28)
    XOR = (2, False, 29)
    SHL = (2, False, 30)
    LSHR = (2, False, 31)
    ASHR = (2, False, 32)
    EQ = (2, False, 33)
    NE = (2, False, 34)
    ULT = (2, False, 35)
    ULE = (2, False, 36)
    SLT = (2, False, 37)
    SLE = (2, False, 38)
    SELECT = (3, False, 39)
    ZEXT = (1, False, 40)
    SEXT = (1, False, 41)
    TRUNC = (1, False, 42)
    CTLZ = (1, False, 43)
    CTTZ = (1, False, 44)
    POPCNT = (1, False, 45)
    BSWAP = (1, False, 46)
    # Guest memory; addresses are linear, 32 bits wide. attr of RMW: add and or xor xchg;
    # of LOAD: bits to read if fewer than the width, 128 (None: all of it).
    LOAD = (1, True, 60)
    STORE = (2, True, 61)
    RMW = (2, True, 62)
    CMPXCHG = (3, True, 63)
    FENCE = (0, True, 64)
    # Flags (flags.py). FLAGS attr: a Rule, arguments result, left, right; COND attr: the code.
    FLAGS = (3, True, 70)
    GETFLAG = (0, False, 71)
    SETFLAG = (1, True, 72)
    COND = (0, False, 73)
    # Leaving. attr: vector of the fault; terminal of the exit.
    FAULT_IF = (1, True, 80)
    EXIT_IF = (1, True, 81)
    # Vectors: attr = (name, lane width): a row per name in vectors.py. HOST: a name in hostops.py.
    VEC = (-1, False, 90)
    HOST = (-1, True, 91)
    # Part of the result of a HOST op beyond its value (attr = index).
    PART = (1, False, 92)
    # x87 stack: attr = change of TOP, tag masks relative to TOP (see x87 semantics).
    FPSTACK = (0, True, 93)
    FPCHECK = (-1, True, 94)
    # Too rare or too large for host code: attr = name in runtime helpers; only interp runs it.
    CALL = (-1, True, 99)

    @property
    def arity(self) -> int:
        """Number of value arguments; -1 for any."""
        return int(self.value[0])

    @property
    def effect(self) -> bool:
        """True when the op must stay even if nothing reads its result."""
        return bool(self.value[1])


class Link(NamedTuple):
    """Terminal: go on at a guest address known at translation; `slot` names it."""

    slot: str


class CondLink(NamedTuple):
    """Terminal: `taken` if the condition value is 1, else `otherwise` (slot names)."""

    cond: Value
    taken: str
    otherwise: str


class Jump(NamedTuple):
    """Terminal: go on at a computed guest address."""

    target: Value
    is_return: bool = False


class Leave(NamedTuple):
    """Terminal: exit to the dispatcher; `kind` of state.Exit, eip = the slot's address."""

    kind: int
    slot: str
    info: int = 0


Terminal = Link | CondLink | Jump | Leave


class Value:
    """The result of one op. Operators emit further ops into the same builder."""

    __slots__ = ("args", "attr", "index", "op", "unit", "width")

    def __init__(
        self, unit: Unit, op: Op, width: int, args: tuple[Value, ...], attr: object
    ) -> None:
        self.unit, self.op, self.width, self.args, self.attr = unit, op, width, args, attr
        self.index = len(unit.ops)
        unit.ops.append(self)

    def _new(self, op: Op, width: int, *args: Value) -> Value:
        return Value(self.unit, op, width, args, None)

    def _coerce(self, other: Value | int) -> Value:
        if isinstance(other, int):
            return self.unit.const(other, self.width)
        if other.width != self.width:
            raise TypeError(f"width {self.width} against {other.width}")
        return other

    def _bin(self, op: Op, other: Value | int) -> Value:
        return self._new(op, self.width, self, self._coerce(other))

    def _cmp(self, op: Op, other: Value | int) -> Value:
        return self._new(op, 1, self, self._coerce(other))

    def __add__(self, other: Value | int) -> Value:
        return self._bin(Op.ADD, other)

    def __sub__(self, other: Value | int) -> Value:
        return self._bin(Op.SUB, other)

    def __mul__(self, other: Value | int) -> Value:
        return self._bin(Op.MUL, other)

    def __and__(self, other: Value | int) -> Value:
        return self._bin(Op.AND, other)

    def __or__(self, other: Value | int) -> Value:
        return self._bin(Op.OR, other)

    def __xor__(self, other: Value | int) -> Value:
        return self._bin(Op.XOR, other)

    def __invert__(self) -> Value:
        return self._bin(Op.XOR, (1 << self.width) - 1)

    def __neg__(self) -> Value:
        return self.unit.const(0, self.width) - self

    def __bool__(self) -> NoReturn:
        raise TypeError("a Value has no truth at translation time: use select or exit_if")

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("use .eq(): == would compare at translation time")

    __hash__ = object.__hash__

    def udiv(self, other: Value | int) -> Value:
        """Quotient, unsigned; the divisor must not be 0."""
        return self._bin(Op.UDIV, other)

    def urem(self, other: Value | int) -> Value:
        """Remainder, unsigned; the divisor must not be 0."""
        return self._bin(Op.UREM, other)

    def sdiv(self, other: Value | int) -> Value:
        """Quotient, signed, towards zero; the divisor must not be 0."""
        return self._bin(Op.SDIV, other)

    def srem(self, other: Value | int) -> Value:
        """Remainder of sdiv."""
        return self._bin(Op.SREM, other)

    def shl(self, count: Value | int) -> Value:
        """Shift left; the count must be below the width."""
        return self._bin(Op.SHL, count)

    def lshr(self, count: Value | int) -> Value:
        """Shift right, zeros in; the count must be below the width."""
        return self._bin(Op.LSHR, count)

    def ashr(self, count: Value | int) -> Value:
        """Shift right, sign in; the count must be below the width."""
        return self._bin(Op.ASHR, count)

    def eq(self, other: Value | int) -> Value:
        """Equal, as one bit."""
        return self._cmp(Op.EQ, other)

    def ne(self, other: Value | int) -> Value:
        """Not equal, as one bit."""
        return self._cmp(Op.NE, other)

    def ult(self, other: Value | int) -> Value:
        """Unsigned less than, as one bit."""
        return self._cmp(Op.ULT, other)

    def ule(self, other: Value | int) -> Value:
        """Unsigned less or equal, as one bit."""
        return self._cmp(Op.ULE, other)

    def slt(self, other: Value | int) -> Value:
        """Signed less than, as one bit."""
        return self._cmp(Op.SLT, other)

    def sle(self, other: Value | int) -> Value:
        """Signed less or equal, as one bit."""
        return self._cmp(Op.SLE, other)

    def select(self, yes: Value | int, no: Value | int) -> Value:
        """`yes` if this bit is 1, else `no`; one of them must be a Value."""
        if isinstance(yes, int):
            assert isinstance(no, Value)
            yes = no._coerce(yes)
        no = yes._coerce(no)
        return self._new(Op.SELECT, yes.width, self, yes, no)

    def zext(self, width: int) -> Value:
        """The same number at a larger (or the same) width."""
        return self if width == self.width else self._new(Op.ZEXT, width, self)

    def sext(self, width: int) -> Value:
        """The same signed number at a larger (or the same) width."""
        return self if width == self.width else self._new(Op.SEXT, width, self)

    def trunc(self, width: int) -> Value:
        """The low bits."""
        return self if width == self.width else self._new(Op.TRUNC, width, self)

    def fit(self, width: int) -> Value:
        """zext or trunc, whichever gives *width*."""
        return self.zext(width) if width > self.width else self.trunc(width)

    def bit(self, index: int) -> Value:
        """Bit *index* as a value of width 1."""
        return (self.lshr(index) if index else self).trunc(1)

    def bits(self, low: int, width: int) -> Value:
        """*width* bits from bit *low* up."""
        return (self.lshr(low) if low else self).trunc(width)

    def msb(self) -> Value:
        """The sign bit."""
        return self.bit(self.width - 1)

    def concat(self, low: Value) -> Value:
        """These bits above those of *low*."""
        width = self.width + low.width
        return self.zext(width).shl(low.width) | low.zext(width)

    def ctlz(self) -> Value:
        """Number of leading zero bits (the width, for 0)."""
        return self._new(Op.CTLZ, self.width, self)

    def cttz(self) -> Value:
        """Number of trailing zero bits (the width, for 0)."""
        return self._new(Op.CTTZ, self.width, self)

    def popcnt(self) -> Value:
        """Number of set bits."""
        return self._new(Op.POPCNT, self.width, self)

    def bswap(self) -> Value:
        """Bytes in reverse order."""
        return self._new(Op.BSWAP, self.width, self)

    def __repr__(self) -> str:
        args = " ".join(f"%{a.index}" for a in self.args)
        attr = "" if self.attr is None else f" {self.attr}"
        return f"%{self.index}:{self.width} = {self.op.name.lower()}{attr} {args}".rstrip()


class Repeat(NamedTuple):
    """A string insn that a unit is one iteration of, so that a tier may do many at once.

    Indices and count are 32 bits wide; or 16, and segments end at 64 KiB.
    """

    mnemonic: str  # movs, stos, cmps, scas
    width: int  # of an element
    until_equal: bool  # repne cmps, scas
    base: str  # field to add to ESI, "" for none
    target: str = ""  # the same for EDI
    is_narrow: bool = False


@dataclass(slots=True)
class Unit:
    """One guest insn (or several) as IR: ops in order, then the terminal if control leaves."""

    ops: list[Value] = field(default_factory=list)
    terminal: Terminal | None = None
    repeat: Repeat | None = None
    mode: Mode = USER

    def const(self, number: int, width: int) -> Value:
        """A constant."""
        return Value(self, Op.CONST, width, (), number & ((1 << width) - 1))

    def emit(self, op: Op, width: int, *args: Value, attr: object = None) -> Value:
        """Append one op."""
        assert op.arity in (-1, len(args)), (op, args)
        return Value(self, op, width, args, attr)

    def __str__(self) -> str:
        lines = [f"  {op!r}" for op in self.ops]
        return "\n".join([*lines, f"  {self.terminal}" if self.terminal else "  next"])
