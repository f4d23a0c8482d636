"""INT 15h function 53h: APM 1.2 in real mode, as much as programs need to switch the machine off.

Intel and Microsoft, Advanced Power Management BIOS Interface Specification, revision 1.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.bios.table import Services, registrar
from runtime.firmware.call import Call

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

SERVICES: Services = {}
service = registrar(SERVICES)
_NOT_CONNECTED, _NO_DEVICE, _BAD_VALUE = 0x03, 0x09, 0x0A
_NO_PROTECTED_16, _NO_PROTECTED_32, _NO_EVENTS, _UNSUPPORTED = 0x06, 0x08, 0x80, 0x0C
_ALL, _SYSTEM = 1, 0  # devices
_OFF, _SUSPEND = 3, 2


def serve(bios: Bios, call: Call) -> None:
    """Serve a function by AL; CF and AH 86h where nothing can be switched off."""
    if bios.config.power_off is None:
        _fail(call, 0x86)
        return
    found = SERVICES.get(call.al)
    if found is None:
        _fail(call, _UNSUPPORTED)
        return
    call.carry = False
    found(bios, call)


def _fail(call: Call, status: int) -> None:
    call.ah, call.carry = status, True


@service(0x00)
def check(bios: Bios, call: Call) -> None:
    """AX: version; BX "PM"; CX: nothing but that the processor may be halted."""
    call.ax, call.bx, call.cx = 0x0102, 0x504D, 4


@service(0x01)
def connect(bios: Bios, call: Call) -> None:
    """Connect in real mode."""
    bios.is_power_connected = True


@service(0x02)
def connect_16(bios: Bios, call: Call) -> None:
    """Refuse to connect in 16-bit protected mode."""
    _fail(call, _NO_PROTECTED_16)


@service(0x03)
def connect_32(bios: Bios, call: Call) -> None:
    """Refuse to connect in 32-bit protected mode."""
    _fail(call, _NO_PROTECTED_32)


@service(0x04)
def disconnect(bios: Bios, call: Call) -> None:
    """Disconnect."""
    if not bios.is_power_connected:
        _fail(call, _NOT_CONNECTED)
    bios.is_power_connected = False


@service(0x05, 0x06)
def idle(bios: Bios, call: Call) -> None:
    """Be told that the processor has nothing to do, or that it has again."""


@service(0x07)
def set_state(bios: Bios, call: Call) -> None:
    """Switch off, if device BX is all (1) and state CX off (3)."""
    if call.bx != _ALL or call.cx > _OFF or bios.config.power_off is None:
        _fail(call, _NO_DEVICE if call.bx != _ALL else _BAD_VALUE)
    elif call.cx == _OFF:
        bios.config.power_off()


@service(0x08, 0x0D, 0x0F)
def enable(bios: Bios, call: Call) -> None:
    """Enable, disable, engage power management: it makes no difference."""


@service(0x0A)
def status(bios: Bios, call: Call) -> None:
    """BH: on line; BL, CH: no battery; CL, DX: unknown."""
    call.bx, call.cx, call.dx = 0x01FF, 0x80FF, 0xFFFF


@service(0x0B)
def event(bios: Bios, call: Call) -> None:
    """Tell that there are no events."""
    _fail(call, _NO_EVENTS)


@service(0x0E)
def version(bios: Bios, call: Call) -> None:
    """Agree on version 1.2, or an older one."""
    call.ax = min(max(call.cx, 0x0100), 0x0102)
