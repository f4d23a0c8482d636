"""INT 31h, function by function: descriptors, memory, interrupts, calls of real mode.

Source: DOS Protected Mode Interface (DPMI) Specification, version 0.9, DPMI Committee, 1990.
"""

from __future__ import annotations

import struct

from runtime.firmware.call import Call
from runtime.personalities.dos.dpmi import descriptors as at
from runtime.personalities.dos.dpmi.descriptors import Segment, decode
from runtime.personalities.dos.dpmi.services import (
    BAD_CALLBACK,
    BAD_HANDLE,
    BAD_SELECTOR,
    BAD_VALUE,
    NO_CALLBACKS,
    NO_DESCRIPTORS,
    NO_MEMORY,
    DpmiError,
    Services,
    service,
)
from runtime.personalities.dos.dpmi.switch import STRUCTURE
from runtime.personalities.dos.dpmi.switch import decode as decode_registers
from runtime.personalities.dos.dpmi.switch import encode as encode_registers
from runtime.personalities.dos.errors import DosError
from runtime.system.segments import DS, ES, FS, GS, SS, segment

_IF = 0x200
_DOS_NO_MEMORY = 8
_PAGE = 4096
_FIRST_MIB = 1 << 20


# -- descriptors -----------------------------------------------------------------------------------
@service(0x0000)
def allocate(s: Services, call: Call) -> None:
    """AX = first of CX new selectors."""
    selector = s.tables.allocate(call.cx) if call.cx else None
    if selector is None:
        raise DpmiError(NO_DESCRIPTORS)
    call.ax = selector


@service(0x0001)
def free(s: Services, call: Call) -> None:
    """Free the selector BX; segment registers that hold it become null."""
    s.get(call.bx)
    s.tables.free(call.bx)
    for index in (DS, ES, FS, GS):
        if segment(call.cpu, index)[0] & ~3 == call.bx & ~3:
            s.switch.set_protected(index, 0)


@service(0x0002)
def of_segment(s: Services, call: Call) -> None:
    """AX = selector of 64 KiB at the segment BX of real mode, always the same."""
    selector = s.aliases.get(call.bx)
    if selector is None:
        selector = s.new(Segment(call.bx << 4, 0xFFFF, at.DATA_ACCESS, 0))
        s.aliases[call.bx] = selector
    call.ax = selector


@service(0x0003)
def increment(s: Services, call: Call) -> None:
    """AX = distance between the selectors of an array."""
    call.ax = 8


@service(0x0006)
def get_base(s: Services, call: Call) -> None:
    """CX:DX = base of BX."""
    base = s.get(call.bx).base
    call.cx, call.dx = base >> 16, base & 0xFFFF


@service(0x0007)
def set_base(s: Services, call: Call) -> None:
    """Set the base of BX to CX:DX."""
    s.put(call, call.bx, s.get(call.bx)._replace(base=call.cx << 16 | call.dx))


@service(0x0008)
def set_limit(s: Services, call: Call) -> None:
    """Set the limit of BX to CX:DX; beyond 1 MiB it ends with a page."""
    limit = call.cx << 16 | call.dx
    if limit >= _FIRST_MIB and limit & 0xFFF != 0xFFF:
        raise DpmiError(BAD_VALUE)
    s.put(call, call.bx, s.get(call.bx)._replace(limit=limit))


@service(0x0009)
def set_rights(s: Services, call: Call) -> None:
    """Set the rights of BX: CL, and for 32-bit clients CH bits 4 to 7."""
    found = s.get(call.bx)
    _check_access(call.cl)
    flags = call.ch >> 4 & 7 if s.is_wide else found.flags
    s.put(call, call.bx, found._replace(access=call.cl, flags=flags))


def _check_access(access: int) -> None:
    """Allow segments of ring 3 only: others would let a client into the host."""
    if access & 0x70 != 0x70:
        raise DpmiError(BAD_VALUE)


@service(0x000A)
def alias(s: Services, call: Call) -> None:
    """AX = a data segment like the code segment BX."""
    found = s.get(call.bx)
    call.ax = s.new(found._replace(access=at.DATA_ACCESS))


@service(0x000B)
def get_descriptor(s: Services, call: Call) -> None:
    """Put the descriptor of BX to ES:(E)DI."""
    place = s.tables.place(call.bx)
    if place is None:
        raise DpmiError(BAD_SELECTOR)
    call.write(call.linear(ES, s.offset(call.edi)), s.memory.read(place, 8))


@service(0x000C)
def set_descriptor(s: Services, call: Call) -> None:
    """Take the descriptor of BX from ES:(E)DI."""
    s.get(call.bx)
    new = decode(call.read(call.linear(ES, s.offset(call.edi)), 8))
    if new.access & 0x80:
        _check_access(new.access)
    s.put(call, call.bx, new)


@service(0x000D)
def allocate_this(s: Services, call: Call) -> None:
    """Allocate the selector BX, one of the first sixteen."""
    index = call.bx >> 3
    if index >= 16 or not call.bx & 4 or s.tables.get(call.bx) not in (None, decode(bytes(8))):
        raise DpmiError(NO_DESCRIPTORS)
    s.tables.used[index] = 1
    s.tables.put(call.bx, Segment(0, 0, at.DATA_ACCESS, 0))


# -- DOS memory ------------------------------------------------------------------------------------
@service(0x0100)
def allocate_dos(s: Services, call: Call) -> None:
    """AX, DX = segment and selector of BX paragraphs; BX = the largest size if that fails."""
    arena = s.host.dos.arena
    paragraphs = call.bx
    try:
        start = arena.allocate(paragraphs, s.host.client)
    except DosError as error:
        call.bx = arena.largest()
        raise DpmiError(error.code) from None
    count = max(paragraphs + 0xFFF >> 12, 1)
    selector = s.tables.allocate(count)
    if selector is None:
        arena.free(start)
        raise DpmiError(NO_DESCRIPTORS)
    _describe_dos(s, selector, start, paragraphs, count)
    call.ax, call.dx = start, selector


def _describe_dos(s: Services, selector: int, start: int, paragraphs: int, count: int) -> None:
    size = paragraphs << 4
    for i in range(count):
        left = size - (i << 16)
        limit = max((size if s.is_wide and not i else min(left, 0x10000)) - 1, 0)
        s.tables.put(selector + 8 * i, Segment((start << 4) + (i << 16), limit, at.DATA_ACCESS, 0))
    s.dos_blocks[selector] = start, count


@service(0x0101)
def free_dos(s: Services, call: Call) -> None:
    """Free the block of selector DX."""
    found = s.dos_blocks.pop(call.dx, None)
    if found is None:
        raise DpmiError(BAD_SELECTOR)
    start, count = found
    for i in range(count):
        s.tables.free(call.dx + 8 * i)
    try:
        s.host.dos.arena.free(start)
    except DosError as error:
        raise DpmiError(error.code) from None


@service(0x0102)
def resize_dos(s: Services, call: Call) -> None:
    """Let the block of selector DX have BX paragraphs; BX = the largest size if that fails."""
    found = s.dos_blocks.get(call.dx)
    if found is None:
        raise DpmiError(BAD_SELECTOR)
    start, count = found
    if max(call.bx + 0xFFF >> 12, 1) > count:
        raise DpmiError(NO_DESCRIPTORS)
    try:
        got = s.host.dos.arena.resize(start, call.bx)
    except DosError as error:
        raise DpmiError(error.code) from None
    if got < call.bx:
        call.bx = got
        raise DpmiError(_DOS_NO_MEMORY)
    _describe_dos(s, call.dx, start, call.bx, count)


# -- interrupts ------------------------------------------------------------------------------------
@service(0x0200)
def get_real_vector(s: Services, call: Call) -> None:
    """CX:DX = real mode's vector BL."""
    hooked = s.host.real_hooks.get(call.bl)
    far = s.memory.u32(4 * call.bl)
    call.cx, call.dx = hooked or (far >> 16, far & 0xFFFF)


@service(0x0201)
def set_real_vector(s: Services, call: Call) -> None:
    """Set real mode's vector BL to CX:DX."""
    if call.bl in s.host.real_hooks:
        s.host.real_hooks[call.bl] = call.cx, call.dx
    else:
        s.memory.put32(4 * call.bl, call.cx << 16 | call.dx)


@service(0x0202)
def get_exception(s: Services, call: Call) -> None:
    """CX:(E)DX = handler of the exception BL."""
    if call.bl >= 0x20:
        raise DpmiError(BAD_VALUE)
    code = s.interrupts[0x31][0]
    default = s.host.fault_defaults.get(call.bl, s.host.fault_defaults[13])
    selector, offset = s.exceptions.get(call.bl, (code, default))
    _return_offset(s, call, selector, offset)


def _return_offset(s: Services, call: Call, selector: int, offset: int) -> None:
    call.cx = selector
    if s.is_wide:
        call.edx = offset
    else:
        call.dx = offset


@service(0x0203)
def set_exception(s: Services, call: Call) -> None:
    """Let CX:(E)DX handle the exception BL."""
    if call.bl >= 0x20:
        raise DpmiError(BAD_VALUE)
    found = call.cx, s.offset(call.edx)
    if found == (s.host.code, s.host.fault_defaults.get(call.bl)):
        s.exceptions.pop(call.bl, None)
    else:
        s.exceptions[call.bl] = found


@service(0x0204)
def get_interrupt(s: Services, call: Call) -> None:
    """CX:(E)DX = handler of the interrupt BL in protected mode."""
    _return_offset(s, call, *s.interrupts[call.bl])


@service(0x0205)
def set_interrupt(s: Services, call: Call) -> None:
    """Let CX:(E)DX handle the interrupt BL in protected mode."""
    found = call.cx, s.offset(call.edx)
    s.interrupts[call.bl] = found
    s.host.set_handler(call.bl, *found)


# -- calls of real mode ----------------------------------------------------------------------------
@service(0x0300, 0x0301, 0x0302)
def call_real(s: Services, call: Call) -> None:
    """Let real mode serve an interrupt (BL), or call a procedure that ends with retf or iret.

    Registers are in the structure at ES:(E)DI; CX words of the client's stack are its arguments.
    """
    place = call.linear(ES, s.offset(call.edi))
    registers = decode_registers(call.read(place, STRUCTURE))
    kind = call.ax
    if kind == 0x0300:
        hooked = s.host.real_hooks.get(call.bl)
        far = s.memory.u32(4 * call.bl)
        cs, ip = hooked or (far >> 16, far & 0xFFFF)
        registers = registers._replace(cs=cs, ip=ip)
    words = b""
    if call.cx:
        size = 0  # of the frame of this interrupt
        if call.has_frame:
            size = 12 if s.is_wide else 6
        mask = 0xFFFFFFFF if segment(call.cpu, SS)[3] & 1 << 22 else 0xFFFF
        words = call.read(call.linear(SS, call.esp + size & mask), 2 * call.cx)

    def back() -> None:
        left = s.switch.left
        assert left is not None
        kept = left._replace(
            reserved=registers.reserved,
            ip=registers.ip,
            cs=registers.cs,
            sp=registers.sp,
            ss=registers.ss,
        )
        call.write(place, encode_registers(kept))

    s.switch.call_real(registers, back, is_interrupt=kind != 0x0301, words=words)


@service(0x0303)
def allocate_callback(s: Services, call: Call) -> None:
    """CX:DX = address of real mode that calls DS:(E)SI with a structure at ES:(E)DI."""
    free_slot = next((i for i, held in enumerate(s.handlers) if held is None), None)
    if free_slot is None:
        raise DpmiError(NO_CALLBACKS)
    handler = call.ds, s.offset(call.esi), call.es, s.offset(call.edi)
    s.handlers[free_slot] = handler
    call.cx, call.dx = s.slots[free_slot]


@service(0x0304)
def free_callback(s: Services, call: Call) -> None:
    """Free the callback CX:DX."""
    place = call.cx, call.dx
    if place not in s.slots or s.handlers[s.slots.index(place)] is None:
        raise DpmiError(BAD_CALLBACK)
    s.handlers[s.slots.index(place)] = None


@service(0x0305)
def state_routines(s: Services, call: Call) -> None:
    """AX = 0: there is nothing to be saved; BX:CX, SI:(E)DI do nothing."""
    segment_, offset = s.host.nothing
    call.ax, call.bx, call.cx, call.si = 0, segment_, offset, s.host.code
    call.edi = offset


@service(0x0306)
def raw_switches(s: Services, call: Call) -> None:
    """BX:CX, SI:(E)DI = where to jump in order to switch to protected, to real mode."""
    call.bx, call.cx = s.host.to_protected
    call.si, call.edi = s.host.code, s.host.to_real[1]


# -- what there is ---------------------------------------------------------------------------------
@service(0x0400)
def version(s: Services, call: Call) -> None:
    """Tell version, processor and where interrupt requests come: 32 bits, no virtual memory."""
    call.ax, call.bx, call.cl, call.dx = 0x005A, 0x0001, 5, 0x0870


@service(0x0500)
def free_memory(s: Services, call: Call) -> None:
    """Put what memory there is to ES:(E)DI."""
    largest, total = s.pool.largest(), s.pool.total()
    pages = total // _PAGE
    words = [largest, largest // _PAGE, largest // _PAGE, s.pool.end // _PAGE, pages, pages]
    words += [s.pool.end // _PAGE, pages, 0]
    data = struct.pack("<9I", *words) + b"\xff" * 12
    call.write(call.linear(ES, s.offset(call.edi)), data)


@service(0x0501)
def allocate_memory(s: Services, call: Call) -> None:
    """BX:CX, SI:DI = linear address and handle of BX:CX bytes."""
    size = call.bx << 16 | call.cx
    start = s.pool.allocate(size) if size else None
    if start is None:
        raise DpmiError(NO_MEMORY if size else BAD_VALUE)
    s.blocks[start] = size
    _return_block(call, start)


def _return_block(call: Call, start: int) -> None:
    call.bx, call.cx = start >> 16, start & 0xFFFF
    call.si, call.di = start >> 16, start & 0xFFFF


@service(0x0502)
def free_block(s: Services, call: Call) -> None:
    """Free the block SI:DI."""
    start = call.si << 16 | call.di
    if start not in s.blocks:
        raise DpmiError(BAD_HANDLE)
    del s.blocks[start]
    s.pool.free(start)


@service(0x0503)
def resize_block(s: Services, call: Call) -> None:
    """Let the block SI:DI have BX:CX bytes; BX:CX, SI:DI = where it is then."""
    start, size = call.si << 16 | call.di, call.bx << 16 | call.cx
    if start not in s.blocks:
        raise DpmiError(BAD_HANDLE)
    if not size:
        raise DpmiError(BAD_VALUE)
    if not s.pool.resize(start, size):
        new = s.pool.allocate(size)
        if new is None:
            raise DpmiError(NO_MEMORY)
        s.memory.write(new, s.memory.read(start, min(size, s.blocks[start])))
        s.pool.free(start)
        del s.blocks[start]
        start = new
    s.blocks[start] = size
    _return_block(call, start)


@service(0x0600, 0x0601, 0x0602, 0x0603, 0x0702, 0x0703, 0x0801)
def nothing(s: Services, call: Call) -> None:
    """Pages are always there: nothing to lock, to unlock, to forget."""


@service(0x0604)
def page_size(s: Services, call: Call) -> None:
    """BX:CX = size of a page."""
    call.bx, call.cx = 0, _PAGE


@service(0x0800)
def map_physical(s: Services, call: Call) -> None:
    """BX:CX = linear address of the physical address BX:CX, above the first MiB: the same."""
    if call.bx << 16 | call.cx < _FIRST_MIB:
        raise DpmiError(BAD_VALUE)


@service(0x0900, 0x0901, 0x0902)
def interrupt_state(s: Services, call: Call) -> None:
    """AL = whether interrupts were on; turn them off (0900h) or on (0901h)."""
    kind, before = call.al, bool(call.flags & _IF)
    if kind < 2:
        call.flags = call.flags & ~_IF | (_IF if kind else 0)
    call.al = int(before)


@service(0x0E00)
def coprocessor(s: Services, call: Call) -> None:
    """AX = there is one, the client may use it; of an 80486 or later."""
    call.ax = 0x4D


@service(0x0E01)
def set_emulation(s: Services, call: Call) -> None:
    """Let the client use the coprocessor: it always may."""
