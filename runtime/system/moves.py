"""`rep movs` and `rep stos` in blocks where a device takes many bytes at once, as a display does.

What cannot go so (no such device, memory alone, a page that is not there, downwards) goes item by
item, with the faults that belong to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system.physical import PAGE
from runtime.system.streams import room, translate
from translator import flags
from translator.insn import Mem
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.cpu import Cpu
    from runtime.system.linear import Linear
    from runtime.system.physical import Physical
    from translator.insn import Insn

_EIP, _REST = FIELDS["eip"].offset // 4, FIELDS["eflags_rest"].offset // 4
_DF, _BUDGET = FIELDS["df"].offset // 4, FIELDS["budget"].offset // 8
_FULL = 0xFFFFFFFF
_EAX, _ECX, _ESI, _EDI = 0, 1, 6, 7


def repeat(cpu: Cpu, linear: Linear, insn: Insn) -> bool:
    """Execute iterations of a repeated insn; False if none could go so."""
    r32 = cpu.r32
    if r32[_DF] != 1 or insn.mode.wraps or r32[_REST] & 1 << flags.TF:
        return False
    target = insn.operands[0]
    assert isinstance(target, Mem)
    source = insn.operands[1]
    size, mask = target.width // 8, 0xFFFF if insn.addr_width == 16 else _FULL
    ends = [(target.seg, _EDI, True)]
    if isinstance(source, Mem):
        ends.append((source.seg, _ESI, False))
    moved = False
    while count := r32[_ECX] & mask:
        places, items = [], count
        for segment, register, is_written in ends:
            offset = r32[register] & mask
            place = translate(cpu, linear, segment, offset, size, write=is_written)
            if place is None:
                return moved
            fits = room(cpu, segment, offset, insn.mode.is_flat, write=is_written)
            fits = min(fits, PAGE - place % PAGE, mask + 1 - offset)
            items = min(items, fits // size)
            places.append(place)
        if not items:
            return moved
        physical, total = linear.physical, items * size
        if len(places) == 2:
            done = _move(physical, places[1], places[0], total)
        else:
            value = r32[_EAX].to_bytes(4, "little")[:size]
            done = _fill(physical, places[0], value * items)
        if not done:
            return moved
        moved = True
        for _, register, _ in ends:
            r32[register] = r32[register] & ~mask & _FULL | r32[register] + total & mask
        r32[_ECX] = r32[_ECX] & ~mask & _FULL | count - items
        cpu.r64[_BUDGET] = cpu.r64[_BUDGET] - items & 0xFFFFFFFFFFFFFFFF
    if moved:
        wraps = insn.mode.code32 or not insn.mode.is_real
        r32[_EIP] = r32[_EIP] + insn.length & (_FULL if wraps else 0xFFFF)
    return moved


def _fill(physical: Physical, target: int, data: bytes) -> bool:
    """Write to a device; False if it is none, or one that takes no blocks."""
    device = physical.device_at(target)
    if device is None or device.blocks is None:
        return False
    device.blocks.write(target, data)
    return True


def _move(physical: Physical, source: int, target: int, size: int) -> bool:
    """Move within a page between memory and a device, or within a device."""
    is_page = physical.is_ram(source >> 12), physical.is_writable(target >> 12)
    if all(is_page):
        return False
    if is_page[0]:
        return _fill(physical, target, bytes(physical.view[source : source + size]))
    device = physical.device_at(source)
    if device is None or device.blocks is None:
        return False
    if is_page[1]:
        physical.write(target, device.blocks.read(source, size))
        return True
    return device is physical.device_at(target) and device.blocks.move(source, target, size)
