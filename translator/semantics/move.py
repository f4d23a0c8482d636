"""Data transfer (SDM vol. 1, 7.3.1)."""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.insn import Mem, Operand, Reg
from translator.ir import Value
from translator.semantics import Dst, compare_exchange, insn
from translator.semantics.flagops import set_zf

ES = 0
_LINE = 64  # bytes of movdir64b


@insn("mov")
def mov(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← src."""
    return src


@insn("lea")
def lea(b: Builder, dst: Dst, src: Mem) -> Value:
    """Dst ← effective address of src."""
    return b.address(src).trunc(b.width)


@insn("movzx")
def movzx(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← src, zeros above."""
    return src.zext(b.width)


@insn("movsx")
def movsx(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← src, its sign above."""
    return src.sext(b.width)


@insn("xchg")
def xchg(b: Builder, dst: Operand, src: Operand) -> None:
    """Dst ↔ src; with memory always atomic, LOCK or not."""
    new = b.read(src)
    if isinstance(dst, Mem):
        place = b.operand_address(dst)
        old = b.load(place, new.width)
        compare_exchange(b, place, old, new)
    else:
        old = b.read(dst)
        b.write(dst, new)
    b.write(src, old)


@insn("xadd")
def xadd(b: Builder, dst: Value, src: Operand) -> Value:
    """Src ← dst; dst ← dst + src."""
    right = b.read(src)
    res = dst + right
    b.set_flags(flags.ADD, res, dst, right)
    b.write(src, dst)
    return res


@insn("cmpxchg")
def cmpxchg(b: Builder, dst: Value, src: Value) -> Value:
    """Flags of accumulator - dst; dst ← src if equal, else accumulator ← dst."""
    acc = b.reg(0, dst.width)
    b.set_flags(flags.SUB, acc - dst, acc, dst)
    same = acc.eq(dst)
    b.set_reg(0, same.select(acc, dst))
    return same.select(src, dst)


@insn("cmpxchg8b")
def cmpxchg8b(b: Builder, dst: Value) -> Value:
    """ZF ← EDX:EAX = dst; dst ← ECX:EBX if so, else EDX:EAX ← dst."""
    acc = b.reg("edx").concat(b.reg("eax"))
    same = acc.eq(dst)
    set_zf(b, same)
    seen = same.select(acc, dst)
    b.set_reg("eax", seen.trunc(32))
    b.set_reg("edx", seen.bits(32, 32))
    return same.select(b.reg("ecx").concat(b.reg("ebx")), dst)


@insn("bswap")
def bswap(b: Builder, dst: Value) -> Value:
    """Dst ← its bytes in reverse order; at 16 bits, undefined, 0 as hardware gives."""
    return dst.bswap() if dst.width == 32 else b.const(0, 16)


@insn("xlat")
def xlat(b: Builder) -> None:
    """AL ← [EBX + AL]."""
    address = b.reg("ebx") + b.reg("al").zext(32)
    if b.insn.addr_width == 16:
        address = address & 0xFFFF
    b.set_reg("al", b.load(b.linear(b.insn.seg if b.insn.seg >= 0 else 3, address), 8))


@insn("cbw")
def cbw(b: Builder) -> None:
    """(E)AX ← its low half, sign extended (cbw, cwde)."""
    b.set_reg(0, b.reg(0, b.width // 2).sext(b.width))


@insn("cwd")
def cwd(b: Builder) -> None:
    """(E)DX ← the sign of (E)AX (cwd, cdq)."""
    b.set_reg(2, b.acc().ashr(b.width - 1))


@insn("nop")
def nop(b: Builder) -> None:
    """Nothing."""


@insn("hint")
def hint(b: Builder, place: Operand) -> None:
    """Nothing: prefetches and reserved hints do not touch their operand."""


def _conditional(code: str) -> None:
    @insn("cmov" + code)
    def cmov(b: Builder, dst: Value, src: Value) -> Value:
        """Dst ← src if the condition holds; src is read in any case."""
        return b.cond(code).select(src, dst)

    @insn("set" + code)
    def setcc(b: Builder, dst: Dst) -> Value:
        """Dst ← 1 if the condition holds, else 0."""
        return b.cond(code).zext(8)


for _code in flags.CODES:
    _conditional(_code)


@insn("movbe")
def movbe(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← src, its bytes reversed."""
    return src.bswap() if src.width == 32 else src.trunc(8).concat(src.bits(8, 8))


@insn("movdiri")
def movdiri(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← src, past the caches."""
    return src


@insn("movdir64b")
def movdir64b(b: Builder, dst: Operand, src: Mem) -> None:
    """[ES:dst] ← 64 bytes of src; #GP if that is not aligned."""
    assert isinstance(dst, Reg)
    to, at = b.reg(dst.index, b.insn.addr_width).zext(32), b.address(src)
    b.fault_if((to & _LINE - 1).ne(0), "#GP")
    steps = range(0, _LINE, 16)
    values = [b.load(b.linear(src.seg, at + step), 128) for step in steps]
    for step, value in zip(steps, values, strict=True):
        b.store(b.linear(ES, to + step), value)
