"""Jumps, calls, returns, interrupts (SDM vol. 1, 7.3.8)."""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.insn import Imm, Mem, Operand
from translator.ir import Leave, Value
from translator.semantics import insn
from translator.semantics.flagops import set_eflags
from translator.semantics.stack import ESP, pop_value, push_value
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
    push_value(b, b.slot("next").trunc(b.width))
    b.link("target")


@insn("calli")
def calli(b: Builder, target: Value) -> None:
    """Push the next EIP; EIP ← target, a register or memory."""
    push_value(b, b.slot("next").trunc(b.width))
    b.jump(target.zext(32))


@insn("ret")
def ret(b: Builder) -> None:
    """Pop EIP."""
    b.jump(pop_value(b, b.width).zext(32), is_return=True)


@insn("retn")
def retn(b: Builder, size: Value) -> None:
    """Pop EIP, then release *size* bytes of arguments."""
    target = pop_value(b, b.width)
    b.set_reg(ESP, b.reg(ESP) + size.zext(32))
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


# -- far: flat code selectors only ---------------------------------------------------------------
def _far(b: Builder, selector: Value, target: Value, *, is_return: bool = False) -> None:
    """CS ← selector, checked by the runtime; EIP ← target."""
    b.call("load_cs", 0, selector.zext(32))
    b.jump(target.zext(32), is_return)


def _far_call(b: Builder, selector: Value, target: Value) -> None:
    # The selector is checked before anything is pushed.
    old = b.get("cs")
    b.call("check_cs", 0, selector.zext(32))
    push_value(b, old.zext(32).trunc(b.width))
    push_value(b, b.slot("next").trunc(b.width))
    _far(b, selector, target)


def _far_pointer(b: Builder, pointer: Mem) -> tuple[Value, Value]:
    """Read selector and offset of a far pointer in memory."""
    place = b.address(pointer)
    offset = b.load(b.linear(pointer.seg, place), b.width)
    return b.load(b.linear(pointer.seg, place + b.width // 8), 16), offset


@insn("jmpf")
def jmpf(b: Builder, target: Value, selector: Value) -> None:
    """CS:EIP ← selector:target."""
    _far(b, selector, target)


@insn("jmpfi")
def jmpfi(b: Builder, pointer: Mem) -> None:
    """CS:EIP ← far pointer."""
    _far(b, *_far_pointer(b, pointer))


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
    top, size = b.reg(ESP), b.width // 8
    values = [b.load(top + size * i if i else top, b.width) for i in reversed(range(count))]
    b.set_reg(ESP, top + size * count)
    return values[::-1]


@insn("retf")
def retf(b: Builder) -> None:
    """Pop EIP and CS."""
    target, selector = _pop_far(b, 2)
    _far(b, selector.trunc(16), target, is_return=True)


@insn("retfn")
def retfn(b: Builder, size: Value) -> None:
    """Pop EIP and CS, then release *size* bytes of arguments."""
    target, selector = _pop_far(b, 2)
    b.set_reg(ESP, b.reg(ESP) + size.zext(32))
    _far(b, selector.trunc(16), target, is_return=True)


@insn("iret")
def iret(b: Builder) -> None:
    """Pop EIP, CS and (E)FLAGS, within ring 3."""
    target, selector, bits = _pop_far(b, 3)
    set_eflags(b, bits)
    _far(b, selector.trunc(16), target, is_return=True)


# -- interrupts ----------------------------------------------------------------------------------
@insn("int")
def int_(b: Builder, vector: Imm) -> None:
    """System call for 80h, #BP for 3, #OF for 4; any other gate is not for user mode."""
    if vector.value == SYSTEM_CALL:
        b.unit.terminal = Leave(Exit.SYSCALL, "next")
    elif vector.value in (3, 4):
        b.trap("#BP" if vector.value == 3 else "#OF", after=True)
    else:
        b.call("no_gate", 0, b.const(vector.value or 0, 32))


@insn("int3")
def int3(b: Builder) -> None:
    """Breakpoint trap."""
    b.trap("#BP", after=True)


@insn("int1")
def int1(b: Builder) -> None:
    """Debug trap."""
    b.trap("#DB", after=True)


@insn("into")
def into(b: Builder) -> None:
    """Overflow trap if OF is 1."""
    b.exit_if(b.flag("of"), Leave(Exit.TRAP, "next", 4))


@insn("bound")
def bound(b: Builder, index: Value, limits: Mem) -> None:
    """#BR unless [limits] <= index <= [limits + operand size], signed."""
    place = b.address(limits)
    low = b.load(b.linear(limits.seg, place), b.width)
    b.fault_if(index.slt(low), "#BR")
    high = b.load(b.linear(limits.seg, place + b.width // 8), b.width)
    b.fault_if(high.slt(index), "#BR")
