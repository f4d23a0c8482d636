"""A CPU, its memory and its hooks: runs guest code and calls whoever wants to know.

There is no operating system: interrupts, ports and what is not mapped are the hooks' affair.
"""

from __future__ import annotations

import threading
import time
import weakref
from typing import Any

from runtime import native
from runtime.cpu import UNLIMITED, Cpu
from runtime.embed import events, watching
from runtime.embed.access import ACCESS, Access, Failure, Stopped
from runtime.embed.compiling import share
from runtime.embed.engine import FETCH, RETRY, SLICE, STOPPED, EmbedEngine, Site
from runtime.embed.hooks import Entry, Hook, Hooks
from runtime.embed.paged import Paged
from runtime.embed.processor import Pins
from runtime.embed.serving import ATTENTION, SKIP
from runtime.embed.sharing import GROUP, flush
from runtime.embed.space import Space
from runtime.embed.stepping import MARKS_MAX, Stepping
from runtime.hostmap import release
from runtime.memory import EXEC, GUARD, READ, SIZE, WRITE
from runtime.nativeserve import PAUSED
from translator import flags
from translator.conditions import any_of
from translator.hooks import EVERYWHERE, Marks, Range
from translator.mode import WATCH_READS, WATCH_WRITES, Model
from translator.planner import FetchFault
from translator.state import FIELDS
from translator.state import Exit as Kind
from translator.strategies.stencils import BLOCK, SERVE

_EIP, _INFO, _KIND = (FIELDS[n].offset // 4 for n in ("eip", "exit_info", "exit_kind"))
_REST, _TF = FIELDS["eflags_rest"].offset // 4, 1 << flags.TF
_CS_BASE = FIELDS["cs_base"].offset // 4
_CR3 = FIELDS["cr3"].offset // 4
_BUDGET, _STOP = FIELDS["budget"].offset // 8, FIELDS["stop"].offset // 4
_CALL, _INTERP, _FAULT, _TRAP = map(int, (Kind.CALL, Kind.INTERP, Kind.FAULT, Kind.TRAP))
_SYSCALL, _INT, _HALT = map(int, (Kind.SYSCALL, Kind.INT, Kind.HALT))
_ODD = frozenset((_INTERP, _FAULT))
_OUT_OF_BUDGET = int(Kind.BUDGET)
_MASK64 = 0xFFFFFFFFFFFFFFFF
_GP = 13
_PLENTY = UNLIMITED >> 1  # insns: no need to set the budget anew
_FEW = 16  # insns that are run one by one
_MEMORY = frozenset(("read", "write", "read_after"))


class Machine(Stepping):
    """One CPU with its memory and hooks.

    `owner` is what hooks get as their first argument.
    """

    def __init__(self, strategy: str = "tiered", *, is_real: bool = False) -> None:
        super().__init__()
        native.install_fault_handlers()
        self.space = Space()
        self.cpu = Cpu(self.space)
        self.hooks, self.marks = Hooks(), Marks()
        self.engine = EmbedEngine(self.space, self.cpu, strategy, self.hooks, self.marks)
        self.engine.machine = self
        share(self.engine.tiering)
        self.access = Access(self, self.space)
        self.space.on_devices = self._remark_served
        self.owner: Any = None
        self.exits: frozenset[int] = frozenset()
        self._until = -1
        self.fixed_exits: frozenset[int] | None = None  # instead of what `run` says
        self.stopping = self.timed_out = False
        self.depth = 0
        self.deadline = 0.0
        self.timeout = 0  # of the last run, µs
        self.msrs: dict[int, int] = {}
        self.is_real = is_real
        self.linear: Paged | None = None
        self._left: Site | None = None  # where host code left, if that place is forgotten
        self.pins = Pins(self)

    @property
    def model(self) -> Model:
        """The processor that is emulated."""
        return self.pins.model

    @model.setter
    def model(self, model: Model) -> None:
        if model != self.pins.model:
            self.pins.model = model
            self.pins.update_context()
            self.engine.changes += 1

    def finisher(self) -> tuple[Any, ...]:
        """Return what to call, with which arguments, when nobody knows this machine any more."""
        return release, self.space.base, SIZE + GUARD

    def deliver(self, *, on: bool) -> None:
        """Let interrupts and exceptions go to the guest's own handlers, or to hooks alone."""
        if on != self.delivery.on:
            self.delivery.on = on
            self._remark_served()

    # -- paging ------------------------------------------------------------------------------------
    def begin_paging(self) -> Paged:
        """Tell linear addresses from physical ones, from now on."""
        linear = self.linear
        if linear is None:
            linear = self.linear = self.pins.linear = Paged(self.space, self._fill_entry)
            weakref.finalize(self, *linear.finisher())
            self.access.use(linear)
            self.engine.use(linear)
            self.watch_memory()
        return linear

    def use_tlb_hooks(self, *, on: bool) -> None:
        """Let hooks say where linear pages are, or page tables again."""
        if on or self.linear is not None:
            self.begin_paging().use_table(on=on)
            self.engine.changes += 1

    def _fill_entry(self, kind: str, address: int) -> tuple[int, int]:
        """Ask the hooks where a linear page is; without any it is where it seems to be."""
        hooks = tuple(self.hooks.by_kind["tlb"])
        for hook in hooks:
            entry = Entry()
            if hook.callback(self.owner, address, ACCESS[kind], entry, hook.data):
                return entry.paddr, entry.perms
        if hooks:
            raise Failure("exception")
        return address, READ | WRITE | EXEC

    # -- hooks -------------------------------------------------------------------------------------
    def add_hook(self, hook: Hook) -> None:
        """Add a hook; it acts from the next insn on."""
        self.hooks.add(hook)
        self._remark(hook)

    def remove_hook(self, hook: Hook) -> None:
        """Remove a hook."""
        self.hooks.remove(hook)
        self._remark(hook)

    def _remark(self, hook: Hook) -> None:
        hooks, marks = self.hooks, self.marks
        if "break" in hook.kinds:
            wanted = [one.condition for one in hooks.by_kind["break"] if one.first == hook.first]
            marks.conditions.pop(hook.first, None)
            if wanted:
                marks.conditions[hook.first] = any_of(wanted)
            self.engine.remark(*hook.range)
            return
        marks.calls = hooks.ranges("code")
        marks.blocks = hooks.ranges("block") + hooks.ranges("edge")
        if hook.kinds & _MEMORY:
            self.watch_memory()
        if hook.kinds & {"code", "block", "edge"}:
            self.engine.remark(*hook.range)
        elif hook.kinds & {"interrupt", "insn", "in", "out"}:
            self._remark_served()

    def watch_memory(self) -> None:
        """Let code leave for accesses that hooks want to see, and for no others if it can."""
        hooks, marks = self.hooks, self.marks
        reads, writes = hooks.ranges("read") + hooks.ranges("read_after"), hooks.ranges("write")
        self.access.is_watched = bool(reads or writes)
        # Hooks are told physical addresses: which linear ones those are nobody knows beforehand.
        checks = EVERYWHERE in reads + writes or (self.linear is not None and bool(reads + writes))
        if checks != marks.checks_memory:
            marks.checks_memory = checks
            self.engine.remark(*EVERYWHERE)
        watching.set_ranges(self.cpu, "r", () if checks else reads)
        watching.set_ranges(self.cpu, "w", () if checks else writes)
        watches = 0 if checks else (WATCH_READS if reads else 0) | (WATCH_WRITES if writes else 0)
        if watches != self.pins.watches:
            marks.watches = bool(watches)
            self.pins.watches = watches
            self.pins.update_context()
            self.engine.remark(*EVERYWHERE)  # what flags are shown changes
        self._remark_served()
        self.marks.served.difference_update(self.watched)  # they may be marked again
        self.watched.clear()

    def remark(self, *ranges: Range) -> None:
        """Let code of some ranges do what the marks say now."""
        for first, last in ranges:
            self.engine.remark(first, last)

    def _remark_served(self) -> None:
        for page in {address >> 12 for address in self.marks.served}:
            self.engine.remark(page << 12, page << 12)

    # -- running -----------------------------------------------------------------------------------
    def run(self, begin: int, until: int, seconds: float = 0, count: int = 0) -> None:
        """Run from *begin* on to *until*, for a time, for so many insns; 0: without such a limit.

        Raises Failure for what nobody handles, and whatever a hook raises.
        """
        cpu = self.cpu
        outer = self._outer() if self.depth else None
        r32 = cpu.r32
        r32[_EIP] = self.offset(begin & 0xFFFFFFFF) if self.is_real else begin & 0xFFFFFFFF
        if self.fixed_exits is not None:
            self.exits = self.fixed_exits
        elif until != self._until or len(self.exits) != 1:
            self.exits, self._until = frozenset((until,)), until
        self.stopping = self.timed_out = self.jumped = False
        if seconds or self.timeout:
            self.timeout = round(seconds * 1e6)
            self.deadline = time.monotonic() + seconds if seconds else 0.0
        self.called_at = self.inside = -1
        self._last_block = None
        self.depth += 1
        if count or outer or cpu.held < _PLENTY:
            cpu.slice = self.engine.tiering.slice or SLICE
            cpu.budget = count or UNLIMITED
        engine = self.engine
        engine.serving.table[ATTENTION] = r32[_STOP] = 0
        me = GROUP.enter(engine)
        try:
            if self.linear is not None and self.depth == 1:
                self.linear.reload(self.cpu.r32[_CR3])
            if count and count <= _FEW:
                self._step_few()
            else:
                if self.exits is not self.marks.exits:
                    self._mark_exits()
                self._loop()
            if count and cpu.budget <= 0 and not self.stopping:
                self._reach_next()
        except Stopped:
            pass
        except KeyboardInterrupt:
            self.engine.serving.leave()
            flush()  # perhaps code was being made
            raise
        finally:
            GROUP.leave(engine, me)
            self.depth -= 1
            if outer is not None:
                self._restore(outer)
            elif engine.serving.old:
                engine.serving.old.clear()

    def _reach_next(self) -> None:
        """Fetch what the count does not reach any more: Unicorn begins it before it stops."""
        if self.pc() in self.exits:
            return
        try:
            self.decode()
        except FetchFault as fault:
            self.fetch(fault)

    def stop(self) -> None:
        """Make `run` return; from a hook or from any thread."""
        self.stopping = True
        self.engine.serving.attend()
        self.cpu.request_stop()

    def _outer(self) -> tuple[Any, ...]:
        cpu = self.cpu
        self.keep_site()
        site, self._left = self._left, None
        return (
            (self.exits, self.deadline, cpu.reserve, cpu.held),
            (cpu.r64[_BUDGET], cpu.slice, self.inside, site, cpu.r32[_KIND]),
        )

    def _restore(self, outer: tuple[Any, ...]) -> None:
        cpu = self.cpu
        (self.exits, self.deadline, cpu.reserve, cpu.held), rest = outer
        cpu.r64[_BUDGET], cpu.slice, self.inside, self._left, cpu.r32[_KIND] = rest
        cpu._look_ahead()
        self._until = -1  # of the inner run: the next may want the same, but these exits are others
        self.stopping = self.jumped = False
        self.engine.changes += 1  # where the outer run left, nothing is as it was
        native.clear_stop(cpu)
        self._mark_exits()

    def _mark_exits(self) -> None:
        marks = self.marks
        for address in self.exits:
            if address not in marks.stops and address < 1 << 32:
                self._mark(address)
        if self.exits is not marks.exits:
            changed = self.exits ^ marks.exits if marks.counts_blocks else ()
            marks.exits = self.exits
            for address in changed:
                self.engine.remark(address, address)

    def _mark(self, address: int) -> None:
        stops = self.marks.stops
        if len(stops) >= MARKS_MAX:
            stops.clear()
        stops.add(address)
        self.engine.remark(address, address)

    def _step_few(self) -> None:
        cpu, exits = self.cpu, self.exits
        for _ in range(cpu.budget):
            if self.stopping or self._is_over() or self.pc() in exits:
                return
            if self.delivery.waiting and self.delivery.accept():
                return
            if self.trace() if cpu.r32[_REST] & _TF else self.step():
                return

    def _is_over(self) -> bool:
        """Whether the time is over."""
        if self.deadline and time.monotonic() >= self.deadline:
            self.timed_out = True
            return True
        return False

    def _loop(self) -> None:
        cpu, engine = self.cpu, self.engine
        r32, go = cpu.r32, engine.go
        code = 0
        if native.current.base != engine.mem.base:
            native.use_memory(engine.mem.base)
        if GROUP.was_crowded:
            engine._let_proceed()
        serving = engine.serving
        if self.delivery.on:
            self.pins.requests.thread = threading.get_ident()
            if self.delivery.waiting and self.delivery.accept():
                return
        while True:
            if not code:
                self.jumped = False
                # Under TF, and where host code would count the rest of this block as one.
                while r32[_REST] & _TF or (
                    self.inside >= 0 and (self.marks.block_counts or self.marks.covers)
                ):
                    if self.pc() in self.exits or cpu.budget <= 0 or self._is_over():
                        return
                    if self.trace() if r32[_REST] & _TF else self.step():
                        return
                serving.table[SKIP] = self.inside + 1
            try:
                kind = go(cpu, code)
            except BaseException:
                self._abandon()
                raise
            self.inside = -1
            if kind == _CALL:
                code = self._attend()
                if code < 0 or (self.deadline and self._is_over()):
                    return
                continue
            if kind == PAUSED:
                serving.refill()
                code = serving.sites[int(r32[_INFO])].resume
                if self._is_over():
                    self._abandon()
                    return
                continue
            code = 0
            if kind in _ODD:
                pc = r32[_CS_BASE] + r32[_EIP] & 0xFFFFFFFF
                if pc in self.exits or cpu.budget <= 0:
                    return
                self.inside = pc
                if kind == _FAULT:
                    self._uncount(pc)
                    self._note_fault()
                else:
                    self._note_insn()
                if self.step():
                    return
            elif kind == RETRY:
                self.called_at = self.inside = self.pc()
                self._uncount(self.inside)
                if self.step():
                    return
            elif kind == _TRAP:
                r32[_INFO] = engine.trap(cpu)
                if self._trapped():
                    return
            elif kind == _SYSCALL:
                if engine.mem.fetch(r32[_EIP] - 2, 2) == b"\xcd\x80":
                    self._serve(r32[_EIP] - 2)
                events.interrupt(self, 0x80)
                if self.stopping:
                    return
            elif kind == _INT:
                behind = self.pc()
                if engine.mem.fetch(behind - 2 & 0xFFFFFFFF, 1) == b"\xcd":
                    self._serve(behind - 2 & 0xFFFFFFFF)
                events.interrupt(self, r32[_INFO])
                if self.stopping:
                    return
            elif kind == _HALT:
                return
            elif kind == FETCH:
                if self.pc() in self.exits or cpu.budget <= 0:
                    return
                cpu.r64[_BUDGET] = cpu.r64[_BUDGET] - 1 & _MASK64
                fault = engine.fetch_fault
                assert fault is not None
                self.fetch(fault)
            elif kind == STOPPED:
                self._stay()
                if self.stopping or (self.delivery.waiting and self.delivery.accept()):
                    return
            elif kind == _OUT_OF_BUDGET:
                self._stay()
                if not cpu.held:
                    self._step_few()
                    return
                engine.sample(cpu)
            if self.deadline and self._is_over():
                return
            if native.current.base != engine.mem.base:
                native.use_memory(engine.mem.base)

    def _stay(self) -> None:
        """Note that no block begins here if none did and host code has not come any further."""
        pc = self.pc()
        if self.engine.serving.table[SKIP] == pc + 1:
            self.inside = pc

    def _attend(self) -> int:
        """Deal with what a callee asked for; return where host code goes on, 0: look; -1: stop."""
        serving = self.engine.serving
        site = self._site()
        pc, size, _, calls, _, kind, ends = site
        serving.calm()
        if kind != SERVE:
            try:
                for call, data in calls[serving.done :]:
                    if self.stopping or self.jumped:
                        break
                    call(self.owner, pc, size, data)
            except BaseException:
                self._abandon()
                raise
            serving.calm()
        jumped = self._leave(site)
        if self.stopping:
            return -1
        if kind == SERVE or jumped:
            if not (ends or jumped):
                self.inside = self.pc()
            return 0
        self.inside = pc
        if kind == BLOCK:
            return 0
        self.called_at = pc
        return -1 if self.step() else 0

    def keep_site(self) -> None:
        """Remember the place whose callee is running: places are about to be forgotten."""
        sites, number = self.engine.serving.sites, int(self.cpu.r32[_INFO])
        if self._left is None and self.cpu.r32[_KIND] == _CALL and number < len(sites):
            self._left = sites[number]

    def _site(self) -> Site:
        """Return the place that host code has left for."""
        site, self._left = self._left, None
        return self.engine.serving.sites[int(self.cpu.r32[_INFO])] if site is None else site

    def _abandon(self) -> None:
        """Set registers and budget right where a callee raised, or has taken too long."""
        cpu, serving = self.cpu, self.engine.serving
        if cpu.r32[_KIND] == Kind.CALL:
            self._leave(self._site())
        serving.calm()

    def _leave(self, site: Site) -> bool:
        """Give back what the block charged for insns that it does not execute; whether one jumped.

        An insn that Python executes has left eip where it goes on.
        """
        cpu = self.cpu
        jumped, self.jumped = self.jumped, False
        rest = site.rest
        if site.kind == SERVE:
            rest -= 1  # also if it faulted: it may do so for ever
        elif not jumped:
            cpu.r32[_EIP] = self.offset(site.pc)
        cpu.r64[_BUDGET] = cpu.r64[_BUDGET] + rest & _MASK64
        cpu.r32[_KIND] = 0
        return jumped
