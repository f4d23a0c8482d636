"""Bitwise logic (SDM vol. 1, 7.3.3)."""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.ir import Value
from translator.semantics import insn


def _logic(b: Builder, res: Value) -> Value:
    b.set_flags(flags.LOGIC, res, res, res)
    return res


@insn("and")
def and_(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← dst & src."""
    return _logic(b, dst & src)


@insn("or")
def or_(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← dst | src."""
    return _logic(b, dst | src)


@insn("xor")
def xor(b: Builder, dst: Value, src: Value) -> Value:
    """Dst ← dst ^ src."""
    return _logic(b, dst ^ src)


@insn("test")
def test(b: Builder, left: Value, right: Value) -> None:
    """Flags of left & right."""
    _logic(b, left & right)


@insn("not")
def not_(b: Builder, dst: Value) -> Value:
    """Dst ← ~dst; no flags."""
    return ~dst
