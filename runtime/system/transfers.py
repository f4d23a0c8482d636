"""Far jumps, calls and returns in protected mode (SDM vol. 2: JMP, CALL, RET; vol. 3, 5.8).

Each function either changes EIP, CS and what else belongs to it, or raises GuestFault and nothing
has changed but memory.  Code continues at `cpu.eip`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system import descriptors, segments, stacks, tasks
from runtime.system.descriptors import (
    CALL16,
    CALL32,
    GP,
    NP,
    TASK_GATE,
    TS_FAULT,
    TSS16,
    TSS32,
    Descriptor,
    Memory,
    require,
)
from runtime.system.segments import CS, DS, ES, FS, GS, SS
from translator.faults import GuestFault

if TYPE_CHECKING:
    from runtime.cpu import Cpu

_FULL = 0xFFFFFFFF


def check_code(found: Descriptor, cpl: int) -> None:
    """Check a code segment that a jump or call names directly."""
    require(found.is_code, GP, found.selector)
    if found.is_conforming:
        require(found.dpl <= cpl, GP, found.selector)
    else:
        require(found.rpl <= cpl and found.dpl == cpl, GP, found.selector)
    require(found.is_present, NP, found.selector)


def check_offset(found: Descriptor, offset: int, ext: int = 0) -> None:
    """Fault with #GP(0) where an offset lies beyond a code segment."""
    if offset > found.limit:
        raise GuestFault(GP, error=ext)


def enter(cpu: Cpu, mem: Memory, found: Descriptor, offset: int, cpl: int) -> None:
    """Load CS and EIP with what was checked."""
    descriptors.put(cpu, CS, descriptors.mark_accessed(mem, found), cpl)
    cpu.eip = offset
    segments.update_context(cpu)


def _check_gate(gate: Descriptor, cpl: int) -> None:
    require(gate.dpl >= max(cpl, gate.rpl), GP, gate.selector)
    require(gate.is_present, NP, gate.selector)


def _task(cpu: Cpu, mem: Memory, found: Descriptor, cpl: int, next_eip: int, why: str) -> None:
    """Switch to the task of a task gate or a task state."""
    if found.kind == TASK_GATE:
        _check_gate(found, cpl)
        tasks.switch_through(cpu, mem, found, why, next_eip)
        return
    require(found.dpl >= max(cpl, found.rpl) and not found.selector & 4, GP, found.selector)
    require(found.is_present, NP, found.selector)
    tasks.switch(cpu, mem, found, why, next_eip)


def far_jump(cpu: Cpu, mem: Memory, selector: int, offset: int, next_eip: int) -> None:
    """Go to selector:offset, which may name a gate or a task."""
    cpl = segments.privilege(cpu)
    found = descriptors.fetch(cpu, mem, selector)
    if found.kind in (CALL16, CALL32):
        _check_gate(found, cpl)
        offset = found.offset
        found = descriptors.fetch(cpu, mem, found.target)
        require(found.is_code, GP, found.selector)
        suits = found.dpl <= cpl if found.is_conforming else found.dpl == cpl
        require(suits, GP, found.selector)
        require(found.is_present, NP, found.selector)
    elif found.kind in (TASK_GATE, TSS16, TSS32):
        _task(cpu, mem, found, cpl, next_eip, tasks.JUMP)
        return
    else:
        check_code(found, cpl)
    check_offset(found, offset)
    enter(cpu, mem, found, offset, cpl)


def far_call(cpu: Cpu, mem: Memory, selector: int, offset: int, back: int, size: int) -> None:
    """Push CS and *back*, at *size* bytes each, and go to selector:offset."""
    cpl = segments.privilege(cpu)
    found = descriptors.fetch(cpu, mem, selector)
    if found.kind in (CALL16, CALL32):
        _call_gate(cpu, mem, found, back, cpl)
        return
    if found.kind in (TASK_GATE, TSS16, TSS32):
        _task(cpu, mem, found, cpl, back, tasks.CALL)
        return
    check_code(found, cpl)
    _call_same(cpu, mem, found, offset, back, size)


def _call_same(cpu: Cpu, mem: Memory, found: Descriptor, offset: int, back: int, size: int) -> None:
    """Call code at the same privilege level."""
    stack = stacks.current(cpu, mem)
    stack.reserve(2, size)
    check_offset(found, offset)
    stack.push(cpu.cs, size)
    stack.push(back, size)
    cpl = segments.privilege(cpu)
    enter(cpu, mem, found, offset, cpl)
    stack.commit(cpu)


def _call_gate(cpu: Cpu, mem: Memory, gate: Descriptor, back: int, cpl: int) -> None:
    _check_gate(gate, cpl)
    found = descriptors.fetch(cpu, mem, gate.target)
    require(found.is_code and found.dpl <= cpl, GP, found.selector)
    require(found.is_present, NP, found.selector)
    size = 4 if gate.is_wide else 2
    if found.is_conforming or found.dpl == cpl:
        _call_same(cpu, mem, found, gate.offset, back, size)
        return
    selector, pointer = tasks.stack_of(cpu, mem, found.dpl)
    ss = descriptors.check_stack(cpu, mem, selector, found.dpl, TS_FAULT)
    stack = stacks.inner(mem, ss, pointer, descriptors.error_code(selector))
    count = gate.high & 31
    stack.reserve(4 + count, size)
    check_offset(found, gate.offset)
    old = stacks.current(cpu, mem)
    stack.push(cpu.ss, size)
    stack.push(cpu.esp, size)
    for index in reversed(range(count)):
        stack.push(old.peek(index * size, size), size)
    stack.push(cpu.cs, size)
    stack.push(back, size)
    descriptors.put(cpu, SS, descriptors.mark_accessed(mem, ss))
    cpu.esp = pointer if stack.mask == _FULL else cpu.esp
    enter(cpu, mem, found, gate.offset, found.dpl)
    stack.commit(cpu)


# -- returns ---------------------------------------------------------------------------------------
def check_return(cpu: Cpu, mem: Memory, selector: int, cpl: int) -> Descriptor:
    """Check the code selector that ret or iret popped."""
    found = descriptors.fetch(cpu, mem, selector)
    require(found.is_code, GP, selector)
    rpl = selector & 3
    require(rpl >= cpl, GP, selector)
    require(found.dpl <= rpl if found.is_conforming else found.dpl == rpl, GP, selector)
    require(found.is_present, NP, selector)
    return found


def leave(
    cpu: Cpu, mem: Memory, found: Descriptor, offset: int, stack: stacks.Stack, size: int
) -> stacks.Stack:
    """Return to an outer level, whose ESP and SS come next on the stack; return its stack."""
    rpl = found.rpl
    pointer, selector = stack.pop_all(2, size)
    selector &= 0xFFFF
    ss = descriptors.check_stack(cpu, mem, selector, rpl)
    check_offset(found, offset)
    outer = stacks.Stack(mem, ss.base, ss.limit, ss.attr, pointer)
    ss = descriptors.mark_accessed(mem, ss)
    found = descriptors.mark_accessed(mem, found)
    descriptors.put(cpu, SS, ss)
    # Of a wide pointer all is loaded, of a narrow one as much as the stack uses.
    cpu.esp = pointer if size == 4 else cpu.esp & ~0xFFFF | pointer
    enter(cpu, mem, found, offset, rpl)
    for index in (ES, FS, GS, DS):
        _drop_inner(cpu, index, rpl)
    segments.update_context(cpu)
    return outer


def _drop_inner(cpu: Cpu, index: int, cpl: int) -> None:
    """Make a segment register null that the outer level may not use."""
    _, _, _, attr = segments.segment(cpu, index)
    is_conforming = attr & segments.CODE and attr & segments.CONFORMING
    if attr >> segments.DPL_SHIFT & 3 < cpl and not is_conforming:
        descriptors.put_null(cpu, index)


def far_return(cpu: Cpu, mem: Memory, release: int, size: int) -> None:
    """Pop EIP and CS of *size* bytes, drop *release* bytes."""
    cpl = segments.privilege(cpu)
    stack = stacks.current(cpu, mem)
    offset, selector = stack.pop_all(2, size)
    selector &= 0xFFFF
    found = check_return(cpu, mem, selector, cpl)
    stack.release(release)
    if found.rpl > cpl:
        stack = leave(cpu, mem, found, offset, stack, size)
        stack.release(release)
        stack.commit(cpu)
        return
    check_offset(found, offset)
    enter(cpu, mem, found, offset, cpl)
    stack.commit(cpu)
