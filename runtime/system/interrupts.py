"""Interrupts and exceptions: how they reach the guest's handlers (SDM vol. 3, chapter 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system import segments
from runtime.system.segments import CS, SS
from translator import flags
from translator.faults import GuestFault
from translator.mode import Model
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.system.processor import Processor

_REST = FIELDS["eflags_rest"].offset // 4
_IDTR_BASE, _IDTR_LIMIT = FIELDS["idtr_base"].offset // 4, FIELDS["idtr_limit"].offset // 2
_CR0, _CR2 = FIELDS["cr0"].offset // 4, FIELDS["cr2"].offset // 4
_PF, _GP, _DOUBLE = 14, 13, 8
_CLEARED = 1 << flags.IF | 1 << flags.TF | 1 << flags.AC


class Shutdown(Exception):  # noqa: N818 (the guest's event)
    """A fault while a double fault was delivered: the processor stops (SDM vol. 3, 6.15)."""


def deliver(p: Processor, vector: int, *, is_software: bool = False, error: int = -1) -> None:
    """Send control to the handler of a vector; GuestFault if that is impossible.

    *error* is pushed unless it is -1.
    """
    if not p.cpu.r32[_CR0] & segments.CR0_PE:
        _deliver_real(p, vector)
        return
    raise NotImplementedError("protected mode")


def deliver_fault(p: Processor, vector: int, error: int, address: int) -> None:
    """Deliver an exception, or the double fault that its delivery ends in."""
    if vector == _PF:
        p.cpu.r32[_CR2] = address
    try:
        deliver(p, vector, error=error)
    except GuestFault:
        try:
            deliver(p, _DOUBLE, error=0)
        except GuestFault:
            raise Shutdown from None


def _deliver_real(p: Processor, vector: int) -> None:
    """Push FLAGS, CS and IP; go where the vector table says (SDM vol. 3, 21.1.4)."""
    cpu = p.cpu
    if 4 * vector + 3 > cpu.r16[_IDTR_LIMIT]:
        raise GuestFault(_GP, error=0)
    entry = p.access.load(cpu.r32[_IDTR_BASE] + 4 * vector & 0xFFFFFFFF, 32)
    _, base, _, _ = segments.segment(cpu, SS)
    top = cpu.esp & 0xFFFF
    for value in (flags_image(p), cpu.cs, cpu.eip & 0xFFFF):
        top = top - 2 & 0xFFFF
        push16(p, base, top, value)
    cpu.esp = cpu.esp & 0xFFFF0000 | top
    cpu.r32[_REST] &= ~_CLEARED
    segments.set_segment(cpu, CS, entry >> 16, entry >> 16 << 4, 0xFFFF, segments.REAL_ATTR)
    cpu.eip = entry & 0xFFFF
    p.update_context()


def push16(p: Processor, base: int, offset: int, value: int) -> None:
    """Write a word to the stack of real mode."""
    if offset == 0xFFFF:
        if p.model != Model.I8086:
            raise GuestFault(12 if p.model != Model.I286 else _GP, error=0)
        p.access.store(base + offset & 0xFFFFF, value & 0xFF, 8)
        p.access.store(base & 0xFFFFF, value >> 8, 8)
        return
    address = base + offset
    p.access.store(address & (0xFFFFF if p.model == Model.I8086 else 0xFFFFFFFF), value, 16)


def flags_image(p: Processor) -> int:
    """Return FLAGS as the model pushes it."""
    value = p.cpu.eflags & 0xFFFF
    if p.model == Model.I8086:
        return value & 0xFFF | 0xF002
    if p.model == Model.I286 and not p.cpu.r32[_CR0] & segments.CR0_PE:
        return value & 0xFFF | 2
    return value
