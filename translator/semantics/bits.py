"""Bit tests and scans (SDM vol. 1, 7.3.6)."""

from __future__ import annotations

from collections.abc import Callable

from translator import flags
from translator.builder import Builder
from translator.insn import Imm, Mem, Operand, Reg
from translator.ir import Value
from translator.semantics import insn, write_back


def _place(b: Builder, dst: Mem, index: Operand) -> Value:
    """Linear address of the operand; a register's high bits count whole operands from there."""
    address = b.address(dst)
    if isinstance(index, Reg):
        shift, size = dst.width.bit_length() - 1, dst.width // 8
        steps = b.read(index).sext(32).ashr(shift)
        address = address + steps.shl(size.bit_length() - 1)
        if dst.addr_width == 16:
            address = address & 0xFFFF
    return b.linear(dst.seg, address)


def _bit(
    b: Builder, dst: Operand, index: Operand, change: Callable[[Value, Value], Value] | None
) -> None:
    """CF ← bit *index* of dst; then the dst becomes change(dst, mask). Other flags stay."""
    assert isinstance(dst, Reg | Mem)
    place = _place(b, dst, index) if isinstance(dst, Mem) else None
    old = b.read(dst) if place is None else b.load(place, dst.width)
    if isinstance(index, Imm):
        count = (index.value or 0) & dst.width - 1
        cf, mask = old.bit(count), b.const(1 << count, dst.width)
    else:
        shift = b.read(index) & dst.width - 1
        cf, mask = old.lshr(shift).trunc(1), b.const(1, dst.width).shl(shift)
    b.set_flag("cf", cf)
    if change is not None:
        write_back(b, dst, place, old, change(old, mask))


@insn("bt")
def bt(b: Builder, dst: Operand, index: Operand) -> None:
    """CF ← bit of dst."""
    _bit(b, dst, index, None)


@insn("bts")
def bts(b: Builder, dst: Operand, index: Operand) -> None:
    """CF ← bit of dst; the bit ← 1."""
    _bit(b, dst, index, lambda old, mask: old | mask)


@insn("btr")
def btr(b: Builder, dst: Operand, index: Operand) -> None:
    """CF ← bit of dst; the bit ← 0."""
    _bit(b, dst, index, lambda old, mask: old & ~mask)


@insn("btc")
def btc(b: Builder, dst: Operand, index: Operand) -> None:
    """CF ← bit of dst; the bit ← its complement."""
    _bit(b, dst, index, lambda old, mask: old ^ mask)


def _scan(b: Builder, dst: Value, src: Value, index: Value) -> Value:
    """ZF ← src = 0, then dst stays; the flags left undefined are PF of the index, else 0."""
    zero = src.eq(0)
    index = zero.select(0, index)
    # Byte 1 says ZF, byte 4 PF (state.py).
    b.set_flag("szp", index.zext(64).shl(32) | (zero ^ 1).zext(64).shl(8))
    for group in ("cf", "of", "af"):
        b.set_flag(group, b.const(0, flags.GROUP_WIDTHS[group]))
    return zero.select(dst, index)


@insn("bsf")
def bsf(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← index of the lowest 1 bit; for 0 ZF ← 1 and dst stays."""
    return _scan(b, dst, src, src.cttz())


@insn("bsr")
def bsr(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← index of the highest 1 bit; for 0 ZF ← 1 and dst stays."""
    return _scan(b, dst, src, src.ctlz() ^ src.width - 1)
