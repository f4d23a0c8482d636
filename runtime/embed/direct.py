"""Insns that native code serves with one call of a hook: interrupts, ports, device memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.embed import events
from runtime.embed.serving import Service
from translator.insn import Insn, Mem, Reg
from translator.mode import split_key
from translator.quick.accesses import READ, WRITE
from translator.shape import DISP, IMM, NEXT, Slots
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.embed.stepping import Stepping

_EDX = FIELDS["edx"].offset
_PORTS = frozenset(range(0xE4, 0xE8)) | frozenset(range(0xEC, 0xF0))
_MOVES = frozenset((0x88, 0x89, 0x8A, 0x8B, 0xA0, 0xA1, 0xA2, 0xA3))
_WIDTHS = (8, 16, 32)


def service(machine: Stepping, insn: Insn, slots: Slots) -> Service | None:
    """Return how native code alone serves an insn; None: it needs more."""
    vector = events.vector_of(insn)
    hooks = machine.hooks.by_kind
    if vector is not None and len(hooks["interrupt"]) == 1 and not machine.delivery.on:
        hook = hooks["interrupt"][0]
        return Service([(hook.callback, (machine.owner, vector, hook.data))])
    key = split_key(insn.key)[1]
    key = key[1:] if key[:1] == b"\x66" else key
    opcode = key[0] if key else 0
    # Elsewhere than in ring 0 the processor has to be asked.
    if opcode in _PORTS and len(key) == 1 and not (insn.rep or insn.mode.cpl):
        return _port(machine, insn, opcode, slots)
    if opcode in _MOVES and not insn.rep and insn.mode.is_flat and insn.addr_width == 32:
        return _move(machine, insn, slots)
    return None


def _port(machine: Stepping, insn: Insn, opcode: int, slots: Slots) -> Service | None:
    is_out = bool(opcode & 2)
    hooks = machine.hooks.by_kind["out" if is_out else "in"]
    if len(hooks) != 1:
        return None
    hook, size = hooks[0], (2 if insn.width == 16 else 4) if opcode & 1 else 1
    arguments = (machine.owner, 0, size, *((0,) if is_out else ()), hook.data)
    return Service(
        [(hook.callback, arguments)],
        WRITE if is_out else READ,
        mask=(1 << 8 * size) - 1,
        base=_EDX if opcode & 8 else -1,
        disp=0 if opcode & 8 else slots[IMM] & 0xFF,
        last=0xFFFF,
        other=machine._server(insn, slots),
        after=slots[NEXT],
    )


def _move(machine: Stepping, insn: Insn, slots: Slots) -> Service | None:
    """Serve a move between a register and memory that is a device's now."""
    to, source = insn.operands
    is_write = isinstance(to, Mem)
    memory, register = (to, source) if is_write else (source, to)
    if not isinstance(memory, Mem) or not isinstance(register, Reg) or memory.seg >= 4:
        return None
    if register.width not in _WIDTHS or machine.hooks.by_kind["read_after"]:
        return None
    r32 = machine.cpu.r32
    base, index = (r32[n] if n >= 0 else 0 for n in (memory.base, memory.index))
    disp = slots[DISP] if memory.has_disp else 0
    scale = max(memory.scale, 1)
    place = base + index * scale + disp & 0xFFFFFFFF
    device = machine.space.device_pages.get(place >> 12)
    part = machine.space.part_at(place)
    if device is None or part is None or machine.access.is_watched or machine.access.linear:
        return None
    call, data = (device.write, device.write_data) if is_write else (device.read, device.read_data)
    if call is None:
        return None
    size = register.width // 8
    at = 4 * register.index
    if size == 1 and register.index >= 4:
        at = 4 * (register.index - 4) + 1
    arguments = (machine.owner, 0, size, *((0,) if is_write else ()), data)
    return Service(
        [(call, arguments)],
        WRITE if is_write else READ,
        mask=(1 << register.width) - 1,
        register=at,
        base=4 * memory.base if memory.base >= 0 else -1,
        index=4 * memory.index if memory.index >= 0 else -1,
        shift=scale.bit_length() - 1,
        disp=disp,
        first=part.start,
        last=min(part.end, 1 << 32) - size,
        origin=device.origin,
        other=machine._server(insn, slots),
        after=slots[NEXT],
    )
