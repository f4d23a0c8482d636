"""Registers of a VGA, compiled (translator/quick/compiler.py): the one definition of its ports.

IBM, Personal System/2 Hardware Interface Technical Reference, *Video Subsystem*.  What a write
changes beyond the adapter's state (vgastate.py), Python does: it is asked for what may change how
the window shows memory while that is RAM.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.devices.vgastate import (
    ANSWERS,
    ATTRIBUTE,
    ATTRIBUTE_DATA,
    ATTRIBUTE_INDEX,
    ATTRIBUTE_SIZE,
    BASE,
    BIT_MASK,
    BITS,
    CARE,
    CLOCK,
    COMPARE,
    COMPARE_REGISTER,
    CRTC,
    CRTC_INDEX,
    CRTC_SIZE,
    DAC_BITS,
    DAC_MASK,
    DAC_READ,
    DAC_STATE,
    DAC_WRITE,
    DONT_CARE,
    ENABLE,
    ENABLE_SET,
    ENABLE_SET_RESET,
    FEATURE,
    FUNCTION,
    GRAPHICS,
    GRAPHICS_INDEX,
    GRAPHICS_SIZE,
    IS_CHAIN4,
    IS_RAM,
    LEFT,
    LINEAR,
    MAP_MASK,
    MAP_MASK_REGISTER,
    MEMORY_MODE,
    MISC,
    MISCELLANEOUS,
    MODE,
    PALETTE,
    PALETTE_SIZE,
    PATIENCE,
    READ_MAP,
    READ_MODE,
    READ_PLANE,
    READS_PAIRS,
    READS_PLAINLY,
    ROTATE,
    SEQUENCER,
    SEQUENCER_INDEX,
    SEQUENCER_SIZE,
    SET,
    SET_RESET,
    SIZE,
    TOGGLE,
    TURN,
    USES_ANSWERS,
    WRITE_MODE,
    WRITES_IN_ORDER,
    WRITES_PAIRS,
    WRITES_PLAINLY,
)
from runtime.nativeclock import native_now
from translator.quick.compiler import put8, put64, s64, u8

_PATIENCE, _PLANE_PATIENCE = 48, 1 << 16  # accesses until the window becomes RAM
_EACH, _FULL = 0x01010101, 0xFFFFFFFF
_LINE = 31_778  # ns of a scan line at 31.5 kHz, as of all VGA modes
_SHOWN = _LINE * 4 // 5  # of it until the beam goes back
# Bits that registers have, eight for each index.
_SEQUENCER_BITS = 0x0E_3F_0F_3D_03
_GRAPHICS_BITS = 0x0F_0F_7B_03_1F_0F_0F_0F
_MONOCHROME = 0x20  # from the port of a CRT controller's register to the colour display's


def vga_spread(nibble: int) -> int:
    """Return FF in the bytes of the planes that a nibble names."""
    word = (nibble & 1) * 0xFF | (nibble >> 1 & 1) * 0xFF00
    return word | (nibble >> 2 & 1) * 0xFF0000 | (nibble >> 3 & 1) * 0xFF000000


def vga_settle(st: int) -> int:
    """Take note that registers changed that say how memory is accessed."""
    is_in_order = 0 if s64(st + LINEAR) | s64(st + IS_CHAIN4) | s64(st + WRITES_PAIRS) else 1
    put64(st + WRITES_IN_ORDER, is_in_order)
    changes = s64(st + WRITE_MODE) | s64(st + TURN) | s64(st + FUNCTION) | s64(st + ENABLE_SET)
    put64(st + WRITES_PLAINLY, 0 if changes or s64(st + BITS) != _FULL else 1)
    is_odd = s64(st + LINEAR) | s64(st + IS_CHAIN4) | s64(st + READS_PAIRS) | s64(st + READ_MODE)
    put64(st + READS_PLAINLY, 0 if is_odd else 1)
    # Guests that choose planes choose others soon: RAM would have to be copied each time.
    patience = _PLANE_PATIENCE if is_in_order else _PATIENCE
    put64(st + PATIENCE, patience)
    put64(st + LEFT, patience)
    return 0


def vga_set_window(st: int) -> int:
    """Place the window: the graphics controller says where, the miscellaneous register whether."""
    which = u8(st + GRAPHICS + MISC) >> 2 & 3
    put64(st + BASE, 0xB8000 if which == 3 else 0xB0000 if which == 2 else 0xA0000)
    size = 0x20000 if not which else 0x10000 if which == 1 else 0x8000
    put64(st + SIZE, size if s64(st + ANSWERS) else 0)
    return 0


def vga_set_sequencer(st: int, index: int, value: int) -> int:
    """Write a register of the sequencer."""
    if index >= SEQUENCER_SIZE:
        return 0
    value = value & _SEQUENCER_BITS >> 8 * index
    put8(st + SEQUENCER + index, value)
    if index == MAP_MASK_REGISTER:
        put64(st + MAP_MASK, vga_spread(value))
        put64(st + LEFT, s64(st + PATIENCE))
    elif index == MEMORY_MODE:
        put64(st + IS_CHAIN4, value >> 3 & 1)
        put64(st + WRITES_PAIRS, ~value >> 2 & 1)
        vga_settle(st)
    return 0


def vga_set_graphics(st: int, index: int, value: int) -> int:
    """Write a register of the graphics controller."""
    if index >= GRAPHICS_SIZE:
        return 0
    if index == BIT_MASK:
        put8(st + GRAPHICS + index, value)
        put64(st + BITS, value * _EACH)
        return vga_settle(st)
    value = value & _GRAPHICS_BITS >> 8 * index & 0xFF
    put8(st + GRAPHICS + index, value)
    if index == SET_RESET:
        put64(st + SET, vga_spread(value))
    elif index == ENABLE_SET_RESET:
        put64(st + ENABLE_SET, vga_spread(value))
    elif index == ROTATE:
        put64(st + TURN, value & 7)
        put64(st + FUNCTION, value >> 3)
    elif index == READ_MAP:
        put64(st + READ_PLANE, 8 * value)
    elif index == MODE:
        put64(st + WRITE_MODE, value & 3)
        put64(st + READ_MODE, value >> 3 & 1)
        put64(st + READS_PAIRS, value >> 4 & 1)
    elif index == MISC:
        vga_set_window(st)
    elif index == COMPARE_REGISTER:
        put64(st + COMPARE, vga_spread(value))
    elif index == DONT_CARE:
        put64(st + CARE, vga_spread(value))
    return vga_settle(st)


def vga_set_crtc(st: int, index: int, value: int) -> int:
    """Write a register of the CRT controller."""
    if index >= CRTC_SIZE:
        return 0
    at = st + CRTC + index
    if index <= 7 and u8(st + CRTC + 0x11) & 0x80:  # protected, but for a bit of line compare
        if index == 7:
            put8(at, u8(at) & ~0x10 | value & 0x10)
        return 0
    put8(at, value)
    return 0


def vga_set_attribute(st: int, value: int) -> int:
    """Write the index of the attribute controller, or what it points at."""
    index = s64(st + ATTRIBUTE_INDEX)
    if not s64(st + ATTRIBUTE_DATA):
        put64(st + ATTRIBUTE_INDEX, value & 0x3F)
    elif index & 0x10:
        if index & 31 < ATTRIBUTE_SIZE:
            put8(st + ATTRIBUTE + (index & 31), value)
    elif not index & 0x20:  # else the display uses the palette
        put8(st + ATTRIBUTE + index, value & 0x3F)
    put64(st + ATTRIBUTE_DATA, 1 - s64(st + ATTRIBUTE_DATA))
    return 0


def vga_next_third(st: int, field: int) -> int:
    """Return an index into the palette, and let it go on."""
    third = s64(st + field)
    put64(st + field, third + 1 if third < PALETTE_SIZE - 1 else 0)
    return third


def vga_put_port(st: int, port: int, value: int) -> int:
    """Write a byte to a port."""
    if port & 0xFFF0 == (0x3B0 if s64(st + MISCELLANEOUS) & 1 else 0x3D0):
        return 0  # the CRT controller is at the other of its two places now
    if port & 0xFFF0 == 0x3B0:
        port += _MONOCHROME
    if port == 0x3C4:
        put64(st + SEQUENCER_INDEX, value & 7)
    elif port == 0x3C5:
        vga_set_sequencer(st, s64(st + SEQUENCER_INDEX), value)
    elif port == 0x3CE:
        put64(st + GRAPHICS_INDEX, value & 15)
    elif port == 0x3CF:
        vga_set_graphics(st, s64(st + GRAPHICS_INDEX), value)
    elif port == 0x3C9:
        put8(st + PALETTE + vga_next_third(st, DAC_WRITE), value & s64(st + DAC_BITS))
    elif port == 0x3D4:
        put64(st + CRTC_INDEX, value & 0x3F)
    elif port == 0x3D5:
        vga_set_crtc(st, s64(st + CRTC_INDEX), value)
    elif port == 0x3C0:
        vga_set_attribute(st, value)
    elif port == 0x3C8:
        put64(st + DAC_WRITE, 3 * value)
        put64(st + DAC_STATE, 0)
    elif port == 0x3C7:
        put64(st + DAC_READ, 3 * value)
        put64(st + DAC_STATE, 3)
    elif port == 0x3C6:
        put64(st + DAC_MASK, value)
    elif port == 0x3C2:
        put64(st + MISCELLANEOUS, value)
        # Until somebody uses the bit there is memory, as firmware made for emulators needs.
        put64(st + USES_ANSWERS, s64(st + USES_ANSWERS) | value >> 1 & 1)
        put64(st + ANSWERS, value >> 1 & 1 if s64(st + USES_ANSWERS) else 1)
        vga_set_window(st)
        vga_settle(st)
    elif port == 0x3C3:
        put64(st + ENABLE, value & 1)
    elif port == 0x3DA:
        put64(st + FEATURE, value & 0x0B)
    return 0


def vga_status(st: int, now: int) -> int:
    """Return input status 1 at a time (ns): whether the beam is between lines, or frames."""
    put64(st + ATTRIBUTE_DATA, 0)
    crtc = st + CRTC
    high = u8(crtc + 7)
    total = (u8(crtc + 6) | (high & 1) << 8 | (high & 0x20) << 4) + 2
    total = total if total > 100 else 449
    displayed = (u8(crtc + 0x12) | (high & 2) << 7 | (high & 0x40) << 3) + 1
    displayed = displayed if displayed < total - 4 else total - 4
    start = u8(crtc + 0x10) | (high & 4) << 6 | (high & 0x80) << 2
    start = start if displayed <= start and start < total else displayed
    line = now // _LINE
    toggle = s64(st + TOGGLE) ^ 0x30
    put64(st + TOGGLE, toggle)
    if line % total < displayed:
        return toggle | (1 if now - line * _LINE > _SHOWN else 0)
    line = line % total
    is_retrace = start <= line and line < start + 2 + (total - start) // 8
    return toggle | (9 if is_retrace else 1)


def vga_get_port(st: int, port: int) -> int:
    """Read a byte from a port; not from that of input status 1."""
    if port & 0xFFF0 == (0x3B0 if s64(st + MISCELLANEOUS) & 1 else 0x3D0):
        return 0xFF
    if port & 0xFFF0 == 0x3B0:
        port += _MONOCHROME
    value = 0xFF
    index = 0
    if port == 0x3C4:
        value = s64(st + SEQUENCER_INDEX)
    elif port == 0x3C5:
        index = s64(st + SEQUENCER_INDEX)
        value = u8(st + SEQUENCER + index) if index < SEQUENCER_SIZE else 0
    elif port == 0x3CE:
        value = s64(st + GRAPHICS_INDEX)
    elif port == 0x3CF:
        index = s64(st + GRAPHICS_INDEX)
        value = u8(st + GRAPHICS + index) if index < GRAPHICS_SIZE else 0
    elif port == 0x3D4:
        value = s64(st + CRTC_INDEX)
    elif port == 0x3D5:
        index = s64(st + CRTC_INDEX)
        value = u8(st + CRTC + index) if index < CRTC_SIZE else 0
    elif port == 0x3C9:
        value = u8(st + PALETTE + vga_next_third(st, DAC_READ))
    elif port == 0x3C0:
        value = s64(st + ATTRIBUTE_INDEX)
    elif port == 0x3C1:
        index = s64(st + ATTRIBUTE_INDEX) & 31
        value = u8(st + ATTRIBUTE + index) if index < ATTRIBUTE_SIZE else 0
    elif port == 0x3C2:
        value = 0x10  # a colour display is there
    elif port == 0x3C3:
        value = s64(st + ENABLE)
    elif port == 0x3C6:
        value = s64(st + DAC_MASK)
    elif port == 0x3C7:
        value = s64(st + DAC_STATE)
    elif port == 0x3C8:
        value = s64(st + DAC_WRITE) // 3
    elif port == 0x3CA:
        value = s64(st + FEATURE)
    elif port == 0x3CC:
        value = s64(st + MISCELLANEOUS)
    return value


# -- what guest code calls -------------------------------------------------------------------------
def vga_in(st: int, port: int, size: int) -> int:
    """Read 1, 2 or 4 bytes from ports; -1: Python does it."""
    if port == 0x3DA or port == 0x3BA:
        cell = s64(st + CLOCK)
        if size > 1 or not cell or not s64(cell):
            return -1
        if port & 0xFFF0 == (0x3B0 if s64(st + MISCELLANEOUS) & 1 else 0x3D0):
            return 0xFF
        return vga_status(st, native_now(cell))
    value = vga_get_port(st, port)
    for i in range(1, size):
        value = value | vga_get_port(st, port + i) << 8 * i
    return value


def vga_out(st: int, port: int, value: int, size: int) -> int:
    """Write 1, 2 or 4 bytes to ports: 1; 0: Python does it."""
    last = port + size - 1
    if port <= 0x3C2 and last >= 0x3C2:
        return 0
    is_way = (port <= 0x3C5 and last >= 0x3C5) or (port <= 0x3CF and last >= 0x3CF)
    if is_way and s64(st + IS_RAM):
        return 0
    vga_put_port(st, port, value & 0xFF)
    for i in range(1, size):
        vga_put_port(st, port + i, value >> 8 * i & 0xFF)
    return 1


PUBLIC = {
    "vga_in", "vga_out", "vga_put_port", "vga_get_port", "vga_status", "vga_set_sequencer",
    "vga_set_graphics", "vga_settle",
}  # fmt: skip
FUNCTIONS: list[Callable[..., int]] = [
    vga_spread, vga_settle, vga_set_window, vga_set_sequencer, vga_set_graphics, vga_set_crtc,
    vga_set_attribute, vga_next_third, vga_put_port, vga_status, vga_get_port, vga_in, vga_out,
]  # fmt: skip
