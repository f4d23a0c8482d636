"""`rep movs` and `rep stos` with a device that takes blocks: the same as item by item."""

from __future__ import annotations

import random

import pytest

from runtime.system import segments
from runtime.system.linear import Linear
from runtime.system.physical import Blocks, Physical
from runtime.system.processor import Processor
from translator.state import FIELDS

pytestmark = pytest.mark.particular
SIZE, DEVICE, DEVICE_SIZE, CODE = 1 << 18, 0x20000, 0x8000, 0x1000


class Machine:
    """A processor, and a device whose bytes are the complements of what was written to them."""

    def __init__(self, *, has_blocks: bool, is_real: bool) -> None:
        self.physical = Physical(SIZE)
        self.linear = Linear(self.physical)
        self.memory, self.blocks = bytearray(DEVICE_SIZE), 0
        blocks = Blocks(self.read_block, self.write_block, self.move_block)
        self.physical.add_device(
            DEVICE, DEVICE_SIZE, self.read, self.write, blocks if has_blocks else None
        )
        self.p = Processor(self.linear, "stencil")
        if not is_real:
            self.p.cpu.r32[FIELDS["cr0"].offset // 4] |= 1
            segments.set_flat(self.p.cpu, 0)
            self.p.update_paging()
        self.is_real = is_real

    def read(self, address: int, size: int) -> int:
        return int.from_bytes(self.memory[address - DEVICE :][:size], "little")

    def write(self, address: int, value: int, size: int) -> None:
        data = bytes(b ^ 0xFF for b in value.to_bytes(size, "little"))
        self.memory[address - DEVICE : address - DEVICE + size] = data

    def read_block(self, address: int, size: int) -> bytes:
        self.blocks += 1
        return bytes(self.memory[address - DEVICE :][:size])

    def write_block(self, address: int, data: bytes) -> None:
        self.blocks += 1
        for i, byte in enumerate(data):
            self.write(address + i, byte, 1)

    def move_block(self, source: int, target: int, size: int, is_down: bool) -> bool:
        if abs(target - source) < size:
            return False
        self.write_block(target, self.read_block(source, size))
        return True

    def run(self, rng: random.Random) -> tuple[object, ...]:
        cpu = self.p.cpu
        start = (0x1F00, 0x2000, 0x1E80, 0x2700)
        near = (0, 1, 3, 0xFFE, 0x1000, 0x7FF0, 0xFFF0)
        for name in ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"):
            setattr(cpu, name, rng.getrandbits(32))
        cpu.ecx = rng.choice((0, 1, 2, 50, 300, 1100)) | rng.choice((0, 0x10000)) * self.is_real
        if self.is_real:
            for index in (segments.ES, segments.DS):
                self.p.set_real_segment(index, rng.choice(start))
            self.p.set_real_segment(segments.CS, CODE >> 4)
            cpu.esi, cpu.edi = rng.choice(near), rng.choice(near)
        else:
            cpu.esi = (rng.choice(start) << 4) + rng.choice(near)
            cpu.edi = (rng.choice(start) << 4) + rng.choice(near)
        code = (
            b"\x66" * (rng.random() < 0.3)
            + b"\xf3"
            + rng.choice((b"\xa4", b"\xa5", b"\xaa", b"\xab"))
        )
        code = (b"\xfd" if rng.random() < 0.4 else b"\xfc") + code
        self.physical.write(CODE, code + b"\xf4")
        cpu.eip = 0 if self.is_real else CODE
        cpu.eflags, cpu.budget = 2, 100_000
        exit = self.p.engine.run(cpu)
        registers = [int(r) for r in cpu.r32[:8]]
        return exit[:4], cpu.eip, registers, cpu.budget, bytes(self.memory)


@pytest.mark.parametrize("is_real", [False, True], ids=["flat", "real"])
def test_blocks_are_items(is_real: bool) -> None:
    """Registers, budget, memory and the device are the same, at all borders."""
    one, other = (Machine(has_blocks=has, is_real=is_real) for has in (True, False))
    for seed in range(100):
        results = [machine.run(random.Random(seed)) for machine in (one, other)]
        assert results[0][:4] == results[1][:4], seed
        assert results[0] == results[1], seed
        assert one.physical.view == other.physical.view, seed
    assert one.blocks > 10
    for machine in (one, other):
        machine.linear.close()
        machine.physical.close()


def test_code_whose_page_is_written_all_the_time() -> None:
    """A stack below a boot sector is in its page; insns there go in blocks all the same."""
    machine = Machine(has_blocks=True, is_real=True)
    engine, cpu = machine.p.engine, machine.p.cpu
    engine.code.open_pages.add(CODE >> 12)
    engine.code.count_change = lambda *place: False  # type: ignore[method-assign]
    machine.p.set_real_segment(segments.ES, DEVICE >> 4)
    machine.p.set_real_segment(segments.CS, CODE >> 4)
    for code in ("f3aa", "f366ab"):  # the second one in the place of the first
        machine.physical.write(CODE, bytes.fromhex(code + "f4"))
        before = engine.statistics.insns_interpreted
        cpu.eip, cpu.edi, cpu.ecx, cpu.eflags, cpu.budget = 0, 0, 0x1000, 2, 100_000
        machine.blocks = 0
        engine.run(cpu)
        assert cpu.ecx & 0xFFFF == 0
        assert 0 < machine.blocks < 6
        assert engine.statistics.insns_interpreted - before < 4
    machine.linear.close()
    machine.physical.close()
