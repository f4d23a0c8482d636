"""Segment registers and selectors; the runtime knows the descriptors (SDM vol. 1, 7.3.11)."""

from __future__ import annotations

from translator.builder import CS, SS, Builder
from translator.insn import Mem, Operand, Special
from translator.ir import Value
from translator.mode import Segments
from translator.semantics import Dst, insn
from translator.semantics.branch import load_cs
from translator.semantics.flagops import set_zf
from translator.state import SEGMENTS


def _load(b: Builder, seg: int, selector: Value) -> None:
    if b.mode.segments == Segments.REAL and seg != CS:
        b.set(SEGMENTS[seg], selector)
        b.set(f"{SEGMENTS[seg]}_base", selector.zext(32).shl(4))
    elif seg == CS:  # the 8086's pop cs
        load_cs(b, selector, b.slot("next"))
    else:
        b.call("load_segment", 0, b.const(seg, 32), selector.zext(32))


def _shadow(b: Builder, seg: int) -> None:
    """Let no interrupt come between a load of SS and the insn behind it (SDM vol. 3, 6.8.3)."""
    if seg == SS and b.mode.system:
        b.set("shadow", b.slot("next"))


def _for_protected(b: Builder) -> bool:
    """Raise #UD in real and virtual-8086 mode."""
    if b.mode.is_real:
        b.trap("#UD")
    return not b.mode.is_real


@insn("movseg")
def movseg(b: Builder, dst: Special, src: Value) -> None:
    """Segment register ← selector."""
    _load(b, dst.index, src)
    _shadow(b, dst.index)


@insn("pushseg")
def pushseg(b: Builder, src: Value) -> None:
    """Push a selector: only 16 bits are written, as today's hardware does."""
    top = b.sp() - b.width // 8
    b.store(b.stack(top), src)
    b.set_sp(top)


@insn("popseg")
def popseg(b: Builder, dst: Special) -> None:
    """Pop a selector into a segment register: only 16 bits are read."""
    top = b.sp()
    selector = b.load(b.stack(top), 16)
    b.set_sp(top + b.width // 8)
    _load(b, dst.index, selector)
    _shadow(b, dst.index)


@insn("lseg")
def lseg(b: Builder, dst: Dst, seg: Special, pointer: Mem) -> Value:
    """Dst, segment register ← far pointer (lds les lss lfs lgs)."""
    place = b.address(pointer)
    offset = b.load(b.linear(pointer.seg, place), b.width)
    selector = b.load(b.linear(pointer.seg, b.behind(pointer, place, b.width // 8)), 16)
    _load(b, seg.index, selector)
    return offset


@insn("arpl")
def arpl(b: Builder, dst: Operand, src: Value) -> None:
    """RPL of dst ← at least that of src; ZF: it was less, and only then memory is written."""
    if not _for_protected(b):
        return
    place = b.operand_address(dst) if isinstance(dst, Mem) else None
    old = b.read(dst) if place is None else b.load(place, 16)
    low = (old & 3).ult(src & 3)
    new = low.select(old & 0xFFFC | src & 3, old)
    set_zf(b, low)
    if place is None or not isinstance(dst, Mem):
        b.write(dst, new)
    else:
        assert place is not None
        if b.mode.is_flat:
            if dst.seg == CS:
                b.fault_if(low, "#GP")
        else:
            b.check(place, 2, write=True)
        b.call("store_if", 0, low, place, new)


def _query(b: Builder, name: str, selector: Value) -> tuple[Value, Value]:
    """Ask for a descriptor's property: is it accessible, and which number."""
    answer = b.call(name, 64, selector.zext(32))
    ok = answer.bit(32)
    set_zf(b, ok)
    return ok, answer.trunc(32)


@insn("lar")
def lar(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← access rights of a selector if ZF becomes 1."""
    if not _for_protected(b):
        return dst
    ok, rights = _query(b, "access_rights", src)
    return ok.select(rights.trunc(b.width), dst)


@insn("lsl")
def lsl(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← limit of a selector's segment if ZF becomes 1."""
    if not _for_protected(b):
        return dst
    ok, limit = _query(b, "segment_limit", src)
    return ok.select(limit.trunc(b.width), dst)


@insn("verr")
def verr(b: Builder, src: Value) -> None:
    """ZF ← the segment is readable."""
    if not _for_protected(b):
        return
    ok, rights = _query(b, "access_rights", src)
    # Data can be read always, code if bit 9 (R) says so; system segments (S = 0) cannot.
    readable = rights.bit(12) & (~rights.bit(11) | rights.bit(9))
    set_zf(b, ok & readable)


@insn("verw")
def verw(b: Builder, src: Value) -> None:
    """ZF ← the segment is writable."""
    if not _for_protected(b):
        return
    ok, rights = _query(b, "access_rights", src)
    set_zf(b, ok & rights.bit(12) & ~rights.bit(11) & rights.bit(9))
