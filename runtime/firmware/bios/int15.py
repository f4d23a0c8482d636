"""INT 15h: memory, waiting, A20, and what else a system board has (IBM BIOS reference; Ralf Brown).

E820h: ACPI 1.0b, 14.1.  E801h and 88h count the memory up to 16 MiB and 64 MiB.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.clock import SECOND
from runtime.firmware.bios import bda, timer
from runtime.firmware.bios.rom import CONFIGURATION
from runtime.firmware.bios.table import Services, registrar
from runtime.firmware.call import Call
from runtime.firmware.callbacks import SEGMENT, WAIT, Result
from runtime.system import control, segments
from runtime.system.segments import DS, ES

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios
    from runtime.system.physical import Physical

SERVICES: Services = {}
service = registrar(SERVICES)
_UNKNOWN = 0x86
_SMAP = 0x534D4150
_MEBI = 1 << 20


def serve_15(bios: Bios, call: Call) -> Result | None:
    """Serve a function; CF and AH 86h from those that are not there."""
    found = SERVICES.get(call.ah)
    if found is None:
        call.ah, call.carry = _UNKNOWN, True
        return None
    return found(bios, call)


def _fail(call: Call, status: int = _UNKNOWN) -> None:
    call.ah, call.carry = status, True


# -- memory ----------------------------------------------------------------------------------------
@service(0x88)
def extended_memory(bios: Bios, call: Call) -> None:
    """AX: KiB from 1 MiB on, at most 63 MiB."""
    call.ax = min(bios.config.extended() >> 10, 63 << 10)
    call.carry = False


@service(0xE8)
def memory_map(bios: Bios, call: Call) -> None:
    """E820h: the memory map; E801h, E881h: KiB below 16 MiB, and 64 KiB above."""
    if call.al == 0x20:
        _e820(bios, call)
    elif call.al in (0x01, 0x81):
        above = bios.config.extended()
        low = min(above, 15 * _MEBI) >> 10
        high = max(above - 15 * _MEBI, 0) >> 16
        if call.al == 0x81:
            call.eax, call.ebx, call.ecx, call.edx = low, high, low, high
        else:
            call.ax, call.bx, call.cx, call.dx = low, high, low, high
        call.carry = False
    else:
        _fail(call)


def _e820(bios: Bios, call: Call) -> None:
    ranges, index = bios.config.memory_map(), call.ebx
    if call.edx != _SMAP or call.ecx < 20 or index >= len(ranges):
        _fail(call)
        return
    start, size, kind = ranges[index]
    call.write(call.linear(ES, call.di), struct.pack("<QQI", start, size, kind))
    call.ebx = index + 1 if index + 1 < len(ranges) else 0
    call.eax, call.ecx, call.carry = _SMAP, 20, False


@service(0x87)
def move_block(bios: Bios, call: Call) -> None:
    """Copy CX words between the segments that the third and fourth descriptor at ES:SI name."""
    size, physical = 2 * call.cx, bios.callbacks.physical
    table = call.read(call.linear(ES, call.si), 0x20)
    places = []
    for at in (0x10, 0x18):
        limit, low, middle, rights, _, high = struct.unpack_from("<HHBBBB", table, at)
        if not rights & 0x80 or (size and limit < size - 1):
            _fail(call, 2)
            return
        places.append(low | middle << 16 | high << 24)
    source, target = places
    if call.cx > 0x8000:
        _fail(call, 2)
        return
    if _is_ram(physical, source, size):
        data = physical.read(source, size)
    else:
        data = bytes(physical.load(source + i, 8) for i in range(size))
    if _is_ram(physical, target, size):
        physical.write(target, data)
    else:
        for i, value in enumerate(data):
            physical.store(target + i, value, 8)
    call.ah, call.carry, call.zero = 0, False, True


def _is_ram(physical: Physical, start: int, size: int) -> bool:
    pages = range(start >> 12, (start + max(size, 1) - 1 >> 12) + 1)
    return all(physical.is_writable(page) for page in pages)


@service(0x24)
def gate_a20(bios: Bios, call: Call) -> None:
    """AL 0, 1: close, open; 2: AL: its state; 3: BX: how it can be done."""
    function = call.al
    if function > 3 or not bios.has_ports(0x92):
        _fail(call)
        return
    if function < 2:
        bios.out(0x92, bios.inp(0x92) & ~3 | function << 1)
    elif function == 2:
        call.al = bios.inp(0x92) >> 1 & 1
    else:
        call.bx = 3
    call.ah, call.carry = 0, False


@service(0x89)
def enter_protected(bios: Bios, call: Call) -> None:
    """Return in protected mode, with the tables at ES:SI and the interrupts at vectors BH, BL.

    The frame of the interrupt is taken off the stack: what follows the call is executed with the
    selectors 18h (DS), 20h (ES), 28h (SS), 30h (CS).
    """
    processor, cpu = bios.callbacks.processor, call.cpu
    place = call.linear(ES, call.si)
    table = call.read(place, 0x40)
    if bios.has_ports(0x92):
        bios.out(0x92, bios.inp(0x92) & ~1 | 2)
    for port, word, first in ((0x20, 4, call.bh), (0xA0, 2, call.bl)):
        for offset, value in ((0, 0x11), (1, first), (1, word), (1, 1), (1, 0xFF)):
            bios.out(port + offset, value)
    _, behind = call.caller
    call.sp += 6
    _load_table(call, "gdtr", table, 8)
    _load_table(call, "idtr", table, 0x10)
    cpu.eflags &= ~0x200
    control.write_cr(processor, 0, cpu.r32[control._CR[0]] | 1)
    for index, selector in ((DS, 0x18), (ES, 0x20), (segments.SS, 0x28), (segments.CS, 0x30)):
        limit, low, middle, rights, more, high = struct.unpack_from("<HHBBBB", table, selector)
        attr = rights << 8 | (more & 0xF0) << 16
        segments.set_segment(
            cpu, index, selector, low | middle << 16 | high << 24, limit | (more & 15) << 16, attr
        )
    cpu.eip = behind
    call.ah = 0
    processor.update_context()


def _load_table(call: Call, name: str, table: bytes, at: int) -> None:
    from translator.state import FIELDS

    limit, low, middle = struct.unpack_from("<HHB", table, at)
    call.cpu.r16[FIELDS[f"{name}_limit"].offset // 2] = limit
    call.cpu.r32[FIELDS[f"{name}_base"].offset // 4] = low | middle << 16 | table[at + 7] << 24


# -- time ------------------------------------------------------------------------------------------
@service(0x83)
def event_wait(bios: Bios, call: Call) -> None:
    """AL 0: set bit 7 of the byte at ES:BX after CX:DX µs; 1: forget it."""
    if call.al == 1:
        timer.end_wait(bios, call)
        call.carry = False
        return
    time = call.cx << 16 | call.dx
    if not timer.begin_wait(bios, call, time, call.es << 16 | call.bx):
        _fail(call, 0x83)
        return
    call.ah, call.carry = 0, False


@service(0x86)
def wait(bios: Bios, call: Call) -> Result | None:
    """Return CX:DX µs later."""
    now = bios.clock.now()
    if bios.deadline is None:
        time = call.cx << 16 | call.dx
        if not timer.begin_wait(bios, call, time, 0x40 << 16 | bda.WAIT_ACTIVE - 0x400):
            _fail(call, 0x83)
            return None
        bios.deadline = now + time * (SECOND // 1_000_000)
    if now < bios.deadline and call.load(bda.WAIT_ACTIVE, 8):
        return WAIT
    bios.deadline = None
    timer.end_wait(bios, call)
    call.ah, call.carry = 0, False
    return None


# -- the rest --------------------------------------------------------------------------------------
@service(0x4F)
def intercept(bios: Bios, call: Call) -> None:
    """Let INT 09h use the scan code."""
    call.carry = True


@service(0xC0)
def configuration(bios: Bios, call: Call) -> None:
    """ES:BX: what this machine is."""
    call.es, call.bx, call.ah, call.carry = SEGMENT, CONFIGURATION, 0, False


@service(0xC1)
def extended_data(bios: Bios, call: Call) -> None:
    """ES: segment of the extended BIOS data area."""
    call.es, call.carry = call.load(bda.EBDA, 16), False


@service(0x80, 0x81, 0x82, 0x85, 0x90, 0x91)
def hook(bios: Bios, call: Call) -> None:
    """Devices opened and closed, SysRq, busy and done: for operating systems to intercept."""
    call.ah, call.carry = 0, False


@service(0x84)
def joystick(bios: Bios, call: Call) -> None:
    """DX 0: AL: buttons; 1: AX to DX: positions; there is none."""
    _fail(call)


@service(0x53)
def power(bios: Bios, call: Call) -> None:
    """Serve APM."""
    from runtime.firmware.bios import apm

    apm.serve(bios, call)


@service(0xC2)
def mouse(bios: Bios, call: Call) -> None:
    """Serve the PS/2 mouse."""
    from runtime.firmware.bios import mouse as them

    them.serve(bios, call)
