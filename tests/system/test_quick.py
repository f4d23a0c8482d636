"""The compiled common cases (translator/quick/system.py) against Python's: the same, or nothing."""

from __future__ import annotations

import ctypes
import random
import struct
from collections.abc import Iterator

import pytest

from runtime import fpstate, native
from runtime.helpers import HELPERS
from runtime.system import interrupts, segments
from runtime.system.linear import CR0_PG, Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.running import ANY
from translator.faults import GuestFault
from translator.mode import Model
from translator.quick import system
from translator.state import FIELDS

GDT, LDT, IDT, TSS, DIRECTORY, TABLE = 0x6000, 0x6800, 0x5000, 0x7000, 0x1000, 0x2000
CODE, STACK, INNER = 0x40000, 0x50000, 0x60000
SIZE = 1 << 19
P, RW, US = 1, 2, 4
# Fields that nobody looks at behind either.
SCRATCH = ("exit_kind", "exit_info", "fault_address", "fault_error", "fault_pc", "shadow")
SEGMENTS = 0x00CF0000 | 0x9200  # flat, present, writable data
_STATE = FIELDS["jump_cache"].offset
_i64 = ctypes.c_int64
_EXECUTE = native.arena.function("execute", _i64, _i64, _i64, _i64, keep_gil=True)
_INTERRUPT = native.arena.function("interrupt", _i64, _i64, _i64, keep_gil=True)
_DELIVER = native.arena.function("deliver", _i64, *[_i64] * 5, keep_gil=True)


class Machine:
    """Protected mode with paging; the tables hold descriptors that are right, or nearly so."""

    def __init__(self, rng: random.Random, model: Model) -> None:
        self.rng = rng
        self.physical = Physical(SIZE)
        self.linear = Linear(self.physical)
        self.p = Processor(self.linear, ANY, model)
        self.cpu = self.p.cpu
        self.pointers = self.linear.context_address, self.cpu.state_address

    def put(self, place: int, *words: int) -> None:
        self.physical.write(place, struct.pack(f"<{len(words)}I", *words))

    def set(self, name: str, value: int) -> None:
        offset, width = FIELDS[name]
        view = {16: self.cpu.r16, 32: self.cpu.r32}[width]
        view[offset * 8 // width] = value

    def descriptor(self, index: int) -> tuple[int, int]:
        """Draw a descriptor: mostly flat, code and data of each level in turn."""
        rng = self.rng
        high = SEGMENTS | (index >> 1 & 3) << 13 | (index & 1) << 11 | 0x100
        low = 0xFFFF
        if rng.random() < 0.3:
            high ^= 1 << rng.choice((8, 9, 10, 12, 15, 16, 22, 23, 31, 3))
        if rng.random() < 0.15:
            low = rng.choice((0x00100FFF, 0x1234FFFF))
        return low, high

    def draw(self) -> None:
        """Fill tables and registers."""
        rng, put, cpu = self.rng, self.put, self.cpu
        for table in (GDT, LDT):
            for index in range(32):
                put(table + 8 * index, *self.descriptor(index))
        for vector in range(64):
            kind = rng.choice((0x8E, 0x8E, 0x8F, 0x8F, 0x86, 0x0E)) | rng.randrange(4) << 5
            selector = rng.choice((8, 8, 8 | 64, 24, rng.randrange(8, 256)))
            put(IDT + 8 * vector, selector << 16 | rng.randrange(0x10000), 0x40000 | kind << 8)
        for index in range(1 << 8):
            present = P | RW if rng.random() > 0.02 else rng.choice((0, P))
            put(TABLE + 4 * index, index << 12 | present | (US if rng.random() > 0.1 else 0))
        for table in (GDT, IDT, TSS, DIRECTORY, TABLE, CODE, *range(STACK - 4096, STACK, 4096)):
            put(TABLE + (table >> 12) * 4, table | P | RW | US)
        put(DIRECTORY, TABLE | P | RW | US)
        put(TSS, 0, *(rng.choice((INNER, INNER + 8, rng.randrange(256))) for _ in range(25)))
        for level in range(3):
            right = 16 * level | level | rng.choice((0, 64, 128))
            put(TSS + 8 + 8 * level, right if rng.random() < 0.8 else rng.randrange(256))
        self.set("gdtr_base", GDT), self.set("gdtr_limit", rng.choice((255, 200)))
        self.set("idtr_base", IDT), self.set("idtr_limit", rng.choice((511, 400)))
        self.set("ldtr_base", LDT), self.set("ldtr_limit", 255)
        self.set("ldtr_attr", rng.choice((0x8200, 0x8200, 0)))
        self.set("tr_base", TSS), self.set("tr_limit", rng.choice((103, 103, 9)))
        self.set("tr_attr", rng.choice((0x8B00, 0x8B00, 0x8300)))
        self.set("cr0", 0x60000011 | CR0_PG), self.set("cr3", DIRECTORY)
        level = rng.choice((0, 0, 3, 3, 1))
        segments.set_flat(cpu, level)
        for index in (segments.ES, segments.DS, segments.FS, segments.GS):
            if rng.random() < 0.3:  # what an outer level must not keep
                attr = 0x00C09300 | rng.randrange(level, 4) << 13
                segments.set_segment(cpu, index, 0x10, 0, 0xFFFFFFFF, attr)
        cpu.eflags = rng.getrandbits(22) & ~(1 << 17 | 1 << 8) & (~(1 << 14) if level else -1)
        if rng.random() < 0.9:
            cpu.eflags &= ~(1 << 14)
        for name in ("eax", "ecx", "edx", "ebx", "esi"):
            self.set(name, rng.choice((0x33, rng.randrange(256))))
        cpu.esp = rng.choice((STACK, STACK - 4, STACK - 4096 + 12, STACK - 4096 + 2))
        cpu.eip = CODE
        self.p.update_paging()
        self.p.engine._change_context(cpu, cpu.r64[FIELDS["context"].offset // 8])  # type: ignore[attr-defined]

    def kept(self) -> tuple[bytes, bytes]:
        """Return what `restore` needs."""
        return bytes(self.cpu.buffer[:_STATE]), bytes(self.physical.view)

    def seen(self) -> tuple[bytes, bytes, int]:
        """Return all that a program could see: registers, memory, and the window it sees."""
        state = bytearray(self.cpu.buffer[:_STATE])
        for name in SCRATCH:
            offset, width = FIELDS[name]
            state[offset : offset + width // 8] = bytes(width // 8)
        for name in ("szp", "cf", "of", "af"):  # many ways to say the same
            offset, width = FIELDS[name]
            state[offset : offset + width // 8] = bytes(width // 8)
        state += struct.pack("<I", self.cpu.eflags)
        return bytes(state), bytes(self.physical.view[:SIZE]), self.linear.view


@pytest.fixture(params=[Model.MAX, Model.I486, Model.PENTIUM3])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    made = Machine(random.Random(11), request.param)
    yield made
    made.linear.close()
    made.physical.close()


def context(machine: Machine) -> None:
    """Let Python's part take note of what changed."""
    cpu = machine.cpu
    machine.p.engine._change_context(cpu, cpu.r64[FIELDS["context"].offset // 8])  # type: ignore[attr-defined]


def tables(memory: bytes) -> bytes:
    """Leave accessed and dirty bits of page tables out."""
    entries = struct.unpack("<1024I", memory[TABLE : TABLE + 4096])
    plain = struct.pack("<1024I", *(entry & ~0x60 for entry in entries))
    directory = struct.pack("<I", struct.unpack_from("<I", memory, DIRECTORY)[0] & ~0x60)
    return memory[:DIRECTORY] + directory + memory[DIRECTORY + 4 : TABLE] + plain + memory[0x3000:]


def restore(machine: Machine, state: bytes, memory: bytes) -> None:
    machine.cpu.buffer[: len(state)] = state
    machine.physical.view[:SIZE] = memory
    machine.linear.flush(keep_global=False)
    context(machine)


INSNS = (
    *("8ed8", "8ec1", "8ee2", "8eeb", "8ed0", "07", "1f", "0fa1", "0fa9", "17"),
    *("cf", "cf", "cf", "cf", "0f34", "0f35", "0f06", "90"),
    *("0f002d00000500", "2e0f002d00000500", "0f22d8", "0f013b"),
    *("8e642424", "8e8c9e34120000", "8e1d00000500"),
    *("0fa2", "0fa2", "0fae03", "0fae0b", "0fae442410"),
)
LEAVES = [(number, subleaf) for number in (0, 1, 2, 7, 1 << 31) for subleaf in range(2)]
FX = ("0fae03", "0fae0b", "0fae442410")


def draw_fpu(machine: Machine, code: str) -> None:
    """Fill x87 and SSE registers, and the image in memory, for fxsave and fxrstor."""
    rng, cpu = machine.rng, machine.cpu
    fpstate.fxrstor(cpu.r8, rng.randbytes(fpstate.FXSAVE_SIZE))
    cpu.ebx = INNER + rng.choice((0, 16, 0x1000 - 512, 0x1000 - 496, 8))
    cpu.esp = STACK - 0x800 - rng.choice((0, 16, 4))
    image = bytearray(rng.randbytes(fpstate.FXSAVE_SIZE))
    if rng.random() < 0.9:
        image[26:28] = bytes(2)  # of MXCSR
    machine.physical.write(cpu.ebx, bytes(image))
    machine.set("cr0", 0x60000011 | CR0_PG | (8 if rng.random() < 0.1 else 0))


def draw_operands(machine: Machine, code: str) -> None:
    """Give an insn something to work with."""
    rng, cpu = machine.rng, machine.cpu
    if code == "0f22d8":
        cpu.eax = DIRECTORY
    elif code == "0fa2":
        cpu.eax, cpu.ecx = rng.choice((*LEAVES, (4, 0)))
    elif code == "8e642424":
        cpu.esp = STACK - 0x100
        machine.put(cpu.esp + 0x24, rng.choice((0x33, 0x33, rng.randrange(256))))
    elif code == "8e1d00000500":
        machine.put(STACK, rng.choice((0x33, 0x33, rng.randrange(256))))
    elif code == "8e8c9e34120000":  # mov cs, which there is not
        cpu.esi, cpu.ebx = 0x40, 0x10
    elif code in FX:
        draw_fpu(machine, code)


def test_insns(machine: Machine) -> None:
    """Segment loads, iret, sysenter, sysexit, clts, verw, loads of CR3, invlpg, cpuid, fxsave."""
    p, cpu, rng = machine.p, machine.cpu, machine.rng
    done = dict.fromkeys(INSNS, 0)
    for number, subleaf in LEAVES:  # compiled code knows what Python answered once
        HELPERS["cpuid"](cpu, None, number, subleaf)
    for _ in range(2000):
        machine.draw()
        code = rng.choice(INSNS)
        cpu.eip = rng.choice((CODE, CODE, CODE + 0x1000 - rng.randrange(1, 9)))
        machine.physical.write(cpu.eip, bytes.fromhex(code))
        image = rng.getrandbits(22) & (~(1 << 17 | 1 << 8) if rng.random() < 0.9 else -1)
        words = [
            rng.choice((0x33, 0x33, rng.randrange(256))),
            rng.randrange(256),
            image,
            STACK - 64,
            rng.randrange(256),
        ]
        if rng.random() < 0.5:  # to where it came from
            words[1] = words[4] = cpu.cs
        top = min(cpu.esp, STACK - 20)
        machine.physical.write(top, struct.pack("<5I", *words))
        p.msrs[0x174] = rng.choice((0x60, 0))
        p.msrs[0x175], p.msrs[0x176] = INNER, CODE + 64
        p.write_fast_call_registers()
        machine.put(STACK, rng.randrange(256))  # for verw
        draw_operands(machine, code)
        cpu.budget = 100
        state, memory = machine.kept()
        before = machine.seen()
        is_done = _EXECUTE(*machine.pointers, p.engine.cache.table.address)
        quick = machine.seen()
        done[code] += is_done
        if not is_done:
            assert quick[0] == before[0], code
            assert tables(quick[1]) == tables(before[1]), code
            continue
        restore(machine, state, memory)
        assert p.engine.step(cpu) is None, code
        context(machine)
        slow = machine.seen()
        assert quick[0] == slow[0], (code, differing(quick[0], slow[0]))
        assert (tables(quick[1]), quick[2]) == (tables(slow[1]), slow[2]), code
    missing = {"8ed0", "17", "90", "8e8c9e34120000"}
    if machine.p.model == Model.I486:
        missing |= {"0f34", "0f35", "0fa2", *FX}  # it has none of these
    assert {code for code, count in done.items() if count > 5} == set(INSNS) - missing


def differing(a: bytes, b: bytes) -> list[tuple[str, bytes, bytes]]:
    """Name the fields in which two states differ."""
    found = []
    for name, (offset, width) in FIELDS.items():
        part = slice(offset, offset + width // 8)
        if a[part] != b[part]:
            found.append((name, a[part], b[part]))
    return found


def test_delivery(machine: Machine) -> None:
    """Exceptions, software and external interrupts, with and without error codes."""
    p, cpu, rng = machine.p, machine.cpu, machine.rng
    inner = outer = 0
    for _ in range(1500):
        machine.draw()
        cpu.esp = min(cpu.esp, STACK)
        vector, how = rng.randrange(64), rng.choice((0, system.BY_INT, system.SAVES_RF))
        is_software = how == system.BY_INT
        saves_rf = vector in interrupts.FAULTS and how == system.SAVES_RF
        how = how if how != system.SAVES_RF or saves_rf else 0
        error = None
        if not is_software and rng.random() < 0.5:
            error, how = rng.getrandbits(16), how | system.HAS_ERROR
        state, memory = machine.kept()
        before = machine.seen()
        is_done = _DELIVER(*machine.pointers, vector, how, error or 0)
        quick = machine.seen()
        if not is_done:
            assert quick[0] == before[0]
            assert tables(quick[1]) == tables(before[1])
            continue
        was = segments.privilege(cpu)
        restore(machine, state, memory)
        inner += was != segments.privilege(cpu)
        outer += was == segments.privilege(cpu)
        try:
            interrupts.deliver(
                p,
                vector,
                is_software=is_software,
                is_external=not is_software and not saves_rf,
                error=error,
            )
        except GuestFault as fault:
            pytest.fail(f"{vector}: {fault.vector} {fault.error}")
        context(machine)
        slow = machine.seen()
        assert quick[0] == slow[0], differing(quick[0], slow[0])
        assert (tables(quick[1]), quick[2]) == (tables(slow[1]), slow[2])
    assert min(inner, outer) > 10


@pytest.mark.parametrize("model", [Model.MAX, Model.I386])
def test_real_mode(model: Model) -> None:
    """Software interrupts through the vector table, to all sorts of stacks."""
    rng = random.Random(12)
    machine = Machine(rng, model)
    p, cpu, done = machine.p, machine.cpu, 0
    machine.physical.write(0, rng.randbytes(0x400))
    for _ in range(600):
        for index in range(6):
            p.set_real_segment(index, rng.randrange(0x1000, 0x4000))
        cpu.esp = rng.getrandbits(32) if rng.random() < 0.7 else rng.randrange(8)
        cpu.eip = rng.randrange(0x10000)
        cpu.eflags = rng.getrandbits(22) & ~(1 << 17 | 1 << 8)
        machine.set("idtr_base", 0), machine.set("idtr_limit", rng.choice((0x3FF, 0x3FF, 0x100)))
        p.update_paging()
        context(machine)
        vector = rng.randrange(256)
        machine.set("exit_info", vector)
        state, memory = machine.kept()
        before = machine.seen()
        is_done = _INTERRUPT(*machine.pointers)
        quick = machine.seen()
        if not is_done:
            assert quick == before
            continue
        done += 1
        restore(machine, state, memory)
        interrupts.deliver(p, vector, is_software=True)
        context(machine)
        assert quick == machine.seen(), differing(quick[0], machine.seen()[0])
    assert done > 300
    machine.linear.close()
    machine.physical.close()
