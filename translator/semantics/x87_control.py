"""x87: stack pointer, tags, control and status words, environment (SDM vol. 1, 8.1)."""

from __future__ import annotations

from translator import helpers
from translator.builder import CS, Builder
from translator.insn import Mem, Operand
from translator.ir import Leave, Op, Value
from translator.semantics import Dst, insn
from translator.semantics.x87 import (
    INTO_CODE,
    FpStack,
    check,
    clear_c1,
    opcode,
    st_index,
    stack,
    wait,
)
from translator.semantics.x87_functions import X87_NATIVE
from translator.state import Exit

# (linear address, operand size)
ENVIRONMENT = {
    name: helpers.declare(name, (32, 8)) for name in ("fldenv", "fnstenv", "frstor", "fnsave")
}
IMAGE = {name: helpers.declare(name, (32,)) for name in ("fxsave", "fxrstor")}

_MASKS = 0x3F


@insn("esc")
def esc(b: Builder, src: Operand) -> None:
    """8086 without a coprocessor: nothing."""


@insn("fbld", "fbstp")
def fbld(b: Builder, operand: Mem) -> None:
    """Push packed decimal, or store ST(0) as packed decimal and pop."""
    if b.insn.mnemonic == "fbstp" and operand.seg == CS and b.mode.is_flat:
        b.call(INTO_CODE, 0, b.const(opcode(b), 16))
        return
    address = b.operand_address(operand)
    b.check(address, 10, write=b.insn.mnemonic == "fbstp")
    b.call(X87_NATIVE, 0, b.const(opcode(b), 16), address)


@insn("fincstp", "fdecstp")
def fincstp(b: Builder) -> None:
    """TOP ← TOP ± 1; C1 ← 0."""
    check(b)
    stack(b, 1 if b.insn.mnemonic == "fincstp" else -1)
    clear_c1(b)


@insn("ffree", "ffreep")
def ffree(b: Builder, dst: Operand) -> None:
    """Mark ST(i) empty; ffreep then pops. C1 ← 0."""
    check(b)
    clear_c1(b)
    if b.insn.mnemonic == "ffree":
        stack(b, 0, empty=1 << st_index(dst))
    else:
        stack(b, 1, empty=1 << st_index(dst) | 1)


@insn("fnop")
def fnop(b: Builder) -> None:
    """Nothing, but it waits."""
    check(b)


@insn("fwait")
def fwait(b: Builder) -> None:
    """Wait for pending exceptions."""
    wait(b)


@insn("fneni", "fndisi", "fnsetpm")
def fneni(b: Builder) -> None:
    """Nothing; of use to an 8087 or 80287 only."""


@insn("fldcw")
def fldcw(b: Builder, src: Mem) -> None:
    """FCW ← src."""
    address = b.operand_address(src)
    wait(b)
    word = b.load(address, 16) & 0x1F3F | 0x40
    # Unmasked exceptions are for the interp tier, which ignores this exit.
    b.exit_if((word & _MASKS).ne(_MASKS), Leave(Exit.INTERP, "pc"))
    status = b.get("fsw")
    pending = (status & ~word & _MASKS).ne(0)
    b.set("fsw", status & 0x7F | pending.select(b.const(0x8080, 16), 0))
    b.host("fldcw", 0, word)
    b.set("fcw", word)


@insn("fnstcw")
def fnstcw(b: Builder, dst: Dst) -> Value:
    """Dst ← FCW."""
    return b.get("fcw")


@insn("fnstsw")
def fnstsw(b: Builder, dst: Dst) -> Value:
    """Dst ← status word; the exceptions of host code are still in the host's own."""
    sticky = b.host("fnstsw", 16) & 0x7F
    conditions = (b.get("fcc") | b.get("fc1")).zext(16).shl(8)
    top = b.get("fpu").lshr(8).shl(11)
    return b.get("fsw") | sticky | conditions | top


@insn("fnclex")
def fnclex(b: Builder) -> None:
    """Clear the exception flags."""
    b.host("fnclex", 0)
    b.set("fsw", b.const(0, 16))


@insn("fninit")
def fninit(b: Builder) -> None:
    """Everything as after reset, but the registers keep their contents."""
    b.host("fnclex", 0)
    word = b.const(0x37F, 16)
    b.host("fldcw", 0, word)
    b.set("fcw", word)
    b.set("fsw", b.const(0, 16))
    b.set("fcc", b.const(0, 8))
    clear_c1(b)
    b.set("fpu_ip", b.const(0, 32))
    b.set("fpu_dp", b.const(0, 32))
    b.set("fpu_op", b.const(0, 16))
    b.unit.emit(Op.FPSTACK, 0, attr=FpStack(0, mode="empty"))


@insn("fldenv", "fnstenv", "frstor", "fnsave")
def environment(b: Builder, operand: Mem) -> None:
    """Load or store control words, tags and pointers, frstor and fnsave the registers too."""
    name = b.insn.mnemonic
    address = b.operand_address(operand)
    size = (14 if b.width == 16 else 28) + (80 if name in ("frstor", "fnsave") else 0)
    b.check(address, size, write=name in ("fnstenv", "fnsave"))
    b.align(address, b.width // 8)
    if name in ("fldenv", "frstor"):
        wait(b)
    else:
        b.helper_writes.append(address)
    b.call(ENVIRONMENT[name], 0, address, b.const(b.insn.width, 8))


@insn("fxsave", "fxrstor")
def fxsave(b: Builder, operand: Mem) -> None:
    """Store or load x87 and SSE state, 512 bytes, aligned to 16."""
    address = b.operand_address(operand)
    b.check(address, 512, write=b.insn.mnemonic == "fxsave")
    b.align(address, 4)  # so do today's processors, before they look at the 16 bytes
    b.fault_if((address & 15).ne(0), "#GP")
    if b.insn.mnemonic == "fxsave":
        b.helper_writes.append(address)
    b.call(IMAGE[b.insn.mnemonic], 0, address)
