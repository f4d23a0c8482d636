"""What guests are offered on which hosts, and what replaces an insn that the host lacks."""

from __future__ import annotations

import random

import pytest

from translator import cpuid, features, opcodes
from translator.ir import Op, Unit, Value
from translator.semantics import bmi
from translator.tiers import interp

CPUINFO = b"""processor\t: 0
model name\t: some CPU
flags\t\t: fpu sse4_1 abm avx bmi1
bugs\t\t: none

processor\t: 1
flags\t\t: bmi2
"""


def test_flags_of_the_first_processor() -> None:
    """Only known names are found; a text of another architecture has none."""
    assert features.flags(CPUINFO) == {"sse4_1", "abm", "bmi1"}
    assert features.flags(b"Features\t: fp asimd\n") == frozenset()


def test_offered() -> None:
    """A host without anything still offers what needs no help of it."""
    portable = {"popcnt", "abm", "bmi1", "bmi2", "adx", "movbe", "movdiri", "movdir64b"}
    assert features.offered(frozenset()) == portable
    assert features.offered(frozenset({"sse4_1", "bmi2"})) == portable | {"sse4_1"}


def test_cpuid_says_what_decodes() -> None:
    """CPUID's bits, the flags of /proc/cpuinfo and the opcode rows agree."""
    bits = {
        "sse4_1": cpuid.leaf(1)[2] >> 19,
        "sse4_2": cpuid.leaf(1)[2] >> 20,
        "popcnt": cpuid.leaf(1)[2] >> 23,
        "abm": cpuid.leaf(0x80000001)[2] >> 5,
        "bmi1": cpuid.leaf(7)[1] >> 3,
        "bmi2": cpuid.leaf(7)[1] >> 8,
        "adx": cpuid.leaf(7)[1] >> 19,
        "movbe": cpuid.leaf(1)[2] >> 22,
        "movdiri": cpuid.leaf(7)[2] >> 27,
        "movdir64b": cpuid.leaf(7)[2] >> 28,
        "aes": cpuid.leaf(1)[2] >> 25,
        "pclmulqdq": cpuid.leaf(1)[2] >> 1,
        "sha_ni": cpuid.leaf(7)[1] >> 29,
        "gfni": cpuid.leaf(7)[2] >> 8,
    }
    assert bits.keys() == opcodes.LATER.keys()
    for name, rows in opcodes.LATER.items():
        is_there = name in features.GUEST
        assert (bits[name] & 1, name in cpuid.FLAGS) == (is_there, is_there)
        lines = [line for line in rows.splitlines() if line and line[0] != "#"]
        assert all((opcodes.parse(line) in opcodes.ROWS) == is_there for line in lines)


def _deposit(src: int, mask: int) -> int:
    places = [i for i in range(32) if mask >> i & 1]
    return sum((src >> n & 1) << place for n, place in enumerate(places))


def _extract(src: int, mask: int) -> int:
    places = [i for i in range(32) if mask >> i & 1]
    return sum((src >> place & 1) << n for n, place in enumerate(places))


@pytest.mark.parametrize(
    ("build", "right"), [(bmi.deposit, _deposit), (bmi.extract, _extract)], ids=["pdep", "pext"]
)
def test_scattered_fields(build: object, right: object) -> None:
    """The portable pdep and pext do what a loop over the bits does."""
    assert callable(build)
    assert callable(right)
    unit = Unit()
    source, mask = (unit.emit(Op.SLOT, 32, attr=name) for name in ("imm", "disp"))
    res: Value = build(source, mask)
    unit.emit(Op.SETREG, 0, res, attr=0)
    run = interp.compile_unit(unit)
    rng = random.Random(1)

    class Cpu:
        r32 = memoryview(bytearray(4096)).cast("I")

    for _ in range(500):
        a, b = rng.getrandbits(32), rng.choice((rng.getrandbits(32), -1 << rng.randrange(32), 0))
        b &= 0xFFFFFFFF
        run(Cpu, None, a, 0, b, 0, 0, 0)
        assert Cpu.r32[0] == right(a, b)
