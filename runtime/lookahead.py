"""What is compiled ahead of its need: the stencils of the blocks that follow one.

In: an engine and the plan of a block. LLVM takes a large batch for little more than a small one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runtime import codestore
from translator.planner import FetchFault, Plan

if TYPE_CHECKING:
    from runtime.dispatch import Engine

_EXPLORE = 24  # blocks looked at


def prepare(engine: Engine, plan: Plan, location: int, fpu: int) -> None:
    """Compile the stencils of this block; when some are missing, look at what follows too."""
    strategy = engine.strategy
    assert strategy is not None
    if strategy.is_prepared(plan):
        return
    started = time.thread_time()
    plans, seen, todo = [plan], {plan.pc}, [plan]
    while todo and len(plans) < _EXPLORE:
        for target in todo.pop(0).successors():
            if target in seen:
                continue
            seen.add(target)
            try:
                ahead = engine.code.plan(location & ~0xFFFFFFFF | target, fpu)
            except FetchFault:
                continue
            plans.append(ahead)
            todo.append(ahead)
    strategy.prepare(plans)
    codestore.save_some()
    engine.statistics.compile_seconds += time.thread_time() - started
