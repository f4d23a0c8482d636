"""Which code becomes a region, and when.

Guest code gives its budget back in slices; where it stands then is a sample, which costs the hot
path nothing.  Code with enough samples becomes a region: along the edges that were really taken,
compiled by another process, linked in by a thread as soon as it is there.
"""

from __future__ import annotations

import marshal
import time
from _blake2 import blake2b  # hashlib would load OpenSSL
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from runtime.blocktable import Block
from runtime.codecache import Full
from runtime.compiler import Compiler, Descriptors, PlainDescriptors
from runtime.counting import RegionCounts
from runtime.following import Follow
from runtime.guestcode import LOCATION_PRECISE, PAGE_SHIFT, pages_of
from runtime.recall import Recall, again
from runtime.thresholds import Thresholds
from translator import regions
from translator.mode import CONTEXT_SHIFT, USER_CONTEXT, context_of
from translator.planner import FetchFault, Plan
from translator.regions import Region, loads_extended
from translator.strategies.regions import frame_region
from translator.tiers import hostx87
from translator.tiers.regioncode import compile_region
from translator.tiers.stencil import Stencil
from translator.tiers.store import REGIONS, restore

if TYPE_CHECKING:
    from runtime.dispatch import Engine

_ASKED_MAX = 8  # times that this is doubled
_RECALLED = 8  # the part of the threshold at which a region of an earlier run is taken
_TRIES = 3  # with one head
_PATIENCE = 16  # thresholds to wait between two tries at one place
_REWRITTEN_MAX = 8  # times that the threshold is doubled for code that does not last
_SAMPLES = 8  # at least, before a place is found hot that is in no hurry
_OFFSET = 0xFFFFFFFF  # in CS, in a location
# A sample costs as much as running 50,000 insns, a region as much as 100 million.  So slices and
# the threshold grow with what has been run: it is so many (a power of two) of the shortest slices,
_SLICES = 14
_SHARES = 13  # and so many of what makes a place hot
_SETTLED = 32  # samples in regions, one after the other, until slices may get longer
_PLANNED_MAX = 1 << 14
_SEEN_MAX = 1 << 16
_BUCKET = 7  # bits of an address within one place that is hot
_LONG_BLOCK = 24  # insns of a block in unrolled code, on average


@dataclass(slots=True)
class _Job:
    region: Region
    location: int
    key: bytes
    pages: frozenset[int]
    frames: dict[int, int]  # what pages of address spaces showed

    def holds(self, location: int, fpu: int) -> bool:
        """Whether the block at a location is one of its nodes."""
        is_here = location >> CONTEXT_SHIFT == self.location >> CONTEXT_SHIFT
        return is_here and self.region.holds(location & _OFFSET, fpu)


class Tiering:
    """Forms, compiles and installs the regions of an engine. The caller holds the engine's lock."""

    def __init__(self, engine: Engine, mode: str) -> None:
        self.engine, self.mode = engine, mode
        self.thresholds = Thresholds()
        self.counts = RegionCounts()
        self.descriptors: Descriptors = PlainDescriptors()
        self.slice = self.thresholds.first_slice if mode == "when hot" else 0
        self.inside = 0  # samples in regions since the last elsewhere
        self.number = 0  # of the last job; never used again, as results may come late
        self.compiler: Compiler | None = None
        self.planned: dict[tuple[int, int, int], Plan] = {}  # until any code changes
        self.hottest = 0  # what samples show of the place that a region is formed around
        self.context = USER_CONTEXT  # of the region that is being formed
        self.recall = Recall()
        self.reset()

    def use(self, descriptors: Descriptors) -> None:
        """Keep descriptors out of the guest's way; before the guest runs."""
        self.descriptors = descriptors
        if self.mode == "when hot":
            self.compiler = self._new_compiler()
            self.compiler.prepare()

    def _new_compiler(self) -> Compiler:
        return Compiler(self._done, lambda n: n in self.jobs, self.descriptors)

    def set_threshold(self, insns: int) -> None:
        """Let code become a region after so many insns around it; 0: before it runs at all."""
        if self.mode:
            self.mode = "when hot" if insns else "at once"
            self.thresholds.hot, self.thresholds.settled = insns, 0
            self.thresholds.observed = min(self.thresholds.observed, insns)
            if insns:
                self.thresholds.first_slice = max(min(self.thresholds.first_slice, insns), 1000)
            self.slice = self.thresholds.first_slice if insns else 0

    def reset(self) -> None:
        """Forget what is under way, in a forked child or when the guest is replaced."""
        self.heat: Counter[int] = Counter()  # place >> _BUCKET -> insns
        self.buckets: dict[int, set[int]] = {}  # page -> of `heat`
        self.seen: Counter[int] = Counter()  # address of a block -> insns, of all samples there
        self.asked: Counter[int] = Counter()  # place >> _BUCKET -> tries
        self.rewritten: Counter[int] = Counter()  # page -> regions that were dropped with it
        self.tried: dict[tuple[int, int], int] = {}  # head, x87 stack -> how often
        self.planned.clear()
        self.jobs: dict[int, _Job] = {}
        self.observed = -1  # insns since computed jumps were forgotten, to see which are taken
        self.outdated: dict[int, _Job] = {}  # dropped: the code may come back, as others write near

    def trim(self) -> None:
        """Forget where it was hot, as all host code is dropped; what is hot then is tried anew."""
        self.heat.clear()
        self.buckets.clear()
        self.seen.clear()
        self.tried.clear()
        self.rewritten.clear()
        self.asked.clear()
        self.planned.clear()

    # -- sampling ----------------------------------------------------------------------------------
    def sample(self, location: int, fpu: int, *, is_inside: bool) -> None:
        """Note where a slice ended; the caller holds no lock."""
        self.count(is_inside=is_inside)
        if is_inside:
            # Where nothing else has run for long, nothing new is to be seen soon.
            self.inside += 1
            most = self.thresholds.last_slice << min(self.inside // _SETTLED, 2)
            self.slice = min(self.slice * 5 // 4, most)
            return
        self.inside = 0
        thresholds, ran = self.thresholds, self.counts.insns_sampled
        least = max(thresholds.first_slice, min(ran >> _SLICES, thresholds.hot))
        if location & LOCATION_PRECISE:
            self.slice = max(self.slice // 2, least)
            return
        bucket = location >> _BUCKET
        if bucket not in self.heat:
            self.buckets.setdefault(_page(bucket << _BUCKET), set()).add(bucket)
        before = self.slice
        self.heat[bucket] += before
        if len(self.seen) >= _SEEN_MAX:
            self.seen.clear()
        self.seen[location] += before
        # What was rewritten before its region paid off must last twice as long for another try.
        patience = min(self.rewritten[_page(location)], _REWRITTEN_MAX)
        hot, most = thresholds.hot, thresholds.last_slice
        soon = self.heat[bucket] >= hot // _RECALLED
        if soon and not patience and self.recall.knows(location):
            with self.engine.lock:
                if self._recall(location, fpu):
                    self.heat[bucket] = 0
                    return
        # Where earlier runs had no region, one is seldom worth its time.
        hot = max(hot << min(self.recall.earlier, thresholds.settled), ran >> _SHARES)
        if len(self.jobs) >= thresholds.waiting:
            # Nothing follows from it: most samples of a large program that becomes warm.
            self.slice = min(self.slice * 5 // 4, most)
            return
        missing = (hot << patience) - self.heat[bucket]
        self.slice = max(min(self.slice // 2, most), min((missing - hot) // _SAMPLES, most), least)
        if self.observed >= 0:
            self.observed += before
        if missing > 0:
            return
        with self.engine.lock:
            if self.observed < thresholds.observed:
                if self.observed < 0:
                    self.engine.forget_jumps()
                    self.observed = 0
                return
            self.observed = -1
            # The next try only if much more is run here, outside of what this one yields; to find
            # that there is nothing new takes ten milliseconds.
            self.heat[bucket] = -(_PATIENCE * hot << min(self.asked[bucket], _ASKED_MAX))
            self.asked[bucket] += 1
            self._request(location, fpu)

    def count(self, *, is_inside: bool) -> None:
        """Count a sample."""
        counts = self.counts
        counts.samples += 1
        counts.insns_sampled += self.slice
        if is_inside:
            counts.samples_inside += 1
            counts.insns_inside += self.slice

    def _request(self, location: int, fpu: int) -> None:
        """Have the region around a hot place compiled, or find it in the cache."""
        if any(job.holds(location, fpu) for job in self.jobs.values()):
            return
        self._begin(location)
        linear = self.context.linear(location & _OFFSET)
        if self.engine.code.is_calm(linear >> PAGE_SHIFT):
            self.engine.invalidate(linear, 1)
        follow = Follow(self.engine, self.context)
        self.hottest = self.seen[location]
        start = location & _OFFSET, fpu
        region = self._around(start, follow)
        if region is None:
            return
        if region.has_loop:
            # Entered where other code enters the loop, if that has not been tried already.
            for place in self._entries(region):
                if not self.tried.get(self._tried_at(*place)) and place != start:
                    better = self._around(place, follow)
                    if better is not None and better.has_loop and better.holds(*start):
                        region = better
                        break
        head = self._tried_at(region.head.plan.pc, region.head.entry)
        if self.tried.get(head, 0) >= _TRIES or any(
            job.location == head[0] for job in self.jobs.values()
        ):
            return
        described = regions.plain(region)
        self.recall.add(region, described)
        self._compile(region, described)

    def _compile(self, region: Region, described: tuple[Any, ...]) -> None:
        """Find a region in the cache, or have it compiled."""
        head = self._tried_at(region.head.plan.pc, region.head.entry)
        self.tried[head] = self.tried.get(head, 0) + 1
        key = _key(described)
        self.counts.formed += 1
        stencil = REGIONS.find(key)
        if stencil is not None:
            self.counts.cached += 1
            self._replace(region, stencil)
            return
        self.number += 1
        pages = frozenset(page for node in region.nodes for page in pages_of(node.plan))
        self.jobs[self.number] = _Job(region, head[0], key, pages, self.engine.frames(pages))
        if self.compiler is None:
            self.compiler = self._new_compiler()
            self.compiler.prepare()
        self.compiler.submit(self.number, described)

    def _begin(self, location: int) -> None:
        """Begin to form the region around a location."""
        self.context = context_of(location >> CONTEXT_SHIFT)

    def _tried_at(self, pc: int, fpu: int) -> tuple[int, int]:
        """Return what a head of the region that is being formed is known by."""
        return pc | self.context.number << CONTEXT_SHIFT, fpu

    def _recall(self, location: int, fpu: int) -> bool:
        """Take a region that earlier runs had around a hot place; False if there is none."""
        if len(self.jobs) >= self.thresholds.waiting:
            return False
        if any(job.holds(location, fpu) for job in self.jobs.values()):
            return False
        self._begin(location)
        for recalled in self.recall.holding(location):
            if self.tried.get(self._tried_at(recalled.head, recalled.entry)):
                continue
            region = again(recalled, self.plan_at)
            if region is not None and region.holds(location & _OFFSET, fpu):
                self._compile(region, recalled.described)
                return True
        return False

    def _entries(self, region: Region) -> list[tuple[int, int]]:
        """Return the nodes that code outside the region leads to, in its order."""
        places = {node.plan.pc for node in region.nodes}
        found = []
        for node in region.nodes:
            block = self.engine.cache.find(self._tried_at(node.plan.pc, 0)[0], node.entry)
            if block is not None and any(
                link.owner.is_valid and link.owner.pc not in places for link in block.incoming
            ):
                found.append((node.plan.pc, node.entry))
        return found

    def _done(self, number: int, result: Any) -> None:
        """Install what the compiler made; called by its thread."""
        engine, counts = self.engine, self.counts
        with engine.lock:
            engine.catch_up()
            job, late = self.jobs.pop(number, None), self.outdated.pop(number, None)
            if isinstance(result, str):
                counts.failed += job is not None  # not if the guest has ended meanwhile
                return
            stencil, seconds = restore(result[0]), result[1]
            counts.compiled += 1
            counts.compile_seconds += seconds
            if known := job or late:
                REGIONS.add(known.key, stencil, known.region.insns)
            if job is not None and engine.frames(job.pages) == job.frames:
                self._replace(job.region, stencil)

    # -- installing --------------------------------------------------------------------------------
    def _replace(self, region: Region, stencil: Stencil) -> None:
        """Put a region in the place of the block at its head."""
        cache, head = self.engine.cache, region.head
        location = head.plan.location
        old = cache.find(location, head.entry)
        incoming = [] if old is None else list(old.incoming)
        try:
            block = self.install(location, region, stencil, old)
        except Full:
            return  # the next block that is translated makes room
        for link in incoming:
            cache.link(link.site, block)
        self.engine.forget_jumps([head.plan.pc])

    def install(
        self, location: int, region: Region, stencil: Stencil, old: Block | None = None
    ) -> Block:
        """Put a compiled region into the code cache, instead of an old block."""
        engine = self.engine
        for node in region.nodes:
            engine.recipes.name(node.plan)
        head = region.head.plan
        plan = Plan(head.pc, fpu=region.head.entry if region.uses_fpu else None)
        plan.options = head.options
        for node in region.nodes:
            plan.looked_at += node.plan.looked_at
        lowered = frame_region(region, stencil)
        if old is not None:
            engine.cache.drop(old)
        block = engine.cache.install(location, plan, *lowered)
        block.parts = [(n.plan.pc, n.plan.options) for n in region.nodes]
        engine.settle(block)
        self.counts.insns += region.insns
        return block

    def _around(self, place: regions.Place, follow: regions.Follow) -> Region | None:
        """Build the region at a head, larger where it takes that to close an unrolled loop."""
        region = self._grow(place, follow, self.thresholds.max_insns)
        if region is not None and not region.has_loop and _has_long_blocks(region):
            longer = self._grow(place, follow, self.thresholds.long_insns)
            if longer is not None and longer.has_loop and _has_long_blocks(longer):
                return longer
        return region

    def _grow(self, place: regions.Place, follow: regions.Follow, most: int) -> Region | None:
        """Build the region at a head, and decide where its x87 registers are."""
        region = regions.grow(*place, self.plan_at, follow, most, self._heat)
        if region is not None and region.uses_fpu:
            least = self.thresholds.x87_share
            region.x87_in_host = not least or (region.has_loop and region.x87_share >= least)
            region.x87_in_host = hostx87.fits(region)
            if not region.x87_in_host and any(loads_extended(n.plan) for n in region.nodes):
                return regions.grow(*place, self._plan_of_values, follow, most, self._heat)
        return region

    def _heat(self, pc: int, guess: float) -> float:
        """Return what samples show of a block; one that none shows is no hotter than one sample."""
        if self.mode == "at once":
            return 1.0
        seen = self.seen[self._tried_at(pc, 0)[0]]
        if guess == inf:
            return max(seen, self.hottest)
        return seen or min(guess, self.thresholds.first_slice)

    def _plan_of_values(self, pc: int, fpu: int, most: int) -> Plan | None:
        """Plan a block for a region whose x87 registers are LLVM's values."""
        plan = self.plan_at(pc, fpu, most)
        return None if plan is None or loads_extended(plan) else plan

    def at_once(self, location: int, fpu: int) -> Block | None:
        """Compile and install the region at a location; None if there can be none."""
        if location & LOCATION_PRECISE:
            return None
        self._begin(location)
        region = self._grow((location & _OFFSET, fpu), _onward, self.thresholds.at_once)
        if region is None:
            return None
        key = _key(regions.plain(region))
        self.counts.formed += 1
        stencil = REGIONS.find(key)
        if stencil is None:
            started = time.thread_time()
            stencil = compile_region(region)
            REGIONS.add(key, stencil, region.insns)
            self.counts.compiled += 1
            self.counts.compile_seconds += time.thread_time() - started
        else:
            self.counts.cached += 1
        return self.install(location, region, stencil)

    def plan_at(self, pc: int, fpu: int, most: int) -> Plan | None:
        """Plan a block for a region; None if it must stay outside."""
        place = (*self._tried_at(pc, fpu), most)
        plan = self.planned.get(place)
        if plan is None:
            plan = self._plan(pc, fpu, most)
            if plan is not None and not plan.code:
                if len(self.planned) >= _PLANNED_MAX:
                    self.planned.clear()
                self.planned[place] = plan
        return plan

    def _plan(self, pc: int, fpu: int, most: int) -> Plan | None:
        try:
            plan = self.engine.code.plan_node(pc, fpu, most, self.context)
        except FetchFault:
            return None
        if plan is None or not plan.items:
            return None
        if not regions.is_fit(plan) or plan.called or plan.served or plan.block_call:
            return None
        return plan

    # -- the world changes -------------------------------------------------------------------------
    def invalidate(self, pages: Iterable[int], dropped: Iterable[Block]) -> None:
        """Forget regions under way that were made from these pages; blocks were dropped already."""
        changed = set(pages)
        self.planned.clear()
        for page in changed:
            for bucket in self.buckets.pop(page, ()):
                self.heat.pop(bucket, None)
                self.asked.pop(bucket, None)
        vain = {_page(block.location) for block in dropped if block.parts}
        for number, job in list(self.jobs.items()):
            if not changed.isdisjoint(job.pages):
                if len(self.outdated) >= self.thresholds.waiting:
                    self.outdated.clear()  # most were never begun
                self.outdated[number] = self.jobs.pop(number)
                vain.add(_page(job.location))
                self.counts.dropped += 1
        self.rewritten.update(vain)
        if vain:
            for place in [at for at in self.tried if _page(at[0]) in vain]:
                del self.tried[place]  # it is other code now

    def remapped(self, pages: Iterable[int]) -> None:
        """Begin anew with pages that show other frames now."""
        self.planned.clear()
        changed = set(pages)
        for number, job in list(self.jobs.items()):
            if not changed.isdisjoint(job.pages):
                del self.jobs[number]
                self.counts.dropped += 1
        for page in changed:
            for bucket in self.buckets.get(page, ()):
                self.heat[bucket] = 0
        for place in [at for at in self.tried if _page(at[0]) in changed]:
            del self.tried[place]

    def after_fork_child(self) -> None:
        """Leave the compiling process to the parent."""
        if self.compiler is not None:
            self.compiler.abandon()
            self.compiler = self._new_compiler()
            self.compiler.prepare()
        self.recall.be_saved()
        self.reset()

    def close(self) -> None:
        """End the compiling process; what it still sends is not installed."""
        with self.engine.lock:
            self.jobs = {}
        if self.compiler is not None:
            self.compiler.close()

    def wait(self) -> None:
        """Wait until nothing of the compiling process is left, after `close`."""
        if self.compiler is not None:
            self.compiler.wait()


def _page(location: int) -> int:
    """Return the number of a location's linear page."""
    context = location >> CONTEXT_SHIFT
    if not context:
        return (location & _OFFSET) >> PAGE_SHIFT
    return context_of(context).linear(location & _OFFSET) >> PAGE_SHIFT


def _has_long_blocks(region: Region) -> bool:
    return region.insns >= _LONG_BLOCK * len(region.nodes)


def _onward(plan: Plan) -> list[int]:
    """Return where host code of a block goes on: not behind what Python executes, an iret say."""
    return [] if plan.interp_at is not None else plan.successors()


def _key(described: tuple[Any, ...]) -> bytes:
    # Version 2: later ones write equal values in different ways, by how often they are referred to.
    return blake2b(marshal.dumps(described, 2), digest_size=32).digest()
