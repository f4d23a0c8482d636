"""INT 14h: serial ports (IBM BIOS reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.firmware.bios.table import Services, registrar
from runtime.firmware.call import Call

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

SERVICES: Services = {}
service = registrar(SERVICES)
_TIMEOUT = 0x80
_DIVISORS = (1047, 768, 384, 192, 96, 48, 24, 12)  # 110 to 9600 baud
_EXTENDED = (1047, 768, 384, 192, 96, 48, 24, 12, 6)  # to 19200
_READY, _EMPTY = 1, 0x20


def serve_14(bios: Bios, call: Call) -> None:
    """Serve a function for port DX; a port that is not there times out."""
    base = call.load(bda.COM_BASES + 2 * call.dx, 16) if call.dx < 4 else 0
    found = SERVICES.get(call.ah)
    if not base or found is None:
        call.ah |= _TIMEOUT
        return
    found(bios, call)


def _base(call: Call) -> int:
    return call.load(bda.COM_BASES + 2 * (call.dx & 3), 16)


def _program(bios: Bios, base: int, divisor: int, control: int) -> None:
    bios.out(base + 3, control | 0x80)
    bios.out(base, divisor & 0xFF)
    bios.out(base + 1, divisor >> 8)
    bios.out(base + 3, control)
    bios.out(base + 1, 0)


@service(0x00)
def initialize(bios: Bios, call: Call) -> None:
    """AL: speed, parity, stop bits, length."""
    base, value = _base(call), call.al
    _program(bios, base, _DIVISORS[value >> 5], value & 0x1F)
    status(bios, call)


@service(0x01)
def send(bios: Bios, call: Call) -> None:
    """Send AL; bit 7 of AH: it could not be sent."""
    base = _base(call)
    bios.out(base + 4, 3 | bios.inp(base + 4) & 8)
    line = bios.inp(base + 5)
    if not line & _EMPTY:
        call.ah = line | _TIMEOUT
        return
    bios.out(base, call.al)
    call.ah = line & 0x7F


@service(0x02)
def receive(bios: Bios, call: Call) -> None:
    """AL: what came; bit 7 of AH: nothing came.

    A real BIOS waits for a while, which programs cannot rely on.
    """
    base = _base(call)
    bios.out(base + 4, 1 | bios.inp(base + 4) & 8)
    line = bios.inp(base + 5)
    if not line & _READY:
        call.ah = line | _TIMEOUT
        return
    call.al, call.ah = bios.inp(base), line & 0x1E


@service(0x03)
def status(bios: Bios, call: Call) -> None:
    """AH: line status; AL: modem status."""
    base = _base(call)
    call.ah, call.al = bios.inp(base + 5), bios.inp(base + 6)


@service(0x04)
def initialize_extended(bios: Bios, call: Call) -> None:
    """AL: break; BH: parity; BL: stop bits; CH: length; CL: speed."""
    if call.cl >= len(_EXTENDED) or call.bh > 4 or call.bl > 1 or call.ch > 3:
        call.ah |= _TIMEOUT
        return
    parity = (0, 0x08, 0x18, 0x28, 0x38)[call.bh]
    control = call.ch | call.bl << 2 | parity | (0x40 if call.al == 1 else 0)
    _program(bios, _base(call), _EXTENDED[call.cl], control)
    status(bios, call)


@service(0x05)
def modem_control(bios: Bios, call: Call) -> None:
    """AL 0: BL: the modem control register; 1: set it to BL."""
    base = _base(call)
    if call.al == 0:
        call.bl = bios.inp(base + 4)
    elif call.al == 1:
        bios.out(base + 4, call.bl)
    status(bios, call)
