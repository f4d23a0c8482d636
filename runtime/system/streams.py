"""`rep ins` and `rep outs` in blocks: many items at once between a data port and plain memory.

What cannot go so (no stream, a page that is not there, a device, one item) goes item by item, with
the faults that belong to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system import segments
from runtime.system.physical import PAGE, PAGE_SHIFT
from runtime.system.repetition import Repetition, goes_in_blocks, goes_up
from translator import flags
from translator.faults import GuestFault
from translator.insn import Mem
from translator.quick import paging as at
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.cpu import Cpu
    from runtime.system.linear import Linear
    from translator.insn import Insn

_REST = FIELDS["eflags_rest"].offset // 4
_FULL = 0xFFFFFFFF
_EDX, _ESI, _EDI = 2, 6, 7


def repeat(cpu: Cpu, linear: Linear, insn: Insn) -> bool:
    """Execute iterations of a repeated insn; False if none could go so."""
    system = cpu.system
    assert system is not None
    r32 = cpu.r32
    if not (goes_in_blocks(cpu, insn) and goes_up(cpu)):
        return False
    if insn.mode.cpl > r32[_REST] >> flags.IOPL & 3 or insn.mode.vm86:
        return False  # the task's map has to be asked
    is_in = insn.mnemonic == "ins"
    memory = insn.operands[0 if is_in else 1]
    assert isinstance(memory, Mem)
    register, port = _EDI if is_in else _ESI, r32[_EDX] & 0xFFFF
    rep = Repetition(cpu, insn, memory, (register,))
    size = rep.size
    while count := rep.count:
        offset = rep.offset(register)
        place = _place(cpu, linear, memory.seg, offset, size, write=is_in)
        if place is None:
            break
        fits = room(cpu, memory.seg, offset, insn.mode.is_flat, write=is_in)
        items = min(count, min(fits, PAGE - place % PAGE, rep.mask + 1 - offset) // size)
        if not items:
            break
        if is_in:
            data = system.read_stream(port, size, items)
            done = len(data) // size
            if done:
                linear.physical.write(place, data[: done * size])
        else:
            data = bytes(linear.physical.view[place : place + items * size])
            done = system.write_stream(port, data, size) // size
        if done:
            rep.advance(done)
        if done < items:
            break
    return rep.end()


def room(cpu: Cpu, segment: int, offset: int, is_flat: bool, *, write: bool) -> int:
    """Return how many bytes of a segment may be accessed from an offset on."""
    if is_flat and segment < segments.FS:
        return 1 << 32
    low, span = segments.span(cpu, segment, write=write)
    return max(span - (offset - low & _FULL) + 1, 0)


def room_below(
    cpu: Cpu, segment: int, offset: int, size: int, is_flat: bool, *, write: bool
) -> int:
    """Return how many bytes may be accessed by items that end with the one at an offset."""
    if is_flat and segment < segments.FS:
        return 1 << 32
    low, span = segments.span(cpu, segment, write=write)
    distance = offset - low & _FULL
    return distance + size if distance + size <= span + 1 else 0


def translate(
    cpu: Cpu, linear: Linear, segment: int, offset: int, size: int, *, write: bool
) -> int | None:
    """Return the physical address of an item; None if no page is there, or it crosses two."""
    _, base, _, _ = segments.segment(cpu, segment)
    address = base + offset & _FULL
    if address % PAGE + size > PAGE:
        return None
    kind = at.A_MARK | (at.A_WRITE if write else 0) | (at.A_USER if linear.view else 0)
    try:
        frame = linear.walk(address, kind) >> 8
    except GuestFault:
        return None
    return frame << PAGE_SHIFT | address % PAGE


def _place(
    cpu: Cpu, linear: Linear, segment: int, offset: int, size: int, *, write: bool
) -> int | None:
    """Return the physical address of plain memory; None if there is none, or an item crosses."""
    place = translate(cpu, linear, segment, offset, size, write=write)
    if place is None:
        return None
    physical, frame = linear.physical, place >> PAGE_SHIFT
    is_plain = physical.is_writable(frame) if write else physical.is_ram(frame)
    return place if is_plain else None
