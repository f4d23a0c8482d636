"""Which code becomes a region, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.codecache import Block
from runtime.guestcode import LOCATION_PRECISE
from translator import regions
from translator.planner import FetchFault, Options, Plan
from translator.regions import Region, terminal_targets
from translator.strategies.regions import compile_region, frame_region

if TYPE_CHECKING:
    from runtime.dispatch import Engine


class Tiering:
    """Forms, compiles and installs the regions of an engine. The caller holds the engine's lock."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def plan_at(self, pc: int, fpu: int, most: int) -> Plan | None:
        """Plan a block for a region; None if it must stay outside."""
        code = self.engine.code
        options = Options(fpu, max_insns=min(most, code.max_insns), recovers=code.recovers_flags)
        try:
            plan = code.plan_again(pc, options)
        except FetchFault:
            return None
        if not plan.items or code.is_open(pc, plan.end - pc):
            return None
        if any(shape.wraps_target and shape.terminal for shape, _ in plan.items[-1:]):
            return None
        return plan

    def at_once(self, location: int, fpu: int) -> Block | None:
        """Compile and install the region at a location; None if there can be none."""
        if location & LOCATION_PRECISE:
            return None
        region = regions.grow(location, fpu, self.plan_at, terminal_targets, 300)
        if region is None:
            return None
        return self.install(location, region)

    def install(self, location: int, region: Region) -> Block:
        """Compile a region and put it into the code cache."""
        engine = self.engine
        for node in region.nodes:
            engine.recipes.name(node.plan)
        stencil = compile_region(region)
        lowered = frame_region(region, stencil)
        head = region.head.plan
        plan = Plan(head.pc, fpu=region.head.entry if region.uses_fpu else None)
        plan.options = head.options
        for node in region.nodes:
            plan.looked_at += node.plan.looked_at
        block = engine.cache.install(location, plan, *lowered)
        block.parts = [(n.plan.pc, n.plan.options) for n in region.nodes]
        return block
