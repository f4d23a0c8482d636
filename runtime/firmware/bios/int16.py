"""INT 16h: the keyboard (IBM BIOS reference; Ralf Brown, INT 16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.firmware.bios.keyboard import put_key
from runtime.firmware.bios.table import Services, registrar
from runtime.firmware.call import Call
from runtime.firmware.callbacks import WAIT, Result

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

SERVICES: Services = {}
service = registrar(SERVICES)
_LAST_OLD = 0x84  # scan codes above are those of keys that the 84-key keyboard has not


def serve_16(bios: Bios, call: Call) -> Result | None:
    """Serve INT 16h; unknown functions do nothing."""
    found = SERVICES.get(call.ah)
    return found(bios, call) if found is not None else None


def _first(call: Call) -> int | None:
    """Return the first key of the buffer."""
    head = call.load(bda.HEAD, 16)
    return None if head == call.load(bda.TAIL, 16) else call.load(0x400 + head, 16)


def _remove(call: Call) -> None:
    following = call.load(bda.HEAD, 16) + 2
    if following >= call.load(bda.BUFFER_END, 16):
        following = call.load(bda.BUFFER_START, 16)
    call.store(bda.HEAD, following, 16)


def _old(code: int) -> int:
    """Return a key as functions 0 and 1 give it; -1 if they do not know it."""
    if code >> 8 == 0xE0:
        return 0x352F if code & 0xFF == 0x2F else 0x1C00 | code & 0xFF
    if code & 0xFF in (0xE0, 0xF0) and code >> 8:
        return code & 0xFF00
    return -1 if code >> 8 > _LAST_OLD else code


@service(0x00)
def read(bios: Bios, call: Call) -> Result | None:
    """Wait for a key: AX."""
    while (code := _first(call)) is not None:
        _remove(call)
        if (old := _old(code)) >= 0:
            call.ax = old
            return None
    return WAIT


@service(0x01)
def look(bios: Bios, call: Call) -> None:
    """AX and ZF clear if there is a key, which stays."""
    while (code := _first(call)) is not None and _old(code) < 0:
        _remove(call)
    call.zero = code is None
    if code is not None:
        call.ax = _old(code)
    _let_interrupts_in(call)


@service(0x10, 0x20)
def read_new(bios: Bios, call: Call) -> Result | None:
    """Wait for a key of any keyboard: AX."""
    code = _first(call)
    if code is None:
        return WAIT
    _remove(call)
    call.ax = code & 0xFF00 if code & 0xFF == 0xF0 and code >> 8 else code
    return None


@service(0x11, 0x21)
def look_new(bios: Bios, call: Call) -> None:
    """AX and ZF clear if there is a key, which stays."""
    code = _first(call)
    call.zero = code is None
    if code is not None:
        call.ax = code & 0xFF00 if code & 0xFF == 0xF0 and code >> 8 else code
    _let_interrupts_in(call)


def _let_interrupts_in(call: Call) -> None:
    """Return with interrupts on, as IBM's BIOS does: programs poll with interrupts off."""
    call.flags |= 0x200


@service(0x02)
def shifts(bios: Bios, call: Call) -> None:
    """AL: shift states."""
    call.al = call.load(bda.SHIFTS, 8)


@service(0x12, 0x22)
def more_shifts(bios: Bios, call: Call) -> None:
    """AL: shift states; AH: which of the two keys."""
    call.al = call.load(bda.SHIFTS, 8)
    more, keyboard = call.load(bda.MORE_SHIFTS, 8), call.load(bda.KEYBOARD_STATE, 8)
    call.ah = more & 0x73 | (more & 4) << 5 | keyboard & 0x0C


@service(0x03)
def set_rate(bios: Bios, call: Call) -> None:
    """Set typematic rate and delay (AL=05h)."""
    if call.al == 5 and bios.has_ports(0x60):
        for byte in (0xF3, (call.bh & 3) << 5 | call.bl & 0x1F):
            bios.out(0x60, byte)


@service(0x05)
def store(bios: Bios, call: Call) -> None:
    """Put the key CX into the buffer; AL is 1 if it is full."""
    call.al = 0 if put_key(call, call.cx) else 1


@service(0x09)
def abilities(bios: Bios, call: Call) -> None:
    """AL: functions 0Ah, 10h to 12h, 20h to 22h, 3 with AL=05h are there."""
    call.al = 0x70 | 4


@service(0x0A)
def identity(bios: Bios, call: Call) -> None:
    """BX: what the keyboard answers when it is asked who it is."""
    call.bx = 0x41AB


@service(0x92)
def has_new_functions(bios: Bios, call: Call) -> None:
    """AH 80h: functions 10h to 12h are there, as Microsoft's KEYB asks."""
    call.ah = 0x80
