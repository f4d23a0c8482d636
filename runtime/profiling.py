"""Measures an engine from outside: hooks that time its parts and note where guest code runs.

The hooks replace methods of one engine, so that a run that is not measured pays nothing.  Counters
are shared by the guest's threads without a lock: a few counts may be lost, as the engine's own.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import thread_time
from typing import TYPE_CHECKING, Any

from translator.planner import MAX_INSNS, FetchFault
from translator.state import FIELDS
from translator.state import Exit as Kind

if TYPE_CHECKING:
    from runtime.blocktable import Block
    from runtime.cpu import Cpu
    from runtime.dispatch import Engine, Exit
    from runtime.tiering import _Job as Job
    from translator.planner import Plan

_EIP = FIELDS["eip"].offset // 4
# Insns between samples; up to a quarter is added, or loops of a fitting length would always be met
# at the same place.
_FIRST_SLICE, _MIDDLE_SLICE, _LAST_SLICE = 5_000, 80_000, 500_000
_SAMPLES = 1_000  # after which a slice is doubled
_KEYS_MAX = 1 << 16  # of a counter
UNFINISHED = "before its region was compiled"  # why something was dropped
_LONGEST = 15 * MAX_INSNS  # bytes of a block
# Where these leave says nothing of that place: nothing ran, a link's first use, the end of a slice.
_ORDINARY = frozenset({0, Kind.LINK, Kind.BUDGET})


class Meter:
    """Seconds of processor time of all guest threads, by what they were spent on."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.native_seconds = 0.0  # in host code
        self.install_seconds = 0.0  # in compiled code that installs blocks on the way
        self.interp_seconds = 0.0  # insns executed by the interp tier
        self._watch_enter()
        self._watch_interp()
        self._watch_samples()

    def _watch_enter(self) -> None:
        self.engine.enter = self._timed(self.engine.enter)

    def _timed(self, enter: Callable[[int, int], int]) -> Callable[[int, int], int]:
        """Measure what host code takes, and what installing takes of that, by the counter."""
        counted, clock = self.engine.statistics.install_ticks, self.engine.statistics.clock

        def timed(state: int, code: int) -> int:
            installs, ticks, begun = counted(), clock(), thread_time()
            kind = enter(state, code)
            spent, ticks = thread_time() - begun, clock() - ticks
            share = min((counted() - installs) / ticks, 1.0) if ticks else 0.0
            self.install_seconds += spent * share
            self.native_seconds += spent * (1 - share)
            return kind

        return timed

    def _watch_interp(self) -> None:
        interpret = self.engine._interpret

        def timed(cpu: Cpu) -> Exit | None:
            begun = thread_time()
            done = interpret(cpu)
            self.interp_seconds += thread_time() - begun
            return done

        _replace(self.engine, "_interpret", timed)

    def _watch_samples(self) -> None:
        """Take samples under a strategy that has regions, but needs no samples."""
        tiering = self.engine.tiering
        if tiering.mode == "at once":
            tiering.slice = tiering.thresholds.first_slice

            def sample(location: int, fpu: int, *, is_inside: bool) -> None:
                tiering.count(is_inside=is_inside)

            _replace(tiering, "sample", sample)


def _replace(owner: object, name: str, function: object) -> None:
    setattr(owner, name, function)


@dataclass(slots=True)
class Spot:
    """What was sampled at one place."""

    samples: int = 0
    insns: int = 0  # executed between these samples and those before them
    seconds: float = 0.0  # of processor time, the same, but for translating


class _Thread(threading.local):
    """What a host thread has to remember between two exits."""

    state = 0  # address of the registers that `registers` shows
    registers: Any = None
    cpu: Cpu | None = None
    since = 0.0  # processor time of the thread at the last sample
    translating = 0.0  # what had been spent on translating then


@dataclass(slots=True)
class Seen:
    """What a profile has noted since the program began."""

    # Guest address of a block, or of the head of a region; whether it is a region.
    spots: dict[tuple[int, bool], Spot] = field(default_factory=dict)
    exits: Counter[tuple[int, int]] = field(default_factory=Counter)  # kind, guest address
    interpreted: Counter[int] = field(default_factory=Counter)  # guest address, strategy interp
    drops: Counter[tuple[int, bool, str]] = field(default_factory=Counter)  # pc, region, why
    failures: dict[int, str] = field(default_factory=dict)  # head -> why it was not compiled


class Profile(Meter):
    """Also notes where samples fall, where host code leaves, and what is dropped.

    `seen` begins anew when the guest executes another program.
    """

    def __init__(self, engine: Engine) -> None:
        self.seen = Seen()
        self.programs = 1
        self.heads: dict[int, int] = {}  # guest address in a region -> the region's head
        self.unfinished: list[Job] = []  # regions that were being compiled at the end
        self.here = _Thread()
        super().__init__(engine)
        if engine.strategy is None:
            self._watch_addresses()
        self._watch_drops()
        self._watch_regions()

    def _watch_enter(self) -> None:
        engine, here = self.engine, self.here
        enter, cpus = self._timed(engine.enter), engine.cpus
        statistics = engine.statistics

        def watched(state: int, code: int) -> int:
            if here.state != state:
                here.cpu = next(cpu for cpu in list(cpus) if cpu.state_address == state)
                here.state, here.registers = state, here.cpu.r32
                here.since, here.translating = thread_time(), statistics.translate_seconds
            kind = enter(state, code)
            if kind not in _ORDINARY:
                _count(self.seen.exits, (kind, here.registers[_EIP]))
            return kind

        engine.enter = watched

    def _watch_addresses(self) -> None:
        """Count every insn, where all are executed one by one."""
        interpret = self.engine._interpret

        def watched(cpu: Cpu) -> Exit | None:
            _count(self.seen.interpreted, cpu.r32[_EIP])
            return interpret(cpu)

        _replace(self.engine, "_interpret", watched)

    def _watch_samples(self) -> None:
        here, tiering = self.here, self.engine.tiering
        thresholds, decide = tiering.thresholds, tiering.sample
        statistics = self.engine.statistics
        is_tiered = tiering.mode == "when hot"
        thresholds.last_slice = _LAST_SLICE
        thresholds.first_slice = tiering.slice = _FIRST_SLICE
        jitter = 0

        def sample(location: int, fpu: int, *, is_inside: bool) -> None:
            nonlocal jitter
            pc = location & 0xFFFFFFFF
            spot = self._spot(self._head(pc) if is_inside else pc, is_inside)
            spot.samples += 1
            if here.cpu is not None:
                spot.insns += here.cpu.slice
            now, translating = thread_time(), statistics.translate_seconds
            spot.seconds += max(0.0, now - here.since - (translating - here.translating))
            here.since, here.translating = now, translating
            # Short at first, so that a short run has samples too.
            done = tiering.counts.samples // _SAMPLES
            size = thresholds.first_slice = min(_FIRST_SLICE << done, _MIDDLE_SLICE)
            if is_tiered:
                decide(location, fpu, is_inside=is_inside)
                size = tiering.slice
            else:
                tiering.count(is_inside=is_inside)
            jitter = jitter * 1103515245 + 12345 & 0x7FFFFFFF
            tiering.slice = size + (jitter >> 8) % (size >> 2)

        _replace(tiering, "sample", sample)

    def _spot(self, pc: int, is_region: bool) -> Spot:
        spots = self.seen.spots
        spot = spots.get((pc, is_region))
        if spot is None:
            if len(spots) >= _KEYS_MAX:
                for key in sorted(spots, key=lambda key: spots[key].insns)[: _KEYS_MAX // 2]:
                    del spots[key]
            spot = spots[pc, is_region] = Spot()
        return spot

    def _head(self, pc: int) -> int:
        """Return the head of the region that holds a block."""
        head = self.heads.get(pc)
        if head is None:
            found = self.region_of(pc)
            head = self.heads[pc] = pc if found is None else found
        return head

    def region_of(self, pc: int) -> int | None:
        """Return the head of the region that holds an insn now, if any does."""
        engine = self.engine
        with engine.lock:
            for block in engine.cache.table.of_page(pc >> 12):
                for start, options in block.parts:
                    if start == pc:
                        return block.pc
                    if start < pc < start + _LONGEST:
                        with contextlib.suppress(FetchFault):
                            if pc < engine.code.plan_again(start, options).end:
                                return block.pc
        return None

    def _watch_drops(self) -> None:
        """Count the blocks that are dropped, by what for."""
        engine = self.engine
        cache = engine.cache
        drop, invalidate, stale, flush = (
            cache.drop,
            cache.invalidate,
            engine._stale,
            engine.flush,
        )
        why = ["replaced"]

        def watched_drop(block: Block) -> None:
            if block.is_valid:
                self.heads.clear()
                _count(self.seen.drops, (block.pc, bool(block.parts), why[0]))
            drop(block)

        def because(reason: str, function: Any) -> Any:
            def hooked(*arguments: Any) -> Any:
                with engine.lock:
                    before, why[0] = why[0], reason
                    try:
                        return function(*arguments)
                    finally:
                        why[0] = before

            return hooked

        def new_program() -> None:
            self.seen = Seen()
            self.heads.clear()
            self.programs += 1
            flush()

        _replace(cache, "drop", watched_drop)
        _replace(cache, "invalidate", because("written", invalidate))
        _replace(engine, "_stale", because("stale", stale))
        _replace(engine, "flush", new_program)

    def _watch_regions(self) -> None:
        """Note which regions could not be compiled, or were outdated before they were."""
        tiering = self.engine.tiering
        done, install = tiering._done, tiering.install
        invalidate, close = tiering.invalidate, tiering.close

        def watched_done(number: int, result: Any) -> None:
            job = tiering.jobs.get(number)
            if job is not None and isinstance(result, str):
                self.seen.failures[job.location] = result
            done(number, result)

        def watched_install(*arguments: Any) -> Block:
            self.heads.clear()
            return install(*arguments)

        def watched_invalidate(pages: Iterable[int], dropped: Iterable[Block]) -> None:
            jobs = dict(tiering.jobs)
            invalidate(pages, dropped)
            for number in jobs.keys() - tiering.jobs.keys():
                for node in jobs[number].region.nodes:
                    _count(self.seen.drops, (node.plan.pc, False, UNFINISHED))

        def watched_close() -> None:
            self.unfinished = list(tiering.jobs.values())
            close()

        _replace(tiering, "close", watched_close)
        _replace(tiering, "invalidate", watched_invalidate)
        _replace(tiering, "_done", watched_done)
        _replace(tiering, "install", watched_install)


def _count(counter: Counter[Any], key: object) -> None:
    """Count one more; of too many keys the rarer half is forgotten."""
    counter[key] += 1
    if len(counter) > _KEYS_MAX:
        for rare, _ in counter.most_common()[_KEYS_MAX // 2 :]:
            del counter[rare]


def plans_of(engine: Engine, block: Block) -> list[Plan]:
    """Return the plans of a block or of a region's nodes, made again. FetchFault: code is gone."""
    parts = block.parts or [(block.pc, block.options)]
    return [engine.code.plan_again(pc, options) for pc, options in parts]
