"""Flags that are computed from what an insn left, long after it ran."""

from __future__ import annotations

import pytest

from runtime.cpu import Cpu
from runtime.flagrecovery import RECIPE, SAVED, SZP_HIGH, Recipes
from runtime.memory import Memory
from translator.planner import Options, form, look
from translator.shape import shape_of
from translator.state import FIELDS, SAVED_OPERANDS

# Key -> whether its flags follow from a result and two operands of one width.
SHAPES = {
    "cmp eax, ebx": (b"\x39\xd8", True),
    "test al, bl": (b"\x84\xd8", True),
    "and eax, ebx": (b"\x21\xd8", True),
    "ucomisd xmm0, xmm1": (b"\x66\x0f\x2e\xc1", False),
    "shl eax, 1": (b"\xd1\xe0", False),
    "imul eax, ebx": (b"\x0f\xaf\xc3", False),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_can_be_saved(name: str) -> None:
    """Others have arguments of several widths, which 32-bit fields would not tell apart."""
    key, can = SHAPES[name]
    rule = shape_of(key).rule
    assert (rule is not None) == can


@pytest.mark.parametrize(("left", "right"), [(5, 5), (3, 9), (0x80000000, 1)])
def test_saved_operands(left: int, right: int) -> None:
    """What a region saved of cmp eax, ebx becomes the flags that it leaves."""
    code = b"\x39\xd8\xf4"
    plan = form(0x1000, code, Options(), lambda pc: look(pc, lambda at, size: b"\xf4"))
    plan.recipe, plan.saved = -1, 0
    recipes = Recipes()
    recipes.name(plan)
    assert recipes.items[1][1] is SAVED
    mem = Memory()
    cpu = Cpu(mem)
    for field, value in zip(SAVED_OPERANDS, (left - right, left, right), strict=True):
        cpu.r32[FIELDS[field].offset // 4] = value & 0xFFFFFFFF
    cpu.r32[SZP_HIGH] = plan.recipe_id + 1
    assert plan.recipe_id >= RECIPE
    recipes.follow(cpu)
    difference = left - right & 0xFFFFFFFF
    assert cpu.r32[FIELDS["szp"].offset // 4] == difference
    assert cpu.r8[FIELDS["cf"].offset] == (left < right)
    signed = (left ^ 1 << 31) - (right ^ 1 << 31)
    assert cpu.r8[FIELDS["of"].offset] == (not -(1 << 31) <= signed < 1 << 31)
    mem.close()
