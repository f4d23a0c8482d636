"""INT 10h functions 12h, 1Ah, 1Bh and 1Ch: what adapter there is, how it is set, its state."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.firmware.bios import bda, modes
from runtime.firmware.bios.modes import write_attributes, write_colors
from runtime.firmware.bios.table import Service
from runtime.firmware.call import Call
from runtime.system.segments import ES

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

_VGA_COLOR = 8
# Modes 0 to 7, 0Dh to 13h; scan lines 200, 350, 400; fonts; what functions there are.
STATIC = bytes.fromhex("ff e0 0f 00 00 00 00 07 02 08 ff 0e 00 00 3f 00")
_HARDWARE, _DATA, _COLORS = 1, 2, 4
_HARDWARE_SIZE, _DATA_SIZE, _COLORS_SIZE = 0x46, 0x3A, 772
_UNIT = 64
_CRTC_REGISTERS, _ATTRIBUTES = 0x19, 0x15


# -- 12h -------------------------------------------------------------------------------------------
def alternate(bios: Bios, call: Call) -> None:
    """12h: by BL. AL returns 12h from those that exist."""
    function = call.bl
    if function == 0x10:  # colour, 256 KiB; feature bits and switches
        call.bx, call.cx = 3, 9
        return
    flags = call.load(bda.VIDEO_FLAGS, 8)
    if function == 0x20:  # print screen for more rows than 25: INT 05h knows them
        return
    if function == 0x30 and call.al <= 2:
        bits = {0: 0x80, 1: 0, 2: 0x10}[call.al]
        call.store(bda.VIDEO_FLAGS, flags & ~0x90 | bits, 8)
    elif function == 0x31 and call.al <= 1:
        call.store(bda.VIDEO_FLAGS, flags & ~8 | call.al << 3, 8)
    elif function == 0x32 and call.al <= 1:
        bios.out(0x3C2, bios.inp(0x3CC) & ~2 | (0 if call.al else 2))
    elif function == 0x33 and call.al <= 1:
        call.store(bda.VIDEO_FLAGS, flags & ~2 | (0 if call.al else 2), 8)
    elif function == 0x34 and call.al <= 1:
        control = call.load(bda.VIDEO_CONTROL, 8)
        call.store(bda.VIDEO_CONTROL, control & ~1 | call.al, 8)
    elif function == 0x36 and call.al <= 1:
        bios.out(0x3C4, 1)
        bios.out(0x3C5, bios.inp(0x3C5) & ~0x20 | call.al << 5)
    else:
        return
    call.al = 0x12


# -- 1Ah, 1Bh --------------------------------------------------------------------------------------
def combination(bios: Bios, call: Call) -> None:
    """1Ah: BL: VGA with a colour display."""
    if call.al == 0:
        call.bx = call.load(bda.DISPLAY_INDEX, 8)
    elif call.al == 1:
        call.store(bda.DISPLAY_INDEX, call.bl, 8)
    else:
        return
    call.al = 0x1A


def functionality(bios: Bios, call: Call) -> None:
    """1Bh: 64 bytes of state to ES:DI."""
    if call.bx:
        return
    if bios.static_table is None:
        bios.static_table = bios.callbacks.place(STATIC)
    segment, offset = bios.static_table
    mode = modes.current(call)
    flags = call.load(bda.VIDEO_FLAGS, 8)
    lines = {200: 0, 350: 1, 400: 2, 480: 3}.get(mode.lines, 2)
    table = struct.pack("<HH", offset, segment)
    table += call.read(bda.VIDEO_MODE, 0x1E)  # mode, columns, ... to the palette
    table += call.read(bda.ROWS, 3)
    table += struct.pack("<BBHBB", _VGA_COLOR, 0, mode.colors & 0x1FF, mode.pages, lines)
    table += bytes((0, 0, flags & 1 | 0x10, 0, 0, 0, 3))
    call.write(call.linear(ES, call.di), table.ljust(64, b"\0")[:64])
    call.al = 0x1B


# -- 1Ch -------------------------------------------------------------------------------------------
def sizes(what: int) -> list[tuple[int, int]]:
    """Return the parts of a state, and their sizes in bytes."""
    parts = ((_HARDWARE, _HARDWARE_SIZE), (_DATA, _DATA_SIZE), (_COLORS, _COLORS_SIZE))
    return [(bit, size) for bit, size in parts if what & bit]


def save_state(bios: Bios, call: Call) -> None:
    """1Ch: AL 0: BX blocks of 64 bytes are needed for the states CX; 1: save to ES:BX; 2: back."""
    what, function = call.cx & 7, call.al
    if not what or function > 2:
        return
    parts = sizes(what)
    if function == 0:
        call.bx = -(-sum(size for _, size in parts) // _UNIT)
    else:
        place = call.linear(ES, call.bx)
        for bit, size in parts:
            if function == 1:
                call.write(place, save(bios, call, bit).ljust(size, b"\0"))
            else:
                restore(bios, call, bit, call.read(place, size))
            place += size
    call.al = 0x1C


def _registers(bios: Bios, port: int, count: int) -> bytes:
    found = bytearray()
    for index in range(count):
        bios.out(port, index)
        found.append(bios.inp(port + 1))
    return bytes(found)


def save(bios: Bios, call: Call, part: int) -> bytes:
    """Return the bytes of a part of the state."""
    if part == _DATA:
        return call.read(bda.VIDEO_MODE, 0x1E) + call.read(bda.ROWS, 7) + call.read(4 * 0x43, 4)
    if part == _COLORS:
        mask = bios.inp(0x3C6)
        bios.out(0x3C7, 0)
        return bytes((mask,)) + bytes(bios.inp(0x3C9) for _ in range(768))
    crtc, found = call.load(bda.CRTC, 16), bytearray([bios.inp(0x3CC)])
    found += _registers(bios, 0x3C4, 5) + _registers(bios, crtc, _CRTC_REGISTERS)
    found += _registers(bios, 0x3CE, 9)
    for index in range(_ATTRIBUTES):
        bios.inp(crtc + 6)
        bios.out(0x3C0, index)
        found.append(bios.inp(0x3C1))
    bios.inp(crtc + 6)
    bios.out(0x3C0, 0x20)
    return bytes(found)


def restore(bios: Bios, call: Call, part: int, data: bytes) -> None:
    """Set a part of the state."""
    if part == _DATA:
        call.write(bda.VIDEO_MODE, data[:0x1E])
        call.write(bda.ROWS, data[0x1E:0x25])
        call.write(4 * 0x43, data[0x25:0x29])
        return
    if part == _COLORS:
        bios.out(0x3C6, data[0])
        write_colors(bios, 0, data[1:769])
        return
    out, bus = bios.out, bios.bus
    out(0x3C2, data[0])
    for index, value in enumerate(data[1:6]):
        bus.port_out(0x3C4, index | value << 8, 2)
    crtc = 0x3D4 if data[0] & 1 else 0x3B4
    bus.port_out(crtc, 0x11, 2)
    registers = data[6 : 6 + _CRTC_REGISTERS]
    for index, value in enumerate(registers):
        bus.port_out(crtc, index | value << 8, 2)
    rest = data[6 + _CRTC_REGISTERS :]
    for index, value in enumerate(rest[:9]):
        bus.port_out(0x3CE, index | value << 8, 2)
    bios.inp(crtc + 6)
    write_attributes(bios, rest[9 : 9 + _ATTRIBUTES])
    out(0x3C0, 0x20)


FUNCTIONS: dict[int, Service] = {
    0x12: alternate,
    0x1A: combination,
    0x1B: functionality,
    0x1C: save_state,
}
