"""The table of a machine's places: native code calls Python objects there, and goes on."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime import native
from runtime.codecache import Full
from runtime.nativeserve import CALL, PLACE, PLAIN, TABLE

if TYPE_CHECKING:
    from runtime.embed.engine import Site

_u64 = ctypes.c_uint64
_SERVE = native.arena.function("jitemu_serve", ctypes.c_uint32, *[_u64] * 2, keep_gil=True)
_FUNCTIONS = (
    *("PyEval_SaveThread", "PyEval_RestoreThread", "PyObject_Vectorcall", "Py_DecRef"),
    *("PyLong_FromUnsignedLong", "PyLong_AsUnsignedLongMask", "PyErr_Occurred"),
)
_ADDRESSES = [
    ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0 for name in _FUNCTIONS
]
_PLACES, ATTENTION, _INSIDE = (TABLE.index(n) for n in ("places", "attention", "inside"))
_DONE, SKIP, _LEFT = (TABLE.index(name) for name in ("done", "skip", "left"))
# table[SKIP]: the key of the place where no calls are made, if it comes first; 0: of none.
_CAPACITY = 1 << 18
_OFFSET_AT, _VALUE_AT = 8, 24  # behind the owner; behind that and the size
_ROW = len(PLACE)
Callee = tuple[Any, tuple[Any, ...]]
CALLS = 20_000  # calls between two looks at the clock


class Service(NamedTuple):
    """How a place is served; see nativeserve.PLACE. Callees come with their arguments."""

    calls: Sequence[Callee]
    op: int = PLAIN
    mask: int = 0
    register: int = 0
    base: int = -1
    index: int = -1  # type: ignore[assignment]  # hides tuple.index
    shift: int = 0
    disp: int = 0
    first: int = 0
    last: int = 0
    origin: int = 0
    other: Callable[[], object] | None = None
    after: int = 0


class Serving:
    """Rows of places; what they call lives as long as they do, but the first arguments do not."""

    def __init__(self, context: int, state: int) -> None:
        """Take the addresses of the engine's tables and of the CPU's state."""
        self.serve = _SERVE
        self.area, places = native.reserve(8 * _ROW * _CAPACITY, 3)
        self.rows = memoryview(self.area).cast("q")
        fixed = [*_ADDRESSES, context, state, places]
        self.table = array("Q", [*fixed, *[0] * (len(TABLE) - _PLACES - 1)])
        self.address = self.table.buffer_info()[0]
        self.sites: list[Site] = []
        self.kept: list[Any] = []
        self.old: list[Any] = []
        self.table[_LEFT] = CALLS

    @property
    def count(self) -> int:
        """Places so far."""
        return len(self.sites)

    def add(self, site: Site, key: int, service: Service) -> None:
        """Add a place, with the key that `skip` knows it by. Full."""
        number = len(self.sites)
        if number >= _CAPACITY:
            raise Full
        row = array("q", [*self._calls(service.calls), site.resume, key, service.op, service.mask])
        row.extend((service.register, service.base, service.index, service.shift, service.disp))
        row.extend((service.first, service.last, service.origin))
        row.append(0 if service.other is None else self._calls([(service.other, ())])[0])
        row.extend((service.after, _OFFSET_AT, _VALUE_AT))
        self.sites.append(site)
        self.rows[number * _ROW : (number + 1) * _ROW] = row

    def _calls(self, calls: Sequence[Callee]) -> tuple[int, int]:
        """Keep some callees and all their arguments but the first; return address and number."""
        rows = array("q")
        for call, arguments in calls:
            objects = array("q", [id(one) for one in arguments])
            rows.extend((id(call), objects.buffer_info()[0], len(objects)))
            self.kept.append((call, arguments[1:], objects))
        assert len(rows) == len(CALL) * len(calls)
        self.kept.append(rows)
        return rows.buffer_info()[0], len(calls)

    def clear(self) -> None:
        """Forget all places; no host code leads to them any more."""
        self.sites.clear()
        self.old.append(self.kept)  # a callee of theirs may be running
        self.kept = []

    # -- what passes between native code and Python ------------------------------------------------
    def attend(self) -> None:
        """Make native code return when the callee that is running does."""
        self.table[ATTENTION] = 1

    def calm(self) -> None:
        """Undo `attend`."""
        self.table[ATTENTION] = 0

    @property
    def is_in_guest(self) -> bool:
        """Whether host code of the guest runs now, without the interpreter's lock."""
        return bool(self.table[_INSIDE])

    def leave(self) -> None:
        """Note that no host code of the guest runs."""
        self.table[_INSIDE] = 0

    @property
    def done(self) -> int:
        """Calls that were made at the last place."""
        return self.table[_DONE]

    def refill(self) -> None:
        """Let so many calls be made until the clock is looked at."""
        self.table[_LEFT] = CALLS
