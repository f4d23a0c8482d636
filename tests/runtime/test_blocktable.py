"""The table of blocks, in compiled code, against a model in a few lines of Python."""

from __future__ import annotations

import ctypes
import random
import threading
from collections.abc import Iterator

import pytest

from runtime import native
from runtime.blocktable import Block, BlockTable, TableLock
from translator.quick import layout as at

BASE = 200 << 20  # offset in the arena of the first block: far behind all code of other tests
STUB = 0x100  # bytes behind a link's field


@pytest.fixture
def table() -> Iterator[BlockTable]:
    made = BlockTable(native.arena)
    made.clear()
    yield made
    made.clear()


def add(table: BlockTable, pc: int, fpu: int | None, links: list[int], mode: int = 0) -> Block:
    """Add a block of 64 bytes, whose links lie 8 bytes apart."""
    start = BASE + 64 * len(table)
    its = at.ANY_FPU if fpu is None else fpu
    number = table.add(table.address, pc, mode, its, fpu or 0, start)
    for i, target in enumerate(links):
        site = start + 8 * i
        table.add_link(table.address, number, site, site + STUB, target)
    for page in {pc >> 12, pc + 40 >> 12}:
        table.add_page(table.address, number, page)
    table.open(table.address, number, 64, 4)
    return Block(table, number)


def lookup(table: BlockTable, pc: int, which: int = 0) -> int:
    """Return the host code that jitemu_lookup would find, or 0."""
    size = at.HASH_SIZE
    entries = (ctypes.c_uint64 * (2 * size)).from_address(table.hashes[which])
    index = pc * at.HASH_FACTOR >> at.HASH_SHIFT & size - 1
    while entries[2 * index] not in (0, pc + 1):
        index = (index + 1) % size
    return entries[2 * index + 1] if entries[2 * index] else 0


def leads_to(site: int) -> int:
    """Return the offset that a link's field leads to."""
    field = bytes(native.arena.code[site : site + 4])
    return site + 4 + int.from_bytes(field, "little", signed=True)


def test_against_a_model(table: BlockTable) -> None:
    """Blocks come, are linked and go, at few addresses; each step is checked."""
    rng = random.Random(11)
    places = [0x1000 * rng.randrange(4) + 0xFE0 + rng.randrange(64) for _ in range(12)]
    alive: list[Block] = []
    targets: dict[int, Block] = {}  # site -> the block it leads to
    for _ in range(2000):
        match rng.randrange(4):
            case 0 | 1:
                pc, fpu = rng.choice(places), rng.choice((None, 0, 0x4F0))
                if not any(b.pc == pc and b.fpu in (fpu, None) for b in alive) and not (
                    fpu is None and any(b.pc == pc for b in alive)
                ):
                    alive.append(add(table, pc, fpu, rng.choices(places, k=rng.randrange(4))))
            case 2 if alive:
                target = rng.choice(alive)
                fitting = [
                    link
                    for block in alive
                    for link in block.links
                    if link.target == target.pc
                    and (block.pc != target.pc or block.number <= target.number)
                ]
                fitting = [x for x in fitting if target.fpu is not None or x.owner.pc != target.pc]
                if fitting:
                    link = rng.choice(fitting)
                    assert table.link_to(table.address, link.site, target.number)
                    targets[link.site] = target
            case 3 if alive:
                gone = alive.pop(rng.randrange(len(alive)))
                assert table.drop(table.address, gone.number)
                assert not table.drop(table.address, gone.number)
                for site in [s for s, block in targets.items() if block == gone]:
                    assert leads_to(site) == site + STUB
                    del targets[site]
        for pc in places:
            there = [b for b in alive if b.pc == pc]
            assert bool(lookup(table, pc)) == bool(there)
            if there:
                assert lookup(table, pc) == native.arena.base + there[0].offset
                assert table.first(table.address, pc, 0) == there[0].number
            for fpu in (0, 0x4F0):
                found = table.find(table.address, pc, 0, fpu)
                assert found == next((b.number for b in there if b.fpu in (None, fpu)), 0)
                assert not table.find(table.address, pc, at.PRECISE, fpu)
        for site, block in targets.items():
            assert leads_to(site) == block.offset
        for page in range(6):
            expected = {b for b in alive if page in (b.pc >> 12, b.pc + 40 >> 12)}
            assert set(table.of_page(page)) == expected
        incoming = {link.site for block in alive for link in block.incoming}
        assert incoming == set(targets)
    assert len(table) > 400
    for block in table:
        assert table.at_offset(table.address, block.offset + 63) == block.number
    first = next(iter(table))
    table.clear()
    assert not first.is_valid
    assert not any(lookup(table, pc) for pc in places)


def test_modes_are_apart(table: BlockTable) -> None:
    """The same address in precise mode is another place, and no link crosses."""
    plain = add(table, 0x5000, None, [0x6000])
    precise = add(table, 0x6000, None, [], at.PRECISE)
    assert not table.link_to(table.address, plain.offset, precise.number)
    assert table.find(table.address, 0x6000, at.PRECISE, 0) == precise.number
    assert not table.find(table.address, 0x6000, 0, 0)
    assert lookup(table, 0x6000, 1)
    assert not lookup(table, 0x6000)


def test_crowded_lookups(table: BlockTable) -> None:
    """More blocks than the lookup table takes: the newest are found there, all in this one."""
    count = at.HASH_SIZE // 2 + 100
    for number in range(count):
        pc = 0x10000 + number
        table.open(
            table.address, table.add(table.address, pc, 0, at.ANY_FPU, 0, BASE + number), 1, 0
        )
    assert table.find(table.address, 0x10000, 0, 0) == 1
    assert not lookup(table, 0x10000)
    assert lookup(table, 0x10000 + count - 1) == native.arena.base + BASE + count - 1
    assert table.get(at.HASH_USED) <= at.HASH_SIZE // 4 + 101


def test_lock(table: BlockTable) -> None:
    """It is reentrant, keeps other threads out, and native code too."""
    lock = TableLock(table)
    seen: list[int] = []

    def other() -> None:
        with lock:
            seen.append(table.get(at.LOCK))

    with lock:
        with lock:
            assert table.get(at.LOCK) == 1
        assert table.get(at.LOCK) == 1
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(0.05)
        assert not seen
    thread.join()
    assert seen == [1]
    assert table.get(at.LOCK) == 0
