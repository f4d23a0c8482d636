"""Jumps, calls, returns, interrupts (SDM vol. 1, 7.3.8)."""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.insn import Imm, Mem, Operand
from translator.ir import Jump, Leave, Value
from translator.mode import CONTEXT_MODE_SHIFT, Segments
from translator.semantics import insn
from translator.semantics.flagops import set_eflags
from translator.semantics.stack import pop_value, push_value
from translator.state import Exit

SYSTEM_CALL = 0x80


@insn("jmp")
def jmp(b: Builder, target: Operand) -> None:
    """EIP ← target."""
    b.link("target")


@insn("jmpi")
def jmpi(b: Builder, target: Value) -> None:
    """EIP ← target, a register or memory; 16 bits clear the high half."""
    b.jump(target.zext(32))


@insn("call")
def call(b: Builder, target: Operand) -> None:
    """Push the next EIP; EIP ← target."""
    b.target("target")
    push_value(b, b.slot("next").trunc(b.width))
    b.link("target")


@insn("calli")
def calli(b: Builder, target: Value) -> None:
    """Push the next EIP; EIP ← target, a register or memory."""
    offset = target.zext(32)
    b.target(offset)
    push_value(b, b.slot("next").trunc(b.width))
    b.jump(offset)


@insn("ret")
def ret(b: Builder) -> None:
    """Pop EIP."""
    b.jump(pop_value(b, b.width).zext(32), is_return=True)


@insn("retn")
def retn(b: Builder, size: Value) -> None:
    """Pop EIP, then release *size* bytes of arguments."""
    target = pop_value(b, b.width)
    b.set_sp(b.sp() + size.zext(32))
    b.jump(target.zext(32), is_return=True)


def _jcc(code: str) -> None:
    @insn("j" + code)
    def jcc(b: Builder, target: Operand) -> None:
        """EIP ← target if the condition holds."""
        b.branch(b.cond(code))


for _code in flags.CODES:
    _jcc(_code)


@insn("jcxz")
def jcxz(b: Builder, target: Operand) -> None:
    """EIP ← target if (E)CX = 0; the address size says which."""
    b.branch(b.reg(1, b.insn.addr_width).eq(0))


def _count_down(b: Builder) -> Value:
    """(E)CX ← (E)CX - 1; return whether it is not 0."""
    left = b.reg(1, b.insn.addr_width) - 1
    b.set_reg(1, left)
    return left.ne(0)


@insn("loop")
def loop(b: Builder, target: Operand) -> None:
    """Count down; EIP ← target if (E)CX is not 0."""
    b.branch(_count_down(b))


@insn("loope")
def loope(b: Builder, target: Operand) -> None:
    """Count down; EIP ← target if (E)CX is not 0 and ZF is 1."""
    b.branch(_count_down(b) & b.cond("e"))


@insn("loopne")
def loopne(b: Builder, target: Operand) -> None:
    """Count down; EIP ← target if (E)CX is not 0 and ZF is 0."""
    b.branch(_count_down(b) & b.cond("ne"))


# -- far -----------------------------------------------------------------------------------------
# Where segments are paragraphs, host code loads CS itself; everywhere else the runtime does, and
# continues where the helper "eip" says.
def load_cs(b: Builder, selector: Value, target: Value, *, is_return: bool = False) -> None:
    """CS ← selector, a paragraph; EIP ← target."""
    number = b.mode.number << CONTEXT_MODE_SHIFT
    b.set("cs", selector)
    b.set("cs_base", selector.zext(32).shl(4))
    b.set("context", selector.zext(64).shl(32) | number << 32)
    b.jump(target.zext(32), is_return)


def _is_paragraph(b: Builder) -> bool:
    return b.mode.is_real and b.mode.segments == Segments.REAL


def _far(b: Builder, selector: Value, target: Value, *, is_return: bool = False) -> None:
    """CS ← selector, a paragraph; EIP ← target."""
    if _is_paragraph(b):
        load_cs(b, selector, target, is_return=is_return)
        return
    b.call("load_paragraph", 0, selector.zext(32))
    b.jump(target.zext(32), is_return)


def _far_jump(b: Builder, selector: Value, target: Value) -> None:
    if not b.mode.is_real:
        b.call("far_jump", 0, selector.zext(32), target.zext(32), b.slot("next"))
        b.unit.terminal = Jump(b.call("eip", 32))
        return
    _far(b, selector, target)


def _far_call(b: Builder, selector: Value, target: Value) -> None:
    if not b.mode.is_real:
        width = b.const(b.width, 8)
        b.call("far_call", 0, selector.zext(32), target.zext(32), b.slot("next"), width)
        b.unit.terminal = Jump(b.call("eip", 32))
        return
    old = b.get("cs")
    offset = target.zext(32)
    b.target(offset)
    push_value(b, old.zext(32).trunc(b.width))
    push_value(b, b.slot("next").trunc(b.width))
    _far(b, selector, offset)


def _far_pointer(b: Builder, pointer: Mem) -> tuple[Value, Value]:
    """Read selector and offset of a far pointer in memory."""
    place = b.address(pointer)
    offset = b.load(b.linear(pointer.seg, place), b.width)
    return b.load(b.linear(pointer.seg, b.behind(pointer, place, b.width // 8)), 16), offset


@insn("jmpf")
def jmpf(b: Builder, target: Value, selector: Value) -> None:
    """CS:EIP ← selector:target."""
    _far_jump(b, selector, target)


@insn("jmpfi")
def jmpfi(b: Builder, pointer: Mem) -> None:
    """CS:EIP ← far pointer."""
    _far_jump(b, *_far_pointer(b, pointer))


@insn("callf")
def callf(b: Builder, target: Value, selector: Value) -> None:
    """Push CS and the next EIP; CS:EIP ← selector:target."""
    _far_call(b, selector, target)


@insn("callfi")
def callfi(b: Builder, pointer: Mem) -> None:
    """Push CS and the next EIP; CS:EIP ← far pointer."""
    _far_call(b, *_far_pointer(b, pointer))


def _pop_far(b: Builder, count: int) -> list[Value]:
    """Pop *count* values, the one that was pushed first being read first."""
    top, size = b.sp(), b.width // 8
    places = [top + size * i if i else top for i in range(count)]
    values = [b.load(b.stack(place), b.width) for place in reversed(places)]
    b.set_sp(top + size * count)
    return values[::-1]


def _system_return(b: Builder, name: str, argument: Value) -> None:
    """Let the runtime do it: privilege levels, tasks, virtual-8086 mode."""
    b.call(name, 0, argument.zext(32), b.const(b.width, 8))
    b.unit.terminal = Jump(b.call("eip", 32), is_return=True)


@insn("retf")
def retf(b: Builder) -> None:
    """Pop EIP and CS."""
    if not b.mode.is_real:
        _system_return(b, "far_return", b.const(0, 32))
        return
    target, selector = _pop_far(b, 2)
    _far(b, selector.trunc(16), target, is_return=True)


@insn("retfn")
def retfn(b: Builder, size: Value) -> None:
    """Pop EIP and CS, then release *size* bytes of arguments."""
    if not b.mode.is_real:
        _system_return(b, "far_return", size)
        return
    target, selector = _pop_far(b, 2)
    b.set_sp(b.sp() + size.zext(32))
    _far(b, selector.trunc(16), target, is_return=True)


@insn("iret")
def iret(b: Builder) -> None:
    """Pop EIP, CS and (E)FLAGS."""
    if b.mode.vm86:
        b.call("check_iopl", 0)
    if not b.mode.is_real:
        _system_return(b, "interrupt_return", b.slot("next"))
        return
    target, selector, bits = _pop_far(b, 3)
    set_eflags(b, bits)
    _far(b, selector.trunc(16), target, is_return=True)


# -- interrupts ----------------------------------------------------------------------------------
@insn("int")
def int_(b: Builder, vector: Imm) -> None:
    """Interrupt. In user mode: system call for 80h, #BP for 3, #OF for 4, else #GP."""
    number = vector.value or 0
    if b.mode.vm86:
        b.call("check_iopl", 0)
    if b.mode.system:
        b.unit.terminal = Leave(Exit.INT, "next", number)
    elif number == SYSTEM_CALL:
        b.unit.terminal = Leave(Exit.SYSCALL, "next")
    elif number in (3, 4):
        b.trap("#BP" if number == 3 else "#OF", after=True)
    else:
        b.call("no_gate", 0, b.const(number, 32))


@insn("int3")
def int3(b: Builder) -> None:
    """Breakpoint trap."""
    if b.mode.system:
        b.unit.terminal = Leave(Exit.INT, "next", 3)
        return
    b.trap("#BP", after=True)


@insn("int1")
def int1(b: Builder) -> None:
    """Debug trap."""
    b.trap("#DB", after=True)


@insn("into")
def into(b: Builder) -> None:
    """Overflow trap if OF is 1."""
    b.exit_if(b.flag("of"), Leave(Exit.INT if b.mode.system else Exit.TRAP, "next", 4))


@insn("bound")
def bound(b: Builder, index: Value, limits: Mem) -> None:
    """#BR unless [limits] <= index <= [limits + operand size], signed."""
    place = b.address(limits)
    low = b.load(b.linear(limits.seg, place), b.width)
    b.fault_if(index.slt(low), "#BR")
    high = b.load(b.linear(limits.seg, b.behind(limits, place, b.width // 8)), b.width)
    b.fault_if(high.slt(index), "#BR")
