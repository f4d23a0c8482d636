"""INT 1Ah function B1h: PCI BIOS Specification 2.1, over configuration mechanism #1."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.firmware.bios.table import Services, registrar
from runtime.firmware.call import Call
from runtime.firmware.callbacks import ROM
from runtime.system.segments import ES

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

SERVICES: Services = {}
service = registrar(SERVICES)
_ADDRESS, _DATA, _ENABLE = 0xCF8, 0xCFC, 1 << 31
_OK, _UNSUPPORTED, _BAD_VENDOR, _NOT_FOUND, _BAD_REGISTER = 0, 0x81, 0x83, 0x86, 0x87
_SMALL_BUFFER = 0x89
_SIGNATURE = 0x20494350  # "PCI "
_ROUTING = 0x0E
_FUNCTIONS = 256  # of bus 0


def serve(bios: Bios, call: Call, *, is_wide: bool = False) -> None:
    """Serve a function by AL; AH is its status. *is_wide*: pointers have 32-bit offsets."""
    if is_wide and call.al == _ROUTING:
        _end(call, _OK)
        _route_wide(bios, call)
        return
    found = SERVICES.get(call.al)
    if found is None or bios.bus.owner_of(_ADDRESS) is None:
        _end(call, _UNSUPPORTED)
        return
    _end(call, _OK)
    found(bios, call)


def _end(call: Call, status: int) -> None:
    call.ah, call.carry = status, bool(status)


def read(bios: Bios, function: int, register: int, size: int) -> int:
    """Read configuration space; *function* is bus, device and function as in BX."""
    bios.bus.port_out(_ADDRESS, _ENABLE | function << 8 | register & 0xFC, 4)
    return bios.bus.port_in(_DATA + (register & 3), size)


def write(bios: Bios, function: int, register: int, value: int, size: int) -> None:
    """Write configuration space."""
    bios.bus.port_out(_ADDRESS, _ENABLE | function << 8 | register & 0xFC, 4)
    bios.bus.port_out(_DATA + (register & 3), value, size)


@service(0x01)
def present(bios: Bios, call: Call) -> None:
    """EDX "PCI "; AL: mechanism #1; BX: version; CL: last bus."""
    call.edx, call.al, call.bx, call.cl = _SIGNATURE, 1, 0x0210, 0
    call.edi = ROM + bios.pci_entry if bios.pci_entry else 0


def _find(bios: Bios, call: Call, register: int, mask: int, value: int) -> None:
    """Return the function number SI that has a value in a register."""
    wanted = call.si
    for function in range(_FUNCTIONS):
        if read(bios, function, 0, 2) == 0xFFFF:
            continue
        if read(bios, function, register, 4) & mask == value:
            if not wanted:
                call.bx = function
                return
            wanted -= 1
    _end(call, _NOT_FOUND)


@service(0x02)
def find_device(bios: Bios, call: Call) -> None:
    """BX: the SI-th function with vendor DX and device CX."""
    if call.dx == 0xFFFF:
        _end(call, _BAD_VENDOR)
        return
    _find(bios, call, 0, 0xFFFFFFFF, call.cx << 16 | call.dx)


@service(0x03)
def find_class(bios: Bios, call: Call) -> None:
    """BX: the SI-th function of class ECX."""
    _find(bios, call, 8, 0xFFFFFF00, call.ecx << 8 & 0xFFFFFFFF)


@service(0x08, 0x09, 0x0A)
def read_register(bios: Bios, call: Call) -> None:
    """CL, CX, ECX: register DI of function BX."""
    size, register = 1 << call.al - 8, call.di
    if register > 0xFF or register % size:
        _end(call, _BAD_REGISTER)
        return
    value = read(bios, call.bx, register, size)
    if size == 4:
        call.ecx = value
    elif size == 2:
        call.cx = value
    else:
        call.cl = value


@service(0x0B, 0x0C, 0x0D)
def write_register(bios: Bios, call: Call) -> None:
    """Register DI of function BX becomes CL, CX, ECX."""
    size, register = 1 << call.al - 0x0B, call.di
    if register > 0xFF or register % size:
        _end(call, _BAD_REGISTER)
        return
    write(bios, call.bx, register, call.ecx & (1 << 8 * size) - 1, size)


@service(0x0E)
def routing(bios: Bios, call: Call) -> None:
    """ES:DI: buffer for the table of interrupt routing; BX: IRQs that are PCI's alone."""
    place = call.linear(ES, call.di)
    size, offset, segment = struct.unpack("<HHH", call.read(place, 6))
    _give_routes(bios, call, place, size, (segment << 4) + offset)


def _route_wide(bios: Bios, call: Call) -> None:
    """Do the same for 32-bit code, whose data segment ES is."""
    place = call.linear(ES, call.edi)
    size, offset = struct.unpack("<HI", call.read(place, 6))
    _give_routes(bios, call, place, size, call.linear(ES, offset))


def _give_routes(bios: Bios, call: Call, place: int, size: int, target: int) -> None:
    """Write the table to an address; its size to the word at *place*."""
    table = b"".join(
        struct.pack("<BB12xBx", 0, device << 3, 0)
        for device in range(32)
        if read(bios, device << 3, 0, 2) != 0xFFFF
    )
    call.store(place, len(table), 16)
    if size < len(table):
        _end(call, _SMALL_BUFFER)
        return
    call.write(target, table)
    call.bx = 0
