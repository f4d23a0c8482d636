"""Flags that nothing but a fault in the next block shows: exact there on every tier."""

from __future__ import annotations

import numpy as np
import pytest

from tests import compare
from tests.machine import Bare
from tests.native import layout

UNMAPPED = 0x1000
PF = 4
# The way on, taken or not, compares with memory that is not there: cmp al, [esi]; hlt.
FAULTS = "3a06f4"
BLOCKS = {
    "inc ebp; loope": "45e100",  # loope reads one group of those that inc writes
    "inc ebp; mov eax, eax; jz": "4589c07400",
    "inc ebp; nop; js": "45907800",
    "inc ebp; nop; jmp": "4590eb00",
    "add ebp, 1; mov eax, eax; jc": "83c50189c07200",
    "add ebp, 1; setz al; jc": "83c5010f94c07200",
}


@pytest.mark.parametrize("tier", ["interp", "stencil", "block", "region"])
@pytest.mark.parametrize("block", BLOCKS)
def test_flags_at_a_fault(block: str, tier: str) -> None:
    """After 3ba46h + 1: an even number of ones in the low byte, not zero, not negative."""
    machine = Bare(tier)
    case = np.zeros(1, dtype=layout.CASE)
    case["eip"], case["eflags"], case["fx"] = layout.CODE, 0x202, layout.default_fx()
    case["regs"][0, 1], case["regs"][0, 5], case["regs"][0, 6] = 9, 0x3BA46, UNMAPPED
    result = machine.run(bytes.fromhex(BLOCKS[block] + FAULTS), case)[0]
    assert (result["vector"], result["cr2"]) == (compare.PAGE_FAULT, UNMAPPED)
    assert result["eflags"] & 0x8D5 == PF
    machine.close()
