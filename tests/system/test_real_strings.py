"""Repeated string insns of real mode, in bulk, as the interp tier does them item by item.

At the ends of segments, upon their own code, with little budget.
"""

from __future__ import annotations

import random

import pytest

from runtime.system import segments
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor

pytestmark = pytest.mark.particular
SIZE, CODE = 1 << 18, 0x11000
INSNS = ("a4", "a5", "aa", "ab", "a6", "a7", "ae", "af")


class Machine:
    """A processor in real mode."""

    def __init__(self, strategy: str) -> None:
        self.physical = Physical(SIZE)
        self.linear = Linear(self.physical)
        self.p = Processor(self.linear, strategy)

    def run(self, seed: int) -> tuple[object, ...]:
        draw, cpu = random.Random(seed), self.p.cpu
        fill = draw.choice((1, 7, 300, 5000))
        data = bytes(i // fill & 0xFF for i in range(0x8000))
        self.physical.write(0x10000, data + data)
        self.physical.write(0x20000, data + data)
        for name in ("eax", "ecx", "edx", "ebx", "ebp", "esi", "edi"):
            setattr(cpu, name, draw.getrandbits(32))
        near = (0, 1, 0x7FF0, 0x1001, 0x0FF0, 0xFFF0, 0xFFFF, draw.getrandbits(16))
        cpu.ecx = draw.getrandbits(16) << 16 | draw.choice((0, 1, 3, 9, 40, 700, 20000))
        cpu.esi = draw.getrandbits(16) << 16 | draw.choice(near)
        cpu.edi = draw.getrandbits(16) << 16 | draw.choice(near)
        for index in (segments.ES, segments.DS, segments.SS):
            self.p.set_real_segment(index, draw.choice((0x1000, 0x1040, 0x2000, 0x2300)))
        self.p.set_real_segment(segments.CS, CODE >> 4)
        prefixes = draw.choice((b"", b"\x66", b"\x2e", b"\x36")) + draw.choice((b"\xf3", b"\xf2"))
        code = prefixes + bytes.fromhex(draw.choice(INSNS)) + b"\xf4"
        self.physical.write(CODE, draw.choice((b"\xfc", b"\xfc", b"\xfc", b"\xfd")) + code)
        cpu.eip, cpu.eflags = 0, 2 | draw.choice((0, 0x40))
        cpu.budget = draw.choice((3, 20, 500, 100_000))
        exit = self.p.engine.run(cpu)
        registers = [int(r) for r in cpu.r32[:8]]
        return exit[:3], cpu.eip, registers, cpu.eflags, cpu.budget

    def close(self) -> None:
        self.linear.close()
        self.physical.close()


@pytest.mark.parametrize("strategy", ["stencil", "block"])
def test_bulk_is_items(strategy: str) -> None:
    """Exit, registers, flags, budget and memory are the same."""
    one, other = Machine("interp"), Machine(strategy)
    for seed in range(150):
        assert one.run(seed) == other.run(seed), seed
        assert one.physical.view == other.physical.view, seed
    one.close()
    other.close()
