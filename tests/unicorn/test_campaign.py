"""Random code, registers, memory and API calls: Unicorn and jitemu.unicorn log the same.

Left out is what the two are known to do differently: `pushf`, which shows IF as a user program sees
it, results that the manual leaves undefined, and `count` for repeated string insns, whose end
Unicorn counts as an insn more. It also calls BLOCK hooks once more where `count` ends in front of a
block, does not compute the flags of the insns before one that fails (`neg ax` with AX = 90h sets
CF), remembers an exception that nobody handled, and has written the first bytes when a store
reaches into a page that is not there.

The slow ones are the campaign: pytest -m slow tests/unicorn/test_campaign.py; JITEMU_EXAMPLES says
how many examples it takes.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import pytest

from jitemu import unicorn as ours
from tests.unicorn.referee import unicorn
from tests.unicorn.sequences import FLAT, Player, Sequence, sequences

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
st = hypothesis.strategies

pytestmark = pytest.mark.particular
CODE, DATA, STACK = 0x100000, 0x200000, 0x300000
FLAGS = 0x8C5  # all that are defined behind every insn below: not AF
NAMES = ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI", "EIP")
# Insns of one register, of two, with a memory operand at ESI; reg fields are 0 to 3, 5 and 7.
ONE = ("40+", "48+", "f7d8+", "f7d0+", "50+", "58+", "0fc8+")
TWO = ("01", "29", "31", "21", "09", "39", "85", "89", "0fb6", "0fbe", "11", "19", "87")
MEMORY = ("8b", "89", "03", "01", "29", "33", "88", "8a", "3b", "0fb6", "0fb7", "87", "0fc1")
PLAIN = ("90", "f9", "f8", "f5", "98", "99", "a5", "aa", "ac", "6a05", "66ab")


class Program(NamedTuple):
    """Code, and what is done with it."""

    code: bytes
    starts: list[int]
    registers: list[int]
    hooks: list[tuple[str, int, int]]
    runs: list[tuple[int, int]]  # where it ends; how many insns, 0: all
    mode: int


REGISTERS = st.sampled_from([0, 1, 2, 3, 5, 7])


def modrm(mod: int, reg: int, rm: int) -> bytes:
    return bytes([mod << 6 | reg << 3 | rm])


@st.composite
def insns(draw: Any, *, real: bool) -> bytes:
    kind = draw(st.integers(0, 5))
    if kind == 0:
        opcode = bytes.fromhex(draw(st.sampled_from(ONE)).rstrip("+"))
        return opcode[:-1] + bytes([opcode[-1] + draw(REGISTERS)])
    if kind == 1:
        opcode = bytes.fromhex(draw(st.sampled_from(TWO)))
        return opcode + modrm(3, draw(REGISTERS), draw(st.sampled_from([0, 1, 2, 3])))
    if kind == 2:
        opcode = bytes.fromhex(draw(st.sampled_from(MEMORY)))
        reg = draw(st.sampled_from([0, 1, 2, 3]))
        return opcode + modrm(1, reg, 6) + bytes([draw(st.integers(0, 127))])
    if kind == 3:
        return bytes.fromhex(draw(st.sampled_from(PLAIN)))
    if kind == 4:
        reg = draw(REGISTERS)
        size = 2 if real else 4  # so that no number is executed, whose flags may be undefined
        number = draw(st.integers(0, (1 << 8 * size) - 1))
        return bytes([0xB8 + reg]) + number.to_bytes(size, "little")
    code = draw(st.sampled_from([2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15]))
    return bytes([0x70 + code, 1, 0x40])  # a jump over an insn


@st.composite
def programs(draw: Any) -> Program:
    mode = draw(st.sampled_from([4, 4, 4, 2]))
    parts = draw(st.lists(insns(real=mode == 2), min_size=1, max_size=14))
    starts = [sum(map(len, parts[:i])) for i in range(len(parts) + 1)]
    if draw(st.booleans()):  # a loop of all of it
        parts.append(bytes([0x4D, 0x75, 256 - starts[-1] - 3 & 0xFF]))  # dec ebp; jnz
        starts.append(starts[-1] + 3)
    kinds = st.sampled_from(["CODE", "BLOCK", "MEM_READ", "MEM_WRITE", "INTR"])
    place = st.integers(0, starts[-1])
    hooks = draw(st.lists(st.tuples(kinds, place, place), max_size=3))
    runs = st.tuples(st.sampled_from(starts[1:]), st.sampled_from([0, 0, 1, 3, 17, 40]))
    value = st.one_of(st.integers(0, 0xFFFFFFFF), st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000]))
    return Program(
        b"".join(parts),
        starts,
        draw(st.lists(value, min_size=4, max_size=4)),
        hooks,
        draw(st.lists(runs, min_size=1, max_size=4)),
        mode,
    )


def execute(lib: Any, program: Program) -> list[object]:
    """Return what a library makes of a program."""
    log: list[object] = []
    x86, real = lib.x86_const, program.mode == 2
    code, data, stack = (0x1000, 0x4000, 0x8000) if real else (CODE, DATA, STACK)

    def reg(name: str) -> int:
        return getattr(x86, "UC_X86_REG_" + name)  # type: ignore[no-any-return]

    def flags(uc: Any) -> int:
        return uc.reg_read(reg("EFLAGS")) & FLAGS  # type: ignore[no-any-return]

    uc = lib.Uc(lib.UC_ARCH_X86, program.mode)
    for start in (code, data, stack):
        uc.mem_map(start, 0x2000)
    uc.mem_write(code, program.code + b"\x90" * 8)
    uc.mem_write(data, bytes(range(256)) * 8)
    for name, value in zip(("EAX", "ECX", "EDX", "EBX"), program.registers, strict=True):
        uc.reg_write(reg(name), value & 0xFF if name == "ECX" else value)
    for name, value in (
        ("ESP", stack + 0x1000),
        ("ESI", data + 256),
        ("EDI", data + 512),
        ("EBP", 7),
    ):
        uc.reg_write(reg(name), value)
    for kind, first, last in program.hooks:
        if kind in ("CODE", "BLOCK"):
            uc.hook_add(
                getattr(lib, "UC_HOOK_" + kind),
                lambda uc, at, size, kind: log.append((kind, at, flags(uc))),
                kind, code + first, code + last,
            )  # fmt: skip
        elif kind == "INTR":
            uc.hook_add(lib.UC_HOOK_INTR, lambda uc, number, data: log.append(number))
        else:
            uc.hook_add(
                getattr(lib, "UC_HOOK_" + kind),
                lambda uc, access, at, size, value, data: log.append((access, at, size, value)),
            )
    for until, count in program.runs:
        try:
            uc.emu_start(code, code + until, count=count or 400)
        except lib.UcError as error:
            log.append(error.errno)
            uc.reg_write(reg("EFLAGS"), 2)
            if real:  # CS may be elsewhere now: Unicorn does not know its limit
                break
        # Unicorn calls these once more where `count` ends in front of a block.
        at = uc.reg_read(reg("EIP"))
        while log and isinstance(log[-1], tuple) and log[-1][:2] == ("BLOCK", at):
            log.pop()
        values = [uc.reg_read(reg(name)) for name in NAMES]
        log.append([*values, flags(uc)])
        uc.ctl_flush_tb()  # Unicorn does not always end where blocks that it knows would not
    log.append([bytes(uc.mem_read(start, 0x2000)) for start in (code, data, stack)])
    return log


def settings(examples: int, *, same: bool = False) -> Any:
    return hypothesis.settings(
        max_examples=examples,
        derandomize=same,  # what CI runs does not change from run to run; the campaign does
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        database=None,
    )


def check(program: Program) -> None:
    theirs, mine = execute(unicorn(), program), execute(ours, program)
    assert mine == theirs


# What the campaign found once.
FOUND = (
    # A budget that ends in the first block after an insn that was stepped over.
    Program(b"@\xb8\0\0\0\0Mu\xf7", [0, 1, 6, 9], [0] * 4, [("BLOCK", 0, 6)], [(1, 0), (9, 17)], 4),
)
FOUND_SEQUENCES = (
    # A hook for reads is called once another one has mapped the page.
    Sequence(FLAT, b"\x8b\x02", [0, 2], [
        ("hook", "MEM_READ", 1, 0, "log"), ("hook", "MEM_UNMAPPED", 1, 0, "eax"), ("run", 0, 2, 0),
    ]),
    # All hooks of an interrupt are called, whoever stops.
    Sequence(FLAT, b"\xcd!", [0, 2], [
        ("hook", "INTR", 0, 0, "stop"), ("hook", "INTR", 0, 0, "log"), ("run", 0, 2, 0),
    ]),
)  # fmt: skip


def check_sequence(sequence: Sequence) -> None:
    mine = Player(ours, sequence)
    log = mine.play()
    if not mine.has_nested:
        assert log == Player(unicorn(), sequence).play()


def test_what_was_found() -> None:
    for program in FOUND:
        check(program)
    for sequence in FOUND_SEQUENCES:
        check_sequence(sequence)


@settings(40, same=True)
@hypothesis.given(programs())
def test_sample(program: Program) -> None:
    check(program)


@pytest.mark.slow
@pytest.mark.timeout(0)
@settings(int(os.environ.get("JITEMU_EXAMPLES", "20000")))
@hypothesis.given(programs())
def test_campaign(program: Program) -> None:
    check(program)


@settings(25, same=True)
@hypothesis.given(sequences())
def test_sequences_sample(sequence: Sequence) -> None:
    check_sequence(sequence)


@pytest.mark.slow
@pytest.mark.timeout(0)
@settings(int(os.environ.get("JITEMU_EXAMPLES", "20000")))
@hypothesis.given(sequences())
def test_sequences(sequence: Sequence) -> None:
    check_sequence(sequence)
