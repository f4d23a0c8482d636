"""Registers and an insn in, exact flags in the state out: see translator/recovery.py."""

from __future__ import annotations

from functools import cache

from runtime.cpu import Cpu
from translator import flags
from translator.recovery import flags_unit
from translator.shape import GROUP_BITS, Shape, Slots
from translator.state import FIELDS
from translator.tiers import interp

_PLACES = {group: FIELDS[group] for group in flags.GROUPS}


@cache
def _function(rule_name: str, width: int) -> interp.Run:
    found = next(r for r in vars(flags).values() if isinstance(r, flags.Rule) and r.name == rule_name)
    return interp.compile_unit(flags_unit(found, width))


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
    run = _function(recovery.rule.name, recovery.width)
    run(cpu, None, result, left, right, 0, 0, 0)
    for group, data in keep.items():
        at = _PLACES[group].offset
        cpu.r8[at : at + len(data)] = data
