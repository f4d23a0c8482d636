"""The guest's address space: mapping, faults, code watching, mremap."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from runtime import hostcopy
from runtime.memory import EXEC, READ, SIZE, WRITE, Memory, MemoryFault, MemoryMapError

PAGE = 4096
RW = READ | WRITE


@pytest.fixture
def mem() -> Iterator[Memory]:
    memory = Memory()
    yield memory
    memory.close()


def code_of(call: object, *args: object, **kwargs: object) -> int:
    with pytest.raises(MemoryMapError) as info:
        call(*args, **kwargs)  # type: ignore[operator]
    assert info.value.errno is not None
    return info.value.errno


def test_map_is_top_down_and_adjacent(mem: Memory) -> None:
    first = mem.map(None, 5000, RW)
    second = mem.map(None, PAGE, RW)
    assert first == mem.mmap_top - 2 * PAGE
    assert second == first - PAGE
    assert len(mem.regions()) == 1  # merged, as Linux does
    assert mem.mapped_bytes == 3 * PAGE


def test_hint_is_honoured_only_when_free(mem: Memory) -> None:
    assert mem.map(0x400000, PAGE, RW) == 0x400000
    assert mem.map(0x400000, PAGE, RW) == mem.mmap_top - PAGE
    assert code_of(mem.map, 0x400000, PAGE, RW, fixed=True, noreplace=True) == errno.EEXIST


def test_read_write_and_faults(mem: Memory) -> None:
    at = mem.map(None, 3 * PAGE, RW)
    data = os.urandom(2 * PAGE + 77)
    mem.write(at + 11, data)
    assert mem.read(at + 11, len(data)) == data
    mem.put_u32(at, 0x1_2345_6789)
    assert mem.u32(at) == 0x23456789
    with pytest.raises(MemoryFault) as info:
        mem.read(at + 3 * PAGE - 2, 4)
    assert info.value.address == at + 3 * PAGE
    mem.protect(at, PAGE, READ)
    with pytest.raises(MemoryFault) as info:
        mem.write(at + 4, b"x")
    assert info.value.is_write
    for address in (0, SIZE - 2, SIZE):
        with pytest.raises(MemoryFault):
            mem.read(address, 4)
        with pytest.raises(MemoryFault):
            mem.host(SIZE - 2, 4)


def test_cstr(mem: Memory) -> None:
    at = mem.map(None, 2 * PAGE, RW)
    mem.write(at + PAGE - 3, b"abcdef\0")
    assert mem.cstr(at + PAGE - 3) == b"abcdef"
    mem.write(at, b"x" * 5000 + b"\0")
    assert mem.cstr(at, 6000) == b"x" * 5000
    with pytest.raises(OSError, match="too long"):
        mem.cstr(at, 4096)
    mem.write(at + 2 * PAGE - 2, b"xx")
    with pytest.raises(MemoryFault):
        mem.cstr(at + 2 * PAGE - 2)


def test_fetch_stops_where_executable_memory_ends(mem: Memory) -> None:
    at = mem.map(None, 2 * PAGE, READ | EXEC)
    mem.protect(at + PAGE, PAGE, READ)
    assert mem.fetch(at + PAGE - 5, 16) == bytes(5)
    assert mem.fetch(at + PAGE, 16) == b""
    assert mem.fetch(SIZE - 4, 16) == b""


def test_unmap_and_protect_split_regions(mem: Memory) -> None:
    at = mem.map(None, 5 * PAGE, RW)
    mem.unmap(at + 2 * PAGE, PAGE)
    assert mem.prot_at(at + 2 * PAGE) is None
    assert code_of(mem.protect, at, 5 * PAGE, READ) == errno.ENOMEM
    mem.protect(at, PAGE, 0)
    assert mem.prot_at(at) == 0
    assert [(r.start - at, r.size, r.prot) for r in mem.regions()] == [
        (0, PAGE, 0),
        (PAGE, PAGE, RW),
        (3 * PAGE, 2 * PAGE, RW),
    ]
    assert mem.mapped_bytes == 3 * PAGE


def test_limit_counts_accessible_bytes() -> None:
    mem = Memory(limit=4 * PAGE)
    at = mem.map(None, 100 * PAGE, 0)
    mem.map(None, 3 * PAGE, RW)
    assert code_of(mem.map, None, 2 * PAGE, RW) == errno.ENOMEM
    assert code_of(mem.protect, at, 2 * PAGE, RW) == errno.ENOMEM
    mem.protect(at, PAGE, RW)
    mem.close()


def test_brk(mem: Memory) -> None:
    mem.brk_start = mem.brk_end = 0x804A123
    assert mem.set_brk(0) == 0x804A123
    assert mem.set_brk(0x806A123) == 0x806A123
    mem.write(0x8050000, b"heap")
    assert mem.set_brk(0x804B000) == 0x804B000
    assert mem.prot_at(0x8050000) is None
    mem.map(0x8060000, PAGE, RW, fixed=True)
    assert mem.set_brk(0x8070000) == 0x804B000


def test_watch_reports_writes_and_map_changes(mem: Memory) -> None:
    seen: list[tuple[int, int]] = []
    mem.on_code_change = lambda address, size: seen.append((address, size))
    at = mem.map(None, 4 * PAGE, RW | EXEC)
    for page in range(4):
        mem.watch((at >> 12) + page)
    mem.write(at + PAGE - 1, b"ab")
    assert seen == [(at, 2 * PAGE)]
    assert not mem.is_watched(at >> 12)
    mem.write(at, b"again")
    assert len(seen) == 1
    mem.protect(at + 2 * PAGE, PAGE, RW)
    mem.unmap(at + 3 * PAGE, PAGE)
    assert seen[1:] == [(at + 2 * PAGE, PAGE), (at + 3 * PAGE, PAGE)]
    assert mem.read(at, 5) == b"again"


def test_watched_page_is_read_only_on_the_host(mem: Memory) -> None:
    at = mem.map(None, PAGE, RW | EXEC)
    mem.watch(at >> 12)
    assert hostcopy.copy_to(mem.base + at, b"x") == 0
    assert mem.prot_at(at) == RW | EXEC
    mem.host(at, 1, write=True)
    assert hostcopy.copy_to(mem.base + at, b"x") == 1


def test_write_through_alias_reports_the_code_page(mem: Memory, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    mem.on_code_change = lambda address, size: seen.append((address, size))
    path = tmp_path / "jit"
    path.write_bytes(bytes(4 * PAGE))
    fd = os.open(path, os.O_RDWR)
    code = mem.map(None, 2 * PAGE, READ | EXEC, fd=fd, shared=True, offset=PAGE)
    data = mem.map(0x10000000, 4 * PAGE, RW, fd=fd, shared=True)
    mem.watch(code >> 12)
    mem.write(data, b"elsewhere")
    assert not seen
    mem.write(data + PAGE, b"new code")
    assert (code, PAGE) in seen
    assert mem.read(code, 8) == b"new code"
    mem.watch(code >> 12)
    seen.clear()
    later = mem.map(None, PAGE, RW, fd=fd, shared=True, offset=PAGE)
    assert (code, PAGE) in seen
    mem.watch(code >> 12)
    seen.clear()
    mem.write(later, b"!")
    assert any(start <= code < start + size for start, size in seen)
    os.close(fd)


@pytest.mark.parametrize("shared", [False, True])
def test_remap_grows_in_place_or_moves(mem: Memory, shared: bool) -> None:
    at = mem.map(0x20000000, 2 * PAGE, RW, shared=shared)
    mem.write(at, b"kept")
    mem.map(at + 4 * PAGE, PAGE, RW)
    if not shared:
        assert mem.remap(at, 2 * PAGE, 4 * PAGE) == at
        mem.write(at + 3 * PAGE, b"new")
        assert code_of(mem.remap, at, 4 * PAGE, 5 * PAGE) == errno.ENOMEM
    moved = mem.remap(at, 2 * PAGE, 5 * PAGE, may_move=True)
    assert moved != at
    assert mem.read(moved, 4) == b"kept"
    assert mem.prot_at(at) is None
    assert mem.remap(moved, 5 * PAGE, PAGE) == moved
    assert mem.prot_at(moved + PAGE) is None
    assert code_of(mem.remap, at, PAGE, PAGE) == errno.EFAULT
    there = mem.remap(moved, PAGE, PAGE, may_move=True, new_address=0x30000000)
    assert there == 0x30000000
    assert mem.read(there, 4) == b"kept"


def test_reset_and_fork_keep_the_reservation(mem: Memory) -> None:
    at = mem.map(None, PAGE, RW)
    mem.write(at, b"parent")
    pid = os.fork()
    if pid == 0:
        mem.after_fork()
        mem.write(at, b"child!")
        os._exit(0 if mem.read(at, 6) == b"child!" else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert mem.read(at, 6) == b"parent"
    mem.reset()
    assert not mem.regions()
    with pytest.raises(MemoryFault):
        mem.read(at, 1)


def test_random_operations_agree_with_a_page_model(mem: Memory) -> None:
    rng = random.Random(2)
    model: dict[int, int] = {}
    low = 0x1000
    for _ in range(600):
        page, count = low + rng.randrange(64), rng.randrange(1, 9)
        pages = range(page, page + count)
        action = rng.choice(["map", "unmap", "protect"])
        prot = rng.choice([0, READ, RW, READ | EXEC])
        if action == "map":
            mem.map(page << 12, count << 12, prot, fixed=True)
            model.update(dict.fromkeys(pages, prot))
        elif action == "unmap":
            mem.unmap(page << 12, count << 12)
            for number in pages:
                model.pop(number, None)
        elif all(number in model for number in pages):
            mem.protect(page << 12, count << 12, prot)
            model.update(dict.fromkeys(pages, prot))
        regions = mem.regions()
        flat = {n: r.prot for r in regions for n in range(r.start >> 12, r.end >> 12)}
        assert flat == model
        assert all(a.end <= b.start for a, b in pairwise(regions))
    for number in range(low, low + 72):
        assert mem.prot_at(number << 12) == model.get(number)
    assert mem.mapped_bytes == sum(PAGE for prot in model.values() if prot)
