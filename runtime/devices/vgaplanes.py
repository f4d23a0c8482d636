"""Accesses to the memory of a VGA, compiled (translator/quick/compiler.py): the one definition.

IBM, Personal System/2 Hardware Interface Technical Reference, *Video Subsystem*: latches, write
modes 0 to 3, read modes, chain 4, odd/even.  A word of 32 bits is one address, a byte of it one
plane.  All work on the adapter's state (vgastate.py), whose address comes first.  Translated code
calls them (translator/quick/natives.py says how), Python does by ctypes.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.devices.vgastate import (
    BANK,
    BASE,
    BITS,
    CARE,
    COMPARE,
    ENABLE_SET,
    FUNCTION,
    IS_CHAIN4,
    LATCH,
    LEFT,
    LINEAR,
    LINEAR_SIZE,
    MAP_MASK,
    PLANE_SIZE,
    READ_MODE,
    READ_PLANE,
    READS_PAIRS,
    READS_PLAINLY,
    SET,
    SIZE,
    TURN,
    WORDS,
    WRITE_MODE,
    WRITES_IN_ORDER,
    WRITES_PAIRS,
    WRITES_PLAINLY,
)
from translator.quick.compiler import copy, put8, put32, put64, s64, u8, u32

_EACH = 0x01010101
_FULL = 0xFFFFFFFF


def vga_is_due(st: int, count: int) -> int:
    """Count accesses; 1 if so many came that Python is to look if the window can be RAM."""
    left = s64(st + LEFT)
    if left > 0 and left <= count:
        return 1
    put64(st + LEFT, left - count)
    return 0


# -- bytes -----------------------------------------------------------------------------------------
def vga_read_byte(st: int, address: int) -> int:
    """Read a byte of the window."""
    at = address - s64(st + BASE)
    if at < 0 or at >= s64(st + SIZE):
        return 0xFF
    if s64(st + READS_PLAINLY):
        place = (at & 0xFFFF) + s64(st + BANK) & PLANE_SIZE - 1
        latch = u32(s64(st + WORDS) + 4 * place)
        put32(st + LATCH, latch)
        return latch >> s64(st + READ_PLANE) & 0xFF
    linear = s64(st + LINEAR)
    if linear:
        at += s64(st + BANK)
        return u8(linear + at) if at < s64(st + LINEAR_SIZE) else 0xFF
    shift = s64(st + READ_PLANE)
    if s64(st + IS_CHAIN4):
        shift = 8 * (at & 3)
        at = at & ~3
    elif s64(st + READS_PAIRS):
        shift = shift & 16 | (at & 1) << 3
        at = at & ~1
    place = (at & 0xFFFF) + s64(st + BANK) & PLANE_SIZE - 1
    latch = u32(s64(st + WORDS) + 4 * place)
    put32(st + LATCH, latch)
    if not s64(st + READ_MODE):
        return latch >> shift & 0xFF
    differs = (latch ^ s64(st + COMPARE)) & s64(st + CARE)
    differs = differs | differs >> 16
    return ~(differs | differs >> 8) & 0xFF


def vga_changed(st: int, value: int) -> int:
    """Return what a byte that is written becomes in the planes, with the latches as they are."""
    mode = s64(st + WRITE_MODE)
    latch = u32(st + LATCH)
    if mode == 1:
        return latch
    bits = s64(st + BITS)
    word = 0
    if mode == 2:
        word = (value & 1) * 0xFF | (value >> 1 & 1) * 0xFF00
        word = word | (value >> 2 & 1) * 0xFF0000 | (value >> 3 & 1) * 0xFF000000
    else:
        turn = s64(st + TURN)
        value = (value >> turn | value << 8 - turn) & 0xFF
        word = value * _EACH
        if mode:
            bits = bits & word
            word = s64(st + SET)
        else:
            enabled = s64(st + ENABLE_SET)
            word = word & ~enabled | s64(st + SET) & enabled
    function = s64(st + FUNCTION)
    if function == 1:
        word = word & latch
    elif function == 2:
        word = word | latch
    elif function == 3:
        word = word ^ latch
    return word & bits | latch & ~bits


def vga_write_byte(st: int, address: int, value: int) -> int:
    """Write a byte of the window."""
    at = address - s64(st + BASE)
    if at < 0 or at >= s64(st + SIZE):
        return 0
    mask = s64(st + MAP_MASK)
    if not s64(st + WRITES_IN_ORDER):
        linear = s64(st + LINEAR)
        if linear:
            at += s64(st + BANK)
            if at < s64(st + LINEAR_SIZE):
                put8(linear + at, value)
            return 0
        if s64(st + IS_CHAIN4):
            mask = mask & 0xFF << 8 * (at & 3)
            at = at & ~3
        elif s64(st + WRITES_PAIRS):
            mask = mask & (0xFF00FF00 if at & 1 else 0x00FF00FF)
            at = at & ~1
    word = value * _EACH if s64(st + WRITES_PLAINLY) else vga_changed(st, value)
    place = s64(st + WORDS) + 4 * ((at & 0xFFFF) + s64(st + BANK) & PLANE_SIZE - 1)
    put32(place, word & mask | u32(place) & ~mask)
    return 0


def vga_get_item(st: int, address: int, size: int) -> int:
    """Read up to four bytes, one after the other."""
    value = vga_read_byte(st, address)
    for i in range(1, size):
        value = value | vga_read_byte(st, address + i) << 8 * i
    return value


def vga_put_item(st: int, address: int, value: int, size: int) -> int:
    """Write up to four bytes, one after the other."""
    vga_write_byte(st, address, value & 0xFF)
    for i in range(1, size):
        vga_write_byte(st, address + i, value >> 8 * i & 0xFF)
    return 0


# -- what others call ------------------------------------------------------------------------------
def vga_read(st: int, address: int, size: int) -> int:
    """Read 1, 2 or 4 bytes; -1: Python looks."""
    left = s64(st + LEFT) - 1
    if not left:
        return -1
    put64(st + LEFT, left)
    return vga_get_item(st, address, size)


def vga_write(st: int, address: int, value: int, size: int) -> int:
    """Write 1, 2 or 4 bytes: 1; 0: Python looks."""
    left = s64(st + LEFT) - 1
    if not left:
        return 0
    put64(st + LEFT, left)
    if size == 1:
        vga_write_byte(st, address, value & 0xFF)
    else:
        vga_put_item(st, address, value, size)
    return 1


def vga_run_at(st: int, address: int, size: int) -> int:
    """Return where in memory a range of the window begins, whose bytes are words there; or 0."""
    at = address - s64(st + BASE)
    if at < 0 or at + size > s64(st + SIZE) or (at & 0xFFFF) + size > 0x10000:
        return 0
    return s64(st + WORDS) + 4 * ((at & 0xFFFF) + s64(st + BANK) & PLANE_SIZE - 1)


def vga_fill(st: int, address: int, value: int, size: int, count: int, step: int) -> int:
    """Write an item again and again, at addresses *step* apart: 1; 0: Python looks."""
    if vga_is_due(st, count):
        return 0
    place = 0
    if s64(st + WRITES_IN_ORDER) and step > 0:
        place = vga_run_at(st, address, size * count)
    if not place:
        for i in range(0, count):
            vga_put_item(st, address + i * step, value, size)
        return 1
    # Four bytes at once: what they become does not depend on where they go.
    if size == 1:
        value = (value & 0xFF) * _EACH
    elif size == 2:
        value = (value & 0xFFFF) * 0x10001
    mask = s64(st + MAP_MASK)
    both = mask << 32 | mask
    first = vga_changed(st, value & 0xFF) | vga_changed(st, value >> 8 & 0xFF) << 32
    second = vga_changed(st, value >> 16 & 0xFF) | vga_changed(st, value >> 24 & 0xFF) << 32
    first = first & both
    second = second & both
    both = ~both
    end = place + 4 * size * count
    while place + 16 <= end:
        put64(place, first | s64(place) & both)
        put64(place + 8, second | s64(place + 8) & both)
        place += 16
    if place + 8 <= end:
        put64(place, first | s64(place) & both)
        place += 8
        first = second
    if place < end:
        put32(place, first | u32(place) & both)
    return 1


def vga_put(st: int, address: int, host: int, size: int, count: int, step: int) -> int:
    """Write items from host memory, both *step* apart: 1; 0: Python looks."""
    if vga_is_due(st, count):
        return 0
    place = 0
    if s64(st + WRITES_IN_ORDER) and step > 0:
        place = vga_run_at(st, address, size * count)
    if not place:
        for i in range(0, count):
            for j in range(0, size):
                vga_write_byte(st, address + i * step + j, u8(host + i * step + j))
        return 1
    mask = s64(st + MAP_MASK)
    kept = ~mask
    is_plain = s64(st + WRITES_PLAINLY)
    for k in range(0, size * count):
        word = u8(host + k) * _EACH if is_plain else vga_changed(st, u8(host + k))
        put32(place + 4 * k, word & mask | u32(place + 4 * k) & kept)
    return 1


def vga_get(st: int, address: int, host: int, size: int, count: int, step: int) -> int:
    """Read items into host memory, both *step* apart: 1; 0: Python looks."""
    if vga_is_due(st, count):
        return 0
    for i in range(0, count):
        for j in range(0, size):
            put8(host + i * step + j, vga_read_byte(st, address + i * step + j))
    return 1


def vga_move(st: int, source: int, target: int, size: int, count: int, step: int) -> int:
    """Move items within the window, each read before it is written: 1; 0: Python looks."""
    if vga_is_due(st, 2 * count):
        return 0
    # Bytes by way of the latches alone.
    if size == 1 and s64(st + WRITE_MODE) == 1 and s64(st + READS_PLAINLY):
        back = (count - 1) * step if step < 0 else 0
        begin = vga_run_at(st, source + back, count)
        end = vga_run_at(st, target + back, count)
        if begin and end and s64(st + WRITES_IN_ORDER):
            begin -= 4 * back
            end -= 4 * back
            mask = s64(st + MAP_MASK)
            if mask == _FULL and step > 0 and (end <= begin or end >= begin + 4 * count):
                put32(st + LATCH, u32(begin + 4 * count - 4))
                copy(end, begin, 4 * count)
                return 1
            latch = 0
            for k in range(0, count):
                latch = u32(begin + 4 * step * k)
                place = end + 4 * step * k
                put32(place, latch & mask | u32(place) & ~mask)
            put32(st + LATCH, latch)
            return 1
    for i in range(0, count):
        vga_put_item(st, target + i * step, vga_get_item(st, source + i * step, size), size)
    return 1


PUBLIC = {"vga_read", "vga_write", "vga_fill", "vga_put", "vga_get", "vga_move"}
FUNCTIONS: list[Callable[..., int]] = [
    vga_is_due, vga_read_byte, vga_changed, vga_write_byte, vga_get_item, vga_put_item, vga_read,
    vga_write, vga_run_at, vga_fill, vga_put, vga_get, vga_move,
]  # fmt: skip
