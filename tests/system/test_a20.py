"""The A20 gate: with line 20 held at 0, the second MiB is the first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.running import STRATEGIES

CS, DS = 1, 3


@pytest.fixture(params=STRATEGIES)
def processor(request: pytest.FixtureRequest) -> Iterator[Processor]:
    """A processor in real mode with 2 MiB of memory."""
    physical = Physical(2 << 20)
    linear = Linear(physical)
    made = Processor(linear, request.param)
    yield made
    linear.close()
    physical.close()


def read_twice(processor: Processor) -> tuple[int, int]:
    """Return what the guest reads at 500h and at FFFF:0510h, which is 100500h."""
    assert processor.linear is not None
    physical = processor.linear.physical
    physical.write(0x500, b"\x11")
    physical.write(0x100500, b"\x22")
    physical.write(0x10000, bytes.fromhex("8a1e1005 b800008ed8 8a3e0005 f4"))
    processor.set_real_segment(CS, 0x1000)
    processor.set_real_segment(DS, 0xFFFF)
    processor.cpu.eip, processor.cpu.budget = 0, 1000
    assert processor.run().kind == "halt"
    return processor.cpu.ebx >> 8 & 0xFF, processor.cpu.ebx & 0xFF


def test_gate(processor: Processor) -> None:
    """The gate takes effect at once, in both directions."""
    assert read_twice(processor) == (0x11, 0x22)
    processor.set_a20(enabled=False)
    assert read_twice(processor) == (0x11, 0x11)
    processor.set_a20(enabled=True)
    assert read_twice(processor) == (0x11, 0x22)
