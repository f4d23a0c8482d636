"""Regions whose code may be overwritten at any time: which of their own stores hit that code.

Small programs have code and data in one page, which cannot stay protected then.  Such a region
compares its code where it is entered (strategies/regions.py).  While it runs, it is the only one
that writes; what follows an insn whose store hits the code is looked up outside, and entered anew.
"""

from __future__ import annotations

from translator.ir import Op, Unit
from translator.mode import Mode
from translator.regions import Region, code_ranges
from translator.tiers.emitter import Emitter

_RANGES = 3  # that a store is compared with
_STORES = frozenset({Op.STORE, Op.CMPXCHG})
_LINE_20 = 0xFFFFF  # of real mode's addresses, above which they may show the same again


class OwnCode:
    """Where the code of a region lies, as values of its function."""

    def __init__(self, low: Emitter, region: Region, mode: Mode, used: set[str]) -> None:
        """Emit them, where the function begins."""
        self.low, self.mode = low, mode
        used.add("h0_pc")
        head = "ptrtoint (ptr @h0_pc to i32)"
        if not mode.is_flat:
            base = low.t(f"load i32, ptr {low.pointer('cs_base')}")
            head = low.t(f"add i32 {base}, {head}")
        self.ranges = [
            (low.t(f"add i32 {head}, {start & 0xFFFFFFFF}"), size)
            for start, size in code_ranges(region, _RANGES)
        ]

    def hit(self, unit: Unit) -> str:
        """Emit whether the stores of an insn, behind it, have hit the code; "" without stores."""
        low, found = self.low, ""
        for v in unit.ops:
            if v.op not in _STORES:
                continue
            place = low.t(f"trunc i64 {low.address(v.args[0])} to i32")
            more = v.args[1].width // 8 - 1
            for first, size in self.ranges:
                offset = low.t(f"sub i32 {place}, {first}")
                offset = low.t(f"add i32 {offset}, {more}")
                if self.mode.is_real:
                    offset = low.t(f"and i32 {offset}, {_LINE_20}")
                inside = low.t(f"icmp ult i32 {offset}, {size + more}")
                found = low.t(f"or i1 {found}, {inside}") if found else inside
        return found
