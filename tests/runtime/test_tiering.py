"""Regions under way: what is done with results that come late, or for code that has changed."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from runtime import native
from runtime.codecache import Full
from runtime.compiler import Compiler, PlainDescriptors
from runtime.cpu import Cpu
from runtime.dispatch import Engine, Exit
from runtime.following import CACHE, Follow
from runtime.memory import Memory
from runtime.tiering import _BUCKET, Tiering
from translator import regions
from translator.mode import USER_CONTEXT
from translator.planner import Plan
from translator.quick import layout
from translator.shape import SHAPES, shape_of
from translator.state import JUMP_CACHE_ENTRIES
from translator.tiers.regioncode import compile_region
from translator.tiers.stencil import Stencil
from translator.tiers.store import Shelf

CODE = 0x10000
# mov ecx, 1000; inc eax; dec ecx; jnz: a loop of three insns.
LOOP = bytes.fromhex("b9e8030000404975fcf4")


class Recorder:
    """Stands in for the compiler: keeps what it is asked for."""

    def __init__(self, *arguments: Any) -> None:
        self.asked: list[int] = []

    def submit(self, number: int, described: Any) -> None:
        self.asked.append(number)

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        pass

    def prepare(self) -> None:
        pass


@pytest.fixture
def tiering(monkeypatch: pytest.MonkeyPatch) -> Tiering:
    monkeypatch.setattr("runtime.tiering.Compiler", Recorder)
    monkeypatch.setattr("runtime.tiering.REGIONS", Shelf[bytes](8))
    mem = Memory()
    mem.map(CODE, 0x2000, 7, fixed=True)
    mem.write(CODE, LOOP)
    return Engine(mem, "tiered").tiering


def ask(tiering: Tiering) -> int:
    """Let the loop become hot; return the number of the job."""
    with tiering.engine.lock:
        tiering._request(CODE + 5, 0)
    (number,) = tiering.jobs
    return number


def test_late_result_of_a_replaced_program(tiering: Tiering) -> None:
    """After execve nothing of the old program is installed, and no number means two things."""
    first = ask(tiering)
    tiering.engine.flush()
    assert not tiering.jobs
    second = ask(tiering)
    assert second != first
    tiering._done(first, ((b"\xcc", b"", (), (), (), (), None), 0.1))
    assert list(tiering.jobs) == [second]
    assert not tiering.engine.cache.blocks
    tiering.engine.mem.close()


def test_code_that_changes_meanwhile(tiering: Tiering) -> None:
    """The job is forgotten and counted once; another may follow."""
    number = ask(tiering)
    tiering.engine.mem.write(CODE + 0x800, b"x")
    assert not tiering.jobs
    assert tiering.counts.dropped == 1
    assert ask(tiering) != number
    assert tiering.counts.formed == 2
    tiering._done(number, ((b"\xcc", b"", (), (), (), (), None), 0.1))
    assert tiering.counts.dropped == 1
    assert not tiering.engine.cache.blocks
    tiering.engine.mem.close()


def test_late_result_is_used_if_the_code_comes_back(tiering: Tiering) -> None:
    """Data beside it was written: the next time it is hot, the region is there."""
    number = ask(tiering)
    tiering.engine.mem.write(CODE + 0x800, b"x")
    tiering._done(number, ((b"\xcc", b"", (), (), (), (), None), 0.1))
    assert not tiering.engine.cache.blocks
    with tiering.engine.lock:
        tiering._request(CODE + 5, 0)
    assert not tiering.jobs
    assert tiering.counts.cached == 1
    assert tiering.engine.cache.blocks[CODE + 5].parts
    tiering.engine.mem.close()


def test_slices_grow_in_a_long_run(tiering: Tiering) -> None:
    """Samples, and regions of what is hardly ever run, cost a small part of it."""
    thresholds, cold = tiering.thresholds, CODE + 0x1000
    tiering.engine.mem.write(cold, LOOP)
    tiering.sample(cold + 5, 0, is_inside=False)
    assert tiering.slice == thresholds.first_slice
    tiering.counts.insns_sampled = 100_000_000_000
    tiering.slice = 1_000_000
    tiering.sample(cold + 5, 0, is_inside=False)
    assert tiering.slice > 4 * thresholds.first_slice
    assert tiering.observed < 0  # nothing is wanted yet: that is no hundred thousandth of it
    tiering.slice = 20_000_000
    tiering.sample(cold + 5, 0, is_inside=False)
    assert tiering.observed == 0
    tiering.engine.mem.close()


def test_plans_are_kept_until_code_changes(tiering: Tiering) -> None:
    """A block that many regions hold is planned once; what was written is planned anew."""
    with tiering.engine.lock:
        plan = tiering.plan_at(CODE + 5, 0, 8)
        assert plan is not None
        assert tiering.plan_at(CODE + 5, 0, 8) is plan
    tiering.engine.mem.write(CODE + 5, b"\x42")  # inc edx
    with tiering.engine.lock:
        other = tiering.plan_at(CODE + 5, 0, 8)
        assert other is not None
        assert other.items[0][0].key != plan.items[0][0].key
    tiering.engine.mem.close()


def run(tiering: Tiering, insns: int) -> None:
    """Let so many insns run in the loop, until a sample."""
    tiering.slice = insns
    tiering.sample(CODE + 5, 0, is_inside=False)


def test_code_that_does_not_last(tiering: Tiering) -> None:
    """Each region that is dropped doubles the insns after which the next is tried."""
    engine, hot = tiering.engine, tiering.thresholds.hot
    for times in range(4):
        engine.code.peek(CODE)  # the page is watched
        run(tiering, (hot << times) - 1)
        assert tiering.observed < 0
        run(tiering, 1)
        run(tiering, hot)
        assert tiering.jobs
        engine.mem.write(CODE + 0x800, b"x")
        assert not tiering.jobs
        assert not tiering.heat
    engine.mem.close()


def test_computed_jumps_are_observed(tiering: Tiering) -> None:
    """A region follows those that are taken once it is hot, no others, and no returns."""
    engine = tiering.engine
    cpu = Cpu(engine.mem)
    engine.cpus.add(cpu)
    # call $+5 at 0x100, what is behind it, and another block
    engine.mem.write(CODE + 0x100, bytes.fromhex("e800000000 90c3 90c3"))
    places = [CODE + 0x105, CODE + 0x107, CODE + 0x106]
    for place in places:
        engine._install(place, 0)

    def jump(place: int) -> None:
        cpu.r64[CACHE + 2 * (place & JUMP_CACHE_ENTRIES - 1)] = place

    jump(places[1])
    run(tiering, tiering.thresholds.hot)
    assert not tiering.jobs
    assert Follow(engine, USER_CONTEXT)._near(CODE) == []
    jump(places[0])
    jump(places[2])
    assert Follow(engine, USER_CONTEXT)._near(CODE) == [places[2]]
    run(tiering, 1000)
    assert not tiering.jobs
    run(tiering, tiering.thresholds.hot)
    assert tiering.jobs
    engine.mem.close()


def test_forgotten_jobs_are_not_compiled() -> None:
    """Those that nobody wants any more do not wait in the queue, nor delay others."""
    results: list[int] = []
    wanted = {1, 2, 3}
    begun, go, done = threading.Event(), threading.Event(), threading.Event()

    def finish(number: int, result: Any) -> None:
        results.append(number)
        if number == 3:
            done.set()

    class Slow(Compiler):
        def _ask(self, described: Any) -> Any:
            begun.set()
            assert go.wait(20)
            return described, 0.0

    compiler = Slow(finish, wanted.__contains__, PlainDescriptors())
    compiler.submit(1, ())
    assert begun.wait(20)
    for number in (2, 3):
        compiler.submit(number, ())
    wanted.discard(2)
    go.set()
    assert done.wait(20)
    assert results == [1, 3]
    compiler.close()


def test_tables_are_emptied_with_the_code(tiering: Tiering) -> None:
    """What an engine knows of code is dropped with all host code, and fills again."""
    engine = tiering.engine
    tiering.heat[1], tiering.tried[CODE, 0] = 5, 4
    engine.code.peek(CODE)
    cpu = Cpu(engine.mem)
    cpu.eip = CODE
    engine._decode(cpu)
    assert engine.code.pages
    assert engine.insns
    block = engine._install(CODE, 0)
    before = engine.cache.resets
    engine._flush_all()
    assert engine.cache.resets == before + 1
    assert engine.cache.written >= block.size
    tables = (
        tiering.heat,
        tiering.tried,
        engine.code.pages,
        engine.code.peeks,
        engine.insns,
        engine.insn_pages,
        engine.cache.blocks,
        engine.cache.table,
    )
    assert not any(tables)
    assert engine._install(CODE, 0).size == block.size
    assert engine._decode(cpu).mnemonic == "mov"
    engine.mem.close()


def test_shapes_are_forgotten(tiering: Tiering, monkeypatch: pytest.MonkeyPatch) -> None:
    """When there are too many, everything is dropped, and what is needed comes back."""
    for module in ("codecache", "bounds"):
        monkeypatch.setattr(f"runtime.{module}.SHAPES_MAX", 64)
    engine = tiering.engine
    engine._flush_all()  # other tests of this process may have left many
    engine._install(CODE, 0)
    for number in range(65):
        shape_of(bytes((0x01, 0xC0 + number % 64, *([0x90] * (number // 64)))))
        shape_of(bytes((0x29, 0xC0 + number % 64)))
    with pytest.raises(Full):
        engine._install(CODE, 0)
    engine._flush_all()
    assert not SHAPES
    assert engine._install(CODE, 0).size > 0
    assert len(SHAPES) < 20  # the compiled translator may need none
    engine.mem.close()


def test_fault_table_has_an_end(tiering: Tiering) -> None:
    """Its rows are bounded as the code is."""
    engine = tiering.engine
    rows = engine.cache.arena.fault_count
    engine.cache.table.set(layout.FAULT_LIMIT, rows - 1)
    with pytest.raises(Full):
        engine._install(CODE, 0)
    engine.mem.close()


def test_old_stencils_are_forgotten() -> None:
    """A shelf that is full forgets its older half."""
    shelf = Shelf[bytes](8)
    stencil = Stencil(b"\xcc", b"", (), (), (), ())
    for number in range(20):
        shelf.add(b"%d" % number, stencil, 1)
        assert len(shelf.known) <= 8
        assert shelf.find(b"%d" % number) is stencil
    assert shelf.find(b"0") is None
    assert len(shelf.take_fresh()) == 20  # what is not saved yet is kept


def test_slices_while_the_compiler_is_busy(tiering: Tiering) -> None:
    """They get longer, as nothing more can be asked of it; what is hot is counted as before."""
    tiering.thresholds.waiting = 1
    ask(tiering)
    elsewhere = CODE + 0x800
    tiering.slice = least = tiering.thresholds.first_slice
    for _ in range(10):
        tiering.sample(elsewhere, 0, is_inside=False)
    assert least < tiering.slice <= tiering.thresholds.last_slice
    assert tiering.heat[elsewhere >> _BUCKET] > 10 * least
    tiering.jobs.clear()
    tiering.sample(elsewhere, 0, is_inside=False)
    assert tiering.observed >= 0
    tiering.engine.mem.close()


@pytest.mark.parametrize(("body", "is_closed"), [("40", True), ("40eb00", False)])
def test_unrolled_loop(tiering: Tiering, body: str, is_closed: bool) -> None:
    """It is closed even if it is long, unless it is more than few, long blocks."""
    insns = bytes.fromhex(body) * 1200
    back = -len(insns) - 7 & 0xFFFFFFFF
    tiering.engine.mem.write(CODE, insns + b"\x49\x0f\x85" + back.to_bytes(4, "little"))
    region = tiering._around((CODE + 600, 0), Plan.successors)
    assert region is not None
    assert region.has_loop == is_closed
    assert (region.insns > 1200) == is_closed
    tiering.engine.mem.close()


def test_samples_are_where_the_insns_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code behind a region is seen as often as it runs; and the budget's own end is exact."""
    mem = Memory()
    mem.map(CODE, 0x2000, 7, fixed=True)
    # 30 times inc eax; jmp. 15 times inc ebx; jmp back.
    mem.write(CODE, bytes.fromhex("40" * 30 + "eb00" + "43" * 15 + "ebcf"))
    behind = CODE + 32
    cpu, engine = Cpu(mem), Engine(mem, "tiered")
    tiering = engine.tiering
    region = regions.grow(CODE, 0, tiering.plan_at, lambda plan: (), 100)
    assert region is not None
    assert region.insns == 31
    tiering.install(CODE, region, compile_region(region))
    seen: list[bool] = []

    def sample(location: int, fpu: int, *, is_inside: bool) -> None:
        assert is_inside == (location < behind)
        seen.append(is_inside)

    monkeypatch.setattr(tiering, "sample", sample)
    native.bind(cpu)
    cpu.eip, tiering.slice = CODE, 100_003
    total = 47 * 1_000_000 + 40
    cpu.budget = total
    assert engine.run(cpu) == Exit("budget")
    assert cpu.budget == 0
    assert (cpu.eip, cpu.eax, cpu.ebx) == (behind + 9, 30 * 1_000_001, 15 * 1_000_000 + 9)
    assert 0.55 < sum(seen) / len(seen) < 0.75  # of 47 insns 31 are the region's
    mem.close()


def test_slices_of_a_guest_that_stays_in_regions(tiering: Tiering) -> None:
    """They get longer still, until something else is seen."""
    last = tiering.thresholds.last_slice
    for _ in range(30):
        tiering.sample(CODE, 0, is_inside=True)
    assert tiering.slice == last
    for _ in range(100):
        tiering.sample(CODE, 0, is_inside=True)
    assert tiering.slice == 4 * last
    tiering.sample(CODE + 0x800, 0, is_inside=False)
    assert tiering.slice <= last
    tiering.sample(CODE, 0, is_inside=True)
    assert tiering.slice <= last
