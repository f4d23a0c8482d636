"""Loops that follow pointers: which loads wait for a cycle, so that the link asks first."""

from __future__ import annotations

import pytest

from tests.translator.test_regions import grow
from translator.semantics import lift
from translator.tiers.hostasm import later
from translator.tiers.links import waiting
from translator.tiers.regioncode import source

WAITS = later("%").partition('"')[2].partition('"')[0]

# Loops: hex, and at which insns the loads that wait are.
LOOPS = {
    # add ecx, [eax+16]; mov eax, [eax]; dec edx; jnz
    "the link last": ("0348108b004a75f8", [0]),
    # mov eax, [eax]; add ecx, [eax+16]; dec edx; jnz
    "the link first": ("8b000348104a75f8", [1]),
    # add ecx, [eax]; mov eax, [eax+4]; test eax, eax; jnz
    "until it is null": ("03088b400485c075f7", [0]),
    # mov esi, [eax]; add ecx, [eax+4]; mov eax, esi; dec edx; jnz
    "by another register": ("8b3003480489f04a75f6", [1]),
    # mov eax, [eax]; mov eax, [eax]; add ecx, [eax+4]; dec edx; jnz
    "two links a round": ("8b008b000348044a75f6", [2]),
    # cmp [eax+4], ecx; je +7; mov eax, [eax]; test eax, eax; jnz to the cmp; hlt
    "a search": ("39480474068b0085c075f5f4", [0]),
    # add ecx, [eax+16]; add eax, 4; dec edx; jnz
    "an array": ("03481083c0044a75f7", []),
    # mov eax, [eax]; dec edx; jnz
    "nothing but links": ("8b004a75fb", []),
    # mov ebp, esp; add ecx, [ebp+4]; mov ebp, [ebp]; dec edx; jnz
    "a frame, not a chain": ("89e5034d048b6d004a75f5", []),
    # mov eax, [esi]; add ecx, [eax+4]; mov eax, [eax]; add esi, 4; dec edx; jnz
    "a fresh start each round": ("8b060348048b0083c6044a75f3", []),
    # add ecx, [eax+16]; movzx eax, byte [eax]; dec edx; jnz
    "a byte is no pointer": ("0348100fb6004a75f7", []),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loads_that_wait(name: str) -> None:
    code, want = LOOPS[name]
    region = grow(bytes.fromhex(code), 0)
    assert region.has_loop
    units = [[lift(shape.insn) for shape, _ in node.plan.items] for node in region.nodes]
    found = waiting(region, units)
    at = [i for i, unit in enumerate(u for inside in units for u in inside) if found & {*unit.ops}]
    assert at == want
    assert source(region).count(WAITS) == len(want)


def test_straight_code_does_not_wait() -> None:
    """add ecx, [eax+16]; mov eax, [eax]; add ecx, [eax+16]; hlt."""
    region = grow(bytes.fromhex("0348108b00034810f4"), 0)
    assert not region.has_loop
    assert WAITS not in source(region)
