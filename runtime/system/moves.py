"""`rep movs` and `rep stos` in blocks where a device takes many bytes at once, as a display does.

What cannot go so (no such device, memory alone, a page that is not there) goes item by item, with
the faults that belong to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system.physical import PAGE
from runtime.system.repetition import Repetition, goes_in_blocks
from runtime.system.streams import room, room_below, translate
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
    while count := rep.count:
        found = _places(cpu, linear, insn, rep, ends, count)
        if found is None or not found[1]:
            break
        places, items = found
        if len(places) == 2:
            physical, size = linear.physical, items * rep.size
            done = _move(physical, places[1], places[0], size, is_down=rep.is_down)
        else:
            value = cpu.r32[_EAX].to_bytes(4, "little")[: rep.size]
            done = _fill(linear.physical, places[0], value * items)
        if not done:
            break
        rep.advance(items)
    return rep.end()


def _places(
    cpu: Cpu,
    linear: Linear,
    insn: Insn,
    rep: Repetition,
    ends: list[tuple[int, int, bool]],
    count: int,
) -> tuple[list[int], int] | None:
    """Return the lowest physical address at each end, and how many items lie within pages."""
    tops, items, size, is_flat = [], count, rep.size, insn.mode.is_flat
    for segment, register, is_written in ends:
        offset = rep.offset(register)
        place = translate(cpu, linear, segment, offset, size, write=is_written)
        if place is None:
            return None
        if rep.is_down:
            fits = room_below(cpu, segment, offset, size, is_flat, write=is_written)
            fits = min(fits, place % PAGE + size, offset + size)
        else:
            fits = room(cpu, segment, offset, is_flat, write=is_written)
            fits = min(fits, PAGE - place % PAGE, rep.mask + 1 - offset)
        items = min(items, fits // size)
        tops.append(place)
    return [place - (items - 1) * size if rep.is_down else place for place in tops], items


def _fill(physical: Physical, target: int, data: bytes) -> bool:
    """Write to a device; False if it is none, or one that takes no blocks."""
    device = physical.device_at(target)
    if device is None or device.blocks is None:
        return False
    device.blocks.write(target, data)
    return True


def _move(physical: Physical, source: int, target: int, size: int, *, is_down: bool) -> bool:
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
        data = device.blocks.read(source, size)
        if is_down:  # what is read last is what a display's latches hold
            device.read(source, 1)
        physical.write(target, data)
        return True
    if device is not physical.device_at(target):
        return False
    return device.blocks.move(source, target, size, is_down)
