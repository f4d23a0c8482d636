"""The engine of a machine without an operating system: leaves for whatever is the machine's affair.

Blocks with hooks have places where code leaves before an insn; their Sites say whom to call and
where host code goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from runtime import native
from runtime.access import GuestMemory
from runtime.blocktable import Block
from runtime.cpu import Cpu
from runtime.dispatch import Engine
from runtime.dispatch import Exit as Exit
from runtime.embed import events
from runtime.embed.access import Access
from runtime.embed.hooks import Call, Hooks
from runtime.embed.serving import Service, Serving
from runtime.embed.sharing import GROUP, LOCK, SharedCache, flush
from runtime.flagrecovery import RECIPE, RECIPE_MASK, SZP_HIGH
from runtime.guestcode import PAGE_SHIFT
from runtime.memory import Memory
from runtime.nativeserve import PAUSED
from runtime.system.linear import SUPERVISOR, USER
from translator.faults import GuestFault
from translator.hooks import Marks
from translator.planner import FetchFault, Plan
from translator.quick import layout
from translator.quick import paging as at
from translator.shape import NEXT, PC, REST, SLOT_INDEX, Slots
from translator.state import FIELDS
from translator.state import Exit as Kind
from translator.strategies import Piece
from translator.strategies.stencils import BLOCK, SERVE, service

if TYPE_CHECKING:
    from runtime.embed.paged import Paged

_STOP, _INFO = FIELDS["stop"].offset // 4, FIELDS["exit_info"].offset // 4
_FPU, _FCW, _FSW = (FIELDS[name].offset // 2 for name in ("fpu", "fcw", "fsw"))
_BASE, _PAGING = FIELDS["memory_base"].offset // 8, FIELDS["paging"].offset // 8
_EIP, _MXCSR = FIELDS["eip"].offset // 4, FIELDS["mxcsr"].offset // 4
_CONTEXT, _HASH = FIELDS["context"].offset // 8, FIELDS["hash_table"].offset // 8
_MASKS, _ES = 0x3F, 0x80
_SITE, _COUNT = SLOT_INDEX["site"], SLOT_INDEX["count"]
_BETWEEN = frozenset({Kind.LINK, Kind.LOOKUP, Kind.BUDGET, Kind.STALE})
_OURS = frozenset({Kind.CALL, PAUSED})
_UNKNOWN = frozenset({0, Kind.LINK, Kind.LOOKUP})
_FAULT, _LINK, _LOOKUP, _STALE = map(int, (Kind.FAULT, Kind.LINK, Kind.LOOKUP, Kind.STALE))
# Further reasons to leave: asked to; the insn cannot be fetched; it is to be tried again.
STOPPED, FETCH, RETRY = 32, 33, 34
_FEW_PAGES = 64
_LAST, _WRITE = 0xFFFFFFFF, 2
SLICE = 1_000_000  # insns between two looks at the clock and at signals


class Server(Protocol):
    """What an engine asks its machine for."""

    owner: Any
    access: Access

    def keep_site(self) -> None:
        """Remember the place whose callee is running."""

    def extent(self, pc: int) -> int:
        """Return the size of the block at an address, as hooks are told it."""

    def edge_calls(self, pc: int) -> tuple[Call, ...]:
        """Return what to call before the hooks for a block."""

    def service(self, pc: int, slots: Slots) -> Service:
        """Return what executes the insn at an address."""

    def leaves_behind(self, plan: Plan, index: int) -> bool:
        """Whether eip shall be behind an insn of a plan as Python executes it."""


class Site(NamedTuple):
    """A place where code leaves for Python."""

    pc: int
    size: int  # what the hooks are told: of the insn, of the block
    rest: int  # insns that the block has charged and not executed
    calls: tuple[Call, ...]  # hooks; none where Python executes the insn
    resume: int  # host address
    kind: int  # BLOCK, SERVE, or 0 for an insn
    ends: bool  # a block begins behind


class EmbedCache(SharedCache):
    """Keeps the Sites of blocks."""

    engine: EmbedEngine

    def install(
        self, location: int, plan: Plan, pieces: list[Piece], tails: dict[str, Piece], checks: int
    ) -> Block:
        """Place a block's code, and number its places."""
        calls = []
        if plan.called or plan.block_call or plan.served:
            self.call = service(b"!call")
            calls = [piece.slots[0] for piece in pieces if piece.stencil is self.call]
        first = self.engine.serving.count
        for number, slots in enumerate(calls, first):
            slots[_SITE] = number
            index = slots[_COUNT] & ~SERVE
            machine = self.engine.machine
            if slots[_COUNT] & SERVE and machine is not None and machine.leaves_behind(plan, index):
                slots[PC] = plan.items[index][1][NEXT]
        self.resumptions.clear()
        block = super().install(location, plan, pieces, tails, checks)
        for slots, offset in zip(calls, self.resumptions, strict=False):
            self.engine.add_site(plan, slots[_COUNT], slots[REST], self.arena.base + offset)
        return block

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        engine = getattr(self, "engine", None)
        if engine is not None:
            if engine.machine is not None:
                engine.machine.keep_site()
            engine.serving.clear()


class EmbedEngine(Engine):
    """Runs code until the machine is needed."""

    make_cache = EmbedCache
    cache: EmbedCache

    def __init__(self, mem: Memory, cpu: Cpu, strategy: str, hooks: Hooks, marks: Marks) -> None:
        with LOCK:
            GROUP.trim()
            super().__init__(mem, strategy)
            self.serving = Serving(self.cache.table.address, cpu.state_address)
            serving, plain = self.serving, self.cache.table.hashes[0]
            self.bound = cpu.r16, cpu.r32, cpu.r64, serving.serve, serving.address, plain
            self.cpus.add(cpu)
            self.running.add(cpu)  # for good; `serving` knows when it really does
            self.cache.engine = self
            self._changes = 0
            self.hooks, self.marks = hooks, marks
            self.code.marks = marks
            self.is_flushing = False
            self.fetch_fault: FetchFault | None = None
            self.machine: Server | None = None
            self.linear: Paged | None = None  # where addresses are not physical ones
            GROUP.add(self)

    # -- linear memory -----------------------------------------------------------------------------
    def use(self, linear: Paged) -> None:
        """Take addresses for linear ones from now on; nothing that was translated is right."""
        self.remark(0, _LAST)
        self.linear = self.mem = self.code.mem = linear
        self.code.open_pages = linear.open_pages
        linear.on_code_change = self._code_written
        linear.on_flush = self.code.pages.clear
        for cpu in self.cpus:
            cpu.r64[_PAGING] = linear.context_address
            self._see(cpu)

    def _see(self, cpu: Cpu) -> None:
        """Let guest code see linear memory as its ring does."""
        linear, machine = self.linear, self.machine
        if linear is None or machine is None:
            return
        view = USER if self.context(cpu).mode.cpl == 3 else SUPERVISOR
        linear.select(view)
        machine.access.select(view)
        cpu.r64[_BASE] = linear.base
        if native.current.base != linear.base:
            native.use_memory(linear.base)

    def _memory(self) -> GuestMemory:
        if self.linear is None or self.machine is None:
            return super()._memory()
        return self.machine.access

    def _change_context(self, cpu: Cpu, context: int) -> None:
        super()._change_context(cpu, context)
        if self.linear is not None:
            self._see(cpu)

    def _fault(self, cpu: Cpu) -> Exit | None:
        """Deal with an access that host code could not do; None if it may be tried again."""
        done = super()._fault(cpu)
        linear = self.linear
        if done is None or linear is None or linear.uses_table:
            return done
        kind = at.A_WRITE if done.error & _WRITE else 0
        view = linear.view
        try:
            if linear.fill(done.address, kind | (at.A_USER if view == USER else 0), view):
                return None
        except GuestFault:
            pass  # the machine executes the insn itself, and meets it again
        return done

    @property
    def changes(self) -> int:
        """Counts whatever makes it wrong to go on where code has left."""
        return self._changes

    @changes.setter
    def changes(self, count: int) -> None:
        self._changes = count
        self.serving.attend()

    def add_site(self, plan: Plan, index: int, rest: int, resume: int) -> None:
        """Note whom to call at a place."""
        machine = self.machine
        assert machine is not None
        kind, context = index & (BLOCK | SERVE), plan.options.context
        if kind == BLOCK:
            pc = context.linear(plan.pc)
            size = machine.extent(pc)
            calls = machine.edge_calls(pc) + self.hooks.at("block", pc)
        else:
            _, slots = plan.items[index & ~SERVE]
            pc, size = context.linear(slots[PC]), slots[NEXT] - slots[PC] & 0xFFFF
            calls = () if kind else self.hooks.at("code", pc)
        key = pc + 1 if kind == BLOCK else 0
        ends = kind == SERVE and events.ends_block(plan.items[index & ~SERVE][0].insn)
        site = Site(pc, size, rest, calls, resume, kind, ends)
        if kind == SERVE:
            service = machine.service(pc, slots)
        else:
            owner = machine.owner
            service = Service([(call, (owner, pc, size, data)) for call, data in calls])
        self.serving.add(site, key, service)

    def go(self, cpu: Cpu, code: int = 0) -> int:
        """Run on, at a host address if one is given, until the machine is needed; say why."""
        r16, r32, r64, serve, table, plain = self.bound
        link, is_known = 0, True
        while True:
            if r32[_STOP]:
                if code:
                    return STOPPED  # between the hooks of an insn and the insn
                done = self._settle(cpu)
                if done is not None:
                    return _FAULT
                native.clear_stop(cpu)
                return STOPPED
            if not (
                code
                # What `_location` finds nearly always: nothing new, and no exception unmasked.
                or (
                    r64[_CONTEXT] == cpu.context_seen
                    and r16[_FCW] & r32[_MXCSR] >> 7 & _MASKS == _MASKS
                    and not r16[_FSW] & _ES
                    and r64[_HASH] == plain
                )
            ):
                self._location(cpu)
            if self.is_flushing:
                if code:
                    return STOPPED
                self.flushed.wait()
                link = 0
                continue
            if not is_known:
                try:
                    block = self._translate(cpu, self._location(cpu), link)
                except FetchFault as fault:
                    self.fetch_fault = fault
                    return FETCH
                link = 0
                if block is None:
                    continue
                if not block.is_valid or self.is_flushing:
                    continue
                code = self.cache.address(block)
            kind: int = serve(table, code)
            code = 0
            is_known = kind not in _UNKNOWN
            if kind == 0 or kind == _LOOKUP:
                continue
            if kind in _OURS:
                return kind
            if kind in _BETWEEN and r32[SZP_HIGH] & RECIPE_MASK == RECIPE:
                self._at_block(cpu)
            if kind == _LINK:
                link = r32[_INFO]
            elif kind == _FAULT:
                if self._fault(cpu) is not None:
                    return kind
                marks = self.marks
                if self.hooks.by_kind["code"] or marks.insn_counts or marks.counts_blocks:
                    return RETRY  # its hooks were called, and it was counted
            elif kind == _STALE:
                self._stale(cpu)
            else:
                return kind

    def sample(self, cpu: Cpu) -> None:
        """Use the end of a slice to find hot code, and begin the next."""
        if self.tiering.slice:
            is_inside = cpu.r32[_INFO] != 0
            self.tiering.sample(self._location(cpu), cpu.r16[_FPU], is_inside=is_inside)
        cpu.next_slice(self.tiering.slice or SLICE)

    def _let_proceed(self) -> None:
        super()._let_proceed()
        if not GROUP.is_alone:
            self.cache.table.set(layout.PROCEEDS, layout.WITH_KNOWN)

    def _flush_all(self) -> None:
        flush()

    def invalidate(self, address: int, size: int) -> None:
        """Drop all translated code that depends on a range of guest memory."""
        self.changes += 1
        super().invalidate(address, size)

    def _stale(self, cpu: Cpu) -> None:
        self.changes += 1
        super()._stale(cpu)

    def remark(self, first: int, last: int) -> None:
        """Drop the code of a range whose marks changed."""
        if first >= 1 << 32:
            return
        low, high = first >> PAGE_SHIFT, min(last, 0xFFFFFFFF) >> PAGE_SHIFT
        if high - low < _FEW_PAGES:
            self.invalidate(low << PAGE_SHIFT, high + 1 - low << PAGE_SHIFT)
            return
        self.changes += 1
        with self.lock:
            heads = np.frombuffer(self.cache.table.page_heads, dtype=np.uint32)
            used = (np.flatnonzero(heads[low : high + 1]) + low).tolist()
            for page in sorted({*used, *self.insn_pages, *self.code.pages}):
                if low <= page <= high:
                    self.invalidate(page << PAGE_SHIFT, 1)
