"""Moves of MMX and XMM registers, and MXCSR (SDM vol. 1, 9.4.1, 10.4.1, 11.4.1)."""

from __future__ import annotations

from translator.builder import Builder
from translator.helpers import declare
from translator.insn import Mem, Operand, Special
from translator.ir import Op, Value
from translator.semantics import insn
from translator.semantics.simd import aligned, enter_mmx, is_mm, load_low, shuffle, whole
from translator.state import SEGMENTS

LDMXCSR = declare("ldmxcsr", (32,))
STMXCSR = declare("stmxcsr", (), 32)
MASKMOV = declare("maskmov", (32, 128, 128, 8))
# Bits above these raise #GP in ldmxcsr (MXCSR_MASK of fxsave).
MXCSR_MASK = 0xFFFF


# -- whole registers -----------------------------------------------------------------------------
@insn("movaps", "movapd", "movdqa", "movntps", "movntpd", "movntdq")
def movaps(b: Builder, dst: Operand, src: Operand) -> None:
    """Dst ← src, 128 bits; #GP if a memory operand is not aligned."""
    if isinstance(dst, Mem):
        b.store(aligned(b, dst), b.read(src))
    else:
        b.write(dst, whole(b, src))


@insn("movups", "movupd", "movdqu", "lddqu")
def movups(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← src, 128 bits."""
    return b.read(src, 128)


def _low_part(b: Builder, src: Operand, width: int) -> Value:
    """Zero-extend a source of any kind to an XMM register."""
    if isinstance(src, Mem):
        return load_low(b, src, width)
    return b.vec("widen", width, 128, b.read(src, width))


@insn("movq", "movntq")
def movq(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← src, 64 bits; the high half of an XMM register becomes 0."""
    if is_mm(dst) or is_mm(src):
        enter_mmx(b)
    if not (isinstance(dst, Special) and dst.kind == "xmm"):
        return b.read(src, 64)
    return _low_part(b, src, 64)


@insn("movd")
def movd(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← src, 32 bits; the rest of a vector register becomes 0."""
    if is_mm(dst) or is_mm(src):
        enter_mmx(b)
    if isinstance(dst, Special) and dst.kind == "xmm":
        return _low_part(b, src, 32)
    value = b.read(src, 32)
    return value.zext(64) if is_mm(dst) else value


@insn("movdq2q")
def movdq2q(b: Builder, dst: Operand, src: Operand) -> Value:
    """MMX dst ← low half of XMM src."""
    enter_mmx(b)
    return b.read(src, 64)


@insn("movq2dq")
def movq2dq(b: Builder, dst: Operand, src: Operand) -> Value:
    """XMM dst ← MMX src, zero-extended."""
    enter_mmx(b)
    return b.vec("widen", 64, 128, b.read(src))


@insn("movnti")
def movnti(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← src, past the caches."""
    return b.read(src)


# -- parts of registers --------------------------------------------------------------------------
def _scalar_move(b: Builder, dst: Operand, src: Operand, lane: int) -> Value:
    """Between registers only the low lane moves; a load clears the lanes above."""
    if isinstance(dst, Mem):
        return b.read(src, lane)
    if isinstance(src, Mem):
        return whole(b, src)
    count = 128 // lane
    return shuffle(b, lane, (count, *range(1, count)), b.read(dst, 128), b.read(src, 128))


@insn("movss")
def movss(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← src, 32 bits."""
    return _scalar_move(b, dst, src, 32)


@insn("movsd.x")
def movsd(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← src, 64 bits."""
    return _scalar_move(b, dst, src, 64)


@insn("movlps", "movlpd")
def movlps(b: Builder, dst: Operand, src: Operand) -> Value:
    """Low half of dst ← src, or memory ← low half of src."""
    if isinstance(dst, Mem):
        return b.read(src, 64)
    return shuffle(b, 64, (2, 1), b.read(dst), whole(b, src))


@insn("movhps", "movhpd", "movlhps")
def movhps(b: Builder, dst: Operand, src: Operand) -> Value:
    """High half of dst ← low half of src, or memory ← high half of src."""
    if isinstance(dst, Mem):
        return b.read(src).bits(64, 64)
    return shuffle(b, 64, (0, 2), b.read(dst), whole(b, src))


@insn("movhlps")
def movhlps(b: Builder, dst: Operand, src: Operand) -> Value:
    """Low half of dst ← high half of src."""
    return shuffle(b, 64, (3, 1), b.read(dst), b.read(src))


@insn("movddup")
def movddup(b: Builder, dst: Operand, src: Operand) -> Value:
    """Both halves of dst ← low half of src."""
    value = whole(b, src)
    return shuffle(b, 64, (0, 0), value, value)


@insn("movsldup")
def movsldup(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← the even lanes of src, each twice."""
    value = whole(b, src)
    return shuffle(b, 32, (0, 0, 2, 2), value, value)


@insn("movshdup")
def movshdup(b: Builder, dst: Operand, src: Operand) -> Value:
    """Dst ← the odd lanes of src, each twice."""
    value = whole(b, src)
    return shuffle(b, 32, (1, 1, 3, 3), value, value)


# -- masks ---------------------------------------------------------------------------------------
def _signs(name: str, lane: int) -> None:
    @insn(name)
    def signs(b: Builder, dst: Operand, src: Operand) -> Value:
        """Dst ← the sign bits of the lanes of src."""
        if is_mm(src):
            enter_mmx(b)
        value = b.read(src)
        return b.unit.emit(Op.VEC, 32, value, attr=("signs", lane, value.width))


_signs("movmskps", 32)
_signs("movmskpd", 64)
_signs("pmovmskb", 8)


@insn("maskmovq", "maskmovdqu")
def maskmov(b: Builder, src: Operand, mask: Operand) -> None:
    """[DS:EDI] ← the bytes of src whose bytes in mask have their sign bits set."""
    if is_mm(src):
        enter_mmx(b)
    seg = b.insn.seg if b.insn.seg >= 0 else 3
    if SEGMENTS[seg] == "cs" and b.mode.is_flat:
        b.trap("#GP")
        return
    address = b.linear(seg, b.reg(7, b.insn.addr_width).zext(32))
    value, selection = b.read(src), b.read(mask)
    b.check(address, value.width // 8, write=True)
    b.align(address, 8)
    size = b.const(value.width // 8, 8)
    b.call(MASKMOV, 0, address, value.zext(128), selection.zext(128), size)


# -- MXCSR, ordering -----------------------------------------------------------------------------
@insn("ldmxcsr")
def ldmxcsr(b: Builder, src: Value) -> None:
    """MXCSR ← src; #GP if a reserved bit is set."""
    b.fault_if((src & (0xFFFFFFFF ^ MXCSR_MASK)).ne(0), "#GP")
    b.call(LDMXCSR, 0, src)


@insn("stmxcsr")
def stmxcsr(b: Builder, dst: Operand) -> Value:
    """Dst ← MXCSR."""
    return b.call(STMXCSR, 32)


@insn("lfence", "mfence", "sfence")
def fence(b: Builder) -> None:
    """Order memory accesses."""
    b.unit.emit(Op.FENCE, 0)


@insn("clflush")
def clflush(b: Builder, line: Mem) -> None:
    """Write a cache line back: no effect but the faults of a read."""
    b.load(b.operand_address(line), 8)
