"""The end of a budget, which no block fits in: insns run one at a time, and traps come as ever."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.memory import Memory
from runtime.system.processor import Processor
from tests.running import STRATEGIES
from translator.mode import Model

CODE = 0x7C00
# push 0102h; popf, which sets TF; eight times inc ax; hlt
STEPPING = bytes.fromhex("6802019d" + "40" * 8 + "f4")


@pytest.fixture(params=STRATEGIES)
def processor(request: pytest.FixtureRequest) -> Iterator[Processor]:
    memory = Memory()
    memory.min_address = 0
    memory.map(0, 0x110000, 7, fixed=True)
    made = Processor(memory, request.param, Model.MAX)
    memory.write(CODE, STEPPING)
    memory.write(4, bytes.fromhex("00050000"))  # vector 1: 0:0500h, inc bx; hlt
    memory.write(0x500, bytes.fromhex("43f4"))
    yield made
    memory.close()


@pytest.mark.parametrize("budget", [4, 6, 100])
def test_single_steps(processor: Processor, budget: int) -> None:
    """TF that an insn near the end sets traps behind the next one."""
    cpu = processor.cpu
    for index in range(6):
        processor.set_real_segment(index, 0)
    cpu.eip, cpu.esp, cpu.budget = CODE, 0x7000, budget
    cpu.eax = cpu.ebx = 0
    processor.run()
    assert cpu.eax == 1
    assert cpu.ebx == 1
