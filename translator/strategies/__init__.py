"""What to translate with which tier: the registry of strategies.

A strategy turns a Plan into pieces of host code; the engine (runtime/dispatch.py) installs them.
`interp` has no pieces: the engine executes every insn by the interp tier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from translator.planner import Plan
from translator.shape import Slots
from translator.tiers.stencil import Stencil


class Piece(NamedTuple):
    """A stencil with the slots of each of its insns."""

    stencil: Stencil
    slots: list[Slots]


class Lowered(NamedTuple):
    """A block's host code: pieces in order, and the cold tails that pieces name as links."""

    pieces: list[Piece]
    tails: dict[str, Piece]
    checks: int  # how many pieces are the prologue; the budget is charged at its end


class Strategy(Protocol):
    """How blocks become host code."""

    name: str
    max_insns: int
    recovers_flags: bool  # see planner.Options.recovers
    regions: str  # whether blocks become regions: "" never, "at once", "when hot"

    def lower(self, plan: Plan, verify: bytes | None) -> Lowered:
        """Lower a plan. With *verify* (its guest bytes) the block checks them when entered."""

    def is_prepared(self, plan: Plan) -> bool:
        """Whether lowering this plan needs no compilation that a batch would make cheaper."""

    def prepare(self, plans: list[Plan]) -> None:
        """Compile what these plans will need, in one batch."""


STRATEGIES: dict[str, Callable[[], Strategy] | None] = {}


def strategy(name: str) -> Callable[[Callable[[], Strategy]], Callable[[], Strategy]]:
    """Register a strategy's class under a name."""

    def register(make: Callable[[], Strategy]) -> Callable[[], Strategy]:
        if name in STRATEGIES:
            raise ValueError(f"strategy {name} is registered twice")
        STRATEGIES[name] = make
        return make

    return register


STRATEGIES["interp"] = None
from translator.strategies import blocks, regions, stencils  # noqa: E402, F401  (they register)
