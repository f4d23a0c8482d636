"""The table that the 386 tester test386 prints in its POST step EEh -> what differs.

A line has an insn's opcode, mnemonic and size, and EAX, EDX and the defined flags (PS) before and
after.  Which operands a form has is in test386's source: EAX and EDX, ECX being EDX, or an
immediate, the same for all lines of a form.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tests.machine import Bare
from tests.native import layout
from tests.running import SUITES

PATH = SUITES / "test386" / "test386-EE-reference.txt.gz"
CF, PF, AF, ZF, SF, OF = 0x001, 0x004, 0x010, 0x040, 0x080, 0x800
ALL = CF | PF | AF | ZF | SF | OF
EAX, EDX = 0, 2
_LINE = re.compile(
    r"(?:(?P<opcode>\S+) )?(?P<name>\w+) (?:(?P<size>[BWD]) )?EAX=(\w+) (?:EDX=(\w+) )?PS=(\w+) "
    r"(?P<fault>#DE )?EAX=(\w+) (?:EDX=(\w+) )?PS=(\w+)"
)
WIDTHS = {"B": 8, "W": 16, "D": 32}
LOGIC = {"AND", "OR", "XOR", "TEST", "CMP"}
ALU = ("ADD", "OR", "ADC", "SBB", "AND", "SUB", "XOR", "CMP")
SHIFTS = ("ROL", "ROR", "RCL", "RCR", "SAL", "SHR", "", "SAR")
GROUP3 = ("TEST", "", "NOT", "NEG", "MUL", "IMUL", "DIV", "IDIV")
BCD = {"daa": 0x27, "das": 0x2F, "aaa": 0x37, "aas": 0x3F, "aam": 0xD4, "aad": 0xD5}
DEFINED = {
    **dict.fromkeys(LOGIC, ALL & ~AF),
    **dict.fromkeys(("MUL", "IMUL"), CF | OF),
    **dict.fromkeys(("DIV", "IDIV", "NOT", "CBW", "CWDE", "CWD", "CDQ"), 0),
    **dict.fromkeys(("daa", "das"), ALL & ~OF),
    **dict.fromkeys(("aaa", "aas"), CF | AF),
    **dict.fromkeys(("aam", "aad"), SF | ZF | PF),
}
# Forms whose lines come twice: with another operand, or the negative immediate, in the second half.
TWICE = {"6B IMUL", "F6 DIV", "F6 IDIV", "F7 DIV", "F7 IDIV"}


class Line(NamedTuple):
    """One line of the table; numbers are those before and after."""

    text: str
    form: tuple[str, str, str]  # opcode, mnemonic, size
    before: tuple[int, int, int]  # EAX EDX PS
    after: tuple[int, int, int]
    faults: bool


def lines() -> Iterator[Line]:
    """Yield all lines; ValueError for one that is not understood."""
    with gzip.open(PATH, "rt") as table:
        for text in map(str.strip, table):
            found = _LINE.fullmatch(text)
            if found is None:
                raise ValueError(text)
            a, d, ps, a2, d2, ps2 = (int(found[i] or "0", 16) for i in (4, 5, 6, 8, 9, 10))
            form = found["opcode"] or "", found["name"], found["size"] or "D"
            yield Line(text, form, (a, d, ps), (a2, d2, ps2), found["fault"] is not None)


def _immediate(name: str, width: int) -> bytes:
    low = 0 if name in ("SUB", "SBB") else 2
    pattern = 0xAAAAAAAA if name in LOGIC else {8: 0xFF, 16: 0x8000 | low, 32: 1 << 31 | low}[width]
    return (pattern & (1 << width) - 1).to_bytes(width // 8, "little")


def encode(form: tuple[str, str, str], *, second: bool = False) -> bytes:
    """Return the bytes of a form's insn; its destination is EAX, in a few cases EDX.

    *second*: as the second half of the form's lines has it, for those of TWICE.
    """
    opcode, name, size = form
    if not opcode:
        return bytes([BCD[name]]) + (b"\x0a" if name in ("aam", "aad") else b"")
    code, width = bytes.fromhex(opcode), WIDTHS[size]
    number = code[-1]
    prefix = b"\x66" if (width == 16 and name != "CWDE") or name == "CBW" else b""
    rest = b""
    if code[0] == 0x0F:
        rest = b"\xc2" if number == 0xAF else b"\xd0"
        rest += bytes([width // 2]) if number in (0xA4, 0xAC) else b""
    elif number < 0x40:
        rest = _immediate(name, width) if number & 4 else b"\xd0" if not number & 2 else b"\xc2"
    elif number in (0x80, 0x81, 0x83):
        modrm = 0xC0 | ALU.index(name) << 3 | (EAX if number == 0x83 else EDX)
        rest = bytes([modrm]) + _immediate(name, 8 if number != 0x81 else width)
    elif number in (0x84, 0x85):
        rest = b"\xd0"
    elif number in (0xA8, 0xA9):
        rest = _immediate(name, width)
    elif number in (0x69, 0x6B):
        sign = -1 if second else 1
        factor = {8: 0x77, 16: 0x777, 32: 0x777777}[8 if number == 0x6B else width] * sign
        size = 1 if number == 0x6B else width // 8
        modrm = b"\xc2" if number == 0x6B else b"\xc0"
        rest = modrm + factor.to_bytes(size, "little", signed=True)
    elif number in (0xC0, 0xC1, 0xD0, 0xD1, 0xD2, 0xD3):
        rest = bytes([0xC0 | SHIFTS.index(name) << 3])
        rest += b"\x07" if number < 0xD0 else b""
    elif number in (0xF6, 0xF7):
        digit = GROUP3.index(name)
        operand = EAX if second or name in ("NOT", "NEG") else EDX
        rest = bytes([0xC0 | digit << 3 | operand])
        rest += _immediate(name, width) if name == "TEST" else b""
    elif number in (0xFE, 0xFF):
        rest = bytes([0xC0 | (name == "DEC") << 3])
    return prefix + code + rest


def defined(form: tuple[str, str, str], edx: int) -> int:
    """Return the flags that are defined after an insn."""
    opcode, name, size = form
    if name in ("SHLD", "SHRD") or name in SHIFTS:
        count = edx & 31 if opcode in ("D2", "D3", "0FA5", "0FAD") else 7
        count = 1 if opcode in ("D0", "D1") else count
        mask = ALL if opcode in ("D0", "D1") else ALL & ~OF
        if name in ("SHLD", "SHRD"):
            return mask & ~AF if count <= WIDTHS[size] else 0
        if name not in ("SAL", "SHR", "SAR"):
            return mask
        mask &= ~AF if count else ALL
        return mask & ~CF if name != "SAR" and count >= WIDTHS[size] else mask
    return DEFINED.get(name, ALL)


def check(tier: str, step: int = 1) -> tuple[int, list[str]]:
    """Run every *step*-th line; return their number and those that differ."""
    machine = Bare(tier)
    forms: dict[tuple[str, str, str], list[Line]] = {}
    for line in lines():
        forms.setdefault(line.form, []).append(line)
    failed, total = [], 0
    for form, known in forms.items():
        is_twice = f"{form[0]} {form[1]}" in TWICE
        half = len(known) // 2 if is_twice else len(known)
        for second, whole in enumerate((known[:half], known[half:])):
            chosen = whole[::step]
            code = encode(form, second=bool(second)) + bytes([layout.HALT]) * 16
            for begin in range(0, len(chosen), layout.MAX_CASES):
                part = chosen[begin : begin + layout.MAX_CASES]
                total += len(part)
                got = machine.run(code, _cases(form, part))
                failed += [t for r, line in zip(got, part, strict=True) if (t := _differs(r, line))]
    machine.close()
    return total, failed


def _register(form: tuple[str, str, str]) -> int:
    """Return the register that stands for EAX: inc and dec have one in the opcode."""
    return int(form[0], 16) & 7 if form[0][:1] == "4" else EAX


def _cases(form: tuple[str, str, str], chosen: list[Line]) -> np.ndarray:
    cases = np.zeros(len(chosen), dtype=layout.CASE)
    for case, line in zip(cases, chosen, strict=True):
        eax, edx, ps = line.before
        if form[1] in (*SHIFTS, "SHLD", "SHRD"):
            ps |= CF  # the table shows the defined flags of the insn before
        case["eip"], case["eflags"], case["fx"] = layout.CODE, ps | 0x202, layout.default_fx()
        case["regs"][[1, EDX]] = edx
        case["regs"][_register(form)] = eax
    return cases


def _differs(got: np.void, line: Line) -> str:
    eax, edx, ps = line.after
    own = int(got["regs"][_register(line.form)]), int(got["regs"][EDX])
    is_pair = _register(line.form) != EDX
    wrong = own[0] != eax or (is_pair and own[1] != edx)
    wrong |= bool((int(got["eflags"]) ^ ps) & defined(line.form, line.before[1]))
    wrong |= (got["vector"] == 0) != line.faults
    return f"{line.text}: {own[0]:08x} {own[1]:08x} {int(got['eflags']):x}" if wrong else ""
