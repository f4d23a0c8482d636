"""Counters and coverage that host code keeps: exact in stencils, in regions and insn by insn."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import pytest

from jitemu import unicorn as lib
from tests.unicorn.scenarios import CODE, DATA, machine, register, size

pytestmark = pytest.mark.particular
# inc eax; jnz +1; nop; add ebx, [DATA]; dec ecx; jnz back
LOOP = "40 7501 90 031d00002000 49 75f3"


def run(uc: Any, times: int, **more: int) -> None:
    uc.reg_write(register(lib, "ECX"), times)
    uc.emu_start(CODE, CODE + size(LOOP), **more)


@pytest.mark.parametrize("times", [1, 3, 1000, 2_000_000])
def test_counts_are_exact(times: int) -> None:
    uc = machine(lib, LOOP)
    blocks, insns = uc.counter(blocks=True), uc.counter()
    one = uc.counter(CODE + 10, CODE + 10)
    for _ in range(3):  # the last time in a region, perhaps
        blocks.value = insns.value = one.value = 0
        uc.reg_write(register(lib, "EAX"), 1)
        run(uc, times)
        assert (blocks.value, insns.value, one.value) == (2 * times, 5 * times, times)
        time.sleep(0.3 if times > 1000 else 0)


@pytest.mark.parametrize("count", [1, 7, 40, 1001])
def test_counts_stop_with_the_run(count: int) -> None:
    uc = machine(lib, LOOP, eax=1)
    insns = uc.counter()
    run(uc, 1 << 20, count=count)
    assert insns.value == count


def test_counts_beside_hooks() -> None:
    uc = machine(lib, LOOP, eax=1)
    insns, blocks, called = uc.counter(), uc.counter(blocks=True), []
    uc.hook_add(lib.UC_HOOK_CODE, lambda uc, address, *rest: called.append(address))
    uc.hook_add(lib.UC_HOOK_MEM_READ, lambda *rest: None)
    run(uc, 10)
    assert insns.value == len(called) == 50
    assert blocks.value == 20


def test_removed() -> None:
    uc = machine(lib, LOOP, eax=1)
    insns = uc.counter()
    run(uc, 10)
    insns.remove()
    run(uc, 10)
    assert insns.value == 50
    assert not uc._machine.marks.insn_counts


def test_counting_changes_no_results() -> None:
    found = []
    for counts in (False, True):
        uc = machine(lib, "3d00000080 9f 7401 43 11c8 49 75f2", eax=5, ecx=7)
        uc.mem_write(DATA, b"abcd")
        if counts:
            uc.counter()
        uc.emu_start(CODE, CODE + 14)
        names = ("EAX", "EBX", "ECX", "EFLAGS")
        found.append([uc.reg_read(register(lib, name)) for name in names])
    assert found[0] == found[1]


def test_coverage(tmp_path: Path) -> None:
    uc = machine(lib, LOOP, eax=1)
    coverage = uc.coverage()
    run(uc, 5)
    assert [(block.pc - CODE, block.size) for block in coverage.blocks] == [(0, 3), (4, 9)]
    assert coverage.bitmap.sum() == 2
    path = tmp_path / "out.drcov"
    assert coverage.write_drcov(path, "code", CODE, 0x1000) == 2
    head, _, body = path.read_bytes().partition(b"BB Table: 2 bbs\n")
    assert head.startswith(b"DRCOV VERSION: 2\n")
    assert list(struct.iter_unpack("<IHH", body)) == [(0, 3, 0), (4, 9, 0)]
    coverage.clear()
    uc.reg_write(register(lib, "EAX"), 0xFFFFFFFF)
    run(uc, 1)
    assert [(block.pc - CODE, block.size) for block in coverage.blocks] == [(0, 3), (3, 10)]
    coverage.remove()
    assert [block.pc - CODE for block in coverage.blocks] == [0, 3]


@pytest.mark.parametrize("times", [5, 40_000, 2_000_000])
def test_captured(times: int) -> None:
    uc = machine(lib, LOOP, eax=1)
    capture = uc.capture(CODE + 10, "ecx", "eax")
    for _ in range(3):
        capture.clear()
        uc.reg_write(register(lib, "EAX"), 1)
        run(uc, times)
        assert capture.times == times
        values, kept = capture.values, min(times, 1 << 15)
        assert values.shape == (kept, 2)
        assert values[:, 0].tolist() == list(range(kept, 0, -1))
        assert values[-1].tolist() == [1, times + 1]
        time.sleep(0.3 if times > 100_000 else 0)
    capture.remove()
    run(uc, 5)
    assert capture.times == times
    with pytest.raises(ValueError, match="general registers"):
        uc.capture(CODE, "xmm0")


def test_accesses_that_nobody_watches_cost_no_call() -> None:
    uc = machine(lib, "8903 8b13 50 58 49 75f7 f4", ebx=DATA, ecx=20_000)
    calls: list[int] = []
    kinds = lib.UC_HOOK_MEM_READ | lib.UC_HOOK_MEM_WRITE
    for first in (DATA + 4, DATA + 0x100, 0x300000):
        uc.hook_add(kinds, lambda uc, kind, at, *rest: calls.append(at), None, first, first + 3)
    engine = uc._machine.engine
    uc.emu_start(CODE, 0)
    assert (calls, uc.reg_read(register(lib, "ECX"))) == ([], 0)
    assert engine.statistics.insns_interpreted < 100
    uc.reg_write(register(lib, "ECX"), 3)
    uc.reg_write(register(lib, "EBX"), DATA + 0x102)
    uc.emu_start(CODE, 0)
    assert calls == [DATA + 0x102] * 6


@pytest.mark.parametrize("code", ["90 60", "90 d93c24", "6a01 58", "60 8b442404 61 9c 9d"])
def test_insns_that_are_tried_again_count_once(code: str) -> None:
    """The stack is in the page of the code, so that each write to it drops that code."""
    uc = machine(lib, code)
    uc.reg_write(register(lib, "ESP"), CODE + 0xF00)
    insns, blocks, called = uc.counter(), uc.counter(blocks=True), []
    uc.emu_start(CODE, CODE + size(code))
    one = insns.value
    uc.reg_write(register(lib, "ESP"), CODE + 0xF00)
    uc.hook_add(lib.UC_HOOK_CODE, lambda uc, address, *rest: called.append(address))
    uc.emu_start(CODE, CODE + size(code))
    assert one == len(called) == insns.value - one == len(set(called))
    assert blocks.value == 2


@pytest.mark.parametrize(
    ("code", "count"), [("90 8b03 90", 3), ("8903", 1), ("ff33", 1), ("90 f00103", 2)]
)
@pytest.mark.parametrize("is_device", [False, True])
def test_insns_that_meet_what_is_not_there_count_once(
    code: str, count: int, *, is_device: bool
) -> None:
    uc = machine(lib, code, ebx=0x500000)
    if is_device:
        uc.mmio_map(0x500000, 0x1000, lambda *_: 1, None, lambda *_: None, None)
    else:
        uc.hook_add(lib.UC_HOOK_MEM_UNMAPPED, lambda uc, *_: uc.mem_map(0x500000, 0x1000) or True)
    insns, blocks = uc.counter(), uc.counter(blocks=True)
    uc.emu_start(CODE, CODE + size(code))
    assert insns.value == count
    uc.emu_start(CODE, CODE + size(code))
    assert (insns.value, blocks.value) == (2 * count, 2)
