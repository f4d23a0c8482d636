"""Jumps, calls, returns (SDM vol. 1, 7.3.8)."""

from __future__ import annotations

from translator import flags
from translator.builder import Builder
from translator.insn import Operand
from translator.semantics import insn


@insn("jmp")
def jmp(b: Builder, target: Operand) -> None:
    """EIP ← target."""
    b.link("target")


def _jcc(code: str) -> None:
    @insn("j" + code)
    def jcc(b: Builder, target: Operand) -> None:
        """EIP ← target if the condition holds."""
        b.branch(b.cond(code))


for _code in flags.CODES:
    _jcc(_code)
