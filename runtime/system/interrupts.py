"""Interrupts and exceptions: how they reach the guest's handlers (SDM vol. 3, chapter 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system import descriptors, segments, stacks, tasks
from runtime.system.descriptors import (
    GP,
    INT16,
    INT32,
    NP,
    TASK_GATE,
    TRAP16,
    TRAP32,
    TS_FAULT,
    Descriptor,
    require,
)
from runtime.system.segments import CS, DS, ES, FS, GS, SS
from runtime.system.transfers import check_offset, enter
from translator import flags
from translator.faults import GuestFault
from translator.mode import Model
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.cpu import Cpu
    from runtime.system.processor import Processor

_REST = FIELDS["eflags_rest"].offset // 4
_IDTR_BASE, _IDTR_LIMIT = FIELDS["idtr_base"].offset // 4, FIELDS["idtr_limit"].offset // 2
_CR0, _CR2 = FIELDS["cr0"].offset // 4, FIELDS["cr2"].offset // 4
DOUBLE, _PF = 8, 14
_CONTRIBUTORY = frozenset({0, 10, 11, 12, 13})
_HAS_ERROR_CODE = frozenset({8, 10, 11, 12, 13, 14, 17})
# Exceptions whose saved EIP is that of the insn: RF is set in the saved EFLAGS, so that a
# breakpoint there does not come a second time (SDM vol. 3, 17.3.1.1).
FAULTS = frozenset({0, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 19})
_CLEARED_REAL = 1 << flags.IF | 1 << flags.TF | 1 << flags.AC
_CLEARED = 1 << flags.TF | 1 << flags.RF | tasks.NT | segments.EFLAGS_VM
_IN_IDT, EXTERNAL = 2, 1
_FULL = 0xFFFFFFFF


class Shutdown(Exception):  # noqa: N818 (the guest's event)
    """A fault while a double fault was delivered: the processor stops (SDM vol. 3, 6.15)."""


def deliver(
    p: Processor,
    vector: int,
    *,
    is_software: bool = False,
    is_external: bool = False,
    error: int | None = None,
) -> None:
    """Send control to the handler of a vector; GuestFault if that is impossible.

    *error* is pushed if given.  Of software interrupts gates are asked for their DPL; what is
    *is_external* is no exception, whatever its number.
    """
    with p.debug.watching_delivery(vector):
        if not p.cpu.r32[_CR0] & segments.CR0_PE:
            _deliver_real(p, vector)
        else:
            saves_rf = not is_software and not is_external and vector in FAULTS
            _deliver_protected(p, vector, is_software=is_software, error=error, saves_rf=saves_rf)


def deliver_fault(p: Processor, vector: int, error: int, address: int) -> None:
    """Deliver an exception, or what its delivery ends in: another one, a double fault, Shutdown."""
    while True:
        if vector == _PF:
            p.cpu.r32[_CR2] = address
        has_code = vector in _HAS_ERROR_CODE
        try:
            deliver(p, vector, error=error if has_code else None)
            return
        except GuestFault as second:
            vector, error, address = _combine(p, vector, second)


def _combine(p: Processor, first: int, second: GuestFault) -> tuple[int, int, int]:
    """Return the exception that follows from two: vector, error code, address (table 6-5)."""
    is_contributory = second.vector in _CONTRIBUTORY
    if second.vector == _PF:
        p.cpu.r32[_CR2] = second.address
    if first == DOUBLE and (is_contributory or second.vector == _PF):
        raise Shutdown from None
    doubles = first in _CONTRIBUTORY and is_contributory
    doubles |= first == _PF and (is_contributory or second.vector == _PF)
    if doubles:
        return DOUBLE, 0, 0
    return second.vector, second.error, second.address


# -- real mode -------------------------------------------------------------------------------------
def _deliver_real(p: Processor, vector: int) -> None:
    """Push FLAGS, CS and IP; go where the vector table says (SDM vol. 3, 21.1.4)."""
    cpu = p.cpu
    if 4 * vector + 3 > cpu.r16[_IDTR_LIMIT]:
        raise GuestFault(GP, error=0)
    entry = p.access.load(cpu.r32[_IDTR_BASE] + 4 * vector & _FULL, 32)
    _, base, _, _ = segments.segment(cpu, SS)
    top = cpu.esp & 0xFFFF
    for value in (flags_image(p), cpu.cs, cpu.eip & 0xFFFF):
        top = top - 2 & 0xFFFF
        push16(p, base, top, value)
    cpu.esp = cpu.esp & 0xFFFF0000 | top
    cpu.r32[_REST] &= ~_CLEARED_REAL
    descriptors.load_paragraph(cpu, CS, entry >> 16)
    cpu.eip = entry & 0xFFFF
    segments.update_context(cpu)


def push16(p: Processor, base: int, offset: int, value: int) -> None:
    """Write a word to the stack of real mode."""
    if offset == 0xFFFF:
        if p.model != Model.I8086:
            raise GuestFault(12 if p.model != Model.I286 else GP, error=0)
        p.access.store(base + offset & 0xFFFFF, value & 0xFF, 8)
        p.access.store(base & 0xFFFFF, value >> 8, 8)
        return
    address = base + offset
    p.access.store(address & (0xFFFFF if p.model == Model.I8086 else _FULL), value, 16)


def flags_image(p: Processor) -> int:
    """Return FLAGS as the model pushes it."""
    value = p.cpu.eflags & 0xFFFF
    if p.model == Model.I8086:
        return value & 0xFFF | 0xF002
    if p.model == Model.I286 and not p.cpu.r32[_CR0] & segments.CR0_PE:
        return value & 0xFFF | 2
    return value


# -- protected and virtual-8086 mode ---------------------------------------------------------------
def _gate(p: Processor, vector: int, *, is_software: bool, ext: int) -> Descriptor:
    """Read and check the gate of a vector (SDM vol. 2, INT n)."""
    cpu = p.cpu
    error = vector << 3 | _IN_IDT | ext
    if 8 * vector + 7 > cpu.r16[_IDTR_LIMIT]:
        raise GuestFault(GP, error=error)
    place = cpu.r32[_IDTR_BASE] + 8 * vector & _FULL
    low, high = p.access.load_system(place, 32), p.access.load_system(place + 4 & _FULL, 32)
    gate = Descriptor(vector << 3, low, high, place)
    if gate.kind not in (TASK_GATE, INT16, TRAP16, INT32, TRAP32):
        raise GuestFault(GP, error=error)
    if is_software and gate.dpl < segments.privilege(cpu):
        raise GuestFault(GP, error=error)
    if not gate.is_present:
        raise GuestFault(NP, error=error)
    return gate


def _deliver_protected(
    p: Processor, vector: int, *, is_software: bool, error: int | None, saves_rf: bool
) -> None:
    cpu, mem = p.cpu, p.access
    ext = 0 if is_software else EXTERNAL
    gate = _gate(p, vector, is_software=is_software, ext=ext)
    image = cpu.eflags | (1 << flags.RF if saves_rf else 0)
    if gate.kind == TASK_GATE:
        tasks.switch_through(cpu, mem, gate, tasks.INTERRUPT, cpu.eip, ext, image)
        if error is not None:
            tasks.push_error(cpu, mem, error, ext)
        return
    found = descriptors.fetch(cpu, mem, gate.target, GP, ext)
    cpl = segments.privilege(cpu)
    is_virtual = bool(cpu.r32[_REST] & segments.EFLAGS_VM)
    require(found.is_code and found.dpl <= cpl, GP, found.selector, ext)
    require(found.is_present, NP, found.selector, ext)
    size = 4 if gate.is_wide else 2
    code = [] if error is None else [error]
    saved = [image, cpu.cs, cpu.eip, *code]
    if not found.is_conforming and found.dpl < cpl:
        require(not is_virtual or found.dpl == 0, GP, found.selector, ext)
        selector, pointer = tasks.stack_of(cpu, mem, found.dpl, ext)
        ss = descriptors.check_stack(cpu, mem, selector, found.dpl, TS_FAULT, ext)
        stack = stacks.inner(mem, ss, pointer, descriptors.error_code(selector, ext))
        saved = [cpu.ss, cpu.esp, *saved]
        if is_virtual:
            saved = [cpu.gs, cpu.fs, cpu.ds, cpu.es, *saved]
        stack.reserve(len(saved), size)
        check_offset(found, gate.offset, ext)
        for value in saved:
            stack.push(value, size)
        ss = descriptors.mark_accessed(mem, ss)
        found = descriptors.mark_accessed(mem, found)
        _enter_handler(cpu, gate)
        descriptors.put(cpu, SS, ss)
        if stack.mask == _FULL:
            cpu.esp = pointer
        if is_virtual:
            for index in (ES, DS, FS, GS):
                descriptors.put_null(cpu, index)
        enter(cpu, mem, found, gate.offset, found.dpl)
    else:
        require(not is_virtual, GP, found.selector, ext)
        stack = stacks.current(cpu, mem, ext)
        stack.reserve(len(saved), size)
        check_offset(found, gate.offset, ext)
        for value in saved:
            stack.push(value, size)
        found = descriptors.mark_accessed(mem, found)
        _enter_handler(cpu, gate)
        enter(cpu, mem, found, gate.offset, cpl)
    stack.commit(cpu)


def _enter_handler(cpu: Cpu, gate: Descriptor) -> None:
    """Clear what flags a gate clears."""
    rest = cpu.r32[_REST] & ~_CLEARED
    if gate.kind in (INT16, INT32):
        rest &= ~(1 << flags.IF)
    cpu.r32[_REST] = rest
