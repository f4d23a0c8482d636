"""Privileged insns and what asks about the processor (SDM vol. 2)."""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.insn import Mem, Operand, Reg, Special
from translator.ir import Jump, Leave, Value
from translator.mode import LINUX_CR0
from translator.semantics import Dst, insn
from translator.semantics.strings import EDI, ESI, advance
from translator.state import Exit

CR0_TS = 1 << 3


@insn("toolong")
def too_long(b: Builder) -> None:
    """#GP: no insn is longer than 15 bytes (80286: 10)."""
    b.trap("#GP")


def _is_allowed(b: Builder) -> bool:
    """Raise #GP outside ring 0, and where there is no machine around the program."""
    allowed = b.mode.system and b.mode.cpl == 0
    if not allowed:
        b.trap("#GP")
    return allowed


@insn("hlt")
def hlt(b: Builder) -> None:
    """Stop until an interrupt comes."""
    if _is_allowed(b):
        b.unit.terminal = Leave(Exit.HALT, "next")


def _interrupt_flag(b: Builder, value: int) -> None:
    if not b.mode.system:
        b.trap("#GP")
        return
    rest = b.get("eflags_rest")
    if b.mode.cpl:
        b.fault_if(rest.bits(flags.IOPL, 2).ult(b.const(b.mode.cpl, 2)), "#GP")
    bit = 1 << flags.IF
    if value:
        b.exit_if(b.get("attention").ne(0), Leave(Exit.INTERP, "pc"))
        b.set("shadow", b.slot("next"))
    b.set("eflags_rest", rest | bit if value else rest & ~bit)


@insn("cli")
def cli(b: Builder) -> None:
    """IF ← 0."""
    _interrupt_flag(b, 0)


@insn("sti")
def sti(b: Builder) -> None:
    """IF ← 1."""
    _interrupt_flag(b, 1)


# -- ports: the runtime checks IOPL and the task's bit map -----------------------------------------
def _port(b: Builder, port: Operand, width: int) -> tuple[Value, Value]:
    """Return the number of a port and the access's size, which the program is allowed."""
    number, size = b.read(port).zext(16), b.const(width // 8, 8)
    if b.mode.cpl:
        b.call("check_port", 0, number, size)
    return number, size


@insn("in")
def in_(b: Builder, dst: Operand, port: Operand) -> None:
    """Accumulator ← port."""
    assert isinstance(dst, Reg)
    b.write(dst, b.call("port_in", 32, *_port(b, port, dst.width)).trunc(dst.width))


@insn("out")
def out(b: Builder, port: Operand, src: Operand) -> None:
    """Port ← accumulator."""
    assert isinstance(src, Reg)
    number, size = _port(b, port, src.width)
    b.call("port_out", 0, number, b.read(src).zext(32), size)


@insn("ins", string=True)
def ins(b: Builder, dst: Dst, port: Operand) -> Value:
    """[ES:EDI] ← port."""
    assert isinstance(dst, Mem)
    number, size = _port(b, port, dst.width)
    place = b.operand_address(dst)
    b.check(place, dst.width // 8, write=True)
    value = b.call("port_in", 32, number, size).trunc(dst.width)
    advance(b, dst.width // 8, EDI)
    return value


@insn("outs", string=True)
def outs(b: Builder, port: Operand, src: Operand) -> None:
    """Port ← [ESI]."""
    assert isinstance(src, Mem)
    number, size = _port(b, port, src.width)
    b.call("port_out", 0, number, b.read(src).zext(32), size)
    advance(b, src.width // 8, ESI)


# -- system registers ------------------------------------------------------------------------------
def _load_table(b: Builder, src: Mem, name: str) -> None:
    if not _is_allowed(b):
        return
    address = b.address(src)
    limit = b.load(b.linear(src.seg, address), 16)
    base = b.load(b.linear(src.seg, b.behind(src, address, 2)), 32)
    b.set(f"{name}_limit", limit)
    # With 16-bit operands only 24 bits count (SDM vol. 2, LGDT).
    b.set(f"{name}_base", base & 0xFFFFFF if b.width == 16 else base)


@insn("lgdt")
def lgdt(b: Builder, src: Mem) -> None:
    """GDTR ← limit and base."""
    _load_table(b, src, "gdtr")


@insn("lidt")
def lidt(b: Builder, src: Mem) -> None:
    """IDTR ← limit and base."""
    _load_table(b, src, "idtr")


@insn("lldt", "ltr")
def lldt(b: Builder, src: Operand) -> None:
    """LDTR or TR ← selector."""
    if b.mode.is_real:
        b.trap("#UD")
    elif _is_allowed(b):
        b.call("load_" + b.insn.mnemonic.removeprefix("l"), 0, b.read(src).zext(32))


@insn("clts")
def clts(b: Builder) -> None:
    """CR0.TS ← 0."""
    if _is_allowed(b):
        b.call("write_cr", 0, b.const(0, 8), b.get("cr0") & ~CR0_TS)


@insn("lmsw")
def lmsw(b: Builder, src: Operand) -> None:
    """Low four bits of CR0 ← src; PE cannot be cleared."""
    if _is_allowed(b):
        old = b.get("cr0")
        b.call("write_cr", 0, b.const(0, 8), old & ~0xE | b.read(src).zext(32) & 0xF)


@insn("movcr")
def movcr(b: Builder, dst: Operand, src: Special) -> None:
    """Register ← control register."""
    if _is_allowed(b):
        b.write(dst, b.get(f"cr{src.index}"))


@insn("setcr")
def setcr(b: Builder, dst: Special, src: Operand) -> None:
    """Control register ← register."""
    if _is_allowed(b):
        b.call("write_cr", 0, b.const(dst.index, 8), b.read(src))


@insn("movdr")
def movdr(b: Builder, dst: Operand, src: Special) -> None:
    """Register ← debug register."""
    if _is_allowed(b):
        b.write(dst, b.call("read_dr", 32, b.const(src.index, 8)))


@insn("setdr")
def setdr(b: Builder, dst: Special, src: Operand) -> None:
    """Debug register ← register."""
    if _is_allowed(b):
        b.call("write_dr", 0, b.const(dst.index, 8), b.read(src))


@insn("invlpg")
def invlpg(b: Builder, page: Mem) -> None:
    """Forget the translation of a page."""
    if _is_allowed(b):
        b.call("invlpg", 0, b.operand_address(page))


@insn("invpcid")
def invpcid(b: Builder, kind: Value, descriptor: Mem) -> None:
    """#UD, as CPUID says; for a program under Linux, whose processor may have it, #GP."""
    b.trap("#UD" if b.mode.system else "#GP")


@insn("invd", "wbinvd")
def invd(b: Builder) -> None:
    """Forget the caches: nothing to do."""
    _is_allowed(b)


@insn("rdmsr")
def rdmsr(b: Builder) -> None:
    """EDX:EAX ← model-specific register ECX."""
    if _is_allowed(b):
        value = b.call("read_msr", 64, b.reg("ecx"))
        b.set_reg("eax", value.trunc(32))
        b.set_reg("edx", value.bits(32, 32))


@insn("wrmsr")
def wrmsr(b: Builder) -> None:
    """Model-specific register ECX ← EDX:EAX."""
    if _is_allowed(b):
        b.call("write_msr", 0, b.reg("ecx"), b.reg("edx").concat(b.reg("eax")))


@insn("rdpmc")
def rdpmc(b: Builder) -> None:
    """#GP: there are no performance counters."""
    b.trap("#GP")


@insn("sysenter")
def sysenter(b: Builder) -> None:
    """Go to ring 0 as the model-specific registers say."""
    if not b.mode.system:
        b.trap("#UD")
    elif not b.mode.protected:
        b.trap("#GP")
    else:
        b.call("sysenter", 0)
        b.unit.terminal = Jump(b.call("eip", 32))


@insn("sysexit")
def sysexit(b: Builder) -> None:
    """Return to ring 3 at EDX with the stack at ECX."""
    if _is_allowed(b):
        b.call("sysexit", 0)
        b.unit.terminal = Jump(b.call("eip", 32))


@insn("loadall")
def loadall(b: Builder) -> None:
    """All registers of an 80286 ← memory at 800h."""
    if _is_allowed(b):
        b.call("loadall", 0)
        b.unit.terminal = Jump(b.call("eip", 32))


@insn("cpuid")
def cpuid(b: Builder) -> None:
    """EAX EBX ECX EDX ← facts of leaf EAX, subleaf ECX."""
    answer = b.call("cpuid", 128, b.reg("eax"), b.reg("ecx"))
    for i, register in enumerate(("eax", "ebx", "ecx", "edx")):
        b.set_reg(register, answer.bits(32 * i, 32))


@insn("rdtsc")
def rdtsc(b: Builder) -> None:
    """EDX:EAX ← time stamp counter."""
    if b.mode.system and b.mode.cpl:
        b.fault_if(b.get("cr4").bit(2), "#GP")  # TSD
    stamp = b.call("rdtsc", 64)
    b.set_reg("eax", stamp.trunc(32))
    b.set_reg("edx", stamp.bits(32, 32))


# -- system registers: the constants that Linux shows user mode where CR4.UMIP hides them ---------
GDT_BASE, IDT_BASE = 0xFFFE0000, 0xFFFF0000
TASK_SELECTOR, LDT_SELECTOR = 0x40, 0


def _table(b: Builder, dst: Mem, name: str, base: int) -> None:
    """Store limit 0 and a base; the kernel does, so the runtime does."""
    if not b.mode.system:
        _store(b, dst, base << 16, 6)
        return
    address = b.address(dst)
    place, behind = b.linear(dst.seg, address), b.linear(dst.seg, b.behind(dst, address, 2))
    b.align(place, 4)
    b.align(behind, 1)
    b.store(place, b.get(f"{name}_limit"))
    b.store(behind, b.get(f"{name}_base"))


def _store(b: Builder, dst: Mem, number: int, size: int) -> None:
    place = b.operand_address(dst)
    b.align(place, 1)
    b.check(place, size, write=True)
    b.call("store_emulated", 0, place, b.const(number, 48), b.const(size, 8))


@insn("sgdt")
def sgdt(b: Builder, dst: Mem) -> None:
    """Dst ← limit and base of the GDT."""
    _table(b, dst, "gdtr", GDT_BASE)


@insn("sidt")
def sidt(b: Builder, dst: Mem) -> None:
    """Dst ← limit and base of the IDT."""
    _table(b, dst, "idtr", IDT_BASE)


def _word(b: Builder, dst: Operand, field: str, number: int) -> None:
    """Write a number at operand size to a register, its low 16 bits to memory."""
    value = b.get(field).zext(32) if b.mode.system else b.const(number, 32)
    if not isinstance(dst, Mem):
        assert isinstance(dst, Reg)
        b.write(dst, value.trunc(dst.width))
    elif b.mode.system:
        b.store(b.operand_address(dst), value.trunc(16))
    else:
        _store(b, dst, number & 0xFFFF, 2)


@insn("smsw")
def smsw(b: Builder, dst: Operand) -> None:
    """Dst ← CR0."""
    _word(b, dst, "cr0", LINUX_CR0)


@insn("sldt")
def sldt(b: Builder, dst: Operand) -> None:
    """Dst ← LDT selector."""
    if b.mode.is_real:
        b.trap("#UD")
    else:
        _word(b, dst, "ldtr", LDT_SELECTOR)


@insn("str")
def str_(b: Builder, dst: Operand) -> None:
    """Dst ← task selector."""
    if b.mode.is_real:
        b.trap("#UD")
    else:
        _word(b, dst, "tr", TASK_SELECTOR)
