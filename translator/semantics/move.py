"""Data transfer (SDM vol. 1, 7.3.1)."""

from __future__ import annotations

from translator.builder import Builder
from translator.insn import Mem
from translator.ir import Value
from translator.semantics import Dst, insn


@insn("mov")
def mov(b: Builder, dst: Dst, src: Value) -> Value:
    """Dst ← src."""
    return src


@insn("lea")
def lea(b: Builder, dst: Dst, src: Mem) -> Value:
    """Dst ← effective address of src."""
    return b.address(src).trunc(b.width)
