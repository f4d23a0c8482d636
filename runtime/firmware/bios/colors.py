"""INT 10h functions 0Bh and 10h: palette registers, border, the 256 colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.firmware.bios.modes import write_attributes, write_colors
from runtime.firmware.bios.palettes import grays
from runtime.firmware.bios.table import Services, registrar
from runtime.firmware.call import Call
from runtime.system.segments import ES

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

SERVICES: Services = {}
service = registrar(SERVICES)
_INDEX, _READ = 0x3C0, 0x3C1
_MODE, _BORDER, _PAGE = 0x10, 0x11, 0x14


def _status(bios: Bios, call: Call) -> None:
    """Let the next write to the attribute controller be an index."""
    bios.inp(call.load(bda.CRTC, 16) + 6)


def _write(bios: Bios, call: Call, values: bytes, first: int) -> None:
    _status(bios, call)
    write_attributes(bios, values, first)
    bios.out(_INDEX, 0x20)


def _read(bios: Bios, call: Call, index: int) -> int:
    _status(bios, call)
    bios.out(_INDEX, index)
    value = bios.inp(_READ)
    _status(bios, call)
    bios.out(_INDEX, 0x20)
    return value


def set_cga(bios: Bios, call: Call) -> None:
    """0Bh: BH 0: border and background BL; 1: which of CGA's two palettes."""
    kept = call.load(bda.PALETTE, 8)
    is_graphics = 4 <= call.load(bda.VIDEO_MODE, 8) <= 6
    if call.bh == 0:
        kept = kept & 0xE0 | call.bl & 0x1F
        color = kept & 7 | (kept & 8) << 1
        _write(bios, call, bytes([color]), _BORDER)
        if is_graphics:
            _write(bios, call, bytes([color]), 0)
    elif call.bh == 1:
        kept = kept & ~0x20 | (call.bl & 1) << 5
    call.store(bda.PALETTE, kept, 8)
    if is_graphics and call.load(bda.VIDEO_MODE, 8) != 6:
        bright = kept & 0x10
        second = kept >> 5 & 1
        _write(bios, call, bytes(2 * i | bright | second for i in (1, 2, 3)), 1)


@service(0x00)
def set_register(bios: Bios, call: Call) -> None:
    """Palette register BL becomes BH."""
    if call.bl < 0x15:
        _write(bios, call, bytes([call.bh]), call.bl)


@service(0x01)
def set_border(bios: Bios, call: Call) -> None:
    """Let the border be BH."""
    _write(bios, call, bytes([call.bh]), _BORDER)


@service(0x02)
def set_all(bios: Bios, call: Call) -> None:
    """Sixteen registers and the border from ES:DX."""
    values = call.read(call.linear(ES, call.dx), 17)
    _write(bios, call, values[:16], 0)
    _write(bios, call, values[16:], _BORDER)


@service(0x03)
def set_blinking(bios: Bios, call: Call) -> None:
    """Bit 7 of attributes: bright background (BL 0) or blinking."""
    mode = _read(bios, call, _MODE)
    _write(bios, call, bytes([mode & ~8 | (8 if call.bl & 1 else 0)]), _MODE)
    select = call.load(bda.MODE_SELECT, 8)
    call.store(bda.MODE_SELECT, select & ~0x20 | (0x20 if call.bl & 1 else 0), 8)


@service(0x07)
def get_register(bios: Bios, call: Call) -> None:
    """BH: palette register BL."""
    if call.bl < 0x15:
        call.bh = _read(bios, call, call.bl)


@service(0x08)
def get_border(bios: Bios, call: Call) -> None:
    """BH: the border."""
    call.bh = _read(bios, call, _BORDER)


@service(0x09)
def get_all(bios: Bios, call: Call) -> None:
    """Sixteen registers and the border to ES:DX."""
    values = bytes(_read(bios, call, index) for index in (*range(16), _BORDER))
    call.write(call.linear(ES, call.dx), values)


@service(0x10)
def set_color(bios: Bios, call: Call) -> None:
    """Colour BX becomes DH, CH, CL."""
    write_colors(bios, call.bl, bytes((call.dh & 63, call.ch & 63, call.cl & 63)))


@service(0x12)
def set_colors(bios: Bios, call: Call) -> None:
    """CX colours from BX on, from ES:DX."""
    count = min(call.cx, 256)
    write_colors(bios, call.bl, call.read(call.linear(ES, call.dx), 3 * count))


@service(0x13)
def select_page(bios: Bios, call: Call) -> None:
    """BL 0: pages of 64 (BH 0) or 16 colours; BL 1: page BH."""
    mode = _read(bios, call, _MODE)
    if call.bl == 0:
        _write(bios, call, bytes([mode & 0x7F | (call.bh & 1) << 7]), _MODE)
    elif call.bl == 1:
        page = call.bh if mode & 0x80 else call.bh << 2
        _write(bios, call, bytes([page & 15]), _PAGE)


def _colors(bios: Bios, first: int, count: int) -> bytes:
    bios.out(0x3C7, first)
    return bytes(bios.inp(0x3C9) for _ in range(3 * count))


@service(0x15)
def get_color(bios: Bios, call: Call) -> None:
    """DH, CH, CL: colour BL."""
    call.dh, call.ch, call.cl = _colors(bios, call.bl, 1)


@service(0x17)
def get_colors(bios: Bios, call: Call) -> None:
    """CX colours from BX on to ES:DX."""
    call.write(call.linear(ES, call.dx), _colors(bios, call.bl, min(call.cx, 256)))


@service(0x18)
def set_mask(bios: Bios, call: Call) -> None:
    """Let the mask of colour numbers be BL."""
    bios.out(0x3C6, call.bl)


@service(0x19)
def get_mask(bios: Bios, call: Call) -> None:
    """BL: the mask."""
    call.bl = bios.inp(0x3C6)


@service(0x1A)
def get_page(bios: Bios, call: Call) -> None:
    """BL: how large colour pages are; BH: which."""
    mode, page = _read(bios, call, _MODE), _read(bios, call, _PAGE)
    call.bl, call.bh = mode >> 7, page & 15 if mode & 0x80 else page >> 2 & 3


@service(0x1B)
def to_gray(bios: Bios, call: Call) -> None:
    """Let CX colours from BX on become gray."""
    first, count = call.bl, min(call.cx, 256)
    write_colors(bios, first, grays(_colors(bios, first, count)))
