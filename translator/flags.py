"""Flag rules per operation family, condition codes, and EFLAGS bits. Values in, values out.

A rule says how to compute each flag group from (result, left, right); a group that a rule does
not list is left alone by its insns.  Groups: szp (ZF, SF and PF in one, see state.py), cf, of, af.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from translator.ir import Value

GROUPS = ("szp", "cf", "of", "af")
ALL = frozenset(GROUPS)
GROUP_WIDTHS = {"szp": 64, "cf": 1, "of": 1, "af": 8}

# EFLAGS bit numbers (Intel SDM vol. 1, 3.4.3).
CF, PF, AF, ZF, SF, TF, IF, DF, OF = 0, 2, 4, 6, 7, 8, 9, 10, 11
IOPL, NT, RF, VM, AC = 12, 14, 16, 17, 18
ARITHMETIC = 1 << CF | 1 << PF | 1 << AF | 1 << ZF | 1 << SF | 1 << OF

Compute = Callable[[Value, Value, Value], Value]


class Rule(NamedTuple):
    """How one family of insns sets the flags."""

    name: str
    groups: dict[str, Compute]

    def __repr__(self) -> str:
        return self.name


def _szp(r: Value, a: Value, b: Value) -> Value:
    return r.sext(64)


def _af(r: Value, a: Value, b: Value) -> Value:
    return r.trunc(8) ^ a.trunc(8) ^ b.trunc(8)


def _zero(width: int) -> Compute:
    return lambda r, a, b: r.unit.const(0, width)


SZP: dict[str, Compute] = {"szp": _szp}
ADD = Rule(
    "add",
    {
        **SZP,
        "cf": lambda r, a, b: r.ult(a),
        "of": lambda r, a, b: ((r ^ a) & (r ^ b)).msb(),
        "af": _af,
    },
)
SUB = Rule(
    "sub",
    {
        **SZP,
        "cf": lambda r, a, b: a.ult(b),
        "of": lambda r, a, b: ((a ^ b) & (a ^ r)).msb(),
        "af": _af,
    },
)
# All but the carry: INC and DEC leave it alone, ADC and SBB compute it with their result.
INC, ADC = (Rule(n, {k: v for k, v in ADD.groups.items() if k != "cf"}) for n in ("inc", "adc"))
DEC, SBB = (Rule(n, {k: v for k, v in SUB.groups.items() if k != "cf"}) for n in ("dec", "sbb"))
# AF is undefined after logic; 0 is what hardware gives.
LOGIC = Rule("logic", {**SZP, "cf": _zero(1), "of": _zero(1), "af": _zero(8)})
# CF alone (stc, clc, cmc, bt) and CF with OF (rotates): left is the carry, right the overflow.
CARRY = Rule("carry", {"cf": lambda r, a, b: a})
ROTATE = Rule("rotate", {"cf": lambda r, a, b: a, "of": lambda r, a, b: b})
# Shifts: the same with ZF SF PF of the result; AF, undefined, becomes 0.
SHIFT = Rule("shift", {**SZP, **ROTATE.groups, "af": _zero(8)})
# Multiplications: SF and PF, undefined, are those of the low half, ZF and AF 0 as on hardware.
MULTIPLY = Rule("multiply", {**SHIFT.groups, "szp": lambda r, a, b: r.sext(64) | 0x100})
SZP_ONLY = Rule("szp", SZP)
# On 8086 and 80286 a shift to the left adds: AF is the carry into bit 4. The 80286's others set it.
OLD_SHIFT_LEFT = Rule("old shift left", {**SHIFT.groups, "af": lambda r, a, b: r.trunc(8)})
SHIFT_RIGHT_286 = Rule(
    "shift right 286", {**SHIFT.groups, "af": lambda r, a, b: r.unit.const(1 << AF, 8)}
)
# 8086 and 80286: result = high half, left = CF and OF, right = AF (bit 4).
OLD_MULTIPLY = Rule(
    "old multiply",
    {**SZP, "cf": lambda r, a, b: a, "of": lambda r, a, b: a, "af": lambda r, a, b: b},
)
# SZP of the result, CF = left, AF = right (bit 4); OF, undefined, becomes 0 (BCD insns).
BCD = Rule("bcd", {**SZP, "cf": lambda r, a, b: a, "af": lambda r, a, b: b, "of": _zero(1)})


def zero_sign(zf: Value, sf: Value) -> Value:
    """Make the szp group of two bits; PF is 0."""
    return (zf ^ 1).zext(64) | zf.zext(64).shl(32) | sf.zext(64).shl(63)


# ZF and SF of the result, CF = left, OF = right; PF and AF become 0: later insns on bits, which
# leave some of them undefined.
BITS = Rule(
    "bits",
    {"szp": lambda r, a, b: zero_sign(r.eq(0), r.msb()), **ROTATE.groups, "af": _zero(8)},
)


# Condition codes: number (low nibble of the opcode) -> name; odd codes negate the even ones.
CODES = ("o", "no", "b", "nb", "e", "ne", "be", "nbe", "s", "ns", "p", "np", "l", "nl", "le", "nle")
# Which groups each pair of codes reads.
CODE_GROUPS: dict[str, frozenset[str]] = {
    "o": frozenset({"of"}),
    "b": frozenset({"cf"}),
    "e": frozenset({"szp"}),
    "be": frozenset({"cf", "szp"}),
    "s": frozenset({"szp"}),
    "p": frozenset({"szp"}),
    "l": frozenset({"szp", "of"}),
    "le": frozenset({"szp", "of"}),
}


def base_code(code: str) -> tuple[str, bool]:
    """Split a condition code into its even form and whether it is negated."""
    return (code, False) if code in CODE_GROUPS else (code.replace("n", "", 1), True)


def code_groups(code: str) -> frozenset[str]:
    """Return the flag groups that a condition code reads."""
    return CODE_GROUPS[base_code(code)[0]]


def parity(szp: Value) -> Value:
    """PF from the szp group: even parity of byte 0 ^ byte 4."""
    return ((szp ^ szp.lshr(32)).trunc(8).popcnt().trunc(1)) ^ 1


Group = Callable[[str], Value]


def from_groups(code: str, group: Group) -> Value:
    """Evaluate a condition code over flag groups; *group* yields a group's value."""
    base, negated = base_code(code)
    if base in ("e", "s", "p", "l", "le", "be"):
        szp = group("szp")
        zf, sf = szp.trunc(32).eq(0), szp.slt(0)
    match base:
        case "o":
            bit = group("of")
        case "b":
            bit = group("cf")
        case "e":
            bit = zf
        case "be":
            bit = group("cf") | zf
        case "s":
            bit = sf
        case "p":
            bit = parity(szp)
        case "l":
            bit = sf ^ group("of")
        case _:
            bit = (sf ^ group("of")) | zf
    return bit ^ 1 if negated else bit


# Rules whose szp group is that of the result.
_RESULT_RULES = {"sub", "add", "adc", "sbb", "inc", "dec", "logic", "shift", "szp", "bcd", "bits"}


def from_rule(code: str, rule: Rule, res: Value, left: Value, right: Value) -> Value | None:
    """Evaluate a condition code straight from the operands, where a rule allows; else None."""
    base, negated = base_code(code)
    match rule.name, base:
        case "sub", "b":
            bit = left.ult(right)
        case "sub", "be":
            bit = left.ule(right)
        case "sub", "l":
            bit = left.slt(right)
        case "sub", "le":
            bit = left.sle(right)
        case "sub", "e":
            bit = left.eq(right)
        case "logic", "l":
            bit = res.slt(0)
        case "logic", "le":
            bit = res.sle(0)
        case "logic", "be":
            bit = res.eq(0)
        case name, "e" if name in _RESULT_RULES:
            bit = res.eq(0)
        case name, "s" if name in _RESULT_RULES:
            bit = res.slt(0)
        case _:
            return None
    return bit ^ 1 if negated else bit
