"""Ports that guests read while they wait: compiled code answers, by the host's clock."""

from __future__ import annotations

import itertools
import struct
import time

import pytest

from runtime.bus import Bus, Line
from runtime.clock import Clock, HostTime
from runtime.devices.pit import HZ, Pit
from runtime.devices.speaker import Speaker
from runtime.devices.vga import Vga
from runtime.system import segments
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from translator.state import FIELDS

pytestmark = pytest.mark.particular
CODE, DATA = 0x1000, 0x10000


def never(*arguments: object) -> int:
    raise AssertionError("Python was asked")


class Machine:
    """A processor with timer, speaker and display adapter, whose reads are not Python's."""

    def __init__(self, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
        for owner in (Pit, Speaker, Vga):
            monkeypatch.setattr(owner, "_read", never)
        self.physical = Physical(1 << 20)
        self.linear = Linear(self.physical)
        self.clock, self.bus = Clock(HostTime()), Bus(self.physical)
        self.pit = Pit(self.bus, Line(), self.clock)
        self.speaker = Speaker(self.bus, self.clock, self.pit.counters[2])
        self.vga = Vga(self.bus, self.clock, 1 << 16)
        self.p = Processor(self.linear, strategy)
        self.p.connect(self.bus.port_in, self.bus.port_out)
        self.p.cpu.r32[FIELDS["cr0"].offset // 4] |= 1
        segments.set_flat(self.p.cpu, 0)
        self.p.update_paging()

    def run(self, code: str, count: int) -> bytes:
        """Run a loop that stores *count* bytes; return them."""
        body = bytes.fromhex(code) + b"\xaa"
        assert len(body) < 120
        loop = body + b"\xe2" + bytes([256 - len(body) - 2]) + b"\xf4"
        self.physical.write(CODE, loop)
        cpu = self.p.cpu
        cpu.eip, cpu.ecx, cpu.edi, cpu.eflags, cpu.budget = CODE, count, DATA, 2, 1 << 40
        assert self.p.run().kind == "halt"
        return self.physical.read(DATA, count)


@pytest.fixture(params=["stencil", "tiered"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(request.param, monkeypatch)


def test_latched_counts(machine: Machine) -> None:
    """Counter 0 counts down with the host's clock, and begins again."""
    machine.bus.port_out(0x43, 0x34, 1)
    machine.bus.port_out(0x40, 0, 1)
    machine.bus.port_out(0x40, 0, 1)
    started = time.monotonic_ns()
    # mov al, 0; out 43h, al; in al, 40h; stosb; in al, 40h
    found = machine.run("b000 e643 e440 aa e440", 20_000)
    passed = (time.monotonic_ns() - started) * HZ // 1_000_000_000
    data = machine.physical.read(DATA, 40_000)
    assert found == data[:20_000]
    counts = struct.unpack("<20000H", data)
    steps = [(a - b) % 65536 for a, b in itertools.pairwise(counts)]
    assert 0 < sum(steps) <= passed
    # The status and count of counter 2 by read-back: mode 3, which has not begun.
    machine.bus.port_out(0x43, 0xB6, 1)
    status, low, high = machine.run("b0c8 e643 e442 aa e442 aa e442", 1)[:1] + (
        machine.physical.read(DATA + 1, 2)
    )
    assert status == 0x80 | 0x40 | 0x36
    assert low | high << 8 == 0


def test_port_61h(machine: Machine) -> None:
    """The refresh bit toggles; what was written is read back."""
    machine.bus.port_out(0x61, 2, 1)
    found = machine.run("e461", 50_000)
    assert {value & 0x0F for value in found} == {2}
    assert {value & 0x10 for value in found} == {0, 0x10}


def test_the_beam(machine: Machine) -> None:
    """Input status 1 shows the retrace, at the port of the display's kind only."""
    machine.bus.port_out(0x3C2, 0x63, 1)
    found: set[int] = set()
    until = time.monotonic() + 5
    while found != {0, 1, 9} and time.monotonic() < until:
        found |= {value & 9 for value in machine.run("66bada03ec", 60_000)}
    assert found == {0, 1, 9}
    assert set(machine.run("66baba03ec", 100)) == {0xFF}
    machine.clock.source.pause()  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match="Python was asked"):
        machine.run("66bada03ec", 100)
