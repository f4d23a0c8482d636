"""A HOST row and its operands -> whether hardware reports an inexact result beside an overflow.

Where an overflow or underflow raises #XM, nothing is delivered, and PE says whether the result was
inexact if rounded with an unbounded exponent (SDM vol. 1, 4.9.1.4 to 4.9.1.6).  With exceptions
masked, as host code runs, an overflow is always inexact.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from translator.vectors import lanes

_DAZ, _OM, _UM, _FTZ = 0x0040, 0x0400, 0x0800, 0x8000


class _Format(NamedTuple):
    """A floating-point format: bits of lane and significand, exponents of normal numbers."""

    lane: int
    precision: int
    lowest: int
    highest: int

    def number(self, bits: int, daz: bool) -> Fraction | None:
        """Return the value of a lane; None for infinities and NaNs."""
        size = self.lane // 8
        value = struct.unpack("<f" if size == 4 else "<d", bits.to_bytes(size, "little"))[0]
        if not math.isfinite(value):
            return None
        return Fraction(0 if daz and abs(value) < 2.0**self.lowest else value)


_SINGLE, _DOUBLE = _Format(32, 24, -126, 127), _Format(64, 53, -1022, 1023)
_OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction | None]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y if y else None,
}
# The lanes that a horizontal insn combines, by their numbers in the row of both operands.
_HORIZONTAL = {"ps": ((0, 1), (2, 3), (4, 5), (6, 7)), "pd": ((0, 1), (2, 3))}


def _is_inexact(value: Fraction, form: _Format, mxcsr: int) -> bool:
    """Whether one lane's result has PE."""
    numerator, denominator = abs(value.numerator), value.denominator
    if not numerator:
        return False
    trailing = (numerator & -numerator).bit_length() - 1
    if denominator & denominator - 1 or (numerator >> trailing).bit_length() > form.precision:
        return True
    if mxcsr & _OM and numerator >= denominator << form.highest + 1:
        return True
    if mxcsr & _UM and numerator << -form.lowest < denominator:
        return bool(mxcsr & _FTZ) or denominator > 1 << form.precision - 1 - form.lowest
    return False


def is_inexact(name: str, args: tuple[int, ...], mxcsr: int) -> bool:
    """Whether a row that raised an unmasked overflow or underflow has PE as well."""
    daz = bool(mxcsr & _DAZ)
    if name in ("cvtsd2ss", "cvtpd2ps"):
        found = [_DOUBLE.number(bits, daz) for bits in lanes(args[-1], 64, 128)]
        values = found[:1] if name == "cvtsd2ss" else found
        return any(v is not None and _is_inexact(v, _SINGLE, mxcsr) for v in values)
    operation, kind = name[:-2], name[-2:]
    form = _SINGLE if kind[1] == "s" else _DOUBLE
    left, right = ([form.number(n, daz) for n in lanes(arg, form.lane, 128)] for arg in args)
    pairs = list(zip(left, right, strict=True))
    names = [operation] * len(pairs)
    if operation == "addsub":
        names = ["sub", "add"] * (len(pairs) // 2)
    elif operation in ("hadd", "hsub"):
        both = [*left, *right]
        pairs = [(both[i], both[k]) for i, k in _HORIZONTAL[kind]]
        names = [operation[1:]] * len(pairs)
    elif kind[0] == "s":
        pairs = pairs[:1]
    for which, (x, y) in zip(names, pairs, strict=False):
        value = None if x is None or y is None else _OPERATIONS[which](x, y)
        if value is not None and _is_inexact(value, form, mxcsr):
            return True
    return False
