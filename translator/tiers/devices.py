"""Accesses that may be a device's: host code asks compiled devices first (quick/natives.py).

What is called keeps all registers but vectors.  What it does not do, the usual access does, which
faults where a device is that Python answers for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from translator.ir import Value

if TYPE_CHECKING:
    from translator.tiers.llvm import Lowering

WIDTHS = frozenset({8, 16, 32})


class Asked:
    """A question that was asked; the usual access follows, then `join`."""

    def __init__(self, low: Lowering, answer: str, label: str, is_done: str) -> None:
        """Branch on whether it is done."""
        self.low, self.answer, self.label = low, answer, label
        self.joined = low.fresh("joined")
        self.result = ""
        usual = low.fresh("usual")
        low.do(f"br i1 {is_done}, label %{self.joined}, label %{usual}, !prof !1")
        low.label(usual)

    def join(self, loaded: str = "") -> None:
        """Emit what follows; *loaded*: what the usual access read (i64)."""
        low = self.low
        last = low.fresh("last")
        low.do(f"br label %{last}")
        low.label(last)
        low.do(f"br label %{self.joined}")
        low.label(self.joined)
        if loaded:
            self.result = low.t(f"phi i64 [ {self.answer}, %{self.label} ], [ {loaded}, %{last} ]")


def before_load(low: Lowering, v: Value) -> Asked:
    """Ask for a load."""
    address, label = low.address(v.args[0]), _begin(low)
    answer = _call(low, "device_load", f"i64 {address}, i64 {v.width // 8}")
    return Asked(low, answer, label, low.t(f"icmp sge i64 {answer}, 0"))


def before_store(low: Lowering, v: Value, value: str) -> Asked:
    """Ask for a store of a value (i32)."""
    address, label = low.address(v.args[0]), _begin(low)
    answer = _store(low, address, value, v.args[1].width)
    return Asked(low, answer, label, low.t(f"icmp ne i64 {answer}, 0"))


def before_cmpxchg(low: Lowering, v: Value, expected: str, new: str) -> Asked:
    """Ask for a compare-exchange: devices know none, so it is a load and a store."""
    address = low.address(v.args[0])
    _begin(low)
    seen = _call(low, "device_load", f"i64 {address}, i64 {v.width // 8}")
    wanted = low.t(f"zext i32 {expected} to i64")
    is_same = low.t(f"icmp eq i64 {seen}, {wanted}")
    kept = low.t(f"trunc i64 {seen} to i32")
    value = low.t(f"select i1 {is_same}, i32 {new}, i32 {kept}")
    is_device = low.t(f"icmp sge i64 {seen}, 0")
    store, behind = low.fresh("store"), low.fresh("stored")
    before = _begin(low)
    low.do(f"br i1 {is_device}, label %{store}, label %{behind}")
    low.label(store)
    stored = _store(low, address, value, v.width)
    low.do(f"br label %{behind}")
    low.label(behind)
    done = low.t(f"phi i64 [ 0, %{before} ], [ {stored}, %{store} ]")
    return Asked(low, seen, behind, low.t(f"icmp ne i64 {done}, 0"))


def _begin(low: Lowering) -> str:
    """Start a block and return its label."""
    label = low.fresh("ask")
    low.do(f"br label %{label}")
    low.label(label)
    return label


def _store(low: Lowering, address: str, value: str, width: int) -> str:
    wide = low.t(f"zext i32 {value} to i64")
    return _call(low, "device_store", f"i64 {address}, i64 {wide}, i64 {width // 8}")


def _call(low: Lowering, field: str, arguments: str) -> str:
    function = low.t(f"load ptr, ptr {low.pointer(field)}")
    return low.t(f"call preserve_mostcc i64 {function}(ptr %st, {arguments})")
