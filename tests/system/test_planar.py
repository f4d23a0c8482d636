"""Programs that use a VGA's planes: compiled devices in host code, against a plain model.

The model is that of tests/runtime/devices/test_vgamemory.py, by callbacks of the interp tier.
"""

from __future__ import annotations

import random
import struct

import pytest

from runtime.bus import Bus
from runtime.clock import Clock
from runtime.devices.vga import Vga
from runtime.devices.vgastate import LATCH, LEFT
from runtime.system import segments
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.running import STRATEGIES
from tests.runtime.devices.test_vgamemory import Model
from tests.runtime.devices.vga_board import Still
from translator.state import FIELDS

pytestmark = pytest.mark.particular
CODE, STACK, DATA, WINDOW = 0x1000, 0x9000, 0x20000, 0xA0000
_MASKS = {0x3C4: [3, 0x3D, 15, 0x3F, 14], 0x3CE: [15, 15, 15, 31, 3, 0x7B, 15, 15, 255]}


class Plain:
    """The model as a device of callbacks: registers that are written in pairs, and the window."""

    def __init__(self, bus: Bus) -> None:
        self.model = Model()
        for port in _MASKS:
            bus.map_ports(port, 1, lambda port, size: 0, self._out, owner="model")
        bus.physical.add_device(WINDOW, 0x20000, self._read, self._write)

    def _out(self, port: int, value: int, size: int) -> None:
        file = self.model.sequencer if port == 0x3C4 else self.model.graphics
        file[value & 0xFF] = value >> 8 & _MASKS[port][value & 0xFF]

    def _read(self, address: int, size: int) -> int:
        return sum(self.model.read(address + i) << 8 * i for i in range(size))

    def _write(self, address: int, value: int, size: int) -> None:
        for i in range(size):
            self.model.write(address + i, value >> 8 * i & 0xFF)


class Machine:
    """A processor with 1 MiB and either adapter."""

    def __init__(self, strategy: str, *, is_real: bool, is_plain: bool = False) -> None:
        self.physical = Physical(1 << 20)
        self.linear = Linear(self.physical)
        self.bus = Bus(self.physical)
        self.adapter: Plain | Vga = (
            Plain(self.bus) if is_plain else Vga(self.bus, Clock(Still()), 1 << 16)
        )
        self.p = Processor(self.linear, strategy)
        self.p.connect(self.bus.port_in, self.bus.port_out)
        self.is_real = is_real
        if not is_real:
            self.p.cpu.r32[FIELDS["cr0"].offset // 4] |= 1
            segments.set_flat(self.p.cpu, 0)
            self.p.update_paging()

    def run(self, code: bytes, registers: dict[str, int]) -> tuple[object, ...]:
        cpu = self.p.cpu
        self.physical.write(CODE, code)
        self.physical.write(DATA, bytes(range(256)) * 16)
        if isinstance(self.adapter, Vga):
            self.adapter.state[LEFT] = 1 << 40
        for name, value in registers.items():
            setattr(cpu, name, value)
        if self.is_real:
            for index, place in ((0, WINDOW), (3, DATA), (2, STACK), (1, CODE)):
                self.p.set_real_segment(index, place >> 4)
        cpu.eip = 0 if self.is_real else CODE
        cpu.eflags, cpu.budget = 2, 1 << 40
        exit = self.p.run()
        assert exit.kind == "halt", exit
        return [int(r) for r in cpu.r32[:8]], cpu.eip, cpu.eflags, self.planes()

    def planes(self) -> tuple[object, ...]:
        """What the adapter holds: planes, then latches."""
        if isinstance(self.adapter, Plain):
            model = self.adapter.model
            return tuple(map(bytes, model.planes)), bytes(model.latches)
        memory, latch = self.adapter.memory, self.adapter.state[LATCH]
        found = tuple(memory.bytes[:65536, p].tobytes() for p in range(4))
        return found, struct.pack("<I", latch)

    def close(self) -> None:
        self.linear.close()


class Assembler:
    """Insns for one mode; memory is [edi], or [bx] in real mode."""

    def __init__(self, rng: random.Random, *, is_real: bool) -> None:
        self.rng, self.is_real = rng, is_real

    def sized(self, code: str, width: int, immediate: int = 0) -> bytes:
        """Return an insn with the operand size prefix that it needs, and an immediate."""
        prefix = b"\x66" if width == (32 if self.is_real else 16) else b""
        return prefix + bytes.fromhex(code) + self.rng.randbytes(immediate)

    def out(self, port: int, index: int, value: int) -> bytes:
        """Return `mov dx, port; mov ax, value; out dx, ax`."""
        first = self.sized("ba", 16) + struct.pack("<H", port)
        return first + self.sized("b8", 16) + bytes([index, value]) + self.sized("ef", 16)

    def access(self) -> bytes:
        """Return an access in any of the ways there are, of 8, 16 or 32 bits."""
        width = self.rng.choice((8, 8, 16, 32))
        name = self.rng.choice(_BYTES if width == 8 else _WORDS)
        immediate = 0
        if name in ("c607", "8007", "8307"):
            immediate = 1
        elif name == "c707":
            immediate = width // 8
        return self.sized(name, width, immediate)

    def repeated(self) -> bytes:
        """Return a repeated string insn; its count is given."""
        load = self.sized("b9", 32) + struct.pack("<I", self.rng.choice((0, 1, 5, 60)))
        width = self.rng.choice((8, 8, 16, 32))
        name = self.rng.choice(("a4", "aa") if width == 8 else ("a5", "ab"))
        is_down = self.rng.random() < 0.2
        insn = self.sized("f3" + name, width)
        return load + (b"\xfd" + insn + b"\xfc" if is_down else insn)

    def registers(self) -> bytes:
        """Return the write of a register."""
        file = self.rng.choice((0x3C4, 0x3CE))
        index = self.rng.choice((2, 2, 4)) if file == 0x3C4 else self.rng.randrange(9)
        value = 5 if (file, index) == (0x3CE, 6) else self.rng.randrange(256)
        if (file, index) == (0x3C4, 4):
            value |= self.rng.choice((4, 6, 6))
        return self.out(file, index, value)

    def program(self) -> bytes:
        """Return a loop of accesses and changes of registers, which runs for some rounds."""
        body = b""
        for _ in range(self.rng.randrange(4, 8)):
            kind = self.rng.random()
            if kind < 0.35:
                body += self.registers()
            elif kind < 0.9:
                body += self.access()
            else:
                body += self.repeated()
        for modrm in ("e7", "e6", "e3"):  # and di/si/bx, 7FFFh
            body += self.sized("81" + modrm, 16) + b"\xff\x7f"
        size = 2 if self.is_real else 4
        far = -(len(body) + 3 + size)
        return body + b"\x4d\x0f\x85" + far.to_bytes(size, "little", signed=True) + b"\xf4"


# With a ModRM byte of 07: mov, alu, xchg, shifts, extensions, tests, setcc; then string insns.
_BYTES = (
    "8807", "8a07", "8807", "8a07", "c607", "0807", "2207", "3007", "0007", "8007", "fe07", "f617",
    "d007", "8607", "3807", "8407", "0f9407", "aa", "ac", "a4", "ae", "f00007",
)  # fmt: skip
_WORDS = (
    "8907", "8b07", "c707", "0907", "8307", "ff07", "d107", "8707", "0fb607", "0fbe07", "3907",
    "8507", "ab", "ad", "a5", "af", "0fb707",
)  # fmt: skip


def place(rng: random.Random) -> int:
    """Return where in the window accesses begin: anywhere, or at the end of a page."""
    at = rng.randrange(0x4000)
    return at | 0xFF8 if rng.random() < 0.3 else at


def compare(strategy: str, *, is_real: bool, seeds: range) -> None:
    """Run programs with both adapters: registers, flags, planes and latches are the same."""
    plain = Machine("interp", is_real=is_real, is_plain=True)
    machine = Machine(strategy, is_real=is_real)
    machine.bus.port_out(0x3C2, 0x63, 1)
    for each in (plain, machine):
        each.bus.port_out(0x3CE, 0x0506, 2)
        each.bus.port_out(0x3C4, 0x0604, 2)
    for seed in seeds:
        rng = random.Random(seed)
        code = Assembler(rng, is_real=is_real).program()
        base = 0 if is_real else WINDOW
        registers = {
            "eax": rng.getrandbits(32), "ecx": rng.getrandbits(32), "edx": rng.getrandbits(32),
            "ebx": base + place(rng), "esp": 0x100 if is_real else STACK, "ebp": 12,
            "esi": base + place(rng), "edi": base + place(rng),
        }  # fmt: skip
        results = [each.run(code, registers) for each in (plain, machine)]
        assert results[0] == results[1], (seed, code.hex())
    if strategy != "interp":
        marks = machine.p.engine.code.marks
        assert marks is not None
        assert len(marks.devices) > 4
    for each in (plain, machine):
        each.close()


@pytest.mark.parametrize("is_real", [False, True], ids=["flat", "real"])
@pytest.mark.parametrize("strategy", ["stencil", "tiered"])
def test_programs_see_the_planes_of_the_model(strategy: str, is_real: bool) -> None:
    """However accesses reach the adapter."""
    compare(strategy, is_real=is_real, seeds=range(4))


@pytest.mark.slow
@pytest.mark.parametrize("is_real", [False, True], ids=["flat", "real"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_many_programs(strategy: str, is_real: bool) -> None:
    """The same with more of them, on every strategy."""
    compare(strategy, is_real=is_real, seeds=range(4, 40))


@pytest.mark.parametrize("is_real", [False, True], ids=["flat", "real"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_colours_by_rep_outs(strategy: str, is_real: bool) -> None:
    """The palette takes them upwards and downwards, and gives them back one by one."""
    machine = Machine(strategy, is_real=is_real)
    assert isinstance(machine.adapter, Vga)
    base = 0 if is_real else DATA
    registers = {"esi": base + 100, "edi": 0, "ecx": 768, "edx": 0x3C9, "eax": 0, "ebx": 0}
    wide = "66" if is_real else ""
    for code, first, count, step in (
        ("f36ef4", 100, 768, 1),
        ("fdf36efcf4", 1124, 768, -1),
        (wide + "f36ff4", 100, 192, 4),  # the other bytes go to the ports behind
    ):
        machine.bus.port_out(0x3C8, 0, 1)
        machine.run(bytes.fromhex(code), dict(registers, esi=base + first, ecx=count))
        assert machine.p.cpu.ecx == 0
        expected = [first + step * i & 63 for i in range(count)]
        assert list(machine.adapter.palette[:count]) == expected
    machine.bus.port_out(0x3C7, 0, 1)
    # again: in al, dx; add bl, al; loop again; hlt
    machine.run(bytes.fromhex("ec00c3e2fbf4"), dict(registers, ecx=768))
    assert machine.p.cpu.ebx == sum(machine.adapter.palette) & 0xFF
    machine.close()
