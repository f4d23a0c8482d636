"""Real mode: programs whose result the architecture fixes, on every strategy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.running import STRATEGIES
from translator.mode import Model

CS, SS, DS = 1, 2, 3


@pytest.fixture(params=STRATEGIES)
def processor(request: pytest.FixtureRequest) -> Iterator[Processor]:
    """A processor with 1 MiB of memory, stack at 2000:1000, data at 3000:0."""
    physical = Physical(2 << 20)
    memory = Linear(physical)
    made = Processor(memory, request.param, Model.MAX)
    made.set_real_segment(SS, 0x2000)
    made.set_real_segment(DS, 0x3000)
    made.cpu.esp = 0x1000
    yield made
    memory.close()
    physical.close()


def load(processor: Processor, selector: int, offset: int, code: str) -> None:
    assert processor.linear is not None
    processor.linear.physical.write(selector << 4 | offset, bytes.fromhex(code))


def go(processor: Processor, selector: int, offset: int) -> None:
    processor.set_real_segment(CS, selector)
    processor.cpu.eip = offset
    processor.cpu.budget = 100_000
    assert processor.run().kind == "halt"


def test_far_calls_between_segments(processor: Processor) -> None:
    """The same offset in two segments is two pieces of code; far calls go between them."""
    # mov cx, 1000; again: call 1100:0; loop again; hlt
    load(processor, 0x1000, 0, "b9e803 9a00000011 e2f9 f4".replace(" ", ""))
    load(processor, 0x1100, 0, "83c003cb")  # add ax, 3; retf
    go(processor, 0x1000, 0)
    assert processor.cpu.eax & 0xFFFF == 3000
    assert processor.cpu.cs == 0x1000
    assert processor.cpu.esp == 0x1000


def test_interrupts_go_through_the_vector_table(processor: Processor) -> None:
    """Int 21h runs its handler; division by zero returns to the insn that faulted."""
    load(processor, 0, 4 * 0x21, "00000012")
    load(processor, 0, 0, "10000012")
    load(processor, 0x1200, 0, "b83412cf")  # mov ax, 1234h; iret
    load(processor, 0x1200, 0x10, "b30183c205cf")  # mov bl, 1; add dx, 5; iret
    load(processor, 0x1000, 0, "cd21 89c6 31db 31d2 b80700 f6f3 f4".replace(" ", ""))
    go(processor, 0x1000, 0)
    assert processor.cpu.esi == 0x1234
    assert processor.cpu.eax & 0xFFFF == 7
    assert processor.cpu.edx & 0xFFFF == 5


def test_a_word_at_the_end_of_a_segment_faults(processor: Processor) -> None:
    """Vector 13, with the address of the insn; a byte there is fine."""
    load(processor, 0, 4 * 13, "00000012")
    load(processor, 0x1200, 0, "58 5b 59 f4".replace(" ", ""))  # pop ax bx cx: IP CS FLAGS
    load(processor, 0x1000, 0, "bbffff 8a07 8b07 f4".replace(" ", ""))
    go(processor, 0x1000, 0)
    assert processor.cpu.eax & 0xFFFF == 5
    assert processor.cpu.ebx & 0xFFFF == 0x1000


def test_stack_wraps_at_64_kib(processor: Processor) -> None:
    """SP counts modulo 64 KiB and leaves the upper half of ESP."""
    processor.cpu.esp = 0xABCD0000
    load(processor, 0x1000, 0, "68efbe 59 50 f4".replace(" ", ""))  # push; pop cx; push ax
    go(processor, 0x1000, 0)
    assert processor.cpu.ecx & 0xFFFF == 0xBEEF
    assert processor.cpu.esp == 0xABCDFFFE


def test_code_that_writes_itself(processor: Processor) -> None:
    """A store into the next insn is seen at once, through another segment."""
    processor.set_real_segment(DS, 0x0F00)
    # mov byte [1006h], 77h; mov al, 11h; hlt: 0F00:1006 is the immediate
    load(processor, 0x1000, 0, "c606061077 b011 f4".replace(" ", ""))
    go(processor, 0x1000, 0)
    assert processor.cpu.eax & 0xFF == 0x77


@pytest.mark.parametrize(
    ("model", "kept"),
    [(Model.I386, 0), (Model.I486, 1 << 18), (Model.PENTIUM, 1 << 18 | 1 << 21)],
    ids=["386", "486", "pentium"],
)
def test_flags_by_which_programs_know_the_processor(
    processor: Processor, model: Model, kept: int
) -> None:
    """AC can be changed from the 80486 on, ID where there is CPUID."""
    processor.model = model
    processor.update_context()
    # mov eax, 00240002h; push eax; popfd; pushfd; pop ebx; hlt
    load(processor, 0x1000, 0, "66b802002400 6650 669d 669c 665b f4".replace(" ", ""))
    go(processor, 0x1000, 0)
    assert processor.cpu.ebx & (1 << 18 | 1 << 21) == kept


def test_an_opcode_of_a_later_processor_is_undefined(processor: Processor) -> None:
    """The 80386 raises #UD for bswap; cpuid there is none on the 80486."""
    for model, code in ((Model.I386, "660fc8"), (Model.I486, "0fa2")):
        processor.model = model
        processor.update_context()
        load(processor, 0, 4 * 6, "00000012")
        load(processor, 0x1200, 0, "5bf4")  # pop bx: IP; hlt
        load(processor, 0x1000, 0x20, code + "f4")
        processor.cpu.ebx, processor.cpu.esp = 0, 0x1000
        go(processor, 0x1000, 0x20)
        assert processor.cpu.ebx & 0xFFFF == 0x20


def test_data_right_behind_a_short_block(processor: Processor) -> None:
    """A counter behind a ret, as of interrupt handlers, does not make its block be made again."""
    # mov cx, 3000; again: call sub; loop again; hlt; sub: inc word [cs:n]; jmp next; next: ret; n:
    code = "b9b80b e80300 e2fb f4 2eff061100 eb00 c3"
    load(processor, 0x1000, 0, code.replace(" ", "") + "0000")
    go(processor, 0x1000, 0)
    assert processor.linear is not None
    assert processor.linear.physical.load(0x10011, 16) == 3000
    if processor.engine.strategy_name != "interp":
        assert processor.engine.statistics.blocks < 200
