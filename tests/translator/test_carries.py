"""Carries that cross memory accesses: numbers in regions, the same ones as in the interp tier."""

from __future__ import annotations

import numpy as np
import pytest

from tests.assembling import assemble
from tests.machine import Bare
from tests.native import layout

LIMBS = 16
# esi and edi point to LIMBS * 4 bytes, ecx is LIMBS / 2.
LOOPS = {
    "adc": "clc; 1: mov eax, [esi]; adc [edi], eax; mov eax, [esi + 4]; adc [edi + 4], eax;"
    "lea esi, [esi + 8]; lea edi, [edi + 8]; dec ecx; jnz 1b; setc bl",
    "sbb": "stc; 1: mov eax, [edi]; sbb eax, [esi]; mov [edi], eax; mov eax, [edi + 4];"
    "sbb eax, [esi + 4]; mov [edi + 4], eax; lea esi, [esi + 8]; lea edi, [edi + 8];"
    "dec ecx; jnz 1b; sbb ebx, ebx",
    "add and adc": "1: mov eax, [esi]; mov edx, [esi + 4]; add eax, [edi]; adc edx, [edi + 4];"
    "mov [edi], eax; adc [edi + 4], ebx; adc ebx, edx; lea esi, [esi + 8]; lea edi, [edi + 8];"
    "dec ecx; jnz 1b",
    "mul": "1: mov eax, ebp; mul dword ptr [esi]; add eax, ebx; adc edx, 0; add [edi], eax;"
    "adc edx, 0; mov ebx, edx; lea esi, [esi + 4]; lea edi, [edi + 4]; dec ecx; jnz 1b",
    "two ways in": "clc; jmp 2f; 1: mov eax, [esi]; adc [edi], eax; 2: mov eax, [esi + 4];"
    "adc eax, [edi + 4]; mov [edi + 4], eax; jnc 3f; sbb [edi], ebp; 3: lea esi, [esi + 4];"
    "lea edi, [edi + 4]; dec ecx; jnz 1b; adc ebx, ebp",
    "as an address": "clc; 1: mov eax, [esi]; adc eax, eax; adc [edi], eax; setc al;"
    "movzx eax, al; mov edx, [esi + eax * 4]; adc [edi + eax * 4], edx; lea esi, [esi + 4];"
    "lea edi, [edi + 4]; dec ecx; jnz 1b",
    "bytes between": "clc; 1: mov eax, [esi]; adc [edi], al; mov eax, [esi + 4];"
    "adc [edi + 4], eax;"
    "adc [edi + 8], ah; lea esi, [esi + 4]; lea edi, [edi + 4]; dec ecx; jnz 1b",
}


@pytest.mark.parametrize("loop", LOOPS)
def test_carries_across_accesses(loop: str) -> None:
    """Limbs that carry always, never and now and then; what the loop leaves shows each."""
    code = assemble(f"{LOOPS[loop]}; pushfd; hlt", layout.CODE, bits=32)
    found = []
    for tier in ("interp", "region"):
        machine = Bare(tier)
        case = np.zeros(40, dtype=layout.CASE)
        random = np.random.default_rng(3)
        limbs = random.choice(np.array([0, 1, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]), (40, 32))
        for number, row in enumerate(case):
            row["eip"], row["eflags"], row["fx"] = layout.CODE, 0x202, layout.default_fx()
            row["regs"][:] = random.integers(0, 1 << 32, 8)
            row["regs"][1], row["regs"][4] = LIMBS // 2 - number % 3, layout.REGIONS[1] + 0x1000
            row["regs"][6], row["regs"][7] = layout.REGIONS[0], layout.REGIONS[0] + 64
            for side in range(2):
                data = limbs[number, 16 * side : 16 * side + 16].astype("<u4").tobytes()
                row["changes"][side]["address"] = layout.REGIONS[0] + 64 * side
                row["changes"][side]["size"] = 64
                row["changes"][side]["data"] = np.frombuffer(data, "u1")
            row["n_changes"] = 2
        result = machine.run(code, case)
        assert set(result["eip"]) == {layout.CODE + len(code) - 1}
        found.append(result.tobytes())
        machine.close()
    assert found[0] == found[1]
