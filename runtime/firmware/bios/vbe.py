"""INT 10h function 4Fh: VESA BIOS Extension 3.0 over the Bochs display interface of the adapter."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from runtime.firmware.bios import bda, modes, videostate
from runtime.firmware.bios.table import Services, registrar
from runtime.firmware.call import Call
from runtime.firmware.callbacks import Result
from runtime.system.segments import ES

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

SERVICES: Services = {}
service = registrar(SERVICES)
_INDEX, _DATA = 0x1CE, 0x1CF
_WIDTH, _HEIGHT, _DEPTH, _ENABLE, _BANK, _VIRTUAL_WIDTH = 1, 2, 3, 4, 5, 6
_X, _Y, _MEMORY = 8, 9, 10
_ON, _LINEAR, _WIDE_DAC, _KEEPS = 1, 0x40, 0x20, 0x80
_OK, _FAILED, _NOT_NOW = 0x004F, 0x014F, 0x034F
_USE_LINEAR, _DO_NOT_CLEAR = 0x4000, 0x8000
_STATE_SIZE = 2 * 11
_DARK = 0x20  # in the sequencer's clocking mode
_BDA_MODE = 0x7F  # in the data area: none of VGA's


class VbeMode(NamedTuple):
    """A mode beyond VGA's."""

    number: int
    width: int
    height: int
    depth: int

    @property
    def pitch(self) -> int:
        """Bytes of a line."""
        return self.width // 8 if self.depth == 4 else self.width * ((self.depth + 7) // 8)


_SIZES = ((640, 480), (800, 600), (1024, 768), (1280, 1024), (1600, 1200))
_LIST = [VbeMode(0x100, 640, 400, 8), VbeMode(0x101, 640, 480, 8), VbeMode(0x102, 800, 600, 4)]
_LIST += [VbeMode(0x103, 800, 600, 8), VbeMode(0x104, 1024, 768, 4), VbeMode(0x105, 1024, 768, 8)]
_LIST += [VbeMode(0x106, 1280, 1024, 4), VbeMode(0x107, 1280, 1024, 8)]
_LIST += [VbeMode(0x10D + i, 320, 200, depth) for i, depth in enumerate((15, 16, 24))]
_LIST += [
    VbeMode(0x110 + 3 * i + j, width, height, depth)
    for i, (width, height) in enumerate(_SIZES[:4])
    for j, depth in enumerate((15, 16, 24))
]
_LIST += [VbeMode(0x11C + i, 1600, 1200, depth) for i, depth in enumerate((8, 15, 16, 24))]
# VESA gives no numbers to modes of 32 bits; these are Bochs's.
_LIST += [VbeMode(0x140, 320, 200, 32), VbeMode(0x141, 640, 400, 32)]
_LIST += [VbeMode(0x142 + i, *size, 32) for i, size in enumerate(_SIZES[:4])]
_LIST += [VbeMode(0x146, 320, 200, 8), VbeMode(0x14C, 1600, 1200, 32)]
MODES = {mode.number: mode for mode in _LIST}
# Bits a pixel -> size and place of red, green, blue, the rest.
_FIELDS = {
    15: (5, 10, 5, 5, 5, 0, 1, 15),
    16: (5, 11, 6, 5, 5, 0, 0, 0),
    24: (8, 16, 8, 8, 8, 0, 0, 0),
    32: (8, 16, 8, 8, 8, 0, 8, 24),
}


def serve(bios: Bios, call: Call) -> Result | None:
    """Serve a function by AL; AX is 4Fh if it worked."""
    found = SERVICES.get(call.al) if bios.has_ports(_INDEX) else None
    if found is None:
        call.ax = 0x0100 | call.al
        return None
    call.ax = _OK
    return found(bios, call)


# -- the adapter -----------------------------------------------------------------------------------
def _get(bios: Bios, index: int) -> int:
    bios.bus.port_out(_INDEX, index, 2)
    return bios.bus.port_in(_DATA, 2)


def _set(bios: Bios, index: int, value: int) -> None:
    bios.bus.port_out(_INDEX, index, 2)
    bios.bus.port_out(_DATA, value & 0xFFFF, 2)


def current(bios: Bios) -> VbeMode | None:
    """Return the mode that is set; None for those of VGA."""
    if bios.vbe_mode is None or not _get(bios, _ENABLE) & _ON:
        return None
    return bios.vbe_mode


def pitch(bios: Bios) -> int:
    """Return bytes of a line of the mode that is set."""
    mode, width = bios.vbe_mode, _get(bios, _VIRTUAL_WIDTH)
    return width // 8 if mode is None or mode.depth == 4 else width * ((mode.depth + 7) // 8)


def leave(bios: Bios) -> None:
    """Let the adapter be a VGA again."""
    if bios.has_ports(_INDEX) and _get(bios, _ENABLE):
        _set(bios, _ENABLE, 0)
    bios.vbe_mode = None


def _fits(bios: Bios, mode: VbeMode) -> bool:
    memory = _get(bios, _MEMORY) << 16 if mode.depth > 4 else 1 << 18
    return mode.pitch * mode.height <= memory


def _places(bios: Bios) -> tuple[int, int, int]:
    """Return far pointers to the list of modes, the names, and the window function."""
    if bios.vbe_places is None:
        numbers = [mode.number for mode in _LIST if _fits(bios, mode)] + [0xFFFF]
        place = bios.callbacks.place
        table = place(struct.pack(f"<{len(numbers)}H", *numbers), 2)
        name = place(b"jitemu VBE\0")
        window = bios.callbacks.add(lambda call: set_window(bios, call), ends="retf")
        far = [segment << 16 | offset for segment, offset in (table, name, window)]
        bios.vbe_places = (far[0], far[1], far[2])
    return bios.vbe_places


# -- services --------------------------------------------------------------------------------------
@service(0x00)
def controller(bios: Bios, call: Call) -> None:
    """ES:DI: what the controller can do; 512 bytes if they begin with "VBE2"."""
    place = call.linear(ES, call.di)
    is_long = call.read(place, 4) == b"VBE2"
    table, name, _ = _places(bios)
    blocks = _get(bios, _MEMORY)
    head = struct.pack("<4sHIIIH", b"VESA", 0x0300, name, 1, table, blocks)
    tail = struct.pack("<HIII", 0x0100, name, name, name)
    data = (head + tail).ljust(512, b"\0") if is_long else head.ljust(256, b"\0")
    call.write(place, data)


@service(0x01)
def mode_info(bios: Bios, call: Call) -> None:
    """ES:DI: 256 bytes about mode CX."""
    mode = MODES.get(call.cx & 0x3FFF)
    if mode is None or not _fits(bios, mode):
        call.ax = _FAILED
        return
    is_packed = mode.depth > 4
    place = bios.vga.place if bios.vga is not None and is_packed else None
    attributes = 0x1B | (0x80 if place is not None else 0)
    window = _places(bios)[2]
    lines = mode.pitch
    memory = _get(bios, _MEMORY) << 16 if is_packed else 1 << 18
    images = min(255, memory // (lines * mode.height) - 1)
    model = 3 if not is_packed else 4 if mode.depth == 8 else 6
    planes = 1 if is_packed else 4
    fields = _FIELDS.get(mode.depth, (0,) * 8)
    data = struct.pack("<HBBHHHHIH", attributes, 7, 0, 64, 64, 0xA000, 0, window, lines)
    data += struct.pack("<HHBBBB", mode.width, mode.height, 8, 16, planes, mode.depth)
    data += struct.pack("<BBBBB", 1, model, 0, images, 1)
    data += struct.pack("<8BB", *fields, 2 if mode.depth == 32 else 0)
    data += struct.pack("<IIH", place or 0, 0, 0)
    data += struct.pack("<HBB8BI", lines, images, images, *fields, 0)
    call.write(call.linear(ES, call.di), data.ljust(256, b"\0"))


@service(0x02)
def set_mode(bios: Bios, call: Call) -> None:
    """Set mode BX: bit 14 with linear framebuffer, bit 15 without clearing."""
    number = call.bx & 0x1FF
    if number < 0x100:
        keeps = 0x80 if call.bx & _DO_NOT_CLEAR else 0
        if not modes.set_mode(bios, call, number & 0x7F | keeps):
            call.ax = _FAILED
        return
    mode = MODES.get(number)
    place = bios.vga.place if bios.vga is not None else None
    if mode is None or not _fits(bios, mode) or (call.bx & _USE_LINEAR and place is None):
        call.ax = _FAILED
        return
    begin(bios, call, mode, keeps=bool(call.bx & _DO_NOT_CLEAR))
    bios.vbe_linear = bool(call.bx & _USE_LINEAR)


def begin(bios: Bios, call: Call, mode: VbeMode, *, keeps: bool) -> None:
    """Program a mode."""
    leave(bios)
    base = modes.MODES[0x13 if mode.depth > 4 else 0x12]
    modes.program(bios, base)
    for index, value in ((_WIDTH, mode.width), (_HEIGHT, mode.height), (_DEPTH, mode.depth)):
        _set(bios, index, value)
    _set(bios, _ENABLE, _ON | _LINEAR | (_KEEPS if keeps else 0))
    modes.note(bios, call, base, _BDA_MODE | (0x80 if keeps else 0))
    call.store(bda.COLUMNS, mode.width // 8, 16)
    call.store(bda.ROWS, min(mode.height // 16, 256) - 1, 8)
    call.store(bda.CHARACTER_HEIGHT, 16, 16)
    font = bios.font_places[16]
    call.store(4 * 0x43, font[0] << 16 | font[1], 32)
    bios.vbe_mode, bios.vbe_linear = mode, False


@service(0x03)
def get_mode(bios: Bios, call: Call) -> None:
    """BX: the mode."""
    mode = current(bios)
    if mode is None:
        call.bx = call.load(bda.VIDEO_MODE, 8) | (call.load(bda.VIDEO_CONTROL, 8) & 0x80) << 8
    else:
        call.bx = mode.number | (_USE_LINEAR if bios.vbe_linear else 0)
        if call.load(bda.VIDEO_CONTROL, 8) & 0x80:
            call.bx |= _DO_NOT_CLEAR


@service(0x04)
def state(bios: Bios, call: Call) -> None:
    """DL 0: BX blocks of 64 bytes for the states CX; 1: save them to ES:BX; 2: restore."""
    what, function = call.cx & 15, call.dl
    if function > 2:
        call.ax = _FAILED
        return
    parts = videostate.sizes(what)
    if function == 0:
        total = sum(size for _, size in parts) + (_STATE_SIZE if what & 8 else 0)
        call.bx = -(-total // 64)
        return
    place = call.linear(ES, call.bx)
    own = place + sum(size for _, size in parts)
    if function == 1:
        for bit, size in parts:
            call.write(place, videostate.save(bios, call, bit).ljust(size, b"\0"))
            place += size
        if what & 8:
            call.write(own, struct.pack("<11H", *(_get(bios, i) for i in range(11))))
        return
    if what & 8:
        _restore(bios, struct.unpack("<11H", call.read(own, _STATE_SIZE)))
    for bit, size in parts:
        videostate.restore(bios, call, bit, call.read(place, size))
        place += size


def _restore(bios: Bios, values: tuple[int, ...]) -> None:
    _set(bios, _ENABLE, 0)
    for index in (_WIDTH, _HEIGHT, _DEPTH):
        _set(bios, index, values[index])
    _set(bios, _ENABLE, values[_ENABLE] | _KEEPS)
    for index in (_BANK, _VIRTUAL_WIDTH, _X, _Y):
        _set(bios, index, values[index])
    size = values[_WIDTH : _DEPTH + 1]
    found = [mode for mode in _LIST if mode[1:] == tuple(size)]
    bios.vbe_mode = found[0] if found and values[_ENABLE] & _ON else None


@service(0x05)
def window(bios: Bios, call: Call) -> None:
    """BH 0: show the 64 KiB number DX in the window; 1: DX: which is shown."""
    if call.bl:
        call.ax = _FAILED
    elif current(bios) is None:
        call.ax = _NOT_NOW
    else:
        set_window(bios, call)


def set_window(bios: Bios, call: Call) -> None:
    """Do what function 5 does; called directly, too, by the far pointer of mode information."""
    if call.bh == 1:
        call.dx = _get(bios, _BANK)
    elif call.bh == 0:
        _set(bios, _BANK, call.dx)
        if _get(bios, _BANK) != call.dx:
            call.ax = _FAILED


@service(0x06)
def line_length(bios: Bios, call: Call) -> None:
    """Set (BL 0: CX pixels, 2: CX bytes) or get (1) how long lines are; 3: how long they may be."""
    mode = current(bios)
    if mode is None or call.bl > 3:
        call.ax = _FAILED if call.bl > 3 else _NOT_NOW
        return
    size = (mode.depth + 7) // 8
    memory = _get(bios, _MEMORY) << 16 if mode.depth > 4 else 1 << 18
    if call.bl == 3:
        most = memory // mode.height
        pixels = most * 8 if mode.depth == 4 else most // size
        call.cx = min(pixels, 0xFFF8) & ~7
        call.bx = min(call.cx // 8 if mode.depth == 4 else call.cx * size, 0xFFFF)
        call.dx = mode.height
        return
    if call.bl != 1:
        per_byte = 8 if mode.depth == 4 else 1
        pixels = call.cx if call.bl == 0 else call.cx * per_byte // (size if per_byte == 1 else 1)
        pixels = (max(pixels, mode.width) + 7) & ~7
        if (pixels // 8 if mode.depth == 4 else pixels * size) * mode.height > memory:
            call.ax = _FAILED
            return
        _set(bios, _VIRTUAL_WIDTH, pixels)
    lines = pitch(bios)
    call.bx, call.cx = lines, _get(bios, _VIRTUAL_WIDTH)
    call.dx = min(memory // lines, 0xFFFF)


@service(0x07)
def display_start(bios: Bios, call: Call) -> None:
    """BL 0, 80h: show from pixel CX of line DX on; 1: where that is."""
    mode = current(bios)
    if mode is None:
        call.ax = _NOT_NOW
    elif call.bl & 0x7F == 0:
        _set(bios, _X, call.cx)
        _set(bios, _Y, call.dx)
        if (_get(bios, _X), _get(bios, _Y)) != (call.cx, call.dx):
            call.ax = _FAILED
    elif call.bl == 1:
        call.bh, call.cx, call.dx = 0, _get(bios, _X), _get(bios, _Y)
    else:
        call.ax = _FAILED


@service(0x08)
def color_width(bios: Bios, call: Call) -> None:
    """BL 0: let parts of colours have BH bits, 6 or 8; BH: how many they have."""
    mode = current(bios)
    if mode is None or mode.depth > 8 or call.bl > 1:
        call.ax = _FAILED if call.bl > 1 else _NOT_NOW
        return
    enabled = _get(bios, _ENABLE)
    if call.bl == 0:
        enabled = enabled & ~_WIDE_DAC | (_WIDE_DAC if call.bh >= 8 else 0)
        _set(bios, _ENABLE, enabled | _KEEPS)
    call.bh = 8 if enabled & _WIDE_DAC else 6


@service(0x09)
def palette(bios: Bios, call: Call) -> None:
    """BL 0, 80h: set CX colours from DX on, four bytes each (blue first) at ES:DI; 1: get them."""
    first, count, place = call.dx & 0xFF, min(call.cx, 256), call.linear(ES, call.di)
    if call.bl & 0x7F == 0:
        data = call.read(place, 4 * count)
        colors = b"".join(data[i : i + 3][::-1] for i in range(0, 4 * count, 4))
        modes.write_colors(bios, first, colors)
    elif call.bl == 1:
        bios.out(0x3C7, first)
        found = bytearray()
        for _ in range(count):
            parts = [bios.inp(0x3C9) for _ in range(3)]
            found += bytes((*reversed(parts), 0))
        call.write(place, bytes(found))
    else:
        call.ax = _FAILED


@service(0x0A)
def protected_interface(bios: Bios, call: Call) -> None:
    """BL 0: ES:DI, CX: address and size of code for 32-bit programs."""
    from runtime.firmware.bios.vbe32 import INTERFACE

    if call.bl:
        call.ax = _FAILED
        return
    if bios.vbe_interface is None:
        bios.vbe_interface = bios.callbacks.place(INTERFACE, 16)
    call.es, call.di = bios.vbe_interface
    call.cx = len(INTERFACE)


@service(0x10)
def power(bios: Bios, call: Call) -> None:
    """VBE/PM 1.0: BL 0: BH: which states there are; 1: choose BH; 2: BH: the one that is."""
    if call.bl == 0:
        call.bl, call.bh = 0x10, 0x0F
    elif call.bl == 1 and call.bh in (0, 1, 2, 4, 8):
        bios.out(0x3C4, 1)
        mode = bios.inp(0x3C5)
        bios.out(0x3C5, mode & ~_DARK | (_DARK if call.bh else 0))
        bios.display_power = call.bh
    elif call.bl == 2:
        call.bh = bios.display_power
    else:
        call.ax = _FAILED
