"""Strategy `block`: every block is one LLVM function."""

from __future__ import annotations

from translator.ir import Terminal
from translator.planner import Plan
from translator.semantics import lift
from translator.shape import GROUP_BITS
from translator.strategies import Lowered, Piece, strategy
from translator.strategies.stencils import frame
from translator.tiers import backend, elf
from translator.tiers.llvm import Lowering, module
from translator.tiers.slots import ConstantSlots
from translator.tiers.stencil import extract


def lower_block(name: str, plan: Plan) -> Lowering:
    """Lower all insns of a plan into one function."""
    lowering = Lowering(name)
    terminal: Terminal | None = None
    for index, (shape, slots) in enumerate(plan.items):
        # A shape may occur twice, with other slots: each insn needs values of its own.
        unit = lift(shape.insn)
        lowering.insn(unit, ConstantSlots(index, slots))
        terminal = unit.terminal
    live = plan.live[-1]
    lowering.terminal(terminal, frozenset(g for g, bit in GROUP_BITS.items() if live & bit))
    return lowering


def source(plans: list[Plan]) -> str:
    """Return the LLVM module of some blocks, function `b0`, `b1`... for each."""
    lowered = [lower_block(f"b{i}", plan) for i, plan in enumerate(plans)]
    symbols = {s for low in lowered for s in low.symbols}
    return module([low.text() for low in lowered], symbols, set())


@strategy("block")
class Blocks:
    """One LLVM function a block, with the passes."""

    name = "block"
    max_insns = 64
    recovers_flags = False  # the fault edges of the function store them
    regions = ""

    def lower(self, plan: Plan, verify: bytes | None) -> Lowered:
        """Compile the block."""
        if not plan.items:
            return frame(plan, [], verify)
        obj = elf.parse(backend.compile_object(source([plan])))
        stencil = extract(obj, elf.functions(obj, ["b0"])[0])
        return frame(plan, [Piece(stencil, [slots for _, slots in plan.items])], verify)

    def is_prepared(self, plan: Plan) -> bool:
        """Nothing is shared between blocks, so a batch would gain nothing."""
        return True

    def prepare(self, plans: list[Plan]) -> None:
        """Nothing is shared between blocks."""
