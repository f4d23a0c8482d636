"""Insns on the flags themselves (SDM vol. 1, 7.3.13)."""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.ir import Leave, Value
from translator.mode import LATER_FLAGS, Model
from translator.semantics import insn
from translator.state import Exit

# What user mode may change by popf beside the arithmetic flags and DF: TF NT AC ID.
WRITABLE_REST = 1 << 8 | 1 << 14 | 1 << 18 | 1 << 21
# Bits of eflags_rest that pushf shows; RF (16), VM (17), the engine's never, bit 1 and IF always.
SHOWN_REST = 0x3F_FFFF & ~(1 << 16 | 1 << 17 | 1 << 10 | flags.ARITHMETIC)
ALWAYS = 1 << 1 | 1 << flags.IF


def szp(zf: Value, sf: Value, pf: Value) -> Value:
    """Build the szp group from three bits: the low word says ZF, byte 4 PF, the top bit SF."""
    return (zf ^ 1).zext(64).shl(8) | (pf ^ 1).zext(64).shl(32) | sf.zext(64).shl(63)


def set_zf(b: Builder, zf: Value) -> None:
    """Set ZF alone."""
    old = b.flag("szp")
    # The byte whose parity is PF moves to byte 4, so that the low word can say ZF.
    pf = ((old ^ old.lshr(32)) & 0xFF).shl(32)
    b.set_flag("szp", (old & 1 << 63) | pf | (zf ^ 1).zext(64).shl(8))


def status_byte(b: Builder) -> Value:
    """SF ZF AF PF CF as the low byte of EFLAGS, bit 1 set."""
    group = b.flag("szp")
    bits = {
        flags.CF: b.flag("cf"),
        flags.PF: flags.parity(group),
        flags.ZF: group.trunc(32).eq(0),
        flags.SF: group.slt(0),
    }
    byte = b.flag("af") & 1 << flags.AF | 1 << 1
    for position, bit in bits.items():
        byte = byte | (bit.zext(8).shl(position) if position else bit.zext(8))
    return byte


def set_status_byte(b: Builder, byte: Value) -> None:
    """Set SF ZF AF PF CF from the low byte of EFLAGS."""
    b.set_flag("cf", byte.bit(flags.CF))
    b.set_flag("af", byte)
    b.set_flag("szp", szp(byte.bit(flags.ZF), byte.bit(flags.SF), byte.bit(flags.PF)))


def eflags(b: Builder) -> Value:
    """EFLAGS as pushf shows it."""
    rest = b.get("eflags_rest") & SHOWN_REST
    if b.mode.model == Model.I8086:
        rest = rest & 0x7FF | 0xF002
    elif b.mode.model == Model.I286 and b.mode.is_real:
        rest = rest & 0xFFF | 2
    else:
        rest = rest | (2 if b.mode.system else ALWAYS)
    down = (b.get("df") & 2).shl(flags.DF - 1)  # the step -1 has bit 1, the step 1 has not
    return rest | status_byte(b).zext(32) | down | b.flag("of").zext(32).shl(flags.OF)


def _writable(b: Builder) -> Value | int:
    """Return the bits of eflags_rest that popf and iret may change here."""
    if not b.mode.system:
        return WRITABLE_REST
    if b.mode.model in (Model.I8086, Model.I286) and b.mode.is_real:
        return 1 << flags.TF | 1 << flags.IF
    rest = WRITABLE_REST & ~LATER_FLAGS.get(b.mode.model, 0)
    if b.mode.cpl == 0:
        return rest | 1 << flags.IF | 3 << flags.IOPL
    # IF by those whose privilege level IOPL allows.
    level = b.get("eflags_rest").bits(flags.IOPL, 2)
    allowed = b.const(b.mode.cpl, 2).ule(level)
    return allowed.zext(32).shl(flags.IF) | rest


def set_eflags(b: Builder, value: Value) -> None:
    """Set what this privilege level may change of EFLAGS; a 16-bit value leaves AC and ID."""
    # Single-stepping is the engine's: it sees TF where the interp tier, which ignores this, set it.
    # So are interrupts that wait for IF.
    leaves = value.bit(flags.TF)
    has_ac = not LATER_FLAGS.get(b.mode.model, 0) >> flags.AC & 1
    if value.width == 32 and b.mode.cpl == 3 and has_ac:  # it may change the mode
        leaves = leaves | value.bit(flags.AC) ^ b.mode.checks_alignment
    if b.mode.system:
        # INTR, in the lowest byte, waits on while IF stays 0.
        waits = value.bit(flags.IF).select(b.const(0xFFFFFFFF, 32), b.const(0xFFFFFF00, 32))
        leaves = leaves | (b.get("attention") & waits).ne(0)
    b.exit_if(leaves, Leave(Exit.INTERP, "pc"))
    wide = value.zext(32)
    writable = _writable(b)
    mask = b.const(writable, 32) if isinstance(writable, int) else writable
    if value.width == 16:
        mask = mask & 0xFFFF
    set_status_byte(b, value.trunc(8))
    b.set_flag("of", value.bit(flags.OF))
    b.set("df", value.bit(flags.DF).select(b.const(-1, 32), 1))
    b.set("eflags_rest", b.get("eflags_rest") & ~mask & ~(1 << flags.RF) | wide & mask)


@insn("lahf")
def lahf(b: Builder) -> None:
    """AH ← SF ZF AF PF CF."""
    b.set_reg("ah", status_byte(b))


@insn("sahf")
def sahf(b: Builder) -> None:
    """SF ZF AF PF CF ← AH."""
    set_status_byte(b, b.reg("ah"))


@insn("clc")
def clc(b: Builder) -> None:
    """CF ← 0."""
    b.set_flag("cf", b.const(0, 1))


@insn("stc")
def stc(b: Builder) -> None:
    """CF ← 1."""
    b.set_flag("cf", b.const(1, 1))


@insn("cmc")
def cmc(b: Builder) -> None:
    """CF ← not CF."""
    b.set_flag("cf", b.flag("cf") ^ 1)


@insn("cld")
def cld(b: Builder) -> None:
    """DF ← 0: string insns go up."""
    b.set("df", b.const(1, 32))


@insn("std")
def std(b: Builder) -> None:
    """DF ← 1: string insns go down."""
    b.set("df", b.const(-1, 32))


@insn("salc")
def salc(b: Builder) -> None:
    """AL ← all bits CF."""
    b.set_reg("al", b.flag("cf").sext(8))
