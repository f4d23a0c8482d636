"""Strategies `region` and `tiered`: hot loops and functions are one LLVM function each.

`region` compiles the region around a block before the block runs for the first time; `tiered`
starts with stencils, and compiles regions in the background where the time is spent.
"""

from __future__ import annotations

from translator.regions import Region, slots_of
from translator.shape import numbers
from translator.strategies import Lowered, Piece, strategy
from translator.strategies.stencils import Stencils, compared, service
from translator.tiers.stencil import Stencil


def frame_region(region: Region, stencil: Stencil) -> Lowered:
    """Put the checks of its own code and of the x87 stack in front of a region's code."""
    pieces: list[Piece] = []
    tails = {}
    if region.is_open:
        pc = region.head.plan.pc
        for plan in {node.plan.pc: node.plan for node in region.nodes}.values():
            pieces += compared(plan.linear, plan.code, pc)
        tails["stale"] = Piece(service(b"!stale"), [numbers(pc=pc)])
    if region.uses_fpu:
        guard = numbers(pc=region.head.plan.pc, fpu=region.head.entry)
        pieces.append(Piece(service(b"!guard"), [guard]))
    pieces.append(Piece(stencil, slots_of(region)))
    return Lowered(pieces, tails, len(pieces) - 1)


@strategy("region")
class Regions(Stencils):
    """Everything becomes a region at once; what cannot, stays stencils."""

    name = "region"
    regions = "at once"


@strategy("tiered")
class Tiered(Stencils):
    """Stencils for cold code, regions for hot code."""

    name = "tiered"
    regions = "when hot"
