"""Regions of earlier runs: formed again as they were, where the code still is what it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import codestore
from runtime.dispatch import Engine
from runtime.memory import Memory
from runtime.recall import RECORDS_MAX, REGIONS_MAX, Recall
from runtime.tiering import Tiering
from tests.runtime.test_tiering import CODE, LOOP, Recorder
from translator import regions
from translator.mode import CONTEXT_SHIFT, Mode, context_number
from translator.tiers.store import Shelf

PROGRAM = b"the first page of a program"
INSIDE = CODE + 5


@pytest.fixture(autouse=True)
def no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use an empty cache directory; nothing is compiled."""
    monkeypatch.setenv("JITEMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("runtime.tiering.Compiler", Recorder)
    monkeypatch.setattr("runtime.tiering.REGIONS", Shelf[bytes](8))


@pytest.fixture
def runs() -> Iterator[Any]:
    """Return what makes the tiering of a new run of a program."""
    memories: list[Memory] = []

    def begin(code: bytes = LOOP, program: bytes = PROGRAM) -> Tiering:
        mem = Memory()
        memories.append(mem)
        mem.map(CODE, 0x2000, 7, fixed=True)
        mem.write(CODE, code)
        tiering = Engine(mem, "tiered").tiering
        tiering.recall.begin(codestore.images(program))
        return tiering

    yield begin
    for mem in memories:
        mem.close()


def formed(tiering: Tiering) -> list[Any]:
    return [regions.plain(job.region) for job in tiering.jobs.values()]


def hot(tiering: Tiering, part: int, location: int = INSIDE) -> None:
    """Let a part of the threshold run in the loop, until a sample."""
    tiering.slice = tiering.thresholds.hot // part + 1
    tiering.sample(location, 0, is_inside=False)


def first_run(runs: Any) -> list[Any]:
    tiering = runs()
    with tiering.engine.lock:
        tiering._request(INSIDE, 0)
    made = formed(tiering)
    assert len(made) == 1
    tiering.recall.save()
    return made


def test_formed_again_at_once(runs: Any) -> None:
    """Long before the threshold, and the same: a cached region would be found."""
    made = first_run(runs)
    second = runs()
    hot(second, 8)
    assert formed(second) == made
    unknown = runs(program=b"another program")
    hot(unknown, 8)
    assert not formed(unknown)


def is_hot(tiering: Tiering, place: int, insns: int) -> bool:
    """Let so many insns run at a place, and some more if it is hot; say if it became a region."""
    tiering.slice = insns
    tiering.sample(place, 0, is_inside=False)
    if tiering.observed >= 0:
        tiering.slice = tiering.thresholds.observed
        tiering.sample(place, 0, is_inside=False)
    return bool(tiering.jobs)


def test_new_places_must_be_hotter(runs: Any) -> None:
    """What one run had no region of, after twice as much; later, four times, and no more."""
    first_run(runs)
    for run, factor in ((1, 2), (2, 4), (3, 4)):
        offset = 0x200 * run
        code, place = bytes(offset) + LOOP, INSIDE + offset
        enough = factor * runs(code).thresholds.hot
        assert not is_hot(runs(code), place, enough - 1)
        tiering = runs(code)
        assert is_hot(tiering, place, enough)
        assert tiering.recall.earlier == run
        tiering.recall.save()
    told = runs(bytes(0x800) + LOOP)
    told.set_threshold(300_000)  # somebody says when
    assert is_hot(told, INSIDE + 0x800, 300_000)


def in_space(space: int, *, cpl: int = 3) -> int:
    """Return the loop's location as code of a machine."""
    mode = Mode(cpl=cpl, system=True)
    return INSIDE | context_number(mode, 0x1B, 0, 0xFFFFFFFF, space) << CONTEXT_SHIFT


def test_another_address_space(runs: Any) -> None:
    """A program that a machine starts again has the regions that it had, in the next run, too."""
    tiering = runs()
    with tiering.engine.lock:
        tiering._request(in_space(1), 0)
    (job,) = tiering.jobs.values()
    made = formed(tiering)
    tiering.jobs.clear()
    hot(tiering, 8, in_space(2))
    assert formed(tiering) == made
    (other,) = tiering.jobs.values()
    assert other.location >> CONTEXT_SHIFT == in_space(2) >> CONTEXT_SHIFT
    assert other.region.context != job.region.context
    tiering.recall.save()
    second = runs()
    hot(second, 8, in_space(3))
    assert formed(second) == made


def test_another_ring(runs: Any) -> None:
    """Code of one mode is no guide to that of another."""
    tiering = runs()
    with tiering.engine.lock:
        tiering._request(in_space(1), 0)
    tiering.jobs.clear()
    hot(tiering, 8, in_space(0, cpl=0))
    assert not formed(tiering)


def test_other_code(runs: Any) -> None:
    """What was at these addresses is no guide to it."""
    first_run(runs)
    second = runs(LOOP.replace(b"\x40", b"\x43"))  # inc ebx
    hot(second, 8)
    assert not formed(second)


def test_code_that_does_not_last(runs: Any) -> None:
    """It is not compiled again and again only since that was tried before."""
    first_run(runs)
    second = runs()
    second.rewritten[INSIDE >> 12] += 1
    hot(second, 8)
    assert not formed(second)


def test_only_new_ones_are_saved(runs: Any) -> None:
    """A run that formed nothing else adds no record, and there are not too many."""
    first_run(runs)
    second = runs()
    hot(second, 8)
    assert not second.recall.fresh
    for number in range(2 * RECORDS_MAX):
        other = runs(LOOP.replace(b"\x40", bytes([0x40 + number % 3])) + bytes([number]))
        with other.engine.lock:
            other._request(INSIDE, 0)
        other.recall.save()
    last = Recall()
    last.begin(codestore.images(PROGRAM))
    assert last.knows(INSIDE)
    assert last.records == RECORDS_MAX


def test_a_child_leaves_them_to_its_parent(runs: Any) -> None:
    """What was formed before a fork is saved once."""
    tiering = runs()
    with tiering.engine.lock:
        tiering._request(INSIDE, 0)
    assert tiering.recall.fresh
    tiering.after_fork_child()
    assert not tiering.recall.fresh


def test_a_guest_that_makes_code_for_ever(runs: Any) -> None:
    """Only the latest of its regions are remembered, and none twice."""
    tiering = runs()
    recall = tiering.recall
    with tiering.engine.lock:
        tiering._request(INSIDE, 0)
        (job,) = tiering.jobs.values()
        described = regions.plain(job.region)
        for _ in range(3):
            recall.add(job.region, described)
    assert len(recall.at[INSIDE]) == len(recall.fresh) == 1
    for number in range(2 * REGIONS_MAX):
        recall.add(job.region, (number, described[1]))
    assert len(recall.fresh) == REGIONS_MAX
    assert [len(there) for there in recall.at.values()] == [REGIONS_MAX] * len(recall.at)
    assert next(recall.holding(INSIDE)).described[0] == 2 * REGIONS_MAX - 1
