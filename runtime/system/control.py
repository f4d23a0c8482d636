"""Control, model-specific and debug registers; fast system calls (SDM vol. 3, 2.5; vol. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system import segments
from runtime.system.descriptors import GP
from runtime.system.segments import BIG, CODE, CS, MEMORY, PAGES, PRESENT, SS, WRITABLE
from translator import flags
from translator.faults import GuestFault
from translator.mode import Model
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.system.processor import Processor

_CR = {i: FIELDS[f"cr{i}"].offset // 4 for i in (0, 2, 3, 4)}
_REST = FIELDS["eflags_rest"].offset // 4
PE, ET, NW, CD, PG = 1, 1 << 4, 1 << 29, 1 << 30, 1 << 31
_CR0_KNOWN = 0xE005003F
# TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT: what CPUID announces, or what needs no announcing.
_CR4_KNOWN = 0x7FC
_CR4_SINCE = {Model.PENTIUM: 0x5F, Model.I486: 0}
SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP = 0x174, 0x175, 0x176
TSC, APIC_BASE, EFER = 0x10, 0x1B, 0xC0000080
EFER_NXE = 1 << 11
APIC_ENABLED = 1 << 11  # of APIC_BASE
# Registers that hold what is written to them: platform, microcode, misc. enable, PAT, MTRRs.
_RESET = {SYSENTER_CS: 0, SYSENTER_ESP: 0, SYSENTER_EIP: 0, APIC_BASE: 0xFEE00900, EFER: 0}
_RESET |= {0x17: 0, 0x8B: 0, 0x1A0: 1, 0x277: 0x0007040600070406, 0xFE: 0x508, 0x2FF: 0}
_RESET |= dict.fromkeys(range(0x200, 0x210), 0)
_RESET |= dict.fromkeys((0x250, 0x258, 0x259, *range(0x268, 0x270)), 0)
_READ_ONLY = frozenset({0xFE, 0x17})
_FULL = 0xFFFFFFFF
_FLAT = PRESENT | MEMORY | WRITABLE | segments.ACCESSED | BIG | PAGES


def reset_msrs() -> dict[int, int]:
    """Return the model-specific registers after reset."""
    return dict(_RESET)


def write_cr(p: Processor, index: int, value: int) -> None:
    """Write a control register; #GP(0) for what it cannot hold."""
    cpu = p.cpu
    old = cpu.r32[_CR[index]]
    if index == 0:
        if (value & PG and not value & PE) or (value & NW and not value & CD):
            raise GuestFault(GP)
        value = value & _CR0_KNOWN | ET
    elif index == 4 and value & ~(_CR4_SINCE.get(p.model, _CR4_KNOWN) | p.cr4_harmless):
        raise GuestFault(GP)
    p.change_cr(index, old, value)
    segments.update_context(cpu)


def read_msr(p: Processor, index: int) -> int:
    """Read a model-specific register; #GP(0) for one that is not there."""
    if index == TSC:
        return p.read_tsc()
    if index not in p.msrs:
        found = None if p.extras is None else p.extras.read_msr(index)
        if found is None:
            raise GuestFault(GP)
        return found
    return p.msrs[index]


def write_msr(p: Processor, index: int, value: int) -> None:
    """Write a model-specific register; #GP(0) for one that is not there, or reserved bits."""
    if index == TSC:
        p.write_tsc(value)
        return
    if p.extras is not None and p.extras.write_msr(index, value):
        return
    if index not in p.msrs or index in _READ_ONLY or (index == EFER and value & ~EFER_NXE):
        raise GuestFault(GP)
    p.msrs[index] = value & _FULL if index in (SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP) else value
    if index in (SYSENTER_CS, SYSENTER_ESP, SYSENTER_EIP):
        p.write_fast_call_registers()
    elif index == EFER:
        p.paging_changed()


def _flat(p: Processor, code: int, stack: int, level: int) -> None:
    """Load flat CS and SS of a privilege level, whatever the tables say."""
    attr = _FLAT | level << segments.DPL_SHIFT
    segments.set_segment(p.cpu, CS, code & 0xFFFC | level, 0, _FULL, attr | CODE)
    segments.set_segment(p.cpu, SS, stack & 0xFFFC | level, 0, _FULL, attr)


def sysenter(p: Processor) -> None:
    """Go to ring 0 as SYSENTER_CS, _ESP and _EIP say (SDM vol. 2, SYSENTER)."""
    selector = p.msrs[SYSENTER_CS] & 0xFFFF
    if not p.cpu.r32[_CR[0]] & PE or not selector & 0xFFFC:
        raise GuestFault(GP)
    p.cpu.r32[_REST] &= ~(segments.EFLAGS_VM | 1 << flags.IF)
    _flat(p, selector, selector + 8, 0)
    p.cpu.esp, p.cpu.eip = p.msrs[SYSENTER_ESP], p.msrs[SYSENTER_EIP]
    segments.update_context(p.cpu)


def sysexit(p: Processor) -> None:
    """Return to ring 3 at EDX with the stack at ECX (SDM vol. 2, SYSEXIT)."""
    selector = p.msrs[SYSENTER_CS] & 0xFFFF
    if not p.cpu.r32[_CR[0]] & PE or not selector & 0xFFFC:
        raise GuestFault(GP)
    _flat(p, selector + 16, selector + 24, 3)
    p.cpu.esp, p.cpu.eip = p.cpu.ecx, p.cpu.edx
    segments.update_context(p.cpu)
