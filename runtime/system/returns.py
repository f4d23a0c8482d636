"""iret in protected mode: to the same or an outer level, to virtual-8086 mode, to the last task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system import segments, stacks, tasks
from runtime.system.descriptors import GP, Memory
from runtime.system.transfers import check_offset, check_return, enter, leave
from translator import flags
from translator.faults import GuestFault
from translator.mode import LATER_FLAGS
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.cpu import Cpu

_REST, _DR7 = FIELDS["eflags_rest"].offset // 4, FIELDS["dr7"].offset // 4
_ALWAYS = flags.ARITHMETIC | 1 << flags.DF | 1 << flags.TF | tasks.NT
_WIDE = 1 << flags.RF | 1 << flags.AC | 1 << 21  # ID
_RING0_WIDE = 3 << 19  # VIF, VIP
_VM, _RF = segments.EFLAGS_VM, 1 << flags.RF


def interrupt_return(cpu: Cpu, mem: Memory, next_eip: int, size: int) -> None:
    """Return from a handler by what is on the stack, in units of *size* bytes."""
    if cpu.r32[_REST] & tasks.NT:
        if cpu.system is None:
            raise GuestFault(GP)  # a 64-bit kernel has no tasks
        tasks.return_to_last(cpu, mem, next_eip)
        return
    cpl = segments.privilege(cpu)
    stack = stacks.current(cpu, mem)
    offset, selector, image = stack.pop_all(3, size)
    selector &= 0xFFFF
    if image & _VM and size == 4 and cpl == 0:
        _to_virtual(cpu, stack, offset, selector, image)
        return
    found = check_return(cpu, mem, selector, cpl)
    writable = _writable(cpu, cpl, size)
    if found.rpl > cpl:
        stack = leave(cpu, mem, found, offset, stack, size)
    else:
        check_offset(found, offset)
        enter(cpu, mem, found, offset, cpl)
    _set_flags(cpu, image, writable)
    stack.commit(cpu)


def _writable(cpu: Cpu, cpl: int, size: int) -> int:
    """Return the flags that a privilege level may change."""
    mask = _ALWAYS | (_WIDE if size == 4 else 0)
    if cpl <= cpu.r32[_REST] >> flags.IOPL & 3:
        mask |= 1 << flags.IF
    if cpl == 0:
        mask |= 3 << flags.IOPL | (_RING0_WIDE if size == 4 else 0)
    if cpu.system is not None:
        mask &= ~LATER_FLAGS.get(cpu.system.model, 0)
    return mask


def _set_flags(cpu: Cpu, image: int, writable: int) -> None:
    if not cpu.r32[_DR7] & 0xFF:
        image &= ~_RF  # nothing would ever see it, and nobody clear it
    cpu.eflags = cpu.eflags & ~writable | image & writable


def _to_virtual(cpu: Cpu, stack: stacks.Stack, offset: int, selector: int, image: int) -> None:
    """Return to virtual-8086 mode: ESP and five segment registers follow."""
    pointer, *selectors = stack.pop_all(6, 4)
    if offset > 0xFFFF:
        raise GuestFault(GP)
    _set_flags(cpu, image, _writable(cpu, 0, 4) | _VM)
    order = (segments.SS, segments.ES, segments.DS, segments.FS, segments.GS)
    segments.set_real_segment(cpu, segments.CS, selector)
    for index, number in zip(order, selectors, strict=True):
        segments.set_real_segment(cpu, index, number & 0xFFFF)
    cpu.esp, cpu.eip = pointer, offset
    segments.update_context(cpu)
