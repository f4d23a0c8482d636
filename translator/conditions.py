"""Conditions on registers: described in Python, compiled as IR in front of an insn.

    (eax == 5) & (cl > ecx - 3)

builds an Expression; its bytes, in postfix order, become part of the insn's shape key, so that
every tier compiles it with the insn.  Numbers are 32 bits wide; comparisons are unsigned, but for
those of `signed()`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from translator.builder import Builder
    from translator.ir import Value

_REGISTERS = (
    "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi",
    "ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "al", "cl", "dl", "bl", "ah", "ch", "dh", "bh",
)  # fmt: skip
_CONSTANT, _OPERATORS = 0x20, 0x40
_NAMES = ("+", "-", "*", "&", "|", "^", "<<", ">>", "==", "!=", "<", "<=", "s<", "s<=")
SIZE_MAX = 200  # bytes of a condition
_SIGN = 1 << 31
Operand = Union["Expression", int]


class Expression:
    """A number or, if it compares, a condition: `code` is what it is in postfix order."""

    __slots__ = ("code", "is_signed", "is_truth")

    def __init__(self, code: bytes, *, is_truth: bool = False, is_signed: bool = False) -> None:
        if len(code) > SIZE_MAX:
            raise ValueError("a condition of so many parts cannot be compiled")
        self.code, self.is_truth, self.is_signed = code, is_truth, is_signed

    def __bool__(self) -> bool:
        """Refuse: `and`, `or` and `not` would decide now."""
        raise TypeError("conditions are combined by &, | and ~, not by and, or and not")

    __hash__ = None  # type: ignore[assignment]

    def signed(self) -> Expression:
        """Return the same number, for comparisons that know a sign."""
        return Expression(self.code, is_truth=self.is_truth, is_signed=True)

    def _with(
        self, name: str, other: Operand, *, truth: bool = False, swap: bool = False
    ) -> Expression:
        right = number(other)
        signed = self.is_signed or right.is_signed
        if signed and name in ("<", "<="):
            name = "s" + name
        first, second = (right, self) if swap else (self, right)
        is_truth = truth or (name in "&|^" and self.is_truth and right.is_truth)
        code = first.code + second.code + bytes([_OPERATORS + _NAMES.index(name)])
        return Expression(code, is_truth=is_truth, is_signed=signed and not is_truth)

    def __add__(self, other: Operand) -> Expression:
        return self._with("+", other)

    def __radd__(self, other: Operand) -> Expression:
        return self._with("+", other, swap=True)

    def __sub__(self, other: Operand) -> Expression:
        return self._with("-", other)

    def __rsub__(self, other: Operand) -> Expression:
        return self._with("-", other, swap=True)

    def __mul__(self, other: Operand) -> Expression:
        return self._with("*", other)

    def __rmul__(self, other: Operand) -> Expression:
        return self._with("*", other, swap=True)

    def __and__(self, other: Operand) -> Expression:
        return self._with("&", other)

    def __or__(self, other: Operand) -> Expression:
        return self._with("|", other)

    def __xor__(self, other: Operand) -> Expression:
        return self._with("^", other)

    def __lshift__(self, other: Operand) -> Expression:
        return self._with("<<", other)

    def __rshift__(self, other: Operand) -> Expression:
        return self._with(">>", other)

    def __lt__(self, other: Operand) -> Expression:
        return self._with("<", other, truth=True)

    def __le__(self, other: Operand) -> Expression:
        return self._with("<=", other, truth=True)

    def __gt__(self, other: Operand) -> Expression:
        return self._with("<", other, truth=True, swap=True)

    def __ge__(self, other: Operand) -> Expression:
        return self._with("<=", other, truth=True, swap=True)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return self._with("==", number(other), truth=True)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return self._with("!=", number(other), truth=True)

    def __invert__(self) -> Expression:
        """Negate a condition; of a number, all its bits."""
        return self == 0 if self.is_truth else self ^ 0xFFFFFFFF


def number(value: object) -> Expression:
    """Return a number as an expression. TypeError."""
    if isinstance(value, Expression):
        return value
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is neither a number nor made of registers")
    return Expression(struct.pack("<BI", _CONSTANT, value & 0xFFFFFFFF))


REGISTERS = {name: Expression(bytes([i])) for i, name in enumerate(_REGISTERS)}


def any_of(conditions: Sequence[bytes]) -> bytes:
    """Return a condition that holds where one of some does."""
    code = conditions[0] + number(0).code + bytes([_OPERATORS + _NAMES.index("!=")])
    for other in conditions[1:]:
        truth = other + number(0).code + bytes([_OPERATORS + _NAMES.index("!=")])
        code += truth + bytes([_OPERATORS + _NAMES.index("|")])
    return code


def build(b: Builder, code: bytes) -> Value:
    """Emit a condition: one bit."""
    stack: list[Value] = []
    at = 0
    while at < len(code):
        what = code[at]
        at += 1
        if what < len(_REGISTERS):
            stack.append(b.reg(_REGISTERS[what]).zext(32))
        elif what == _CONSTANT:
            stack.append(b.const(struct.unpack_from("<I", code, at)[0], 32))
            at += 4
        else:
            right, left = stack.pop(), stack.pop()
            stack.append(_emit(b, _NAMES[what - _OPERATORS], left, right))
    return stack.pop().ne(0)


def _emit(b: Builder, name: str, left: Value, right: Value) -> Value:
    match name:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "&":
            return left & right
        case "|":
            return left | right
        case "^":
            return left ^ right
        case "<<":
            return left.shl(right & 31)
        case ">>":
            return left.lshr(right & 31)
        case "==":
            found = left.eq(right)
        case "!=":
            found = left.ne(right)
        case "<":
            found = left.ult(right)
        case "<=":
            found = left.ule(right)
        case "s<":
            found = left.slt(right)
        case _:
            found = left.sle(right)
    return found.zext(32)


def holds(code: bytes, registers: Sequence[int]) -> bool:
    """Evaluate a condition; *registers* are the general ones."""
    stack: list[int] = []
    at = 0
    while at < len(code):
        what = code[at]
        at += 1
        if what < len(_REGISTERS):
            stack.append(_register(what, registers))
        elif what == _CONSTANT:
            stack.append(struct.unpack_from("<I", code, at)[0])
            at += 4
        else:
            right, left = stack.pop(), stack.pop()
            stack.append(_COMPUTE[_NAMES[what - _OPERATORS]](left, right) & 0xFFFFFFFF)
    return bool(stack.pop())


def _register(which: int, registers: Sequence[int]) -> int:
    if which < 8:
        return registers[which]
    if which < 16:
        return registers[which - 8] & 0xFFFF
    return registers[which & 3] >> (8 if which >= 20 else 0) & 0xFF


_COMPUTE = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "&": lambda a, b: a & b, "|": lambda a, b: a | b, "^": lambda a, b: a ^ b,
    "<<": lambda a, b: a << (b & 31), ">>": lambda a, b: a >> (b & 31),
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    "s<": lambda a, b: (a ^ _SIGN) < (b ^ _SIGN), "s<=": lambda a, b: (a ^ _SIGN) <= (b ^ _SIGN),
}  # fmt: skip
