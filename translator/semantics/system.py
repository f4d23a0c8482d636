"""Privileged insns and what asks about the processor (SDM vol. 2)."""

from __future__ import annotations

from translator.builder import Builder
from translator.insn import Mem, Operand, Reg
from translator.semantics import insn


@insn("privileged", "toolong")
def privileged(b: Builder) -> None:
    """#GP in user mode; insns longer than 15 bytes too."""
    b.trap("#GP")


@insn("ioport")
def ioport(b: Builder, port: Operand) -> None:
    """#GP in user mode: the task has no I/O ports."""
    b.trap("#GP")


@insn("cpuid")
def cpuid(b: Builder) -> None:
    """EAX EBX ECX EDX ← facts of leaf EAX, subleaf ECX."""
    answer = b.call("cpuid", 128, b.reg("eax"), b.reg("ecx"))
    for i, register in enumerate(("eax", "ebx", "ecx", "edx")):
        b.set_reg(register, answer.bits(32 * i, 32))


@insn("rdtsc")
def rdtsc(b: Builder) -> None:
    """EDX:EAX ← time stamp counter."""
    stamp = b.call("rdtsc", 64)
    b.set_reg("eax", stamp.trunc(32))
    b.set_reg("edx", stamp.bits(32, 32))


# -- system registers: the constants that Linux shows user mode where CR4.UMIP hides them ---------
GDT_BASE, IDT_BASE = 0xFFFE0000, 0xFFFF0000
CR0, TASK_SELECTOR, LDT_SELECTOR = 0x80050033, 0x40, 0


def _table(b: Builder, dst: Mem, base: int) -> None:
    """Store limit 0 and a base; the kernel does, so the runtime does."""
    _store(b, dst, base << 16, 6)


def _store(b: Builder, dst: Mem, number: int, size: int) -> None:
    b.call("store_emulated", 0, b.operand_address(dst), b.const(number, 48), b.const(size, 8))


@insn("sgdt")
def sgdt(b: Builder, dst: Mem) -> None:
    """Dst ← limit and base of the GDT."""
    _table(b, dst, GDT_BASE)


@insn("sidt")
def sidt(b: Builder, dst: Mem) -> None:
    """Dst ← limit and base of the IDT."""
    _table(b, dst, IDT_BASE)


def _word(b: Builder, dst: Operand, number: int) -> None:
    """Write a number at operand size to a register, its low 16 bits to memory."""
    if isinstance(dst, Mem):
        _store(b, dst, number & 0xFFFF, 2)
    else:
        assert isinstance(dst, Reg)
        b.write(dst, b.const(number, dst.width))


@insn("smsw")
def smsw(b: Builder, dst: Operand) -> None:
    """Dst ← CR0."""
    _word(b, dst, CR0)


@insn("sldt")
def sldt(b: Builder, dst: Operand) -> None:
    """Dst ← LDT selector."""
    _word(b, dst, LDT_SELECTOR)


@insn("str")
def str_(b: Builder, dst: Operand) -> None:
    """Dst ← task selector."""
    _word(b, dst, TASK_SELECTOR)
