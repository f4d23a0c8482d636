"""Accesses that may be a device's: host code asks compiled devices first (quick/natives.py).

What is called keeps all registers but vectors.  What it does not do, the usual access does, which
faults where a device is that Python answers for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from translator.ir import Value
from translator.quick.paging import FILLED, TABLES, VIEW

if TYPE_CHECKING:
    from translator.tiers.llvm import Lowering

WIDTHS = frozenset({8, 16, 32})


class Asked:
    """A question that is asked where no memory is shown; the usual access follows, then `join`."""

    def __init__(self, low: Lowering, address: str) -> None:
        """Branch to where it is asked, if it is."""
        self.low = low
        self.joined, self.usual, ask = (low.fresh(word) for word in ("joined", "usual", "ask"))
        self.label = self.answer = self.result = ""
        entry = low.t(f"load i32, ptr {_entry(low, address)}")
        is_filled = low.t(f"icmp ne i32 {low.t(f'and i32 {entry}, {FILLED}')}, 0")
        low.do(f"br i1 {is_filled}, label %{self.usual}, label %{ask}")
        self.begin(ask)

    def begin(self, label: str) -> None:
        """Start a block."""
        self.label = label
        self.low.label(label)

    def end(self, answer: str, is_done: str) -> None:
        """Branch on whether it is done."""
        self.answer = answer
        self.low.do(f"br i1 {is_done}, label %{self.joined}, label %{self.usual}, !prof !1")
        self.low.label(self.usual)

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
    address = low.address(v.args[0])
    asked = Asked(low, address)
    answer = _call(low, "device_load", f"i64 {address}, i64 {v.width // 8}")
    asked.end(answer, low.t(f"icmp sge i64 {answer}, 0"))
    return asked


def before_store(low: Lowering, v: Value, value: str) -> Asked:
    """Ask for a store of a value (i32)."""
    address = low.address(v.args[0])
    asked = Asked(low, address)
    answer = _store(low, address, value, v.args[1].width)
    asked.end(answer, low.t(f"icmp ne i64 {answer}, 0"))
    return asked


def before_cmpxchg(low: Lowering, v: Value, expected: str, new: str) -> Asked:
    """Ask for a compare-exchange: devices know none, so it is a load and a store."""
    address = low.address(v.args[0])
    asked = Asked(low, address)
    seen = _call(low, "device_load", f"i64 {address}, i64 {v.width // 8}")
    wanted = low.t(f"zext i32 {expected} to i64")
    is_same = low.t(f"icmp eq i64 {seen}, {wanted}")
    kept = low.t(f"trunc i64 {seen} to i32")
    value = low.t(f"select i1 {is_same}, i32 {new}, i32 {kept}")
    is_device = low.t(f"icmp sge i64 {seen}, 0")
    store, behind = low.fresh("store"), low.fresh("stored")
    low.do(f"br i1 {is_device}, label %{store}, label %{behind}")
    low.label(store)
    stored = _store(low, address, value, v.width)
    low.do(f"br label %{behind}")
    before = asked.label
    asked.begin(behind)
    done = low.t(f"phi i64 [ 0, %{before} ], [ {stored}, %{store} ]")
    asked.end(seen, low.t(f"icmp ne i64 {done}, 0"))
    return asked


def _entry(low: Lowering, address: str) -> str:
    """Return where the window's table says whether a page is there (quick/paging.py)."""
    paging = low.t(f"load ptr, ptr {low.pointer('paging')}")
    view = low.t(f"load i64, ptr {low.t(f'getelementptr i8, ptr {paging}, i64 {VIEW}')}")
    tables = low.t(f"getelementptr i8, ptr {paging}, i64 {TABLES}")
    table = low.t(f"load ptr, ptr {low.t(f'getelementptr ptr, ptr {tables}, i64 {view}')}")
    page = low.t(f"and i64 {low.t(f'lshr i64 {address}, 12')}, {0xFFFFF}")
    return low.t(f"getelementptr i32, ptr {table}, i64 {page}")


def _store(low: Lowering, address: str, value: str, width: int) -> str:
    wide = low.t(f"zext i32 {value} to i64")
    return _call(low, "device_store", f"i64 {address}, i64 {wide}, i64 {width // 8}")


def _call(low: Lowering, field: str, arguments: str) -> str:
    function = low.t(f"load ptr, ptr {low.pointer(field)}")
    return low.t(f"call preserve_mostcc i64 {function}(ptr %st, {arguments})")
