"""LOADALL of the 80286 (Intel, "Undocumented iAPX 286 Test Instruction"), on every strategy."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from runtime.system import segments
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.running import STRATEGIES
from translator.mode import Model
from translator.state import FIELDS

CODE, FAR = 0x5000, 0x123456
CR0 = FIELDS["cr0"].offset // 4


@pytest.fixture(params=STRATEGIES)
def processor(request: pytest.FixtureRequest) -> Iterator[Processor]:
    physical = Physical(4 << 20)
    memory = Linear(physical)
    made = Processor(memory, request.param, Model.I286)
    made.set_a20(enabled=True)
    yield made
    memory.close()
    physical.close()


def table(msw: int = 0, rights: int = 0x93, es: tuple[int, int] = (FAR, 0xFFFF)) -> bytes:
    """Words are 1110h, 1111h...; CS runs CODE, ES is where it is told."""
    words = [0x28, 0x0246, 0x10, 0x30, 0x40, 0x50, CODE >> 4, 0x60, *range(0x1110, 0x1118)]
    data = bytearray(0x36)
    struct.pack_into("<H", data, 6, msw)
    struct.pack_into("<16H", data, 0x16, *words)
    caches = [
        (*es, rights), (CODE, 0xFFFF, rights), (0x20000, 0xFFFF, rights), (0x30000, 0xFFFF, rights),
        (0x6000, 0x17, 0), (0x7000, 0x27, 0x82), (0x400, 0x3FF, 0), (0x8000, 0x2B, 0x81),
    ]  # fmt: skip
    for base, limit, right in caches:
        data += struct.pack("<HBBH", base & 0xFFFF, base >> 16, right, limit)
    return bytes(data)


def go(processor: Processor, code: str, image: bytes) -> tuple[str, int]:
    """Run LOADALL, which goes on at CODE + 10h."""
    assert processor.linear is not None
    write = processor.linear.physical.write
    write(0x800, image)
    write(CODE, bytes.fromhex("0f05 f4"))
    write(CODE + 0x10, bytes.fromhex(code + "f4"))
    write(FAR, b"\xef\xbe")
    processor.set_real_segment(1, CODE >> 4)
    processor.cpu.eip, processor.cpu.budget = 0, 100
    done = processor.engine.run(processor.cpu)
    return done.kind, done.vector


def test_everything_is_loaded(processor: Processor) -> None:
    """A segment beyond 1 MiB can be read in real mode: mov dx, es:[0]."""
    assert go(processor, "268b160000", table()) == ("halt", -1)
    cpu = processor.cpu
    assert cpu.edx & 0xFFFF == 0xBEEF
    assert [cpu.r32[n] & 0xFFFF for n in (7, 6, 5, 4, 3, 1, 0)] == [
        0x1110, 0x1111, 0x1112, 0x1113, 0x1114, 0x1116, 0x1117,
    ]  # fmt: skip
    assert (cpu.es, cpu.cs, cpu.ss, cpu.ds, cpu.eip) == (0x60, CODE >> 4, 0x50, 0x40, 0x16)
    assert cpu.eflags & 0xFFF == 0x246
    assert segments.segment(cpu, 2) == (0x50, 0x20000, 0xFFFF, 0x9300)
    values = [
        cpu.r32[FIELDS[name].offset // 4]
        for name in ("gdtr_base", "ldtr_base", "ldtr_limit", "ldtr_attr", "idtr_base", "tr_base")
    ]
    assert values == [0x6000, 0x7000, 0x27, 0x8200, 0x400, 0x8000]
    assert cpu.r16[FIELDS["gdtr_limit"].offset // 2] == 0x17
    assert cpu.r16[FIELDS["tr"].offset // 2] == 0x28


def test_limits_and_missing_segments_are_checked(processor: Processor) -> None:
    """Vector 13, at the insn behind."""
    assert go(processor, "268b160000", table(es=(FAR, 0))) == ("fault", 13)
    assert processor.cpu.eip == 0x10
    assert go(processor, "268b160000", table(es=(FAR, 1))) == ("halt", -1)


def test_a_loaded_segment_is_an_ordinary_one(processor: Processor) -> None:
    """push 7; pop es; mov dx, es:[0]."""
    assert processor.linear is not None
    processor.linear.physical.write(0x70, b"\x34\x12")
    assert go(processor, "6a07 07 268b160000", table()) == ("halt", -1)
    assert processor.cpu.edx & 0xFFFF == 0x1234


def test_protected_mode_begins_and_does_not_end(processor: Processor) -> None:
    image = bytearray(table(msw=1))
    image[0x36 + 6 + 3] = 0x9B  # CS is code
    assert go(processor, "268b160000", bytes(image)) == ("halt", -1)
    assert processor.cpu.r32[CR0] & 0xF == 1
    assert processor.cpu.edx & 0xFFFF == 0xBEEF


def test_other_rings_may_not(processor: Processor) -> None:
    """Ring 3 begins by LOADALL itself, and cannot do it again."""
    image = bytearray(table(msw=1, rights=0xF3))
    image[0x36 + 6 + 3] = 0xFB
    assert go(processor, "0f05", bytes(image)) == ("fault", 13)
    assert processor.cpu.eip == 0x10


def test_only_the_80286_has_it(processor: Processor) -> None:
    processor.model = Model.I386
    processor.update_context()
    assert go(processor, "", table()) == ("fault", 6)
