"""Executed cases -> what a campaign has exercised, of what there is to exercise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import product

import numpy as np

from tests.generate.encode import Encoded
from tests.generate.forms import REP, Form, forms
from tests.generate.state import ECX, State, uses_floats
from tests.generate.undefined import SHIFTS, shift_count, width_of
from translator.opcodes import Row

VECTORS = {
    0: "#DE", 1: "#DB", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 13: "#GP", 14: "#PF", 16: "#MF",
    19: "#XM",
}  # fmt: skip
EXCEPTIONS = ("invalid", "denormal", "zero divide", "overflow", "underflow", "inexact")
CLASSES = (
    "empty", "zero", "denormal", "pseudo-denormal", "normal", "infinity", "quiet NaN",
    "signalling NaN", "unsupported",
)  # fmt: skip
# Rows that no case can run to its end: they fault, or leave for where nothing is.
ENDLESS = {"privileged", "ioport", "ud", "int", "int1", "int3", "into"}


def float_class(image: bytes, index: int) -> str:
    """Return the class of ST(index) in an FXSAVE image."""
    top = image[3] >> 3 & 7
    if not image[4] >> (top + index & 7) & 1:
        return "empty"
    at = 32 + 16 * index
    fraction = int.from_bytes(image[at : at + 8], "little")
    exponent = int.from_bytes(image[at + 8 : at + 10], "little") & 0x7FFF
    is_explicit = bool(fraction >> 63)
    if exponent == 0:
        return "pseudo-denormal" if is_explicit else "denormal" if fraction else "zero"
    if not is_explicit:
        return "unsupported"
    if exponent < 0x7FFF:
        return "normal"
    if fraction == 1 << 63:
        return "infinity"
    return "quiet NaN" if fraction >> 62 & 1 else "signalling NaN"


def is_x87(row: Row) -> bool:
    """Whether the row is a computing x87 insn."""
    return 0xD8 <= row.opcode[0] <= 0xDF


class Coverage:
    """Counts of forms and situations; adds up over jobs."""

    def __init__(self, rows: Iterable[Row]) -> None:
        """Begin with nothing exercised out of all forms of some rows."""
        self.rows = list(rows)
        self.seen: Counter[Form] = Counter()
        self.finished: Counter[Row] = Counter()
        self.situations: Counter[str] = Counter()

    def __iadd__(self, other: Coverage) -> Coverage:
        """Take over what another job has exercised."""
        self.seen += other.seen
        self.finished += other.finished
        self.situations += other.situations
        return self

    def note(self, insn: Encoded, form: Form | None, state: State, want: np.void) -> None:
        """Count one executed insn and its result on the host."""
        row = insn.row
        if form is not None:
            self.seen[form] += 1
        vector, eip = int(want["vector"]), int(want["eip"])
        if not (vector in VECTORS and eip == state.eip):
            self.finished[row] += 1
        elif vector in VECTORS:
            self.situations[VECTORS[vector]] += 1
        if vector in (1, 3, 4):
            self.situations[VECTORS[vector]] += 1
        if insn.rep and eip == state.eip and int(want["regs"][ECX]) != state.regs[ECX]:
            self.situations["repetition stopped by a fault"] += 1
        if insn.rep == REP and row.mnemonic == "movs" and state.eflags & 0x400:
            self.situations["repetition downwards"] += 1
        if row.mnemonic in SHIFTS:
            self._shift(insn, state)
        if row.mnemonic in ("div", "idiv") and vector == 0:
            self.situations[f"{row.mnemonic} {width_of(insn)} overflow"] += 1
        if uses_floats(insn):
            self._float(row, state.fx, want)

    def _shift(self, insn: Encoded, state: State) -> None:
        count = shift_count(insn, state.regs[ECX])
        assert count is not None
        width = width_of(insn)
        kind = "0" if not count else "1" if count == 1 else "many" if count < width else "too many"
        if not (width == 32 and kind == "too many"):
            self.situations[f"{insn.row.mnemonic} {width} by {kind}"] += 1

    def _float(self, row: Row, before: bytes, want: np.void) -> None:
        after = want["fx"].tobytes()
        control = int.from_bytes(before[0:2], "little")
        if is_x87(row):
            self.situations[f"{row.mnemonic}: ST0 {float_class(before, 0)}"] += 1
            new = ~before[2] & after[2]
            for bit, name in enumerate(EXCEPTIONS):
                if new >> bit & 1:
                    masked = "masked" if control >> bit & 1 else "unmasked"
                    self.situations[f"x87 {name} {masked}"] += 1
            if new >> 6 & 1:
                self.situations["stack " + ("overflow" if after[3] >> 1 & 1 else "underflow")] += 1
            if row.mnemonic == "fdiv":
                mode = f"x87 rounding {control >> 10 & 3} precision {control >> 8 & 3}"
                self.situations[mode] += 1
            return
        mxcsr, changed = (int.from_bytes(i[24:28], "little") for i in (before, after))
        new = ~mxcsr & changed
        for bit, name in enumerate(EXCEPTIONS):
            if new >> bit & 1:
                masked = "masked" if mxcsr >> 7 + bit & 1 else "unmasked"
                self.situations[f"SSE {name} {masked}"] += 1
        if row.mnemonic in ("divps", "divsd"):
            flush = "FTZ " * (mxcsr >> 15 & 1) + "DAZ " * (mxcsr >> 6 & 1)
            self.situations[f"SSE {flush}rounding {mxcsr >> 13 & 3}"] += 1

    def expected(self) -> set[str]:
        """Return the names of all situations that a long campaign meets."""
        names = {*VECTORS.values(), "stack overflow", "stack underflow"}
        names |= {"repetition stopped by a fault", "repetition downwards"}
        names |= {f"{n} {w} overflow" for n in ("div", "idiv") for w in (8, 16, 32)}
        kinds = ("0", "1", "many", "too many")
        for name in SHIFTS:
            widths = (16, 32) if name in ("shld", "shrd") else (8, 16, 32)
            names |= {f"{name} {w} by {k}" for w, k in product(widths, kinds)}
        names -= {n for n in names if n.endswith("32 by too many")}
        # A shape with a count above 16 leaves the result of these undefined: not generated.
        names -= {f"{name} 16 by too many" for name in ("shld", "shrd")}
        for unit, masked, name in product(("x87", "SSE"), ("masked", "unmasked"), EXCEPTIONS):
            names.add(f"{unit} {name} {masked}")
        names |= {f"x87 rounding {r} precision {p}" for r, p in product(range(4), (0, 2, 3))}
        flushes = ("", "FTZ ", "DAZ ", "FTZ DAZ ")
        names |= {f"SSE {f}rounding {r}" for f, r in product(flushes, range(4))}
        floats = {row.mnemonic for row in self.rows if is_x87(row)}
        return names | {f"{name}: ST0 {kind}" for name, kind in product(floats, CLASSES)}

    def lines(self, shown: int = 12) -> list[str]:
        """Return the summary: numbers, and by name what is missing."""
        every, expected = forms(self.rows), self.expected()
        missing = [str(form) for form in every if form not in self.seen]
        running = [row for row in self.rows if row.mnemonic not in ENDLESS]
        unfinished = [str(Form(row, False, 0)) for row in running if row not in self.finished]
        absent = sorted(name for name in expected if name not in self.situations)
        result = []
        for text, total, names in (
            ("forms exercised", len(every), missing),
            ("opcode rows run to their end", len(running), unfinished),
            ("situations met", len(expected), absent),
        ):
            line = f"{text}: {total - len(names):,} of {total:,}"
            rest = f", and {len(names) - shown} more" if len(names) > shown else ""
            result.append(f"{line}; missing: {'; '.join(names[:shown])}{rest}" if names else line)
        return result
