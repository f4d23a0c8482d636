"""When a page with code is protected, and when its blocks compare their bytes instead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.cpu import Cpu
from runtime.guestcode import PATCHED_AMONG, RARE, SMC_LIMIT, GuestCode
from runtime.memory import Memory

PAGE = 0x10


@pytest.fixture
def code() -> Iterator[GuestCode]:
    mem = Memory()
    mem.map(PAGE << 12, 0x20000, 7, fixed=True)
    yield GuestCode(mem, 64, True)
    mem.close()


def write(code: GuestCode, cpu: Cpu, insns: int, times: int = 1) -> int:
    """Write a page with code every so many insns; return how often until it was opened."""
    for number in range(times):
        cpu.budget -= insns
        code.count_writes(range(PAGE, PAGE + 1), cpu)
        if PAGE in code.open_pages:
            return number + 1
    return 0


def change(code: GuestCode, cpu: Cpu, insns: int) -> None:
    """Let code of an open page change, every so many insns, until the page is protected again."""
    for _ in range(SMC_LIMIT):
        assert PAGE in code.open_pages
        cpu.budget -= insns
        is_closed = code.count_change(PAGE << 12, cpu, lambda: 3)
    assert is_closed
    assert PAGE not in code.open_pages


def test_rare_writes(code: GuestCode) -> None:
    """However many there are, a page that runs longer in between stays protected."""
    cpu = Cpu(code.mem)
    assert not write(code, cpu, RARE, 1000)
    assert write(code, cpu, RARE // 2, 1000) == 2 * SMC_LIMIT - 1


def test_frequent_writes(code: GuestCode) -> None:
    """It is opened, by the thread's own insns; those of two threads in turn are not known."""
    cpu, other = Cpu(code.mem), Cpu(code.mem)
    assert write(code, cpu, 10, 100) == SMC_LIMIT + 1
    code.open_pages.clear()
    code.writes.clear()
    for number in range(SMC_LIMIT + 1):
        assert PAGE not in code.open_pages
        write(code, (cpu, other)[number % 2], 10 * RARE)
    assert PAGE in code.open_pages


def test_code_that_changes_is_protected_again(code: GuestCode) -> None:
    """Opening does not pay for code that is run as often as it is written; closer writes do."""
    cpu = Cpu(code.mem)
    assert write(code, cpu, 1000, 100)
    change(code, cpu, 1000)
    assert not write(code, cpu, 1000, 1000)
    assert write(code, cpu, 10, 1000)


@pytest.mark.parametrize(
    ("places", "blocks", "stays"),
    [(2, 3 * PATCHED_AMONG, True), (2, PATCHED_AMONG, False), (40, 3 * PATCHED_AMONG, False)],
)
def test_a_few_insns_that_are_patched_among_many(
    code: GuestCode, places: int, blocks: int, stays: bool
) -> None:
    """They are translated again one by one; new code everywhere is not."""
    cpu = Cpu(code.mem)
    assert write(code, cpu, 1000, 100)
    for number in range(5 * SMC_LIMIT):
        cpu.budget -= 1000
        address = (PAGE << 12) + 16 * (number % places)
        if code.count_change(address, cpu, lambda: blocks):
            break
    assert (PAGE in code.open_pages) == stays


def test_shared_pages_stay_open(code: GuestCode) -> None:
    """A file changes by other ways than accesses to its mapping."""
    cpu = Cpu(code.mem)
    code.mem.map(PAGE << 12, 0x1000, 7, fixed=True, shared=True)
    assert write(code, cpu, 1000, 100)
    assert not any(code.count_change(PAGE << 12, cpu, lambda: 3) for _ in range(100))
    assert not any(code.is_calm(PAGE) for _ in range(100))
    assert PAGE in code.open_pages


def test_block_that_runs_into_an_open_page(code: GuestCode) -> None:
    """Its stores may change what it holds of that page, so it ends behind each."""
    cpu = Cpu(code.mem)
    code.mem.write((PAGE + 1 << 12) - 2, bytes.fromhex("8908 b8 01020304 c3"))
    assert len(code.plan((PAGE + 1 << 12) - 2, 0).items) == 3
    for _ in range(SMC_LIMIT + 1):
        code.count_writes(range(PAGE + 1, PAGE + 2), cpu)
    assert code.open_pages == {PAGE + 1}
    code.forget(range(PAGE, PAGE + 2))
    assert len(code.plan((PAGE + 1 << 12) - 2, 0).items) == 1


def test_unmapped_pages_are_forgotten(code: GuestCode) -> None:
    """What is mapped there later is other code; so is what a JIT writes while it cannot run."""
    cpu = Cpu(code.mem)
    assert write(code, cpu, 10, 100)
    code.mem.protect(PAGE << 12, 0x1000, 3)
    code.count_writes(range(PAGE, PAGE + 1), cpu)
    assert PAGE not in code.open_pages
    code.mem.protect(PAGE << 12, 0x1000, 7)
    assert not write(code, cpu, 10, SMC_LIMIT)
    assert write(code, cpu, 10)
    code.mem.unmap(PAGE << 12, 0x20000)
    code.count_writes(range(PAGE - 5, PAGE + 0x20), cpu)
    assert not code.open_pages
    assert not code.writes


def test_hot_code_of_an_open_page(code: GuestCode) -> None:
    """It is protected again, each time after twice as long."""
    cpu = Cpu(code.mem)
    for patience in (1, 2, 4, 8):
        assert write(code, cpu, 10, 100)
        found = [code.is_calm(PAGE) for _ in range(patience)]
        assert found == [False] * (patience - 1) + [True]
        assert PAGE not in code.open_pages
    assert not code.is_calm(PAGE)
