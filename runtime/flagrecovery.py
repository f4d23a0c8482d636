"""Registers and an insn in, exact flags in the state out: see translator/recovery.py.

Inside a block the plan tells whose flags are missing.  For those that a block leaves to its
successor, host code stores the number of a recipe in the upper half of szp.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runtime.cpu import Cpu
from translator import flags
from translator.planner import Plan
from translator.recovery import flags_unit
from translator.shape import ALL_FLAGS, GROUP_BITS, Shape, Slots
from translator.state import FIELDS, SAVED_OPERANDS
from translator.tiers import interp

Dropped = Sequence[tuple[Shape, Slots, int]]
_PLACES = {group: FIELDS[group] for group in flags.GROUPS}


_functions: dict[tuple[str, int], interp.Run] = {}  # rule and width -> what sets its flags


def _function(rule: flags.Rule, width: int) -> interp.Run:
    run = _functions.get((rule.name, width))
    if run is None:
        run = _functions[rule.name, width] = interp.compile_unit(flags_unit(rule, width))
    return run


def recover(cpu: Cpu, shape: Shape, slots: Slots, groups: int) -> None:
    """Store the flag groups (mask) of an insn that ran, from the registers as it left them."""
    recovery = shape.recovery
    assert recovery is not None
    keep = {
        group: bytes(cpu.r8[at : at + width // 8])
        for group, (at, width) in _PLACES.items()
        if not GROUP_BITS[group] & groups
    }
    result, left, right = recovery.operands(cpu.r32, slots)
    run = _function(recovery.rule, recovery.width)
    run(cpu, None, result, left, right, 0, 0, 0)
    for group, data in keep.items():
        at = _PLACES[group].offset
        cpu.r8[at : at + len(data)] = data


# The upper half of szp when it is the number of a recipe: no flags stored there look like this.
RECIPE, RECIPE_MASK = 0x40000000, 0xC0000000
SZP_HIGH = FIELDS["szp"].offset // 4 + 1


SAVED: Slots = []  # instead of an insn's slots: its operands are in the state
_OPERANDS = [FIELDS[name].offset // 4 for name in SAVED_OPERANDS]


def missing_at(plan: Plan, index: int) -> tuple[Dropped, bool]:
    """Return what was not stored before an insn of a plan, and whether all flags come from before.

    That are insns, and which groups of theirs.
    """
    missing, found = ALL_FLAGS, []
    for i in range(index - 1, -1, -1):
        shape, slots = plan.items[i]
        dropped = shape.writes & missing & ~plan.live[i]
        if dropped:
            found.append((shape, slots, dropped))
        missing &= ~shape.writes
    return found, missing == ALL_FLAGS


class Recipes:
    """Insns whose flags the next block may have to recover, by number."""

    def __init__(self) -> None:
        self.items: list[tuple[Shape, Slots]] = []
        self.numbers: dict[tuple[object, ...], int] = {}
        # Finds those that the compiled translator named.
        self.quick: Callable[[int], tuple[Shape, Slots] | None] = lambda number: None
        self.on_clear: Callable[[], None] = lambda: None

    def name(self, plan: Plan) -> None:
        """Give the recipe of a plan, if it has one, its number."""
        if plan.recipe >= 0:
            shape, slots = plan.items[plan.recipe]
            key, item = (shape, *slots[:6]), (shape, slots)
        elif plan.saved >= 0:
            # For where a region knows its registers unchanged; the next number is for elsewhere.
            shape, slots = plan.items[plan.saved]
            key, item = (shape, *slots[:6], SAVED_OPERANDS), (shape, slots)
        else:
            return
        number = self.numbers.setdefault(key, len(self.items))
        if number == len(self.items):
            self.items.append(item)
            if plan.recipe < 0:
                self.items.append((shape, SAVED))
        plan.recipe_id = RECIPE | number

    def follow(self, cpu: Cpu) -> None:
        """Compute the flags that the block before this one left to be recovered, if it did."""
        number = cpu.r32[SZP_HIGH]
        if number & RECIPE_MASK != RECIPE:
            return
        index = number - RECIPE
        item = self.items[index] if index < len(self.items) else self.quick(number)
        if item is None:
            return
        shape, slots = item
        if slots is SAVED:
            assert shape.rule is not None
            rule, width = shape.rule
            run = _function(rule, width)
            run(cpu, None, *[cpu.r32[at] for at in _OPERANDS], 0, 0, 0)
        else:
            recover(cpu, shape, slots, ALL_FLAGS)

    def at_fault(self, cpu: Cpu, plan: Plan, index: int) -> None:
        """Compute the flags that were not stored before insn number *index*, which faulted."""
        self.restore(cpu, *missing_at(plan, index))

    def restore(self, cpu: Cpu, dropped: Dropped, follows: bool) -> None:
        """Compute flags that were not stored: those of insns, or what a block left."""
        for shape, slots, groups in dropped:
            recover(cpu, shape, slots, groups)
        if follows:
            self.follow(cpu)

    def clear(self) -> None:
        """Forget all; no code that stores their numbers may be left."""
        self.items.clear()
        self.numbers.clear()
        self.on_clear()
