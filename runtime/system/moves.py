"""`rep movs` and `rep stos` in blocks where a device takes many bytes at once, as a display does.

What cannot go so (no such device, memory alone, a page that is not there, downwards) goes item by
item, with the faults that belong to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system.physical import PAGE
from runtime.system.repetition import Repetition, goes_in_blocks
from runtime.system.streams import room, translate
from translator.insn import Mem

if TYPE_CHECKING:
    from runtime.cpu import Cpu
    from runtime.system.linear import Linear
    from runtime.system.physical import Physical
    from translator.insn import Insn

_EAX, _ESI, _EDI = 0, 6, 7


def repeat(cpu: Cpu, linear: Linear, insn: Insn) -> bool:
    """Execute iterations of a repeated insn; False if none could go so."""
    if not goes_in_blocks(cpu, insn):
        return False
    target = insn.operands[0]
    assert isinstance(target, Mem)
    source = insn.operands[1]
    ends = [(target.seg, _EDI, True)]
    if isinstance(source, Mem):
        ends.append((source.seg, _ESI, False))
    rep = Repetition(cpu, insn, target, [register for _, register, _ in ends])
    size = rep.size
    while count := rep.count:
        places, items = [], count
        for segment, register, is_written in ends:
            offset = rep.offset(register)
            place = translate(cpu, linear, segment, offset, size, write=is_written)
            if place is None:
                return rep.end()
            fits = room(cpu, segment, offset, insn.mode.is_flat, write=is_written)
            fits = min(fits, PAGE - place % PAGE, rep.mask + 1 - offset)
            items = min(items, fits // size)
            places.append(place)
        if not items:
            break
        if len(places) == 2:
            done = _move(linear.physical, places[1], places[0], items * size)
        else:
            value = cpu.r32[_EAX].to_bytes(4, "little")[:size]
            done = _fill(linear.physical, places[0], value * items)
        if not done:
            break
        rep.advance(items)
    return rep.end()


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
