"""Paging: rights, accessed and dirty bits, what a TLB may remember; on every strategy."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from runtime.interpreting import Exit
from runtime.system import segments
from runtime.system.control import EFER, EFER_NXE
from runtime.system.linear import CR0_PG, CR0_WP, CR4_PAE, CR4_PGE, CR4_PSE, Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.running import STRATEGIES
from translator import mode
from translator.faults import GuestFault
from translator.mode import CONTEXT_SHIFT
from translator.quick import paging as at
from translator.state import FIELDS

P, RW, US, A, D, PS, G = 1, 2, 4, 32, 64, 128, 256
DIRECTORY, TABLE, CODE, DATA = 0x1000, 0x2000, 0x10000, 0x20000
CONTEXT = FIELDS["context"].offset // 8
CR0, CR3, CR4 = (FIELDS[name].offset // 4 for name in ("cr0", "cr3", "cr4"))


class Machine:
    """A processor with one page table, in ring *cpl*; faults are returned, not delivered."""

    def __init__(self, strategy: str) -> None:
        self.physical = Physical(16 << 20)
        self.linear = Linear(self.physical)
        self.p = Processor(self.linear, strategy)
        self.table = TABLE
        self.map(0, 0, P | RW | US)
        self.put32(DIRECTORY, TABLE | P | RW | US)
        self.cr0, self.cr4 = 1 | CR0_PG, 0

    def put32(self, address: int, value: int) -> None:
        self.physical.write(address, struct.pack("<I", value & 0xFFFFFFFF))

    def get32(self, address: int) -> int:
        return int(struct.unpack("<I", self.physical.read(address, 4))[0])

    def map(self, linear: int, frame: int, bits: int) -> None:
        """Map a page of the lowest 4 MiB."""
        self.put32(TABLE + (linear >> 12) * 4, frame | bits)

    def pte(self, linear: int) -> int:
        return self.get32(TABLE + (linear >> 12) * 4)

    def start(self, cpl: int, root: int = DIRECTORY) -> None:
        """Turn paging on, in ring *cpl*."""
        r32 = self.p.cpu.r32
        r32[CR0], r32[CR3], r32[CR4] = self.cr0, root, self.cr4
        segments.set_flat(self.p.cpu, cpl)
        self.p.update_paging()

    def run(self, code: str = "", at: int = CODE) -> Exit:
        """Run code that stands at *at*, which is its linear address, too."""
        if code:
            self.physical.write(at, bytes.fromhex(code.replace(" ", "")))
        self.p.cpu.eip = at
        self.p.cpu.budget = 1_000_000
        return self.p.engine.run(self.p.cpu)


@pytest.fixture(params=STRATEGIES)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    made = Machine(request.param)
    made.map(CODE, CODE, P | RW | US)
    made.map(DATA, 0x300000, P | RW | US)
    yield made
    made.linear.close()
    made.physical.close()


READ, WRITE = "a100000200 f4", "c7050000020078563412 f4"  # mov eax, [DATA]; mov [DATA], imm; hlt


def test_reading_marks_as_accessed_and_writing_as_dirty(machine: Machine) -> None:
    machine.start(0)
    assert machine.run(READ).kind == "halt"
    assert machine.pte(DATA) & (A | D) == A
    assert machine.get32(DIRECTORY) & A
    assert machine.run(WRITE).kind == "halt"
    assert machine.pte(DATA) & (A | D) == A | D
    assert machine.get32(0x300000) == 0x12345678


@pytest.mark.parametrize(
    ("cpl", "bits", "code", "error"),
    [
        (3, RW | US, READ, 4),
        (0, RW | US, WRITE, 2),
        (3, P | RW, READ, 5),
        (3, P | US, WRITE, 7),
        (3, P, WRITE, 7),
    ],
)
def test_faults(machine: Machine, cpl: int, bits: int, code: str, error: int) -> None:
    """Error codes say: present, write, user (SDM vol. 3, 4.7); nothing is marked."""
    machine.map(DATA, 0x300000, bits)
    machine.start(cpl)
    done = machine.run(code)
    assert (done.kind, done.vector, done.address, done.error) == ("fault", 14, DATA, error)
    assert machine.pte(DATA) == 0x300000 | bits
    assert machine.p.cpu.eip == CODE


def test_fault_address_of_wide_stores(machine: Machine) -> None:
    """CR2 is the first byte that cannot be written: of the access, or of its second page."""
    machine.map(DATA, 0x300000, P | RW)
    machine.map(DATA + 0x1000, 0, 0)
    machine.cr4 = segments.CR4_OSFXSR
    machine.start(0)
    for offset in (*range(0xFF0, 0x1000), *range(0x1000, 0x1020, 3)):
        place = DATA + offset
        for code, size in (("0f1105", 16), ("d9eedb3d", 10)):  # movups [place]; fstp [place]
            expected = max(place, DATA + 0x1000) if offset + size > 0x1000 else None
            done = machine.run(f"{code} {place.to_bytes(4, 'little').hex()} dbe3 f4")
            found = done.address if done.kind == "fault" else None
            assert found == expected, (offset, size)


def test_supervisor_writes_to_read_only_pages_unless_wp(machine: Machine) -> None:
    machine.map(DATA, 0x300000, P | US)
    machine.start(0)
    assert machine.run(WRITE).kind == "halt"
    machine.cr0 |= CR0_WP
    machine.start(0)
    assert machine.run(WRITE)[:4] == ("fault", 14, DATA, 3)


def test_ring_3_does_not_see_what_ring_0_filled(machine: Machine) -> None:
    machine.map(DATA, 0x300000, P | RW)
    machine.start(0)
    assert machine.run(WRITE).kind == "halt"
    machine.start(3)
    assert machine.run(READ)[:4] == ("fault", 14, DATA, 5)


def test_a_read_modify_write_faults_as_a_write(machine: Machine) -> None:
    machine.map(DATA, 0x300000, P | US)
    machine.start(3)
    assert machine.run("ff0500000200 f4")[:4] == ("fault", 14, DATA, 7)  # inc [DATA]


def test_an_access_across_pages_names_the_page_that_is_missing(machine: Machine) -> None:
    machine.start(3)
    machine.map(DATA + 0x1000, 0, 0)
    done = machine.run("8905fe0f0200 f4")  # mov [DATA + FFEh], eax
    assert done[:4] == ("fault", 14, DATA + 0x1000, 6)
    assert not machine.get32(0x300FFC)


def test_invlpg_and_cr3_forget_the_old_page(machine: Machine) -> None:
    machine.put32(0x300000, 1)
    machine.put32(0x301000, 2)
    machine.start(0)
    for forget in (lambda: machine.linear.invlpg(DATA), lambda: machine.start(0)):
        machine.map(DATA, 0x300000, P | RW | US)
        forget()
        assert machine.run(READ).kind == "halt"
        assert machine.p.cpu.eax == 1
        machine.map(DATA, 0x301000, P | RW | US)
        forget()
        assert machine.run(READ).kind == "halt"
        assert machine.p.cpu.eax == 2


def test_global_pages_survive_a_load_of_cr3(machine: Machine) -> None:
    machine.cr4 = CR4_PGE
    machine.map(DATA, 0x300000, P | RW | US | G)
    machine.put32(0x300000, 1)
    machine.put32(0x301000, 2)
    machine.start(0)
    assert machine.run(READ).kind == "halt"
    machine.map(DATA, 0x301000, P | RW | US | G)
    machine.p.update_paging(keep_global=True)
    if machine.p.engine.strategy is not None:
        assert machine.run(READ).kind == "halt"
        assert machine.p.cpu.eax == 1
    machine.p.update_paging()
    assert machine.run(READ).kind == "halt"
    assert machine.p.cpu.eax == 2


def test_large_pages(machine: Machine) -> None:
    """4 MiB at C0000000h and its neighbours."""
    machine.cr4 = CR4_PSE
    machine.put32(DIRECTORY + 0x300 * 4, 0x00800000 | P | RW | US | PS)
    machine.put32(0x00912344, 0xABCD)
    machine.start(3)
    assert machine.run("a1442311c0 a3442322c0 f4").vector == 13  # hlt in ring 3
    assert machine.p.cpu.eax == 0xABCD
    assert machine.get32(0x00A22344) == 0xABCD
    assert machine.get32(DIRECTORY + 0x300 * 4) & (A | D) == A | D


def test_pae_with_nx(machine: Machine) -> None:
    """Three levels of 64-bit entries; code in a page without execution."""
    pointers, directory, table = 0x5000, 0x6000, 0x7000
    write = machine.physical.write
    write(pointers, struct.pack("<4Q", directory | P, 0, 0, 0))
    write(directory, struct.pack("<2Q", table | P | RW | US, 0x800000 | P | RW | US | PS))
    for page in (CODE, DATA):
        nx = 1 << 63 if page == DATA else 0
        write(table + (page >> 12) * 8, struct.pack("<Q", page | P | RW | US | nx))
    write(DATA, struct.pack("<I", 77))
    machine.cr4 = CR4_PAE
    machine.p.msrs[EFER] = EFER_NXE
    machine.start(3, pointers)
    assert machine.run("a100000200 a300002000 f4").vector == 13  # to 2 MiB, a large page
    assert machine.get32(0x800000) == 77
    assert struct.unpack("<Q", machine.physical.read(table + 0x20 * 8, 8))[0] & (A | D) == A
    done = machine.run(at=DATA)
    assert done[:4] == ("fault", 14, DATA, 1 | 4 | 16)


def test_a_fetch_from_nowhere(machine: Machine) -> None:
    machine.start(3)
    machine.map(0x30000, 0, 0)
    done = machine.run("b8 00000300 ffe0")  # mov eax, 30000h; jmp eax
    assert done[:4] == ("fault", 14, 0x30000, 4)
    assert machine.p.cpu.eip == 0x30000


def test_code_written_through_another_mapping(machine: Machine) -> None:
    """The frame of the code is written through DATA; the very next insn is another."""
    machine.map(DATA, CODE, P | RW | US)
    machine.start(0)
    # mov al, 1; mov byte [DATA + 0Ah], 2; mov al, 1 (10h: immediate at 0Ah); hlt
    assert machine.run("b001 c6050a00020002 b001 f4").kind == "halt"
    assert machine.p.cpu.eax & 0xFF == 2
    assert machine.run().kind == "halt"


def test_code_of_another_address_space(machine: Machine) -> None:
    """Two directories show different code at one address: each runs its own, again and again."""
    other = 0x8000
    machine.physical.write(0x310000, bytes.fromhex("b802000000f4"))
    machine.physical.write(CODE, bytes.fromhex("b801000000f4"))
    machine.put32(other, 0x9000 | P | RW | US)
    machine.put32(0x9000 + (CODE >> 12) * 4, 0x310000 | P | RW | US)
    for cpl in (3, 0):
        for _ in range(3):
            for root, wanted in ((DIRECTORY, 1), (other, 2)):
                machine.start(cpl, root)
                machine.run()
                assert machine.p.cpu.eax == wanted
                if machine.p.engine.strategy is not None:
                    blocks, cpu = machine.p.engine.cache.blocks, machine.p.cpu
                    assert blocks.get(CODE | cpu.r64[CONTEXT] << CONTEXT_SHIFT - 32) is not None
                    assert blocks.get(CODE) is None  # that is a Linux program's


def test_devices_answer_for_their_pages(machine: Machine) -> None:
    """Accesses of each width reach callbacks with physical addresses; code goes on behind them."""
    seen: list[tuple[int, int, int]] = []

    def read(address: int, size: int) -> int:
        seen.append((address, size, -1))
        return 0x11223344

    machine.physical.add_device(
        0xA0000000, 0x1000, read, lambda address, value, size: seen.append((address, size, value))
    )
    machine.map(DATA, 0xA0000000, P | RW | US)
    machine.start(0)
    # mov ecx, 3; again: mov eax, [DATA+8]; mov [DATA+4], al; loop; hlt
    assert machine.run("b903000000 a108000200 a204000200 e2f4 f4").kind == "halt"
    assert machine.p.cpu.eax == 0x11223344
    assert seen == [(0xA0000008, 4, -1), (0xA0000004, 1, 0x44)] * 3


def test_rom_ignores_writes(machine: Machine) -> None:
    machine.physical.write(0x300000, b"\x05\0\0\0")
    machine.physical.set_rom(0x300000, 0x1000)
    machine.start(0)
    assert machine.run(WRITE[:-3] + READ).kind == "halt"
    assert machine.p.cpu.eax == 5


def test_more_pages_than_the_host_maps_at_once(machine: Machine) -> None:
    """Every other page of 252 MiB shows one frame: 32,256 accesses, each to a page of its own."""
    machine.cr4 = 0
    for i in range(1, 64):
        table = 0x400000 + i * 0x1000
        machine.put32(DIRECTORY + (i + 64) * 4, table | P | RW | US)
        entries = [0x300000 | P | RW | US if n & 1 else 0 for n in range(1024)]
        machine.physical.write(table, struct.pack("<1024I", *entries))
    machine.start(0)
    if machine.p.engine.strategy is None:
        pytest.skip("an insn at a time: too slow")
    # mov esi, 10401000h; mov ecx, 63*512; again: mov eax, [esi]; add esi, 2000h; loop again; hlt
    machine.put32(0x300000, 99)
    done = machine.run("be00104010 b9007e0000 8b06 81c600200000 49 75f5 f4")
    assert done.kind == "halt"
    assert machine.p.cpu.eax == 99
    assert machine.p.cpu.ecx == 0


def test_a20_masks_addresses(machine: Machine) -> None:
    machine.put32(0x0, 0x55)
    machine.put32(0x100000, 0x66)
    machine.cr0 = 1
    machine.start(0)
    assert machine.run("a100001000 f4").kind == "halt"
    assert machine.p.cpu.eax == 0x66
    machine.linear.set_a20(enabled=False)
    assert machine.run("a100001000 f4").kind == "halt"
    assert machine.p.cpu.eax == 0x55


def test_the_walk_is_the_same_compiled_and_as_python(machine: Machine) -> None:
    """The functions that the fault handler runs, run by Python."""
    machine.map(DATA, 0x300000, P | US)
    machine.start(3)
    context = machine.linear.context_address
    for address in (CODE, DATA, DATA + 0x1000, 0x500000):
        for kind in range(4):
            assert at.walk(context, address, kind) == machine.linear._walk(context, address, kind)


def test_more_code_segments_than_numbers(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest gets a fault, not the emulator."""
    monkeypatch.setattr(mode, "_PLACES_MAX", 0)
    cpu = machine.p.cpu
    cpu.r32[CR0] = 1
    segments.set_flat(cpu, 0)
    machine.p.update_context()  # flat ones need no number
    rights = cpu.r32[FIELDS["cs_attr"].offset // 4]
    segments.set_segment(cpu, segments.CS, 8, 0x123450, 0xFFFF, rights)
    with pytest.raises(GuestFault) as caught:
        machine.p.update_context()
    assert (caught.value.vector, caught.value.error) == (13, 8)
