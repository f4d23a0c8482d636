"""Guest addresses and sums in regions: in 64 bits, of which the low half counts.

Both save cutting addresses, and keeping values alive that only a fault would show.
"""

from __future__ import annotations

from typing import NamedTuple

from translator.ir import Op, Value
from translator.tiers import hostasm
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

    def _pure(self, v: Value) -> str:
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
