"""The PS/2 mouse: INT 15h function C2h, and IRQ 12 (IBM BIOS reference; Ralf Brown, INT 15/C2).

The program's handler is called with four words on the stack: status, x, y, 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.bios.table import Services, registrar
from runtime.firmware.call import Call

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

SERVICES: Services = {}
service = registrar(SERVICES)
_BAD_FUNCTION, _BAD_INPUT, _INTERFACE, _NO_HANDLER = 1, 2, 3, 5
_RATES = (10, 20, 40, 60, 80, 100, 200)
_WITH_MOUSE, _WITHOUT = 0x47, 0x65  # command bytes of the keyboard controller
_ACKNOWLEDGE = 0xFA
_SIGNS, _OVERFLOWS = 0x30, 0xC0


def serve(bios: Bios, call: Call) -> None:
    """Serve a function by AL."""
    found = SERVICES.get(call.al)
    if found is None or not bios.config.has_mouse or not bios.has_ports(0x64):
        _end(call, _BAD_FUNCTION if found is None else _INTERFACE)
        return
    call.carry = False
    call.ah = 0
    found(bios, call)


def _end(call: Call, status: int) -> None:
    call.ah, call.carry = status, bool(status)


def _command(bios: Bios, value: int) -> None:
    """Set the command byte of the controller."""
    bios.out(0x64, 0x60)
    bios.out(0x60, value)


def _send(bios: Bios, *values: int, answers: int = 0) -> bytes | None:
    """Send bytes to the mouse, with its interrupts off; return what it answers beyond FAh."""
    _command(bios, 0x44)
    found = bytearray()
    for index, value in enumerate(values):
        bios.out(0x64, 0xD4)
        bios.out(0x60, value)
        wanted = 1 + (answers if index == len(values) - 1 else 0)
        for i in range(wanted):
            byte = _receive(bios)
            if byte is None or (i == 0 and byte != _ACKNOWLEDGE):
                _command(bios, _WITH_MOUSE)
                return None
            if i:
                found.append(byte)
    _command(bios, _WITH_MOUSE)
    return bytes(found)


def _receive(bios: Bios) -> int | None:
    """Read a byte of the mouse; what comes from the keyboard meanwhile is lost."""
    for _ in range(32):
        status = bios.inp(0x64)
        if not status & 1:
            return None
        value = bios.inp(0x60)
        if status & 0x20:
            return value
    return None


@service(0x00)
def enable(bios: Bios, call: Call) -> None:
    """BH 1: let the mouse report; 0: not."""
    if call.bh > 1:
        _end(call, _BAD_INPUT)
    elif call.bh and bios.mouse_handler is None:
        _end(call, _NO_HANDLER)
    else:
        bios.mouse_bytes.clear()
        if _send(bios, 0xF4 if call.bh else 0xF5) is None:
            _end(call, _INTERFACE)


@service(0x01, 0x05)
def reset(bios: Bios, call: Call) -> None:
    """Reset the mouse: BL AAh, BH 0."""
    if call.al == 5 and call.bh != 3:
        _end(call, _BAD_INPUT)
        return
    bios.mouse_bytes.clear()
    if _send(bios, 0xFF, answers=2) is None:
        _end(call, _INTERFACE)
        return
    if call.al == 1:
        call.bx = 0x00AA


@service(0x02)
def set_rate(bios: Bios, call: Call) -> None:
    """Let it report 10 to 200 times a second (BH 0 to 6)."""
    if call.bh >= len(_RATES):
        _end(call, _BAD_INPUT)
    elif _send(bios, 0xF3, _RATES[call.bh]) is None:
        _end(call, _INTERFACE)


@service(0x03)
def set_resolution(bios: Bios, call: Call) -> None:
    """Let it count 1 to 8 a millimetre (BH 0 to 3)."""
    if call.bh > 3:
        _end(call, _BAD_INPUT)
    elif _send(bios, 0xE8, call.bh) is None:
        _end(call, _INTERFACE)


@service(0x04)
def get_type(bios: Bios, call: Call) -> None:
    """BH: 0."""
    found = _send(bios, 0xF2, answers=1)
    if found is None:
        _end(call, _INTERFACE)
    else:
        call.bh = found[0]


@service(0x06)
def extended(bios: Bios, call: Call) -> None:
    """BH 0: BL, CL, DL: status, resolution, rate; 1, 2: scale 1:1, 2:1."""
    if call.bh > 2:
        _end(call, _BAD_INPUT)
    elif call.bh:
        if _send(bios, 0xE5 + call.bh) is None:
            _end(call, _INTERFACE)
    else:
        found = _send(bios, 0xE9, answers=3)
        if found is None:
            _end(call, _INTERFACE)
        else:
            call.bl, call.cl, call.dl = found


@service(0x07)
def set_handler(bios: Bios, call: Call) -> None:
    """Call ES:BX for each report; 0:0: nobody."""
    place = call.es, call.bx
    bios.mouse_handler = place if any(place) else None


def byte_came(bios: Bios, call: Call) -> None:
    """IRQ 12: AL is a byte of a report; the third one is followed by a call of the handler."""
    data = bios.mouse_bytes
    if not data and not call.al & 8:
        return  # a report's first byte has this bit
    data.append(call.al)
    if len(data) < 3:
        return
    status, x, y = data
    data.clear()
    if bios.mouse_handler is not None:
        segment, offset = bios.mouse_handler
        bios.callbacks.far_call(segment, offset, status, x, y, 0)
