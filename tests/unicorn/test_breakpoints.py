"""Breakpoints whose conditions host code evaluates."""

from __future__ import annotations

import random
from typing import Any

import pytest

from jitemu import unicorn as lib
from jitemu.unicorn import when
from tests.unicorn.scenarios import CODE, DATA, machine, register
from translator.conditions import Expression, holds

pytestmark = pytest.mark.particular
ECX, EAX, EBX, EIP = (register(lib, name) for name in ("ECX", "EAX", "EBX", "EIP"))
# add eax, ebx; rol eax, 3; add edx, [esi]; dec ecx; jnz
LOOP = "01d8 c1c003 0316 49 75f6"
AT = CODE + 5


def expression(random: random.Random, depth: int) -> Expression:
    """Return some condition or number made of registers."""
    if not depth:
        return getattr(when, random.choice(("eax", "ecx", "edx", "cx", "dl", "ah", "bx", "esi")))
    left = expression(random, depth - 1)
    right: Any = random.choice((expression(random, depth - 1), random.randrange(1 << 32), 5))
    made = (
        left + right, left - right, right - left, left * right, left & right, left | right,
        left ^ right, left << 3, left >> right, left == right, left < right,
        left.signed() <= right, ~left, (left & 0xFF) >= (right & 0x7F),
    )  # fmt: skip
    return random.choice(made)


@pytest.mark.parametrize("seed", range(12))
def test_host_code_and_python_agree(seed: int) -> None:
    rng = random.Random(seed)
    condition = expression(rng, rng.randrange(1, 4)) & expression(rng, 1) != rng.randrange(3)
    uc = machine(
        lib, LOOP, eax=rng.randrange(1 << 32), ebx=rng.randrange(1 << 32), esi=DATA, ecx=60
    )
    uc.mem_write(DATA, b"\x37\x91\x05\x80")
    expected: list[int] = []
    found: list[int] = []

    def watch(uc: Any, *rest: object) -> None:
        if holds(condition.code, uc._machine.cpu.r32[:8]):
            expected.append(uc.reg_read(ECX))

    handle = uc.hook_add(lib.UC_HOOK_CODE, watch, None, AT, AT)
    saved = uc.context_save()
    uc.emu_start(CODE, CODE + 10)
    uc.hook_del(handle)
    end = uc.reg_read(EAX)
    uc.context_restore(saved)
    uc.breakpoint(AT, condition, lambda uc, at, size, data: found.append(uc.reg_read(ECX)))
    uc.emu_start(CODE, CODE + 10)
    assert (found, uc.reg_read(EAX)) == (expected, end)


def test_in_hot_code() -> None:
    uc = machine(lib, LOOP, ecx=3_000_000, ebx=1, esi=DATA)
    seen: list[tuple[int, int, int]] = []
    last = uc.breakpoint(
        AT, (when.ecx == 1_234_567) | (when.ecx < 3),
        lambda uc, at, size, data: seen.append((at, size, uc.reg_read(ECX))),
    )  # fmt: skip
    uc.emu_start(CODE, CODE + 10)
    assert seen == [(AT, 2, 1_234_567), (AT, 2, 2), (AT, 2, 1)]
    uc.hook_del(last)
    uc.reg_write(ECX, 5)
    uc.emu_start(CODE, CODE + 10)
    assert len(seen) == 3


def test_counts_are_exact_and_code_may_go_elsewhere() -> None:
    uc = machine(lib, "40 40 40 40 43 f4")
    uc.breakpoint(CODE + 2, when.eax == 2, lambda uc, *rest: uc.reg_write(EIP, CODE + 4))
    counter = uc.counter()
    uc.emu_start(CODE, CODE + 5)
    assert (uc.reg_read(EAX), uc.reg_read(EBX), counter.value) == (2, 1, 3)
    uc.breakpoint(CODE + 1, True, lambda uc, *rest: None)
    uc.reg_write(EAX, 5)
    uc.emu_start(CODE, CODE + 3)
    assert counter.value == 6
    uc.reg_write(EAX, 2)
    uc.emu_start(CODE, 0, count=3)
    assert (uc.reg_read(EAX), uc.reg_read(EIP)) == (5, CODE + 3)
    uc.breakpoint(CODE + 1, True, lambda uc, *rest: uc.emu_stop())
    uc.emu_start(CODE, 0)
    assert (uc.reg_read(EAX), uc.reg_read(EIP)) == (6, CODE + 1)


def test_many_at_one_insn_beside_hooks() -> None:
    uc = machine(lib, "40 50 58 f4")
    log: list[object] = []
    uc.hook_add(
        lib.UC_HOOK_CODE, lambda uc, at, size, data: log.append(at), None, CODE + 1, CODE + 1
    )
    for value in (1, 2, 1):
        uc.breakpoint(CODE + 1, when.eax == value, lambda uc, *rest: log.append(rest[-1]), value)
    for _ in range(3):
        uc.emu_start(CODE, CODE + 3)
    assert log == [CODE + 1, 1, 1, CODE + 1, 2, CODE + 1]


def test_insns_of_all_kinds() -> None:
    # A repetition, a jump, an insn for Python, a port: Python executes some of them anyway.
    uc = machine(lib, "f3aa eb00 0fa2 e460 9c f4", edi=DATA, ecx=3)
    log: list[int] = []
    for at in (0, 2, 4, 6, 8):
        uc.breakpoint(CODE + at, True, lambda uc, at, *rest: log.append(at - CODE))
    uc.emu_start(CODE, CODE + 9)
    assert log == [0, 0, 0, 2, 4, 6, 8]


def test_what_is_no_condition() -> None:
    uc = machine(lib, "40")
    for wrong in (5, None, "eax"):
        with pytest.raises(TypeError):
            uc.breakpoint(CODE, wrong, print)
    with pytest.raises(TypeError):
        bool(when.eax == 5)
    with pytest.raises(TypeError):
        when.eax + "x"
    with pytest.raises(ValueError, match="so many"):
        sum([when.eax] * 200, when.eax)
