"""Stack insns (SDM vol. 1, chapter 6). The stack pointer is always ESP: SS is a 32-bit segment."""

from __future__ import annotations

from translator.builder import Builder
from translator.insn import Imm, Operand
from translator.ir import Op, Value
from translator.semantics import insn
from translator.semantics.flagops import eflags, set_eflags

ESP, EBP = 4, 5


def push_value(b: Builder, value: Value) -> None:
    """Push a value of 16 or 32 bits."""
    top = b.reg(ESP) - value.width // 8
    b.store(top, value)
    b.set_reg(ESP, top)


def pop_value(b: Builder, width: int) -> Value:
    """Pop a value of *width* bits."""
    top = b.reg(ESP)
    value = b.load(top, width)
    b.set_reg(ESP, top + width // 8)
    return value


@insn("push")
def push(b: Builder, src: Value) -> None:
    """Push src; `push esp` pushes the old value."""
    push_value(b, src)


@insn("pop")
def pop(b: Builder, dst: Operand) -> None:
    """Pop into dst, whose address is computed with the new ESP."""
    b.write(dst, pop_value(b, b.width))


@insn("pusha")
def pusha(b: Builder) -> None:
    """Push all general registers, ESP as it was before."""
    top, size = b.reg(ESP), b.width // 8
    for i in range(8):
        b.store(top - size * (i + 1), b.reg(i, b.width))
    b.set_reg(ESP, top - size * 8)


@insn("popa")
def popa(b: Builder) -> None:
    """Pop all general registers but ESP."""
    top, size = b.reg(ESP), b.width // 8
    values = [b.load(top + size * i if i else top, b.width) for i in range(8)]
    for i, value in enumerate(reversed(values)):
        if i != ESP:
            b.set_reg(i, value)
    b.set_reg(ESP, top + size * 8)


@insn("pushf")
def pushf(b: Builder) -> None:
    """Push (E)FLAGS."""
    push_value(b, eflags(b).trunc(b.width))


@insn("popf")
def popf(b: Builder) -> None:
    """Pop (E)FLAGS; IF, IOPL and what user mode may not change stay."""
    set_eflags(b, pop_value(b, b.width))


@insn("enter")
def enter(b: Builder, size: Value, level: Imm) -> None:
    """Make a stack frame with copies of the *level* - 1 outer frame pointers."""
    step, depth = b.width // 8, (level.value or 0) & 31
    old, top = b.reg(EBP), b.reg(ESP)
    frame = top - step
    b.store(frame, old.trunc(b.width))
    top = frame
    for i in range(1, depth):
        top = frame - step * i
        b.store(top, b.load(old - step * i, b.width))
    if depth:
        top = frame - step * depth
        b.store(top, frame.trunc(b.width))
    b.set_reg(EBP, frame.trunc(b.width))
    top = top - size.zext(32)
    # The new top of stack is tried for writing, but not changed (SDM vol. 2, ENTER).
    zero = b.const(0, b.width)
    b.unit.emit(Op.CMPXCHG, b.width, top, zero, zero)
    b.set_reg(ESP, top)


@insn("leave")
def leave(b: Builder) -> None:
    """ESP ← EBP; pop EBP."""
    b.set_reg(ESP, b.reg(EBP))
    value = pop_value(b, b.width)
    b.set_reg(EBP, value)
