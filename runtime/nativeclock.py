"""The host's clock for compiled code (translator/quick/compiler.py): guest time without Python.

A cell of 64-bit fields says whether guest time is the host's monotonic clock and an offset.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable

from translator.quick.compiler import invoke, s64

# Whether it is so; ns that are added; address of clock_gettime; room for its result.
_IS_ON, _OFFSET, _FUNCTION, _SECONDS, _FRACTION = range(0, 40, 8)
_MONOTONIC = 1


class ClockCell:
    """A cell that Python writes."""

    def __init__(self) -> None:
        """Make one that says that Python has to be asked."""
        function = ctypes.CDLL(None).clock_gettime
        pointer = ctypes.cast(function, ctypes.c_void_p).value
        self._fields = array("q", [0, 0, pointer or 0, 0, 0])
        self.address = self._fields.buffer_info()[0]

    def set(self, offset: int | None) -> None:
        """Let guest time be the host's clock and an offset (ns); None: Python is asked."""
        self._fields[0], self._fields[1] = int(offset is not None), offset or 0


def native_now(cell: int) -> int:
    """Return guest time in ns."""
    # By the C library, which asks the kernel for nothing.
    invoke(s64(cell + _FUNCTION), _MONOTONIC, cell + _SECONDS)
    return s64(cell + _SECONDS) * 1000000000 + s64(cell + _FRACTION) + s64(cell + _OFFSET)


FUNCTIONS: list[Callable[..., int]] = [native_now]
PUBLIC: set[str] = set()
