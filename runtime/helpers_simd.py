"""Bodies of the helpers of SIMD insns (translator/semantics/sse_move.py)."""

from __future__ import annotations

from typing import Any

from translator import helpers
from translator.semantics import sse_move
from translator.state import FIELDS

_MXCSR = FIELDS["mxcsr"].offset // 4


def _ldmxcsr(cpu: Any, mem: Any, value: int) -> None:
    """MXCSR ← value: host code loads it when it is entered again."""
    cpu.r32[_MXCSR] = value


def _stmxcsr(cpu: Any, mem: Any) -> int:
    """Return MXCSR: the host's flags were merged when host code left."""
    value: int = cpu.r32[_MXCSR]
    return value


def _maskmov(cpu: Any, mem: Any, address: int, value: int, mask: int, size: int) -> None:
    """Store the bytes of *value* whose bytes in *mask* have bit 7 set.

    Whatever the mask, it faults as if all bytes were stored, the high half first.
    """
    for half in range(size - 8, -1, -8):
        mem.cmpxchg(address + half & 0xFFFFFFFF, 0, 0, 64)
    for i in range(size):
        if mask >> 8 * i & 0x80:
            mem.store(address + i & 0xFFFFFFFF, value >> 8 * i & 0xFF, 8)


helpers.BODIES[sse_move.LDMXCSR] = _ldmxcsr
helpers.BODIES[sse_move.STMXCSR] = _stmxcsr
helpers.BODIES[sse_move.MASKMOV] = _maskmov
