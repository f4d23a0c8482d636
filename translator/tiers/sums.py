"""Guest addresses and sums in regions: in 64 bits, of which the low half counts.

Both save cutting addresses, and keeping values alive that only a fault would show.

A carry that comes from behind a memory access is a number, too: a host's flag does not survive one
(each ends an LLVM block), and setting it anew takes longer than adding and shifting.
"""

from __future__ import annotations

from typing import NamedTuple

from translator.ir import Op, Value
from translator.tiers import hostasm
from translator.tiers.idioms import carried
from translator.tiers.mmx import MmxRegisters
from translator.tiers.slots import ADDRESSES


class _Sum(NamedTuple):
    """A register's value as one that was there before, plus a constant."""

    base: str
    constant: int


class SumsKept(MmxRegisters):
    """A lowering that knows which values are sums of others and constants."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.loose_of: dict[str, str] = {}  # an i32 -> an i64 with these low bits
        self.sums: dict[str, _Sum] = {}
        self.late: set[Value] = set()  # registers as addresses that can wait, see links.py
        self.blocks = 0  # LLVM blocks so far
        self.made_in: dict[str, int] = {}  # a carry that is a host's flag -> the block
        self.numbers: dict[str, str] = {}  # any other carry -> an i64 that is 0 or 1

    def label(self, name: str) -> None:
        """Start a basic block."""
        self.blocks += 1
        super().label(name)

    def again(self, name: str) -> str:
        """Compute a register anew where control leaves, if that is one addition."""
        found = self.sums.get(name)
        return name if found is None else self.t(f"add i32 {found.base}, {found.constant}")

    def loose(self, name: str) -> str:
        """Return an i64 whose low half is an i32."""
        found = self.loose_of.get(name)
        return self.zext64(name) if found is None else found

    def address(self, v: Value) -> str:
        """Return a guest address as an i64 whose low 32 bits count."""
        found = self.loose_of.get(self.names.get(v, ""))
        name = super().address(v) if found is None else found
        return self.t(hostasm.later(name)) if v in self.late else name

    def carry_as(self, name: str, width: int) -> str | None:
        """Return a carry that is a number as an integer; None if it is none."""
        wide = self.numbers.get(name)
        return wide if wide is None or width == 64 else self.t(f"trunc i64 {wide} to i{width}")

    def _without_carry(self, whole: Value) -> str:
        third = self.carry_as(self.value(whole.args[1].args[0]), 32)
        if third is None:
            return super()._without_carry(whole)
        left, right = (self.value(part.args[0]) for part in whole.args[0].args)
        name = whole.op.name.lower()
        return self.t(f"{name} i32 {self.t(f'{name} i32 {left}, {right}')}, {third}")

    def _with_carry(self, whole: Value) -> None:
        given = self.value(whole.args[1].args[0])
        third = self.carry_as(given, 64)
        if third is None and self.made_in.get(given, self.blocks) != self.blocks:
            third = self.t(f"zext i1 {given} to i64")
        parts = [v for v in whole.unit.ops if (found := carried(v)) and found.whole is whole]
        if third is None:
            super()._with_carry(whole)
            self.made_in |= {self.names[v]: self.blocks for v in parts if v.width == 1}
            return
        name = whole.op.name.lower()
        left, right = (self.value(part) for part in whole.args[0].args)
        wide = self.t(f"{name} i64 {self.t(f'{name} i64 {left}, {right}')}, {third}")
        result = self.t(f"trunc i64 {wide} to i32")
        self.loose_of[result] = wide
        above = self.t(f"lshr i64 {wide}, {32 if whole.op is Op.ADD else 63}")
        carry = self.t(f"trunc i64 {above} to i1")
        self.numbers[carry] = above
        for v in parts:
            self.names[v] = carry if v.width == 1 else result

    def _pure(self, v: Value) -> str:
        if v.op is Op.ZEXT and (v.width, v.args[0].width) == (64, 32):
            return self.zext64(self.value(v.args[0]))
        if v.op not in (Op.ADD, Op.SUB) or v.width != 32:
            return super()._pure(v)
        wide = super().address(v)
        name = self.t(f"trunc i64 {wide} to i32")
        self.loose_of[name] = wide
        left, right = v.args
        constant = self._constant_of(right)
        if constant is not None:
            base = self.value(left)
            constant = constant if v.op is Op.ADD else -constant
            inner = self.sums.get(base, _Sum(base, 0))
            self.sums[name] = _Sum(inner.base, (inner.constant + constant) & 0xFFFFFFFF)
        return name

    def _constant_of(self, v: Value) -> int | None:
        if v.op is Op.CONST:
            return int(str(v.attr))
        if v.op is Op.SLOT and str(v.attr) not in ADDRESSES:
            return int(self.slot_of[v])
        return None
