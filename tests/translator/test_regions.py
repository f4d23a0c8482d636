"""Forming regions: which blocks belong together, where they are tested, how they are described."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.tiering import _key
from translator import regions
from translator.planner import Options, Peek, Plan, form
from translator.shape import ALL_FLAGS
from translator.tiers.regioncode import source

BASE = 0x10000
# mov ecx, 1000; inc eax; test al, 1; jz +1; inc edx; dec ecx; jnz to the first inc; hlt
BRANCHY = bytes.fromhex("b9e803000040a8017401424975f7f4")
# call +6; dec ecx; jnz to the call; hlt; nop; f: inc eax; ret
CALLING = bytes.fromhex("e8050000004975f8f49040c3")


def _unknown(pc: int) -> Peek:
    return Peek(ALL_FLAGS, False, 0, 0, [])


def grow(
    code: bytes, head: int, base: int = BASE, heat: dict[int, float] | None = None
) -> regions.Region:
    """Form the region of some code, all of whose direct edges count as taken.

    *heat* says what samples have shown of blocks, by offset; None: all are the same.
    """

    def known(pc: int, guess: float) -> float:
        return 1.0 if heat is None else heat.get(pc - base, min(guess, 1.0))

    def plan_at(pc: int, fpu: int, most: int) -> Plan | None:
        at = pc - base
        if not 0 <= at < len(code):
            return None
        options = Options(fpu, max_insns=min(most, 64), recovers=True)
        return form(pc, code[at:], options, _unknown)

    region = regions.grow(base + head, 0, plan_at, Plan.successors, 600, known)
    assert region is not None
    return region


def test_loop_with_a_branch() -> None:
    """The blocks of the loop, once each, tested on the way back only; the exit stays outside."""
    region = grow(BRANCHY, 5)
    starts = sorted(node.plan.pc - BASE for node in region.nodes)
    assert starts == [5, 10, 11]
    assert [node.is_check for node in region.nodes] == [True, False, False]
    assert region.has_loop
    assert region.insns == 6
    assert region.head.need == 6
    assert all(BASE + len(BRANCHY) - 1 not in node.edges for node in region.nodes)


def test_loop_without_its_cold_branch() -> None:
    """A way that samples do not show stays outside, though it was taken once."""
    region = grow(BRANCHY, 5, heat={5: 100.0, 11: 90.0})
    assert sorted(node.plan.pc - BASE for node in region.nodes) == [5, 11]
    region = grow(BRANCHY, 5, heat={5: 100.0, 11: 90.0, 10: 4.0})
    assert sorted(node.plan.pc - BASE for node in region.nodes) == [5, 10, 11]


def test_block_that_runs_into_the_loop() -> None:
    """It ends where the loop starts, so that no insn is compiled twice."""
    region = grow(BRANCHY, 0)
    starts = sorted(node.plan.pc - BASE for node in region.nodes)
    assert starts == [0, 5, 10, 11, 14]
    by_start = {node.plan.pc - BASE: node.count for node in region.nodes}
    assert by_start[0] == 1


def test_return_leads_behind_its_call() -> None:
    """A called function is inside, and its return is compared with the address behind the call."""
    region = grow(CALLING, 0)
    rets = [node for node in region.nodes if regions.is_return(node.plan)]
    assert rets
    assert all(list(node.edges) == [BASE + 5] for node in rets)


@pytest.mark.parametrize("code", [BRANCHY, CALLING])
def test_description_has_no_addresses(code: bytes) -> None:
    """The same code elsewhere is described, and compiled, in the same way."""
    here, there = grow(code, 0), grow(code, 0, 0x7F003000)
    assert regions.plain(here) == regions.plain(there)
    assert source(here) == source(there)


def test_faults_that_leave_the_same_share_their_way_out() -> None:
    """Stores change no register: mov [ecx], eax; mov [ecx+4], eax; then loads; dec edx; jnz."""
    stores, loads = bytes.fromhex("8901894104"), bytes.fromhex("8b018b4904")
    ends = {}
    for name, insns in (("stores", stores), ("loads", loads)):
        text = source(grow(insns + bytes.fromhex("4a75") + bytes([0xFD - len(insns)]), 0))
        ends[name] = {line for line in text.splitlines() if line.startswith("fault")}
    assert len(ends["stores"]) == 1
    assert len(ends["loads"]) == 2


@pytest.mark.parametrize("code", [BRANCHY, CALLING])
def test_description_is_enough(code: bytes) -> None:
    """What is rebuilt from it compiles to the same."""
    region = grow(code, 0)
    again = regions.rebuild(regions.plain(region))
    assert regions.plain(again) == regions.plain(region)
    assert source(again) == source(region)


def test_description_does_not_depend_on_the_run() -> None:
    """Nor on where its objects lie: a later run looks the region up by it."""
    # call +3; jmp to the call; f: seven times (test al, n; jz to the ret); ret
    tests = b"".join(bytes([0xA8, 1 << i, 0x74, 4 * (6 - i)]) for i in range(7))
    code = bytes.fromhex("e802000000ebf9") + tests + b"\xc3"
    first = grow(code, 0)
    found = regions.plain(first)
    assert sum(regions.is_return(node.plan) for node in first.nodes) > 2
    held = []
    for number in range(30):
        held.append([object() for _ in range(number % 7)])
        assert regions.plain(grow(code, 0)) == found


def test_key_depends_on_the_description_alone() -> None:
    """Equal values have one key, however their parts are shared."""

    def fresh(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(fresh(v) for v in value)
        return bytes(bytearray(value)) if isinstance(value, bytes) else value

    described = regions.plain(grow(bytes.fromhex("404075fcf4"), 0))  # one shape, twice
    assert _key(fresh(described)) == _key(described)
