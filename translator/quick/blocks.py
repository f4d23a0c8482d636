"""Repeated string insns that talk to compiled devices, compiled: rep movs, rep stos, rep outs.

What they meet is memory or a device of natives.py, page by page.  What cannot go so (a page that
is not there, code, a device of Python's) Python does, with the faults that belong to it.
"""

from __future__ import annotations

from collections.abc import Callable

from translator.quick.compiler import (
    invoke,
    put8,
    put16,
    put32,
    put64,
    s64,
    u8,
    u16,
    u32,
)
from translator.quick.natives import (
    P_OUT,
    P_STATE,
    R_FILL,
    R_GET,
    R_MOVE,
    R_PUT,
    R_STATE,
    device_place,
    port_at,
    range_at,
)
from translator.quick.paging import VIEW
from translator.quick.registers import (
    BUDGET,
    DF,
    EAX,
    ECX,
    EDX,
    ES,
    FS,
    FULL,
    HIDDEN,
    LOW,
    ROW,
    SEG_BASES,
    STOP,
    WSPAN,
    host_of,
)
from translator.state import FIELDS

_ESI, _EDI = FIELDS["esi"].offset, FIELDS["edi"].offset
_SEGMENTS = 3 << 2
_PAGE = 0x1000
OUTS, MOVS, STOS = 0x6E, 0xA4, 0xAA  # opcodes without the size bit


def fitting(
    st: int, mode: int, segment: int, offset: int, size: int, mask: int, is_up: int, write: int
) -> int:
    """Return how many items from an offset on lie in a segment, a page, and do not wrap."""
    low = 0
    room = FULL
    if mode & _SEGMENTS or segment >= FS:
        hidden = st + HIDDEN + ROW * segment
        room = s64(hidden + (WSPAN if write else 0))
        low = u32(hidden + LOW)
    inside = offset - low
    if inside < 0 or inside + size - 1 > room:
        return 0
    at = u32(st + SEG_BASES + 4 * segment) + offset & _PAGE - 1
    if at + size > _PAGE:
        return 0
    if is_up:
        inside = room - inside + 1
        if inside > mask + 1 - offset:
            inside = mask + 1 - offset
        if inside > _PAGE - at:
            inside = _PAGE - at
        return inside // size
    if inside > offset:
        inside = offset
    if inside > at:
        inside = at
    return inside // size + 1


def copy_items(to: int, source: int, size: int, count: int, step: int) -> int:
    """Copy items in memory one after the other."""
    for i in range(0, count):
        if size == 1:
            put8(to + i * step, u8(source + i * step))
        elif size == 2:
            put16(to + i * step, u16(source + i * step))
        else:
            put32(to + i * step, u32(source + i * step))
    return 1


def fill_items(to: int, value: int, size: int, count: int, step: int) -> int:
    """Store an item in memory again and again."""
    for i in range(0, count):
        if size == 1:
            put8(to + i * step, value)
        elif size == 2:
            put16(to + i * step, value)
        else:
            put32(to + i * step, value)
    return 1


def device_of(ctx: int, place: int, size: int, function: int) -> int:
    """Return the row of a device that has a function for blocks; 0: none is there."""
    row = range_at(ctx, place, size) if place >= 0 else 0
    return row if row and s64(row + function) else 0


def run_stos(ctx: int, st: int, to: int, size: int, count: int, step: int) -> int:
    """Store the accumulator at a linear address: 1; 0: Python does it."""
    value = u32(st + EAX)
    host = host_of(ctx, s64(ctx + VIEW), to, size, 1)
    if host:
        return fill_items(host, value, size, count, step)
    place = device_place(ctx, to, size, 1)
    row = device_of(ctx, place, size, R_FILL)
    if not row:
        return 0
    return invoke(s64(row + R_FILL), s64(row + R_STATE), place, value, size, count, step)


def run_movs(ctx: int, st: int, to: int, source: int, size: int, count: int, step: int) -> int:
    """Move items between linear addresses: 1; 0: Python does it."""
    view = s64(ctx + VIEW)
    host_to = host_of(ctx, view, to, size, 1)
    host = host_of(ctx, view, source, size, 0)
    if host and host_to:
        return copy_items(host_to, host, size, count, step)
    place = -1 if host else device_place(ctx, source, size, 0)
    place_to = -1 if host_to else device_place(ctx, to, size, 1)
    if host:
        row = device_of(ctx, place_to, size, R_PUT)
        if not row:
            return 0
        return invoke(s64(row + R_PUT), s64(row + R_STATE), place_to, host, size, count, step)
    if host_to:
        row = device_of(ctx, place, size, R_GET)
        if not row:
            return 0
        return invoke(s64(row + R_GET), s64(row + R_STATE), place, host_to, size, count, step)
    row = device_of(ctx, place, size, R_MOVE)
    if not row or device_of(ctx, place_to, size, R_MOVE) != row:
        return 0
    return invoke(s64(row + R_MOVE), s64(row + R_STATE), place, place_to, size, count, step)


def run_outs(ctx: int, st: int, source: int, size: int, count: int, step: int) -> int:
    """Write items to a port; return how many were."""
    row = port_at(ctx, u16(st + EDX))
    host = host_of(ctx, s64(ctx + VIEW), source, size, 0)
    if not row or not host or not s64(row + P_OUT):
        return 0
    for i in range(0, count):
        at = host + i * step
        value = u8(at) if size == 1 else u16(at) if size == 2 else u32(at)
        if not invoke(s64(row + P_OUT), s64(row + P_STATE), u16(st + EDX), value, size):
            return i
    return count


def set_low(at: int, value: int, mask: int) -> int:
    """Set a register, or its lower half."""
    if mask == FULL:
        put32(at, value)
    else:
        put16(at, value)
    return 0


def repeat(
    ctx: int, st: int, mode: int, op: int, segment: int, size: int, far: int, is_repeated: int
) -> int:
    """Execute iterations of a string insn: 0, none; 1, some; 2, all."""
    mask = FULL if far else 0xFFFF
    kind = op & 0xFE
    is_up = u32(st + DF) == 1
    step = size if is_up else -size
    left = u32(st + ECX) & mask if is_repeated else 1
    done = 0
    while left:
        source = u32(st + _ESI) & mask
        to = u32(st + _EDI) & mask
        count = left
        if kind != STOS:
            fits = fitting(st, mode, segment, source, size, mask, is_up, 0)
            count = fits if fits < count else count
        if kind != OUTS:
            fits = fitting(st, mode, ES, to, size, mask, is_up, 1)
            count = fits if fits < count else count
        if not count:
            break
        linear = u32(st + SEG_BASES + 4 * segment) + source & FULL
        linear_to = u32(st + SEG_BASES + 4 * ES) + to & FULL
        if kind == OUTS:
            count = run_outs(ctx, st, linear, size, count, step)
        elif kind == STOS:
            count = count * run_stos(ctx, st, linear_to, size, count, step)
        else:
            count = count * run_movs(ctx, st, linear_to, linear, size, count, step)
        if not count:
            break
        left -= count
        if kind != STOS:
            set_low(st + _ESI, source + count * step & mask, mask)
        if kind != OUTS:
            set_low(st + _EDI, to + count * step & mask, mask)
        if is_repeated:
            set_low(st + ECX, left, mask)
        put64(st + BUDGET, s64(st + BUDGET) - count)
        done = 1
        if u32(st + STOP):
            break
    if left:
        return done
    return 2


PUBLIC: set[str] = set()
FUNCTIONS: list[Callable[..., int]] = [
    fitting, copy_items, fill_items, device_of, run_stos, run_movs, run_outs, set_low, repeat,
]  # fmt: skip
