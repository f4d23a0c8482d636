"""Flags that nothing but a fault in the next block shows: exact there on every tier."""

from __future__ import annotations

import numpy as np
import pytest

from tests import compare
from tests.assembling import assemble
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
# Loops that leave mapped memory. Behind them flags are shown that follow from no register.
BEHIND = "mov eax, ecx; cmp al, [eax]; hlt"
LOOPS = {
    # What the flags follow from stays until the next round has faulted,
    "kept": "1: mov ebp, [edx]; add edx, 4; cmp edx, ebx; jne 1b",
    "kept to the second access": "1: mov ebp, [edx - 4]; test ebp, [edx]; add edx, 4;"
    "cmp edx, ebx; jne 1b",
    # is changed before that,
    "changed in front": "1: add ebx, 4; lea edx, [edx + 4]; lea ebx, [ebx]; cmp edx, ebx;"
    "lea ebx, [ebx + 1]; mov ebp, [edx]; jne 1b",
    "changed in the next round": "1: lea edx, [edx + 4]; mov ebp, [edx]; cmp edx, ebx; jne 1b",
    "changed behind the comparison": "1: mov ebp, [edx]; lea ecx, [ecx - 1]; cmp edx, ebx;"
    "lea edx, [edx + 4]; jecxz 3f; jmp 1b; 3:",
    # or is changed on one way round only.
    "two ways": "1: mov ebp, [edx]; add edx, 4; cmp edx, ebx; je 3f; jp 2f; lea ebx, [ebx + 2];"
    "2: cmp byte ptr [edx], 1; lea edi, [edi + 1]; cmp edi, ebx; jne 1b; 3:",
    "passed on": "1: mov ebp, [edx]; add edx, 4; cmp edx, ebx; je 3f; jecxz 2f; lea ebx, [ebx + 2];"
    "2: lea edx, [edx + 1]; jmp 1b; 3:",
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


@pytest.mark.parametrize("loop", LOOPS)
def test_flags_at_a_fault_in_a_loop(loop: str) -> None:
    """A region, which keeps flags that only a fault shows in other forms, has those of interp."""
    code = assemble(f"{LOOPS[loop]}; {BEHIND}", layout.CODE, bits=32)
    found = []
    for tier in ("interp", "region"):
        machine = Bare(tier)
        case = np.zeros(8, dtype=layout.CASE)
        for number, row in enumerate(case):
            row["eip"], row["eflags"], row["fx"] = layout.CODE, 0x202, layout.default_fx()
            row["regs"][2] = layout.REGIONS[0] + layout.REGION_SIZE - 64 + number
            row["regs"][1], row["regs"][3] = 800, layout.REGIONS[0] + 37 * number
        result = machine.run(code, case)
        assert set(result["vector"]) == {compare.PAGE_FAULT}
        found.append([(r["cr2"], r["eip"], r["eflags"], r["regs"].tolist()) for r in result])
        machine.close()
    assert found[0] == found[1]
