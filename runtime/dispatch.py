"""The engine: runs guest code until something outside the CPU is needed.

In: memory, a strategy's name, a Cpu. Out: an Exit that says why guest code stopped.  Native code
runs without the GIL; translation, linking and invalidation hold the engine's lock.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from runtime import (
    bounds,
    building,
    codestore,
    forking,
    helpers,
    helpers_simd,
    helpers_x87,
    lookahead,
    native,
    quick,
)
from runtime.blocktable import Block, TableLock
from runtime.codecache import CodeCache, Full
from runtime.counting import Statistics
from runtime.cpu import Cpu
from runtime.flagrecovery import RECIPE, RECIPE_MASK, SZP_HIGH, Dropped, Recipes, missing_at
from runtime.guestcode import CONTEXT_SHIFT, LOCATION_PRECISE, PAGE_SHIFT, GuestCode
from runtime.interpreting import BUDGET, HALT, NO_FPU, STEPS, SYSCALL, Interpreting
from runtime.interpreting import Exit as Exit
from runtime.memory import Memory
from runtime.tiering import Tiering
from translator import DEFAULT_STRATEGY
from translator.insn import Insn
from translator.planner import FetchFault, Plan
from translator.quick import layout
from translator.semantics import updates
from translator.shape import PC, REST
from translator.state import FIELDS, RECOVERED
from translator.state import Exit as Kind
from translator.strategies import STRATEGIES
from translator.strategies.stencils import service

_ = (helpers, helpers_simd, helpers_x87)  # they register the bodies of helpers
_EIP, _STOP = FIELDS["eip"].offset // 4, FIELDS["stop"].offset // 4
_REST, _CONTEXT = FIELDS["eflags_rest"].offset // 4, FIELDS["context"].offset // 8
_INFO, _ADDRESS = FIELDS["exit_info"].offset // 4, FIELDS["fault_address"].offset // 4
_FPU, _FCW, _FSW = (FIELDS[n].offset // 2 for n in ("fpu", "fcw", "fsw"))
_ERROR = FIELDS["fault_error"].offset // 2
_MXCSR, _BUDGET = FIELDS["mxcsr"].offset // 4, FIELDS["budget"].offset // 8
_HASH, _FAULT_PC = FIELDS["hash_table"].offset // 8, FIELDS["fault_pc"].offset // 8
_CR0 = FIELDS["cr0"].offset // 4
_MASKS, _SSE_MASKS, _ES = 0x3F, 0x1F80, 0x80
_FAULTED_MAX = 1 << 12
_FEW_JUMPS = 64  # computed jumps that are forgotten one by one
_BETWEEN = frozenset({Kind.LINK, Kind.LOOKUP, Kind.BUDGET, Kind.STALE})
_NOTHING = 0  # no code is known for eip, and none ran
_UNKNOWN = frozenset({_NOTHING, Kind.LINK, Kind.LOOKUP})


_Place = tuple[int, int, int, int]  # of a fault: generation, block, host address, eip


class Faulted(NamedTuple):
    """What an access needs that faults."""

    is_check: bool = False  # the block was comparing itself with its code
    rest: int = 0  # insns that the block has charged and not executed
    updates: bool = False  # the insn reads in order to write
    dropped: Dropped = ()  # flags that were not stored: see Recipes.restore
    follows: bool = False


class Engine(Interpreting):
    """Translates and runs the code of one guest memory."""

    make_cache: type[CodeCache] = CodeCache

    def __init__(self, mem: Memory, strategy: str = DEFAULT_STRATEGY) -> None:
        make = STRATEGIES[strategy]
        self.mem, self.strategy_name = mem, strategy
        self.strategy = make() if make is not None else None
        self.access = threading.local()
        self.cache = self.make_cache(native.arena, lambda: service(b"!stub"))
        table = self.cache.table
        self.lock = TableLock(table, self.cache.shared_lock)
        self.statistics = Statistics(table)
        # Code to be run; 0: what eip leads to. runtime/profiling.py may put something around it.
        self.enter: Callable[[int, int], int] = partial(native.run, table.address)
        self.cpus: weakref.WeakSet[Cpu] = weakref.WeakSet()
        self.running: set[Cpu] = set()
        self.flushing, self.flushed = threading.Event(), threading.Event()
        recovers = bool(self.strategy and self.strategy.recovers_flags)
        self.code = GuestCode(mem, self.strategy.max_insns if self.strategy else 1, recovers)
        self.recipes = Recipes()
        self.insns: dict[int, Insn] = {}  # for interp: eip -> decoded insn
        self.insn_pages: dict[int, set[int]] = {}
        self.open_insns: dict[int, tuple[bytes, Insn]] = {}
        self.faulted: dict[_Place, Faulted] = {}
        self.tiering = Tiering(self, self.strategy.regions if self.strategy else "")
        self.quick = quick.make(self)
        mem.on_code_change = self._code_written
        building.attach()

    # -- running -----------------------------------------------------------------------------------
    def run(self, cpu: Cpu) -> Exit:
        """Run until the personality is needed; see Exit."""
        if not cpu.is_known:
            cpu.is_known = True
            with self.lock:  # others may be going through them
                self.cpus.add(cpu)
        if self.strategy is None:
            return self._run_interp(cpu)
        if native.current.base != self.mem.base:
            native.use_memory(self.mem.base)
        r32, r16, counts = cpu.r32, cpu.r16, self.statistics.exits
        enter, state, running = self.enter, cpu.state_address, self.running
        link, is_known = 0, True
        self._let_proceed()
        if self.tiering.slice and not cpu.slice:
            cpu.slice = self.tiering.slice
            cpu.budget = cpu.budget  # from now on in slices
        while True:
            if r32[_STOP]:
                done = self._stop(cpu)
                if done is not None:
                    return done
            if r32[_REST] & STEPS:
                done = self._single_step(cpu) if cpu.budget > 0 else BUDGET
                if done is not None:
                    return done
                continue
            location = self._location(cpu)
            running.add(cpu)
            if self.flushing.is_set():
                running.discard(cpu)
                self.flushed.wait()
                link = 0
                continue
            code = 0
            if not is_known:
                running.discard(cpu)
                try:
                    block = self._translate(cpu, location, link)
                except FetchFault as fault:
                    return self._fetch_fault(cpu, fault)
                link = 0
                if block is None:
                    continue
                running.add(cpu)
                if not block.is_valid or self.flushing.is_set():
                    running.discard(cpu)
                    continue
                code = self.cache.address(block)
            kind = enter(state, code)
            running.discard(cpu)
            is_known = kind not in _UNKNOWN
            if kind == _NOTHING:
                continue
            counts[kind] += 1
            if kind == Kind.SYSCALL:
                return SYSCALL
            if kind in _BETWEEN and r32[SZP_HIGH] & RECIPE_MASK == RECIPE:
                self._at_block(cpu)
            if kind == Kind.LINK:
                link = r32[_INFO]
            elif kind == Kind.FAULT:
                done = self._fault(cpu)
                if done is not None:
                    return done
            elif kind == Kind.INTERP:
                done = self._interpret(cpu)
                if done is not None:
                    return done
                # A loop of such insns alone has no block that looks at the budget.
                if cpu.r64[_BUDGET] >> 63 and cpu.budget <= 0:
                    return BUDGET
            elif kind == Kind.TRAP:
                return Exit("fault", self.trap(cpu))
            elif kind == Kind.BUDGET:
                if cpu.held:
                    is_inside = r32[_INFO] != 0
                    self.tiering.sample(self._location(cpu), r16[_FPU], is_inside=is_inside)
                    cpu.next_slice(self.tiering.slice)
                elif not r32[_STOP]:
                    return self._run_interp(cpu)
            elif kind == Kind.STALE:
                self._stale(cpu)
            elif kind == Kind.INT:
                return Exit("int", r32[_INFO])
            elif kind == Kind.HALT:
                return HALT

    def _let_proceed(self) -> None:
        """Say how far native code may go on without Python."""
        is_quick = self.quick is not None and self.quick.is_ready and self.tiering.mode != "at once"
        may = layout.WITH_NEW if is_quick and not self.cache.is_watched else 0
        self.cache.table.set(layout.PROCEEDS, layout.WITH_KNOWN | may)

    def _location(self, cpu: Cpu) -> int:
        """Return the key of the block at eip, and give the thread the lookup table of its mode."""
        precise = (
            cpu.r16[_FCW] & _MASKS != _MASKS
            or cpu.r32[_MXCSR] & _SSE_MASKS != _SSE_MASKS
            or cpu.r16[_FSW] & _ES
            or cpu.r32[_CR0] & NO_FPU
        )
        table = self.cache.table.hashes[1 if precise else 0]
        if cpu.r64[_HASH] != table:
            cpu.r64[_HASH] = table
            cpu.flush_jump_cache()
        context = cpu.r64[_CONTEXT]
        if context != cpu.context_seen:
            self._change_context(cpu, context)
        location: int = cpu.r32[_EIP] | context << CONTEXT_SHIFT - 32
        return location | LOCATION_PRECISE if precise else location

    def _change_context(self, cpu: Cpu, context: int) -> None:
        """Take note that code of another context is run."""
        cpu.context_seen = context

    def _fault(self, cpu: Cpu) -> Exit | None:
        """Handle a native memory fault: None for a write to translated code, which goes on."""
        r32, r64 = cpu.r32, cpu.r64
        address, error = r32[_ADDRESS], cpu.r16[_ERROR]
        block = self.cache.at_host(r64[_FAULT_PC])
        # The number, too: host code of a dropped block may make room for that of another.
        number = block.number if block is not None else 0
        place = self.cache.table.generation, number, r64[_FAULT_PC], r32[_EIP]
        known = self.faulted.get(place) or self._look_at_fault(place, block)
        if known.is_check:
            self._stale(cpu)  # the code that it compares itself with is gone
            return None
        if known.rest:
            r64[_BUDGET] = r64[_BUDGET] + known.rest & 0xFFFFFFFFFFFFFFFF
        self.recipes.restore(cpu, known.dropped, known.follows)
        if error & 2 and self.mem.prepare_write(address, 1):
            return None
        if known.updates:
            error |= 2  # reading in order to write faults as a write
        return Exit("fault", 14, address, error | 4, "bus" if r32[_INFO] == 7 else "")

    def _look_at_fault(self, place: _Place, block: Block | None) -> Faulted:
        """Find out, once, what an access of a block needs that faults."""
        _, _, host, eip = place
        known = Faulted()
        if block is not None and host - self.cache.address(block) < block.checked:
            known = Faulted(is_check=True)
        elif block is not None:
            plan, index = self._find_insn(block, eip)
            if index >= 0:
                shape, slots = plan.items[index]
                missing = missing_at(plan, index) if plan.options.recovers else ([], False)
                known = Faulted(False, slots[REST], updates(shape.unit), *missing)
        if len(self.faulted) >= _FAULTED_MAX:
            self.faulted.clear()
        self.faulted[place] = known
        return known

    def trap(self, cpu: Cpu) -> int:
        """Return the vector of an exception that host code left for, the flags being exact."""
        info = cpu.r32[_INFO]
        if info & RECOVERED:
            block = self.cache.at_host(cpu.r64[_FAULT_PC])
            plan, index = self._find_insn(block, cpu.r32[_EIP]) if block is not None else (None, -1)
            if plan is not None and index >= 0 and plan.options.recovers:
                self.recipes.at_fault(cpu, plan, index)
        return int(info & ~RECOVERED)

    def _find_insn(self, block: Block, eip: int) -> tuple[Plan, int]:
        """Return the plan of a block, or of a node of it, and the place of an insn in it, or -1."""
        with self.lock:
            for pc, options in block.parts or [(block.pc, block.options)]:
                plan = self.code.plan_known(pc, options)
                for index, (_, slots) in enumerate(plan.items):
                    if slots[PC] == eip:
                        return plan, index
        return plan, -1

    def _at_block(self, cpu: Cpu) -> None:
        """Make the flags exact, as far as they can be, where native code left between blocks."""
        if cpu.r32[SZP_HIGH] & RECIPE_MASK == RECIPE:
            with self.lock:
                is_shown = self.code.shows(cpu.r32[_EIP], self.context(cpu))
            if is_shown:
                self.recipes.follow(cpu)

    # -- translation -------------------------------------------------------------------------------
    def _translate(self, cpu: Cpu, location: int, link: int) -> Block | None:
        """Return the block for a location, translating it if need be, and link to it."""
        with self.lock:
            fpu = cpu.r16[_FPU]
            block = self.cache.find(location, fpu)
            if block is None:
                try:
                    block = self._install(location, fpu)
                except Full:
                    self._flush_all()
                    return None
            if link:
                self.cache.link(link, block)
            self._let_proceed()
            return block

    def _install(self, location: int, fpu: int) -> Block:
        assert self.strategy is not None
        is_region = self.tiering.mode == "at once"
        if self.quick is not None and not is_region:
            block = self.quick.install(location, fpu)
            if block is not None:
                return block
        started = time.thread_time()
        try:
            region = self.tiering.at_once(location, fpu) if is_region else None
            if region is not None:
                self.statistics.blocks += 1
                return region
            if is_region and self.quick is not None:
                block = self.quick.install(location, fpu)
                if block is not None:
                    return block
            return self._install_slowly(location, fpu)
        finally:
            self.statistics.add_translating(time.thread_time() - started)

    def _install_slowly(self, location: int, fpu: int) -> Block:
        """Translate a block in Python: it needs a new stencil, or what quick cannot do."""
        assert self.strategy is not None
        plan = self.code.plan(location, fpu)
        self.recipes.name(plan)
        is_open = self.code.is_open(plan.linear, plan.end - plan.pc)
        lookahead.prepare(self, plan, location, fpu)
        verify = self.mem.fetch(plan.linear, max(plan.end - plan.pc, 1)) if is_open else None
        lowered = self.strategy.lower(plan, verify)
        block = self.cache.install(location, plan, *lowered)
        self.statistics.blocks += 1
        self.statistics.insns_translated += len(plan.items)
        return block

    # -- invalidation ------------------------------------------------------------------------------
    def frames(self, pages: Iterable[int]) -> dict[int, int]:
        """Say what pages show that others may take the place of for a while; 0: nothing."""
        return {}

    def settle(self, block: Block) -> None:
        """Let nothing lead to a region whose pages are not what it was made from just now."""

    def catch_up(self) -> None:
        """Take note of what native code did by itself; the caller holds the lock."""

    def _code_written(self, address: int, size: int) -> None:
        """Drop the code of a range that the guest wrote to; give up protecting busy pages."""
        first, last = address >> PAGE_SHIFT, (address + max(size, 1) - 1) >> PAGE_SHIFT
        with self.lock:
            self.code.count_writes(range(first, last + 1), native.current.cpu)
        self.invalidate(address, size)

    def _stale(self, cpu: Cpu) -> None:
        """Drop blocks whose bytes are no longer what they were made from."""
        eip = cpu.r32[_EIP]
        linear = self.context(cpu).linear(eip)
        page = linear >> PAGE_SHIFT
        with self.lock:
            location = eip | cpu.r64[_CONTEXT] << CONTEXT_SHIFT - 32
            for place in (location, location | LOCATION_PRECISE):
                while block := self.cache.blocks.get(place):
                    self.cache.drop(block)
            self.forget_jumps([eip])
            table = self.cache.table
            if self.code.count_change(linear, native.current.cpu, lambda: len(table.of_page(page))):
                self.invalidate(page << PAGE_SHIFT, 1)

    def invalidate(self, address: int, size: int) -> None:
        """Drop all translated code that depends on a range of guest memory."""
        first, last = address >> PAGE_SHIFT, (address + max(size, 1) - 1) >> PAGE_SHIFT
        with self.lock:
            if last - first > 64:
                known = {*self.cache.table.pages(first, last), *self.insn_pages, *self.code.pages}
                pages = [page for page in known if first <= page <= last]
            else:
                pages = list(range(first, last + 1))
            dropped = self.cache.invalidate(pages)
            self.statistics.invalidations += len(dropped)
            self.code.forget(pages)
            self.tiering.invalidate(pages, dropped)
            if any(block.parts for block in dropped):
                self._stop_others()  # a thread may stay in a region for long
            for page in pages:
                for eip in self.insn_pages.pop(page, ()):
                    self.insns.pop(eip, None)
            self.forget_jumps([block.pc for block in dropped])

    def retire(self, cpu: Cpu) -> None:
        """Forget the Cpu of a thread that ended, before the garbage collector finds it."""
        with self.lock:
            self.cpus.discard(cpu)

    def forget_jumps(self, targets: Sequence[int] | None = None) -> None:
        """Let every thread look its computed jumps up again: those to some addresses, or all."""
        for cpu in self.cpus:
            if targets is None or len(targets) > _FEW_JUMPS:
                cpu.flush_jump_cache()
            else:
                cpu.forget_jumps(targets)

    def _stop_others(self) -> None:
        me = getattr(native.current, "cpu", None)
        for cpu in list(self.running):
            if cpu is not me:
                cpu.request_stop()

    def begin(self, program: bytes) -> None:
        """Use what earlier runs of a program needed; *program* is something that only it has."""
        if self.quick is not None:
            self.quick.images.begin(program)
            self.tiering.recall.begin(self.quick.images.library)

    def _save(self) -> None:
        if self.quick is not None:
            self.quick.images.save()
            self.tiering.recall.save()

    def flush(self) -> None:
        """Drop everything, as execve does."""
        with self.lock:
            self._save()
            self.tiering.reset()
            self._flush_all()
            self.code.clear()
            self.insns.clear()
            self.insn_pages.clear()

    def _flush_all(self) -> None:
        """Empty the arena once no other thread runs in it."""
        me = getattr(native.current, "cpu", None)
        self.flushed.clear()
        self.flushing.set()
        try:
            while others := [c for c in list(self.running) if c is not me]:
                for cpu in others:
                    cpu.request_stop()
                time.sleep(0.0002)
            for cpu in list(self.cpus):
                self._at_block(cpu)
            self.cache.clear()
            self.recipes.clear()
            bounds.trim(self)
            self.forget_jumps()
        finally:
            self.flushing.clear()
            self.flushed.set()

    def close(self) -> None:
        """Save what was compiled, for later runs."""
        self.tiering.close()
        self._save()
        codestore.save()

    # -- fork --------------------------------------------------------------------------------------
    def before_fork(self) -> None:
        """Get hold of every lock, so that the child finds none held by a thread it lacks."""
        forking.before(self)

    def after_fork(self, *, is_child: bool) -> None:
        """Let go again; in the child, keep the forking thread only."""
        forking.after(self, is_child=is_child)
