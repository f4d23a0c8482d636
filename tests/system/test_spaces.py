"""Code of address spaces: put aside while its pages are others, brought back when they return."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.system import CODE, DIRECTORY, STACK, TABLE, Machine
from runtime.system import segments
from runtime.system.linear import SUPERVISOR, USER
from translator import DEFAULT_STRATEGY
from translator.quick import paging
from translator.state import FIELDS

_CR3 = FIELDS["cr3"].offset // 4
OTHER_DIRECTORY, OTHER_TABLE, OTHER_CODE = 0x20000, 0x21000, 0xA0000
INT = b"\xcd\x30"
USED = 0x27  # present, writable, user, accessed


class Spaces:
    """Two programs in ring 3 at one address: pages of two directories, which are changed."""

    def __init__(self, strategy: str = DEFAULT_STRATEGY) -> None:
        self.machine = machine = Machine(strategy)
        machine.put(OTHER_DIRECTORY, OTHER_TABLE | 7)
        machine.put(OTHER_TABLE, *(page << 12 | 7 for page in range(1024)))
        machine.physical.write(0x70000, b"\xf4")  # the handler of all interrupts halts
        machine.physical.write(CODE, b"\xb8\x01\x00\x00\x00\x90" + INT)
        machine.physical.write(OTHER_CODE, b"\xb8\x02\x00\x00\x00\x90" + INT)
        self.table = machine.processor.engine.cache.table

    def show(self, table: int, frame: int) -> None:
        """Let a table's page of the program be a frame; 0: absent."""
        self.machine.put(table + (CODE >> 12) * 4, frame | USED if frame else 0)

    def load(self, directory: int) -> None:
        """Load CR3 as ring 0 does."""
        processor = self.machine.processor
        segments.set_flat(processor.cpu, 0, 8, 0x10)
        processor.update_context()
        processor.write_cr3(directory)

    def run(self, offset: int = 0, level: int = 3) -> int:
        """Run the program in a ring; return EAX."""
        cpu = self.machine.processor.cpu
        segments.set_flat(cpu, level, *((0x1B, 0x23) if level else (8, 0x10)))
        self.machine.processor.update_context()
        cpu.eip, cpu.esp, cpu.eax, cpu.budget = CODE + offset, STACK - 0x100, 0, 1 << 40
        assert self.machine.processor.run().kind == "halt"
        return int(cpu.eax)

    @property
    def made(self) -> int:
        """Blocks translated so far."""
        return len(self.table)


@pytest.fixture
def spaces() -> Iterator[Spaces]:
    made = Spaces()
    yield made
    made.machine.linear.close()


def leave(spaces: Spaces) -> None:
    """Let the program's page be absent for a while, as the tables of a process that begins."""
    spaces.show(TABLE, 0)
    spaces.load(DIRECTORY)


def test_brought_back(spaces: Spaces) -> None:
    """The page is absent, then what it was: nothing is translated again."""
    assert spaces.run() == 1
    for _ in range(3):
        leave(spaces)
        before = spaces.made
        assert spaces.run() == 0  # #PF, whose handler halts
        spaces.show(TABLE, CODE)
        assert spaces.run() == 1
        assert spaces.made == before


def test_another_frame(spaces: Spaces) -> None:
    """Another page at the address is other code, whatever was there before."""
    assert spaces.run() == 1
    leave(spaces)
    spaces.show(TABLE, OTHER_CODE)
    assert spaces.run() == 2
    leave(spaces)
    spaces.show(TABLE, CODE)
    assert spaces.run() == 1


def test_another_frame_twice(spaces: Spaces) -> None:
    """What was put aside of the first frame does not return with the second."""
    spaces.machine.physical.write(OTHER_CODE + 0x100, b"\xb8\x03\x00\x00\x00\x90" + INT)
    assert spaces.run() == 1
    leave(spaces)
    spaces.show(TABLE, OTHER_CODE)
    assert spaces.run(0x100) == 3
    leave(spaces)
    spaces.show(TABLE, OTHER_CODE)
    assert spaces.run(0x100) == 3
    assert spaces.run() == 2


def test_written_while_aside(spaces: Spaces) -> None:
    """A frame that is written while no table shows it holds other code then."""
    assert spaces.run() == 1
    leave(spaces)
    spaces.machine.physical.write(CODE + 1, b"\x07")
    spaces.show(TABLE, CODE)
    assert spaces.run() == 7


def test_two_spaces(spaces: Spaces) -> None:
    """Each has its own code; what is put aside in one is not in the other."""
    assert spaces.run() == 1
    spaces.show(OTHER_TABLE, OTHER_CODE)
    spaces.load(OTHER_DIRECTORY)
    assert spaces.run() == 2
    before = spaces.made
    spaces.load(DIRECTORY)
    assert spaces.run() == 1
    leave(spaces)
    spaces.load(OTHER_DIRECTORY)
    assert spaces.run() == 2
    spaces.show(TABLE, CODE)
    spaces.load(DIRECTORY)
    assert spaces.run() == 1
    assert spaces.made == before


def test_one_frame_in_two_spaces(spaces: Spaces) -> None:
    """Two processes that show one frame at one address share its code, while they do."""
    assert spaces.run() == 1
    before = spaces.made
    spaces.load(OTHER_DIRECTORY)
    assert spaces.run() == 1
    assert spaces.made == before
    spaces.load(DIRECTORY)
    spaces.load(OTHER_DIRECTORY)
    assert spaces.run() == 1
    spaces.show(OTHER_TABLE, 0)
    spaces.load(OTHER_DIRECTORY)
    assert spaces.run() == 0
    spaces.show(OTHER_TABLE, OTHER_CODE)
    assert spaces.run() == 2


def test_a_loop_over_two_pages(spaces: Spaces) -> None:
    """A block that depends on two pages waits for both."""
    spaces.machine.physical.write(CODE + 0xFFE, b"\xb8\x05\x00\x00\x00" + INT)
    spaces.machine.physical.write(CODE, b"\xe9\xf9\x0f\x00\x00")
    assert spaces.run() == 5
    second = TABLE + (CODE + 0x1000 >> 12) * 4
    for missing in (second, TABLE + (CODE >> 12) * 4):
        spaces.machine.put(second, 0)
        leave(spaces)
        spaces.machine.put(second, CODE + 0x1000 | USED)
        spaces.show(TABLE, CODE)
        spaces.machine.put(missing, 0)
        assert spaces.run() == 0
        spaces.machine.put(missing, (CODE + (0x1000 if missing == second else 0)) | USED)
        assert spaces.run() == 5
    spaces.machine.put(second, 0)
    leave(spaces)
    spaces.machine.physical.write(CODE + 0x1000, b"\x00\x01")  # part of the immediate
    spaces.machine.put(second, CODE + 0x1000 | USED)
    assert spaces.run(0x1003) == 0  # int 30h, in the second page
    spaces.show(TABLE, CODE)
    assert spaces.run() == 0x10005


def test_look_ahead_into_another_page(spaces: Spaces) -> None:
    """A block that knows what the next page does with flags comes back with that page."""
    spaces.machine.physical.write(CODE, b"\x83\xc0\x05\xe9\xf8\x0f\x00\x00")  # add; jmp
    spaces.machine.physical.write(CODE + 0x1000, b"\x83\xc0\x01" + INT)
    assert spaces.run() == 6
    second = TABLE + (CODE + 0x1000 >> 12) * 4
    made = []
    for _ in range(3):
        for first_missing in (False, True):
            spaces.machine.put(second, 0)
            leave(spaces)
            spaces.show(TABLE, CODE)
            if first_missing:
                assert spaces.run() == 5  # #PF at the jump's target
            spaces.machine.put(second, CODE + 0x1000 | USED)
            assert spaces.run() == 6
        made.append(spaces.made)
    assert made[1] == made[2]


# xchg: swap CR3 for the other; count; go on at the program's begin, or halt.
SWITCH = bytes.fromhex(
    "50 0f20d8 35 00000000 0f22d8 58"  # push eax; mov eax, cr3; xor eax, ...; mov cr3, eax; pop
    "0105 00000b00 ff0d 04000b00 7409"  # add [B0000h], eax; dec dword [B0004h]; jz
    "c70424 00000000 cf cc f4"  # mov dword [esp], ...; iret
)
COUNTS = 0xB0000


def switching(spaces: Spaces, rounds: int) -> int:
    """Let the handler switch between the two spaces; return the sum of what the programs say."""
    code = bytearray(SWITCH)
    code[5:9] = (DIRECTORY ^ OTHER_DIRECTORY).to_bytes(4, "little")
    at = code.index(bytes.fromhex("c70424")) + 3
    code[at : at + 4] = CODE.to_bytes(4, "little")
    if spaces.machine.physical.view[0x70000 : 0x70000 + len(code)] != code:  # else it is kept
        spaces.machine.physical.write(0x70000, bytes(code))
    spaces.machine.put(COUNTS, 0, rounds)
    spaces.run()
    return int.from_bytes(spaces.machine.physical.view[COUNTS : COUNTS + 4], "little")


def test_switched_by_compiled_code(spaces: Spaces) -> None:
    """Two programs at one address, each time another: nothing is translated again."""
    spaces.show(OTHER_TABLE, OTHER_CODE)
    assert switching(spaces, 20) == 10 * 1 + 10 * 2
    before = spaces.made
    assert switching(spaces, 200) == 100 * 1 + 100 * 2
    assert spaces.made == before


def test_one_program_switched(spaces: Spaces) -> None:
    """The same frame in both: all goes on with the same code; then one has another page."""
    assert switching(spaces, 200) == 200 * 1
    spaces.show(OTHER_TABLE, OTHER_CODE)
    spaces.load(DIRECTORY)
    assert switching(spaces, 200) == 100 * 1 + 100 * 2
    spaces.show(OTHER_TABLE, CODE)
    spaces.load(DIRECTORY)
    assert switching(spaces, 200) == 200 * 1


def test_written_while_another_is_shown(spaces: Spaces) -> None:
    """Code of a frame is forgotten when it is written, whether it is active or put aside."""
    spaces.show(OTHER_TABLE, OTHER_CODE)
    assert switching(spaces, 20) == 30
    spaces.machine.physical.write(CODE + 1, b"\x03")
    spaces.machine.physical.write(OTHER_CODE + 1, b"\x04")
    assert switching(spaces, 20) == 70


TARGET, ALIAS = CODE + 0x1000, 0x3F0000


def rewriting(rounds: int, written: int) -> bytes:
    """Return code that changes an immediate and calls its insn, twice a round.

    It calls through a register: no look-ahead, so its own blocks depend on their page only.
    """
    code = b"\xbe" + TARGET.to_bytes(4, "little") + b"\x31\xdb"  # mov esi, TARGET; xor ebx, ebx
    start = len(code)
    code += b"\x43"  # inc ebx
    for store in (b"\x88\x1d", b"\x89\x1d"):  # mov [written + 1], bl, then ebx; call esi
        code += store + (written + 1).to_bytes(4, "little") + b"\xff\xd6"
    code += b"\x81\xfb" + rounds.to_bytes(4, "little")  # cmp ebx, rounds; jb start
    return code + b"\x72" + bytes((254 + start - len(code),)) + INT


@pytest.mark.parametrize("strategy", ["stencil", "tiered"])
@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("written", [TARGET, ALIAS])
def test_rewritten_again_and_again(strategy: str, level: int, written: int) -> None:
    """Each write to a protected page of code empties it; the windows' lists do not grow by that."""
    spaces, rounds = Spaces(strategy), 600
    machine = spaces.machine
    machine.processor.engine.code.count_writes = lambda pages, cpu: None  # type: ignore[method-assign]
    machine.put(TABLE + (ALIAS >> 12) * 4, TARGET | USED)
    machine.physical.write(TARGET, bytes.fromhex("b900000000 01c8 c3"))  # mov ecx, n; add eax, ecx
    machine.physical.write(CODE, rewriting(rounds, written))
    numbers = range(1, rounds + 1)
    assert spaces.run(level=level) == sum((n - 1 & ~0xFF | n & 0xFF) + n for n in numbers)
    for view in (SUPERVISOR, USER):
        assert machine.linear.fields[paging.COUNTS // 8 + view] < rounds // 2
    assert spaces.made > 2 * rounds
    machine.linear.close()
