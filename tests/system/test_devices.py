"""Ports and memory that devices answer for, in host code: the same as the interp tier does."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from runtime.system import segments
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.running import STRATEGIES
from translator.decode import decode
from translator.hooks import Marks
from translator.state import FIELDS

SIZE, DEVICE, DEVICE_SIZE, CODE = 1 << 20, 0x40000, 0x20000, 0x1000
Log = list[tuple[object, ...]]


class Machine:
    """A processor, ports that answer with their number, and a device in the middle of RAM."""

    def __init__(self, strategy: str, *, is_real: bool) -> None:
        self.physical = Physical(SIZE)
        self.linear = Linear(self.physical)
        self.log: Log = []
        self.physical.add_device(DEVICE, DEVICE_SIZE, self.read, self.write)
        self.p = Processor(self.linear, strategy)
        self.p.port_in, self.p.port_out = self.port_in, self.port_out
        if not is_real:
            r32 = self.p.cpu.r32
            r32[FIELDS["cr0"].offset // 4] |= 1
            segments.set_flat(self.p.cpu, 0)
            self.p.update_paging()
        self.is_real = is_real

    def read(self, address: int, size: int) -> int:
        self.log.append(("read", address, size))
        return address * 0x9E3779B1 >> 7 & (1 << 8 * size) - 1

    def write(self, address: int, value: int, size: int) -> None:
        self.log.append(("write", address, value, size))

    def port_in(self, port: int, size: int) -> int:
        self.log.append(("in", port, size))
        return port * 0x10001 & (1 << 8 * size) - 1

    def port_out(self, port: int, value: int, size: int) -> None:
        self.log.append(("out", port, value, size))

    def run(self, code: bytes, rng: random.Random) -> tuple[object, ...]:
        """Execute one insn, then hlt, from registers that are drawn."""
        cpu = self.p.cpu
        self.log.clear()
        if self.is_real:
            for index in (segments.ES, segments.SS, segments.DS, segments.FS, segments.GS):
                self.p.set_real_segment(index, rng.choice((0x4000, 0x3F00, 0x3000)))
            self.p.set_real_segment(segments.CS, CODE >> 4)
        for name in ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"):
            near = DEVICE + rng.choice((0, 0x100, DEVICE_SIZE - 2, -2, 0x3000))
            setattr(cpu, name, rng.choice((near, near, 1, rng.getrandbits(32))))
        mode = segments.mode_of_cpu(cpu)
        self.physical.write(CODE, code[: decode(code, 0, mode).length] + b"\xf4")
        cpu.eip = 0 if self.is_real else CODE
        cpu.eflags, cpu.budget = 0x8D7, 100
        exit = self.p.engine.run(cpu)
        registers = [int(r) for r in cpu.r32[:8]]
        return exit[:4], cpu.eip, registers, cpu.eflags, list(self.log)

    def close(self) -> None:
        self.linear.close()
        self.physical.close()


def draw(rng: random.Random) -> bytes:
    """Draw a port insn or a move between a register or an immediate and memory."""
    prefixes = bytes(rng.choices(b"\x66\x67\x26\x36\x3e\x2e\x64\x65", k=rng.choice((0, 0, 1, 2))))
    if rng.random() < 0.3:
        return prefixes + bytes([rng.choice(b"\xe4\xe5\xe6\xe7\xec\xed\xee\xef"), 0x60]) + b"\xf4"
    opcode = rng.choice(b"\x88\x89\x8a\x8b\xa0\xa1\xa2\xa3\xc6\xc7")
    modrm = rng.randrange(0xC0) & (0x07 | 0xC0 if opcode >= 0xC6 else 0xFF)
    rest = rng.choice((b"\0\0\4\0", b"\0\0\0\0", b"\x10\xf4\xf4\xf4"))
    if opcode < 0xA4 and opcode >= 0xA0:
        return prefixes + bytes([opcode]) + rest + b"\xf4\xf4"
    return prefixes + bytes([opcode, modrm, rng.randrange(256)]) + rest + b"\xf4" * 5


@pytest.fixture(params=[s for s in STRATEGIES if s != "interp"])
def strategy(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("is_real", [False, True], ids=["flat", "real"])
def test_as_the_interp_tier_does(strategy: str, is_real: bool) -> None:
    one, other = Machine(strategy, is_real=is_real), Machine("interp", is_real=is_real)
    one.p.engine.code.marks = Marks(stops={CODE})
    served = 0
    for seed in range(600):
        code = draw(random.Random(seed))
        before = one.p.engine.statistics.insns_interpreted
        results = [machine.run(code, random.Random(seed + 1)) for machine in (one, other)]
        assert results[0] == results[1], (seed, code.hex())
        is_served = one.p.engine.statistics.insns_interpreted == before
        served += bool(results[0][-1]) and is_served
    assert bytes(one.physical.view) == bytes(other.physical.view)
    assert served > 60
    for machine in (one, other):
        machine.close()


@pytest.fixture(params=[False, True], ids=["flat", "real"])
def machine(request: pytest.FixtureRequest, strategy: str) -> Iterator[Machine]:
    made = Machine(strategy, is_real=request.param)
    yield made
    made.close()


def test_an_insn_that_meets_devices_leaves_no_more_by_faults(machine: Machine) -> None:
    """After a few times; where it meets RAM then, RAM is read."""
    segment = DEVICE >> 4 if machine.is_real else 0
    if machine.is_real:
        machine.p.set_real_segment(segments.DS, segment)
        machine.p.set_real_segment(segments.CS, CODE >> 4)
    # mov al, [bx] or [ebx]; inc; loop; hlt
    code = "8a07 43 e2fb f4" if machine.is_real else "8a03 43 e2fb f4"
    machine.physical.write(CODE, bytes.fromhex(code.replace(" ", "")))
    cpu = machine.p.cpu
    for _ in range(2):
        machine.log.clear()
        cpu.eip = 0 if machine.is_real else CODE
        cpu.ebx, cpu.ecx, cpu.budget = (0 if machine.is_real else DEVICE), 50, 10_000
        interpreted = machine.p.engine.statistics.insns_interpreted
        assert machine.p.run().kind == "halt"
        assert machine.log == [("read", DEVICE + i, 1) for i in range(50)]
    assert machine.p.engine.statistics.insns_interpreted == interpreted
    if not machine.is_real:
        machine.physical.write(0x3000, bytes(range(50)))
        cpu.eip, cpu.ebx, cpu.ecx = CODE, 0x3000, 50
        assert machine.p.run().kind == "halt"
        assert cpu.eax & 0xFF == 49


def test_what_a_callback_raises_comes_out_of_run(machine: Machine) -> None:
    """The insn has not happened; the machine goes on with it."""

    def fail(port: int, size: int) -> int:
        raise OSError("broken")

    machine.p.port_in = fail
    machine.physical.write(CODE, bytes.fromhex("e460f4"))
    if machine.is_real:
        machine.p.set_real_segment(segments.CS, CODE >> 4)
    cpu = machine.p.cpu
    start = cpu.eip = 0 if machine.is_real else CODE
    with pytest.raises(OSError, match="broken"):
        machine.p.run()
    assert cpu.eip == start
    machine.p.port_in = machine.port_in
    assert machine.p.run().kind == "halt"
    assert machine.log == [("in", 0x60, 1)]


def test_callbacks_cannot_run_the_processor(machine: Machine) -> None:
    """They get an error; what they ask for by `post` can."""
    machine.physical.write(CODE, bytes.fromhex("e460 40 f4 40 f4".replace(" ", "")))
    if machine.is_real:
        machine.p.set_real_segment(segments.CS, CODE >> 4)
    start = machine.p.cpu.eip = 0 if machine.is_real else CODE
    machine.p.port_in = lambda port, size: machine.p.run() and 0
    with pytest.raises(RuntimeError, match="cannot run the processor"):
        machine.p.run()
    seen: list[str] = []
    machine.p.port_in = lambda port, size: (
        machine.p.post(lambda: seen.append(machine.p.run().kind)) or 0x10  # type: ignore[func-returns-value]
    )
    machine.p.cpu.eip = start
    assert machine.p.run().kind == "halt"
    assert seen == ["halt"]
    assert machine.p.cpu.eax & 0xFF == 0x12


def test_a_loop_of_insns_for_devices_uses_up_its_budget(strategy: str) -> None:
    """Where all that jumps was once an insn that met a device."""
    machine = Machine(strategy, is_real=False)
    code = bytes.fromhex("a100000400 ebf9")  # mov eax, [DEVICE]; jmp back
    machine.physical.write(CODE, code)
    machine.p.engine.code.marks = Marks(stops={CODE, CODE + 5})
    machine.p.cpu.eip, machine.p.cpu.budget = CODE, 1000
    assert machine.p.run().kind == "budget"
    assert len(machine.log) == 500
    machine.close()


def test_ports_need_a_privilege_level(strategy: str) -> None:
    """In ring 3, IOPL decides."""
    machine = Machine(strategy, is_real=False)
    machine.physical.write(CODE, bytes.fromhex("e460 e460 cd21".replace(" ", "")))
    machine.physical.write(0x66, b"\xff\xff")  # in the task state: there is no map of ports
    for iopl, vector in ((0, 13), (3, 0x21)):
        segments.set_flat(machine.p.cpu, 3)
        machine.p.update_context()
        machine.p.cpu.eip, machine.p.cpu.eflags = CODE, 2 | iopl << 12
        exit = machine.p.engine.run(machine.p.cpu)
        assert exit.vector == vector
    assert machine.log == [("in", 0x60, 1)] * 2
    machine.close()


class Drive:
    """A data port of *size* bytes an item: a block of numbers goes in, or out."""

    def __init__(self, processor: Processor, *, is_streamed: bool) -> None:
        self.data, self.taken = bytes(random.Random(8).randbytes(6000)), b""
        self.calls = 0
        processor.connect(self.read, self.write)
        if is_streamed:
            processor.read_stream, processor.write_stream = self.stream_in, self.stream_out

    def read(self, port: int, size: int) -> int:
        part, self.data = self.data[:size], self.data[size:]
        return int.from_bytes(part.ljust(size, b"\xff"), "little")

    def write(self, port: int, value: int, size: int) -> None:
        self.taken += value.to_bytes(size, "little")

    def stream_in(self, port: int, size: int, count: int) -> bytes:
        self.calls += 1
        count = min(count, 700)  # a drive has so much now
        part, self.data = self.data[: size * count], self.data[size * count :]
        return part

    def stream_out(self, port: int, data: bytes, size: int) -> int:
        self.calls += 1
        self.taken += data[: 512 * size]
        return min(len(data), 512 * size)


@pytest.mark.parametrize("opcode", ["6c", "6d", "666d", "6e", "6f", "666f"])
@pytest.mark.parametrize("is_real", [False, True], ids=["flat", "real"])
def test_blocks_through_a_data_port(opcode: str, is_real: bool) -> None:
    """Streams move what single items would: over page ends, into a device, up to a fault."""
    for count, place in ((0, 0x2000), (1, 0x2000), (600, 0x2FFE), (900, 0x2FFF), (300, 0x3FF00)):
        seen = []
        for is_streamed in (False, True):
            machine = Machine("stencil", is_real=is_real)
            drive = Drive(machine.p, is_streamed=is_streamed)
            machine.physical.view[0x2000:0x6000] = random.Random(4).randbytes(0x4000)
            machine.physical.write(CODE, bytes.fromhex("f3" + opcode + "f4"))
            cpu = machine.p.cpu
            segment = 0x2000 if is_real else 0
            if is_real:
                machine.p.set_real_segment(segments.CS, CODE >> 4)
                for index in (segments.ES, segments.DS):
                    machine.p.set_real_segment(index, 0 if place < 0x10000 else segment)
            offset = place - (segment << 4 if place >= 0x10000 and is_real else 0)
            cpu.eip = 0 if is_real else CODE
            cpu.ecx, cpu.edx, cpu.esi, cpu.edi = count, 0x1F0, offset, offset
            if is_real:
                offset &= 0xFFFF
                cpu.esi = cpu.edi = 0xFFF0 if count == 300 else offset
            cpu.budget = 10_000
            done = machine.p.engine.run(cpu)
            memory = bytes(machine.physical.view)
            registers = [int(r) for r in cpu.r32[:8]]
            seen.append(
                (done[:4], cpu.eip, registers, memory, drive.data, drive.taken, machine.log)
            )
            assert is_streamed or not drive.calls
            machine.close()
        assert seen[0] == seen[1], (count, place)
