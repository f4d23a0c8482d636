"""Privileged insns and what asks about the processor (SDM vol. 2)."""

from __future__ import annotations

from translator.builder import Builder
from translator.insn import Operand
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
