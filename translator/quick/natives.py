"""Devices whose accesses are compiled functions: how code that is compiled, too, calls them.

A machine has a table of them (runtime/system/natives.py fills it): rows for ranges of physical
addresses, and for ports.  Their functions take the address of the device's state first.
"""

from __future__ import annotations

from collections.abc import Callable

from translator.quick.compiler import invoke, s64, u8, u32
from translator.quick.paging import (
    A_MARK,
    A_USER,
    A_WRITE,
    FILLED,
    KINDS,
    NATIVE_PORTS,
    NATIVES,
    PAGES,
    TABLES,
    VIEW,
    walk,
)
from translator.state import FIELDS

# The table: number of ranges, their rows; a byte a port, 0 or the number of a row; these rows.
T_COUNT, T_RANGES, T_PORTS, T_PORT_ROWS = range(0, 32, 8)
TABLE_SIZE = 32
# A range: first and last address, state, and functions, 0 for none.
# read(state, address, size) -> number, -1: Python is asked; write(state, address, number, size);
# fill(state, address, number, size, count, step), put and get(state, address, host address, size,
# count, step), move(state, source, target, size, count, step) -> 1, 0: Python is asked. `step` is
# what lies between the addresses of two items: their size, or minus that.
R_FIRST, R_LAST, R_STATE, R_READ, R_WRITE, R_FILL, R_PUT, R_GET, R_MOVE = range(0, 72, 8)
RANGE_SIZE = 72
# A port: state; in(state, port, size) -> number, -1: Python is asked; out(state, port, number,
# size) -> 1, 0. 0 for none.
P_STATE, P_IN, P_OUT = range(0, 24, 8)
PORT_SIZE = 24
_PAGING = FIELDS["paging"].offset
_FULL = 0xFFFFFFFF


def range_at(ctx: int, place: int, size: int) -> int:
    """Return the row of the device that answers at a physical address; 0: Python does, or none."""
    table = s64(ctx + NATIVES)
    row = s64(table + T_RANGES)
    for _i in range(0, s64(table + T_COUNT)):
        if place >= s64(row + R_FIRST) and place + size - 1 <= s64(row + R_LAST):
            return row
        row += RANGE_SIZE
    return 0


def device_place(ctx: int, address: int, size: int, write: int) -> int:
    """Return the physical address of an access, if no memory answers it; else -1."""
    if (address & 0xFFF) + size > 0x1000:
        return -1
    view = s64(ctx + VIEW)
    if u32(s64(ctx + TABLES + 8 * view) + 4 * (address >> 12)) & FILLED:
        return -1
    page = walk(ctx, address, A_MARK | (A_WRITE if write else 0) | (A_USER if view else 0))
    if page < 0:
        return -1
    frame = page >> 8
    if frame < s64(ctx + PAGES) and u8(s64(ctx + KINDS) + frame) != 2:
        return -1
    return frame << 12 | address & 0xFFF


def device_load(st: int, address: int, size: int) -> int:
    """Read 1, 2 or 4 bytes at a linear address; -1: no compiled device is there."""
    ctx = s64(st + _PAGING)
    place = device_place(ctx, address & _FULL, size, 0)
    if place < 0:
        return -1
    row = range_at(ctx, place, size)
    return invoke(s64(row + R_READ), s64(row + R_STATE), place, size) if row else -1


def device_store(st: int, address: int, value: int, size: int) -> int:
    """Write 1, 2 or 4 bytes at a linear address: 1; 0 as above."""
    ctx = s64(st + _PAGING)
    place = device_place(ctx, address & _FULL, size, 1)
    if place < 0:
        return 0
    row = range_at(ctx, place, size)
    return invoke(s64(row + R_WRITE), s64(row + R_STATE), place, value, size) if row else 0


def port_at(ctx: int, port: int) -> int:
    """Return the row of a port; 0: Python answers for it."""
    if not s64(ctx + NATIVE_PORTS):
        return 0
    table = s64(ctx + NATIVES)
    number = u8(s64(table + T_PORTS) + port)
    return s64(table + T_PORT_ROWS) + PORT_SIZE * number if number else 0


FUNCTIONS: list[Callable[..., int]] = [
    range_at, device_place, device_load, device_store, port_at,
]  # fmt: skip
PUBLIC = {"device_load", "device_store"}
