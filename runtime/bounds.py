"""Keeps what an engine remembers from growing for ever, whatever code its guest makes.

Most tables live as long as the host code they belong to, which the code cache bounds.  These know
more than that: they are emptied with it, and fill again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from translator.shape import SHAPES, SHAPES_MAX

if TYPE_CHECKING:
    from runtime.dispatch import Engine
    from runtime.interpreting import Interpreting

INSNS_MAX = 1 << 16  # decoded insns for the interp tier


def trim(engine: Engine) -> None:
    """Forget what no code needs any more; the engine has just dropped all host code."""
    engine.code.trim()
    engine.insns.clear()
    engine.insn_pages.clear()
    engine.tiering.trim()
    if len(SHAPES) > SHAPES_MAX:
        SHAPES.clear()


def trim_insns(engine: Interpreting) -> None:
    """Forget decoded insns when there are many; the caller holds the engine's lock."""
    if len(engine.insns) >= INSNS_MAX:
        engine.insns.clear()
        engine.insn_pages.clear()
