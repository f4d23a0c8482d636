"""Flags that only a violated segment limit shows: exact, whoever set them, on every strategy."""

from __future__ import annotations

import pytest

from runtime.memory import Memory
from runtime.system.processor import Processor
from tests.running import STRATEGIES
from translator.mode import Model

CS, SS, DS = 1, 2, 3
FLAGS = 0x8D5
HANDLER = "5b 5b 59 f4"  # pop bx (IP), bx (CS), cx (FLAGS); hlt


def flags_at_fault(strategy: str, code: str, model: Model) -> tuple[int, int]:
    """Run code at 1000:0 until it violates a limit; return its flags then, and AX."""
    memory = Memory()
    memory.min_address = 0
    memory.map(0, 1 << 20, 7, fixed=True)
    processor = Processor(memory, strategy, model)
    processor.set_real_segment(SS, 0x2000)
    processor.set_real_segment(DS, 0x3000)
    processor.set_real_segment(CS, 0x1000)
    cpu = processor.cpu
    cpu.esp, cpu.eip, cpu.budget = 0x1000, 0, 10_000_000
    memory.write(4 * 13, bytes.fromhex("00000012"))
    memory.write(0x12000, bytes.fromhex(HANDLER))
    memory.write(0x10000, bytes.fromhex(code))
    kind = processor.run().kind
    shown = cpu.ecx & FLAGS, cpu.eax & 0xFFFF
    memory.close()
    assert kind == "halt"
    return shown


@pytest.mark.parametrize("model", [Model.I286, Model.I386, Model.MAX], ids=lambda m: m.name)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_flags_of_the_insn_before(strategy: str, model: Model) -> None:
    """In the block, and in the block before; what comes behind would have dropped them."""
    # mov ax, 7fffh; mov bx, ffffh; add ax, 1; mov dx, [bx]; add ax, 1; hlt
    start, access = "b8ff7f bbffff 83c001", "8b17 83c001 f4"
    for between in ("", "eb00", "7000"):  # jmp, jo to the access
        code = (start + between + access).replace(" ", "")
        assert flags_at_fault(strategy, code, model) == (0x894, 0x8000)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_flags_in_a_loop(strategy: str) -> None:
    """A hot loop runs to the end of the segment; then the flags are those of its last insn."""
    # mov ax, 5a00h; mov bx, 1; again: sub ax, 3; mov dx, [bx]; add bx, 2; jmp again
    code = "b8005a bb0100 83e803 8b17 83c302 ebf6".replace(" ", "")
    rounds = 0x8000  # BX is 1, 3, ... FFFFh
    ax = 0x5A00 - 3 * rounds & 0xFFFF
    assert flags_at_fault(strategy, code, Model.MAX) == (_flags_of_sub(ax + 3 & 0xFFFF, 3), ax)


def _flags_of_sub(left: int, right: int) -> int:
    res = left - right & 0xFFFF
    parity = bin(res & 0xFF).count("1") % 2 == 0
    af = (left ^ right ^ res) & 0x10
    of = ((left ^ right) & (left ^ res)) >> 15 & 1
    return (left < right) | parity << 2 | af | (res == 0) << 6 | res >> 15 << 7 | of << 11


def test_flags_on_the_stack() -> None:
    """A push at SP = 1 shows them too."""
    # mov sp, 1; mov ax, 7fffh; inc ax; push ax: the fault cannot be delivered there
    memory = Memory()
    memory.min_address = 0
    memory.map(0, 1 << 20, 7, fixed=True)
    processor = Processor(memory, "stencil")
    processor.set_real_segment(SS, 0x2000)
    processor.set_real_segment(CS, 0x1000)
    processor.cpu.eip, processor.cpu.budget = 0, 1000
    memory.write(0x10000, bytes.fromhex("bc0100b8ff7f4050f4"))
    assert processor.run().kind == "shutdown"
    assert processor.cpu.eflags & FLAGS == 0x894
    memory.close()
