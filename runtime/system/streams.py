"""`rep ins` and `rep outs` in blocks: many items at once between a data port and plain memory.

What cannot go so (no stream, a page that is not there, a device, one item) goes item by item, with
the faults that belong to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system import segments
from runtime.system.physical import PAGE, PAGE_SHIFT
from translator import flags
from translator.faults import GuestFault
from translator.insn import Mem
from translator.quick import paging as at
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.cpu import Cpu
    from runtime.system.linear import Linear
    from translator.insn import Insn

_EIP, _REST = FIELDS["eip"].offset // 4, FIELDS["eflags_rest"].offset // 4
_DF, _BUDGET = FIELDS["df"].offset // 4, FIELDS["budget"].offset // 8
_FULL = 0xFFFFFFFF
_ECX, _EDX, _ESI, _EDI = 1, 2, 6, 7


def repeat(cpu: Cpu, linear: Linear, insn: Insn) -> bool:
    """Execute iterations of a repeated insn; False if none could go so."""
    system = cpu.system
    assert system is not None
    r32 = cpu.r32
    if r32[_DF] != 1 or insn.mode.wraps or r32[_REST] & 1 << flags.TF:
        return False
    if insn.mode.cpl > r32[_REST] >> flags.IOPL & 3 or insn.mode.vm86:
        return False  # the task's map has to be asked
    is_in = insn.mnemonic == "ins"
    memory = insn.operands[0 if is_in else 1]
    assert isinstance(memory, Mem)
    size, mask = memory.width // 8, 0xFFFF if insn.addr_width == 16 else _FULL
    register, port = _EDI if is_in else _ESI, r32[_EDX] & 0xFFFF
    moved = False
    while count := r32[_ECX] & mask:
        offset = r32[register] & mask
        place = _place(cpu, linear, memory.seg, offset, size, write=is_in)
        if place is None:
            break
        items = min(count, (PAGE - place % PAGE) // size, (mask + 1 - offset) // size)
        items = min(items, room(cpu, memory.seg, offset, insn.mode.is_flat, write=is_in) // size)
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
        if not done:
            break
        moved = True
        r32[register] = r32[register] & ~mask & _FULL | offset + done * size & mask
        r32[_ECX] = r32[_ECX] & ~mask & _FULL | count - done
        cpu.r64[_BUDGET] = cpu.r64[_BUDGET] - done & 0xFFFFFFFFFFFFFFFF
        if done < items:
            break
    if moved and not r32[_ECX] & mask:
        wraps = insn.mode.code32 or not insn.mode.is_real
        r32[_EIP] = r32[_EIP] + insn.length & (_FULL if wraps else 0xFFFF)
    return moved


def room(cpu: Cpu, segment: int, offset: int, is_flat: bool, *, write: bool) -> int:
    """Return how many bytes of a segment may be accessed from an offset on."""
    if is_flat and segment < segments.FS:
        return 1 << 32
    low, span = segments.span(cpu, segment, write=write)
    return max(span - (offset - low & _FULL) + 1, 0)


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
