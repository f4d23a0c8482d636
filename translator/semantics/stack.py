"""Stack insns (SDM vol. 1, chapter 6); the mode says whether the stack pointer is SP or ESP."""

from __future__ import annotations

from translator.builder import ESP, Builder
from translator.insn import Imm, Operand, Reg
from translator.ir import Value
from translator.mode import Model
from translator.semantics import insn
from translator.semantics.flagops import eflags, set_eflags

EBP = 5


def push_value(b: Builder, value: Value) -> None:
    """Push a value of 16 or 32 bits."""
    top = b.sp() - value.width // 8
    b.store(b.stack(top), value)
    b.set_sp(top)


def pop_value(b: Builder, width: int) -> Value:
    """Pop a value of *width* bits."""
    top = b.sp()
    value = b.load(b.stack(top), width)
    b.set_sp(top + width // 8)
    return value


@insn("push")
def push(b: Builder, src: Value) -> None:
    """Push src; `push esp` pushes the old value, on the 8086 the new one."""
    (operand,) = b.insn.operands
    if b.mode.model == Model.I8086 and isinstance(operand, Reg) and operand.index == ESP:
        src = src - 2
    push_value(b, src)


@insn("pop")
def pop(b: Builder, dst: Operand) -> None:
    """Pop into dst, whose address is computed with the new ESP."""
    b.write(dst, pop_value(b, b.width))


@insn("pusha")
def pusha(b: Builder) -> None:
    """Push all general registers, ESP as it was before."""
    top, size = b.sp(), b.width // 8
    for i in range(8):
        b.store(b.stack(top - size * (i + 1)), b.reg(i, b.width))
    b.set_sp(top - size * 8)


@insn("popa")
def popa(b: Builder) -> None:
    """Pop all general registers but ESP."""
    top, size = b.sp(), b.width // 8
    values = [b.load(b.stack(top + size * i if i else top), b.width) for i in range(8)]
    for i, value in enumerate(reversed(values)):
        if i != ESP:
            b.set_reg(i, value)
    b.set_sp(top + size * 8)


@insn("pushf")
def pushf(b: Builder) -> None:
    """Push (E)FLAGS."""
    if b.mode.vm86:
        b.call("check_iopl", 0)
    push_value(b, eflags(b).trunc(b.width))


@insn("popf")
def popf(b: Builder) -> None:
    """Pop (E)FLAGS; what this privilege level may not change stays."""
    if b.mode.vm86:
        b.call("check_iopl", 0)
    set_eflags(b, pop_value(b, b.width))


@insn("enter")
def enter(b: Builder, size: Value, level: Imm) -> None:
    """Make a stack frame with copies of the *level* - 1 outer frame pointers."""
    step, depth = b.width // 8, (level.value or 0) & 31
    old, top = b.reg(EBP), b.sp()
    outer = old if b.mode.stack32 else old & 0xFFFF
    frame = top - step
    b.store(b.stack(frame), old.trunc(b.width))
    top = frame
    for i in range(1, depth):
        top = frame - step * i
        b.store(b.stack(top), b.load(b.stack(outer - step * i), b.width))
    if depth:
        top = frame - step * depth
        b.store(b.stack(top), frame.trunc(b.width))
    b.set_reg(EBP, frame.trunc(b.width))
    top = top - size.zext(32)
    # The new top of stack is tried for writing, but not changed (SDM vol. 2, ENTER).
    zero = b.const(0, b.width)
    b.cmpxchg(b.stack(top), zero, zero)
    b.set_sp(top)


@insn("leave")
def leave(b: Builder) -> None:
    """ESP ← EBP; pop EBP."""
    b.set_sp(b.reg(EBP) if b.mode.stack32 else b.reg(EBP, 16).zext(32))
    value = pop_value(b, b.width)
    b.set_reg(EBP, value)
