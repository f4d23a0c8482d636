"""INT 1Ah: ticks, the real-time clock, PCI BIOS (IBM BIOS reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.firmware.bios.table import Services, registrar
from runtime.firmware.call import Call
from runtime.firmware.callbacks import Result

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

SERVICES: Services = {}
service = registrar(SERVICES)
_SECONDS, _MINUTES, _HOURS, _DAY, _MONTH, _YEAR, _CENTURY = 0, 2, 4, 7, 8, 9, 0x32
_SET, _ALARM, _DAYLIGHT = 0x80, 0x20, 1


def serve_1a(bios: Bios, call: Call) -> Result | None:
    """Serve a function; CF from those that are not there."""
    found = SERVICES.get(call.ah)
    if found is None or (2 <= call.ah < 8 and not bios.has_ports(0x70)):
        call.carry = True
        return None
    call.carry = False
    return found(bios, call)


@service(0x00)
def get_ticks(bios: Bios, call: Call) -> None:
    """CX:DX: ticks since midnight; AL: whether midnight has passed since the last call."""
    ticks = call.load(bda.TICKS, 32)
    call.cx, call.dx, call.al = ticks >> 16, ticks & 0xFFFF, call.load(bda.MIDNIGHT, 8)
    call.store(bda.MIDNIGHT, 0, 8)


@service(0x01)
def set_ticks(bios: Bios, call: Call) -> None:
    """Ticks since midnight become CX:DX."""
    call.store(bda.TICKS, call.cx << 16 | call.dx, 32)
    call.store(bda.MIDNIGHT, 0, 8)


@service(0x02)
def get_time(bios: Bios, call: Call) -> None:
    """CH, CL, DH: hours, minutes, seconds; DL: daylight saving."""
    call.ch, call.cl, call.dh = bios.cmos(_HOURS), bios.cmos(_MINUTES), bios.cmos(_SECONDS)
    call.dl, call.ah = bios.cmos(0x0B) & _DAYLIGHT, 0
    call.al = call.ch


@service(0x03)
def set_time(bios: Bios, call: Call) -> None:
    """Set hours CH, minutes CL, seconds DH, daylight saving DL."""
    state = bios.cmos(0x0B) & ~_DAYLIGHT | call.dl & 1
    bios.set_cmos(0x0B, state | _SET)
    for index, value in ((_SECONDS, call.dh), (_MINUTES, call.cl), (_HOURS, call.ch)):
        bios.set_cmos(index, value)
    bios.set_cmos(0x0B, state & ~_SET)


@service(0x04)
def get_date(bios: Bios, call: Call) -> None:
    """CH, CL: century, year; DH, DL: month, day."""
    call.ch, call.cl = bios.cmos(_CENTURY), bios.cmos(_YEAR)
    call.dh, call.dl = bios.cmos(_MONTH), bios.cmos(_DAY)


@service(0x05)
def set_date(bios: Bios, call: Call) -> None:
    """Set century CH, year CL, month DH, day DL."""
    state = bios.cmos(0x0B)
    bios.set_cmos(0x0B, state | _SET)
    values = ((_CENTURY, call.ch), (_YEAR, call.cl), (_MONTH, call.dh), (_DAY, call.dl))
    for index, value in values:
        bios.set_cmos(index, value)
    bios.set_cmos(0x0B, state & ~_SET)


@service(0x06)
def set_alarm(bios: Bios, call: Call) -> None:
    """INT 4Ah at CH:CL:DH; CF if an alarm is set."""
    state = bios.cmos(0x0B)
    if state & _ALARM:
        call.carry = True
        return
    for index, value in ((1, call.dh), (3, call.cl), (5, call.ch)):
        bios.set_cmos(index, value)
    bios.set_cmos(0x0B, state | _ALARM)


@service(0x07)
def clear_alarm(bios: Bios, call: Call) -> None:
    """No alarm."""
    bios.set_cmos(0x0B, bios.cmos(0x0B) & ~_ALARM)


@service(0xB1)
def pci(bios: Bios, call: Call) -> None:
    """PCI BIOS."""
    from runtime.firmware.bios import pcibios

    pcibios.serve(bios, call)
