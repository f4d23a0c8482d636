"""Random x87 sequences, unmasked exceptions included, on every tier against this CPU."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest

from tests import compare
from tests.machine import Bare
from tests.native import layout
from tests.native.host import Native, NativeError
from tests.translator.fakes import FakeMachine

SLOT = 128  # bytes of code a case
COUNT = layout.MAX_CASES


def real(sign: int, exponent: int, significand: int) -> bytes:
    """Return the ten bytes of an extended real."""
    return (sign << 79 | exponent << 64 | significand).to_bytes(10, "little")


ONE, TOP_BIT = 0x3FFF, 1 << 63
INTERESTING = [
    real(0, 0, 0), real(1, 0, 0), real(0, ONE, TOP_BIT), real(1, ONE, TOP_BIT),
    real(0, ONE, 3 << 62), real(0, ONE - 1, TOP_BIT), real(0, ONE - 1, TOP_BIT | 1),
    # infinities, NaNs, denormals, the extremes, encodings that are not valid
    real(0, 0x7FFF, TOP_BIT), real(1, 0x7FFF, TOP_BIT), real(0, 0x7FFF, 3 << 62),
    real(1, 0x7FFF, 3 << 62), real(0, 0x7FFF, 3 << 62 | 5), real(0, 0x7FFF, TOP_BIT | 1),
    real(1, 0x7FFF, TOP_BIT | 0x1234), real(0, 0, 1), real(1, 0, TOP_BIT - 1),
    real(0, 0, TOP_BIT), real(0, 1, TOP_BIT), real(0, 0x7FFE, (1 << 64) - 1),
    real(0, 0x4000, 1), real(0, 0x7FFF, 1), real(0, 0x7FFF, 0),
    # about the limits of the smaller formats, and pi
    real(0, ONE - 127, TOP_BIT | 0xFFFF), real(0, ONE - 127, (1 << 64) - 1),
    real(1, ONE + 128, TOP_BIT), real(0, ONE - 1023, 0xFFFFFFFFFFFFFC00),
    real(0, ONE + 1024, TOP_BIT), real(0, ONE + 63, TOP_BIT), real(1, ONE + 63, TOP_BIT),
    real(0, ONE + 62, (1 << 64) - 1), real(0, ONE + 15, TOP_BIT), real(0, ONE + 31, TOP_BIT),
    real(0, 0x4000, 0xC90FDAA22168C235), real(0, 0x400C, 0xFFFE << 48),
]  # fmt: skip
SINGLES = (0.0, -0.0, 1.0, 1.5, -2.25, 3e38, 1e-40, float("inf"), float("nan"), 7.0, 0.1)
DOUBLES = (*SINGLES, 3e300, 1e-310, 32767.5, -32768.5, 2147483647.5, 1e18)
# Waiting and not waiting, control, environments in both formats, images, MMX; operands at [ebx].
CONTROL_TEXT = """9b dbe2 dbe3 dfe0 d97b40 dd7b42 d97350 66d97350 dd7350 66dd7350 66d96350 d96350
dd6350 66dd6350 d96b44 0fae03 0fae0b 0f77 0f6fc1 0ffec1"""
CONTROL = [bytes.fromhex(text) for text in CONTROL_TEXT.split()]
ENVIRONMENTS = {(0xD9, 4), (0xD9, 6), (0xDD, 4), (0xDD, 6)}


def register(rng: Random) -> bytes:
    """Return contents for a register."""
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(INTERESTING)
    if kind < 0.9:
        exponent = ONE + rng.randrange(-70, 70) if kind < 0.8 else rng.getrandbits(15)
        return real(rng.randrange(2), exponent, TOP_BIT | rng.getrandbits(63))
    return rng.randbytes(10)


def memory(rng: Random) -> bytes:
    """Return 32 bytes that mean something in some format."""
    kind = rng.random()
    if kind < 0.3:
        return register(rng) + rng.randbytes(22)
    if kind < 0.55:
        return struct.pack("<f", rng.choice(SINGLES)) * 8
    if kind < 0.8:
        return struct.pack("<d", rng.choice(DOUBLES)) * 4
    if kind < 0.85:
        digits = bytes(rng.choice((0x90, 0x99, 0x12, 0x00, 0x45)) for _ in range(9))
        return digits + bytes([rng.choice((0, 0x80))]) + bytes(22)
    if kind < 0.95:  # signalling NaNs
        return (
            bytes.fromhex("010080ff") * 8 if kind < 0.9 else bytes.fromhex("010000000000f07f") * 4
        )
    return rng.randbytes(32)


def insn(rng: Random, *, has_control: bool) -> bytes:
    """Return one insn of D8 to DF, or of CONTROL."""
    if has_control and rng.random() < 0.2:
        return rng.choice(CONTROL)
    while True:
        opcode, digit = rng.randrange(0xD8, 0xE0), rng.randrange(8)
        if rng.random() >= 0.45:
            modrm = 0xC0 | rng.randrange(64)
            if opcode == 0xD9 and rng.random() < 0.5:
                modrm |= 0x20  # the functions
            return bytes([opcode, modrm])
        if (opcode, digit) not in ENVIRONMENTS:
            return bytes([opcode, 0x43 | digit << 3, rng.randrange(0x60)])


def control_word(rng: Random, *, is_masked: bool) -> int:
    """Return FCW with any precision, rounding and, unless *is_masked*, exception masks."""
    masks = 0x3F
    if not is_masked:
        masks &= ~rng.choice((0, 0, 1, 2, 4, 8, 16, 32, 63, rng.randrange(64)))
    precision = rng.choice((0, 0, 2, 3, 3, 3, 1))
    return masks | 0x40 | precision << 8 | rng.randrange(4) << 10 | rng.choice((0, 0x1000))


def fill(rng: Random, case: np.void, number: int, *, is_masked: bool) -> bytes:
    """Make a start state; return the code for it."""
    code = b"".join(
        insn(rng, has_control=not is_masked) for _ in range(rng.choice((1, 1, 2, 3, 4)))
    )
    base = layout.REGIONS[0] + 16 * rng.randrange(16, 60)
    regs = [rng.getrandbits(32) for _ in range(8)]
    regs[3], regs[4] = base, layout.REGIONS[1] + 0x1000
    case["eip"], case["regs"] = layout.CODE + SLOT * number, regs
    case["eflags"] = 0x202 | rng.getrandbits(12) & 0x8D5 | rng.choice((0, 0x400))
    fcw = control_word(rng, is_masked=is_masked)
    raised = rng.choice(
        (0, 0, rng.getrandbits(6) & fcw, rng.getrandbits(7) & -(rng.random() < 0.3))
    )
    fsw = rng.getrandbits(16) & 0x4700 | rng.randrange(8) << 11 | raised
    tags = rng.choice((0xFF, 0xFF, 0, rng.getrandbits(8), rng.getrandbits(8)))
    fx = struct.pack("<HHB", fcw, fsw, tags) + bytes(19) + b"\x80\x1f\0\0" + bytes(4)
    fx += b"".join(register(rng) + bytes(6) for _ in range(8)) + rng.randbytes(128) + bytes(224)
    case["fx"] = np.frombuffer(fx, dtype=np.uint8)
    case["n_changes"] = 2
    for i in range(2):
        case["changes"][i] = (base + 64 * i, 64, list(memory(rng) + memory(rng)))
    return code


@pytest.fixture(scope="module")
def native() -> Iterator[Native]:
    """Yield the CPU itself, or skip."""
    try:
        with Native() as machine:
            machine.start().kill()
            yield machine
    except NativeError as problem:
        pytest.skip(f"no native i386 execution: {problem}")


RUNS = [("interp", seed) for seed in range(6)] + [("stencil", 6), ("stencil", 8)]
SLOW = [("stencil", 7), ("block", 6), ("block", 7), ("block", 8)]


@pytest.mark.parametrize(
    ("tier", "seed"), [*RUNS, *(pytest.param(*run, marks=pytest.mark.slow) for run in SLOW)]
)
def test_sequences(native: Native, tier: str, seed: int) -> None:
    """All state agrees, the pointers FIP, FDP and FOP included."""
    rng = Random(seed)
    cases = np.zeros(COUNT, dtype=layout.CASE)
    image = bytearray([layout.HALT]) * layout.CODE_SIZE
    codes = [fill(rng, cases[i], i, is_masked=seed % 3 == 2) for i in range(COUNT)]
    for number, code in enumerate(codes):
        image[SLOT * number : SLOT * number + len(code)] = code
    wanted = native.run(bytes(image), cases)
    machine = FakeMachine() if tier == "interp" else Bare(tier)
    bad = []
    for code, got, want in zip(codes, machine.run(bytes(image), cases), wanted, strict=True):
        problems = compare.differences(got, want)
        if got["fx"][6:24].tobytes() != want["fx"][6:24].tobytes():
            problems.append("pointers")
        if problems:
            bad.append(f"{code.hex(' ')}: {'; '.join(problems)}")
    if isinstance(machine, Bare):
        machine.close()
    assert not bad, "\n".join(bad[:10])


@pytest.mark.parametrize("tier", ["stencil", pytest.param("block", marks=pytest.mark.slow)])
def test_faulting_moves_leave_nothing_behind(tier: str) -> None:
    """Loads and stores that fault again and again do not fill the host's register stack."""
    moves = ("d903", "dd03", "db2b", "d91b", "dd1b", "db3b", "db03", "df2b", "db1b", "df3b", "d813")
    machine = Bare(tier)
    case = np.zeros(1, dtype=layout.CASE)
    case["eip"], case["eflags"], case["regs"][0, 3] = layout.CODE, 0x202, 0x1000  # not mapped
    case["fx"] = layout.default_fx()
    case["fx"][0, 4] = 1  # ST(0), whose number is 0
    for move in moves:
        for _ in range(9):
            assert machine.run(bytes.fromhex(move), case)[0]["vector"] == compare.PAGE_FAULT
        # fld1 seven times; six sums
        result = machine.run(bytes.fromhex("d9e8" * 7 + "dec1" * 6), case)[0]
        assert bytes(result["fx"][32:42]) == real(0, ONE + 2, 7 << 61), move
        assert int(result["fx"][2:4].view(np.uint16)[0]) == 7 << 11, move
    machine.close()
