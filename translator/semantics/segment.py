"""Segment registers and selectors; the runtime knows the descriptors (SDM vol. 1, 7.3.11)."""

from __future__ import annotations

from translator.builder import CS, Builder
from translator.insn import Mem, Operand, Special
from translator.ir import Value
from translator.semantics import Dst, insn
from translator.semantics.flagops import set_zf
from translator.semantics.stack import ESP


def _load(b: Builder, seg: int, selector: Value) -> None:
    b.call("load_segment", 0, b.const(seg, 32), selector.zext(32))


@insn("movseg")
def movseg(b: Builder, dst: Special, src: Value) -> None:
    """Segment register ← selector."""
    _load(b, dst.index, src)


@insn("pushseg")
def pushseg(b: Builder, src: Value) -> None:
    """Push a selector: only 16 bits are written, as today's hardware does."""
    top = b.reg(ESP) - b.width // 8
    b.store(top, src)
    b.set_reg(ESP, top)


@insn("popseg")
def popseg(b: Builder, dst: Special) -> None:
    """Pop a selector into a segment register: only 16 bits are read."""
    top = b.reg(ESP)
    selector = b.load(top, 16)
    b.set_reg(ESP, top + b.width // 8)
    _load(b, dst.index, selector)


@insn("lseg")
def lseg(b: Builder, dst: Dst, seg: Special, pointer: Mem) -> Value:
    """Dst, segment register ← far pointer (lds les lss lfs lgs)."""
    place = b.address(pointer)
    offset = b.load(b.linear(pointer.seg, place), b.width)
    selector = b.load(b.linear(pointer.seg, place + b.width // 8), 16)
    _load(b, seg.index, selector)
    return offset


@insn("arpl")
def arpl(b: Builder, dst: Operand, src: Value) -> None:
    """RPL of dst ← at least that of src; ZF: it was less, and only then memory is written."""
    place = b.operand_address(dst) if isinstance(dst, Mem) else None
    old = b.read(dst) if place is None else b.load(place, 16)
    low = (old & 3).ult(src & 3)
    new = low.select(old & 0xFFFC | src & 3, old)
    set_zf(b, low)
    if place is None or not isinstance(dst, Mem):
        b.write(dst, new)
    else:
        if dst.seg == CS:
            b.fault_if(low, "#GP")
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
    ok, rights = _query(b, "access_rights", src)
    return ok.select(rights.trunc(b.width), dst)


@insn("lsl")
def lsl(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← limit of a selector's segment if ZF becomes 1."""
    ok, limit = _query(b, "segment_limit", src)
    return ok.select(limit.trunc(b.width), dst)


@insn("verr")
def verr(b: Builder, src: Value) -> None:
    """ZF ← the segment is readable."""
    ok, rights = _query(b, "access_rights", src)
    # Data can be read always, code if bit 9 (R) says so; system segments (S = 0) cannot.
    readable = rights.bit(12) & (~rights.bit(11) | rights.bit(9))
    set_zf(b, ok & readable)


@insn("verw")
def verw(b: Builder, src: Value) -> None:
    """ZF ← the segment is writable."""
    ok, rights = _query(b, "access_rights", src)
    set_zf(b, ok & rights.bit(12) & ~rights.bit(11) & rights.bit(9))
