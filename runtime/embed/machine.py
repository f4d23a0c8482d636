"""A CPU, its memory and its hooks: runs guest code and calls whoever wants to know.

There is no operating system: interrupts, ports and what is not mapped are the hooks' affair.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from runtime import native
from runtime.cpu import UNLIMITED, Cpu
from runtime.embed import events
from runtime.embed.access import Access, Failure, Stopped
from runtime.embed.engine import FETCH, SLICE, STOPPED, EmbedEngine
from runtime.embed.hooks import Hook, Hooks
from runtime.embed.sharing import GROUP, flush
from runtime.embed.space import Space
from translator.decode import Truncated, decode
from translator.faults import GuestFault
from translator.hooks import EVERYWHERE, Marks
from translator.insn import Insn
from translator.planner import FetchFault
from translator.semantics import STRINGS
from translator.state import FIELDS
from translator.state import Exit as Kind
from translator.tiers import interp

_EIP, _INFO = FIELDS["eip"].offset // 4, FIELDS["exit_info"].offset // 4
_BUDGET = FIELDS["budget"].offset // 8
_MASK64 = 0xFFFFFFFFFFFFFFFF
_GP = 13
_FEW = 16  # insns that are run one by one
_STOPS_MAX = 4096  # places that are marked because code leaves there
_MEMORY = ("read", "write", "read_after", "fetch")


class Block(NamedTuple):
    """A block as hooks for edges are told it: address, insns, bytes."""

    pc: int
    icount: int
    size: int


class Machine:
    """One CPU with its memory and hooks.

    `owner` is what hooks get as their first argument.
    """

    def __init__(self, strategy: str = "tiered") -> None:
        self.space = Space()
        self.cpu = Cpu(self.space)
        self.hooks, self.marks = Hooks(), Marks()
        self.engine = EmbedEngine(self.space, strategy, self.hooks, self.marks)
        self.engine.extent = self.extent
        self.access = Access(self, self.space)
        self.owner: Any = None
        self.exits: frozenset[int] = frozenset()
        self.fixed_exits: frozenset[int] | None = None  # instead of what `run` says
        self.stopping = self.timed_out = False
        self.jumped = False  # a hook wrote eip
        self.called_at = -1  # the hooks of the insn here have been called already
        self.inside = -1  # where code is looked up next although no block begins there
        self.depth = 0
        self.deadline = 0.0
        self.timeout = 0  # of the last run, µs
        self.msrs: dict[int, int] = {}
        self.system = events.System()
        self._last_block: Block | None = None
        self._seen: set[int] = set()  # blocks that hooks for edges were told of
        self._handlers: dict[bytes, events.Handler | None] = {}

    def close(self) -> None:
        """Give the memory back; nothing may run any more."""
        self.engine.tiering.close()
        self.engine.retire(self.cpu)
        self.space.close()

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
        marks.calls = hooks.ranges("code")
        marks.blocks = hooks.ranges("block") + hooks.ranges("edge")
        checks = any(hooks.by_kind[kind] for kind in _MEMORY)
        if checks != marks.checks_memory:
            marks.checks_memory = checks
            self.engine.remark(*EVERYWHERE)
        elif hook.kinds & {"code", "block", "edge"}:
            self.engine.remark(*hook.range)

    # -- running -----------------------------------------------------------------------------------
    def run(self, begin: int, until: int, seconds: float = 0, count: int = 0) -> None:
        """Run from *begin* on to *until*, for a time, for so many insns; 0: without such a limit.

        Raises Failure for what nobody handles, and whatever a hook raises.
        """
        cpu = self.cpu
        outer = self._outer() if self.depth else None
        cpu.eip = begin & 0xFFFFFFFF
        self.exits = self.fixed_exits if self.fixed_exits is not None else frozenset((until,))
        self.stopping = self.timed_out = False
        self.timeout = round(seconds * 1e6)
        self.deadline = time.monotonic() + seconds if seconds else 0.0
        self.called_at = self.inside = -1
        self._last_block = None
        self.depth += 1
        cpu.slice = self.engine.tiering.slice or SLICE
        cpu.budget = count or UNLIMITED
        native.clear_stop(cpu)
        GROUP.enter()
        try:
            if count and count <= _FEW:
                self._step_few()
            else:
                self._mark_exits()
                self._loop()
        except Stopped:
            pass
        except KeyboardInterrupt:
            self.engine.running.discard(cpu)
            flush()  # perhaps code was being made
            raise
        finally:
            GROUP.leave()
            self.depth -= 1
            self.engine.running.discard(cpu)  # an exception may have come at any place
            if outer is not None:
                self._restore(outer)

    def stop(self) -> None:
        """Make `run` return; from a hook or from any thread."""
        self.stopping = True
        self.cpu.request_stop()

    def _outer(self) -> tuple[Any, ...]:
        cpu = self.cpu
        return (
            (self.exits, self.deadline, cpu.reserve, cpu.held),
            (cpu.r64[_BUDGET], cpu.slice, self.inside),
        )

    def _restore(self, outer: tuple[Any, ...]) -> None:
        cpu = self.cpu
        (self.exits, self.deadline, cpu.reserve, cpu.held), rest = outer
        cpu.r64[_BUDGET], cpu.slice, self.inside = rest
        self.stopping = self.jumped = False
        self.engine.changes += 1  # where the outer run left, nothing is as it was
        native.clear_stop(cpu)

    def _mark_exits(self) -> None:
        marks = self.marks
        for address in self.exits:
            if address not in marks.stops and address < 1 << 32:
                self._mark(address)

    def _mark(self, address: int) -> None:
        stops = self.marks.stops
        if len(stops) >= _STOPS_MAX:
            stops.clear()
        stops.add(address)
        self.engine.remark(address, address)

    def _step_few(self) -> None:
        cpu, exits = self.cpu, self.exits
        for _ in range(cpu.budget):
            if self.stopping or self._is_over() or cpu.r32[_EIP] in exits:
                return
            if self.step():
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
        if native.current.base != self.space.base:
            native.use_memory(self.space.base)
        if not cpu.is_known:
            cpu.is_known = True
            with engine.lock:
                engine.cpus.add(cpu)
        engine._let_proceed()
        while True:
            kind = go(cpu, code)
            inside, self.inside = self.inside, -1
            if kind == Kind.CALL:
                code = self._called(inside)
                if code < 0:
                    return
                continue
            code = 0
            if kind in (Kind.INTERP, Kind.FAULT):
                if r32[_EIP] in self.exits or cpu.budget <= 0:
                    return
                self.inside = r32[_EIP]
                if kind == Kind.FAULT:
                    self._note_fault()
                if self.step():
                    return
            elif kind == Kind.TRAP:
                if self._trapped():
                    return
            elif kind == Kind.SYSCALL:
                events.interrupt(self, 0x80)
                if self.stopping:
                    return
            elif kind == FETCH:
                if r32[_EIP] in self.exits:
                    return
                fault = engine.fetch_fault
                assert fault is not None
                self.fetch(fault)
            elif kind == STOPPED:
                if self.stopping:
                    return
            elif kind == Kind.BUDGET:
                if not cpu.held:
                    self._step_few()
                    return
                if self._is_over():
                    return
                engine.sample(cpu)
            if native.current.base != self.space.base:
                native.use_memory(self.space.base)

    def _called(self, inside: int) -> int:
        """Call the hooks of a place; return where host code goes on, 0: look again, -1: stop."""
        engine, cpu, owner = self.engine, self.cpu, self.owner
        site = engine.sites[int(cpu.r32[_INFO])]
        pc, size, rest, calls, resume, is_block = site
        before = engine.changes
        if is_block:
            if pc == inside:
                return resume
            if pc in self.exits:
                self._leave(pc, rest)
                return -1
        self.jumped = False
        try:
            if is_block and self.hooks.by_kind["edge"]:
                self._tell_edge(pc)
            for call, data in calls:
                call(owner, pc, size, data)
                if self.stopping:
                    break
            if not (self.stopping or self.jumped or engine.changes != before):
                if not self.deadline or not self._is_over():
                    return resume
                self.stopping = True
        except BaseException:
            self._leave(pc, rest)
            raise
        self._leave(pc, rest)
        if self.stopping:
            return -1
        if self.jumped:
            return 0
        self.inside = pc
        if is_block:
            return 0
        self.called_at = pc
        return -1 if self.step() else 0

    def _leave(self, pc: int, rest: int) -> None:
        """Give back what the block charged for insns that it does not execute now."""
        cpu = self.cpu
        cpu.r64[_BUDGET] = cpu.r64[_BUDGET] + rest & _MASK64
        if not self.jumped:
            cpu.r32[_EIP] = pc

    # -- single insns ------------------------------------------------------------------------------
    def step(self) -> bool:
        """Execute one insn with all its hooks; say whether to stop."""
        cpu, hooks, owner = self.cpu, self.hooks, self.owner
        r32 = cpu.r32
        eip = r32[_EIP]
        try:
            insn = self.decode()
        except FetchFault as fault:
            self.fetch(fault)
            return self.stopping
        is_called = False
        if hooks.by_kind["code"] or hooks.by_kind["block"] or hooks.by_kind["edge"]:
            if self.called_at != eip:
                calls = [(call, insn.length) for call in hooks.at("code", eip)]
                if self.inside != eip:
                    self._tell_edge(eip)
                    blocks = hooks.at("block", eip)
                    calls = [(call, self.extent(eip)) for call in blocks] + calls
                self.jumped = False
                before = self.engine.changes
                for (call, data), size in calls:
                    call(owner, eip, size, data)
                    if self.stopping:
                        return True
                if self.jumped:
                    self.called_at = self.inside = -1
                    return False
                r32[_EIP] = eip
                if self.engine.changes != before:
                    insn = self.decode()
            is_called = bool(hooks.at("code", eip))
        self.called_at = -1
        handler = self._handler(insn)
        self.jumped = False
        cpu.r64[_BUDGET] = cpu.r64[_BUDGET] - 1 & _MASK64
        if handler is not None:
            handler(self, insn, eip)
        else:
            self._execute(insn, eip, is_called)
        self.inside = -1 if insn.mnemonic in events.TRANSFERS else r32[_EIP]
        return self.stopping

    def _execute(self, insn: Insn, eip: int, is_called: bool) -> None:
        """Execute an insn that is nobody's affair but the CPU's, and the memory hooks'."""
        cpu = self.cpu
        r32 = cpu.r32
        is_string = insn.rep and insn.mnemonic in STRINGS
        left = r32[1] & (0xFFFF if insn.addr_width == 16 else 0xFFFFFFFF) if is_string else 0
        try:
            kind = interp.execute(insn, cpu, self.access)
        except GuestFault as fault:
            events.exception(self, fault.vector)
            return
        self.engine.statistics.insns_interpreted += 1
        if kind == Kind.SYSCALL:
            events.interrupt(self, 0x80)
        elif kind:
            vector = r32[_INFO]
            if r32[_EIP] == eip:
                events.exception(self, vector)
            else:
                events.interrupt(self, vector)
        elif is_called and left == 1 and r32[_EIP] != eip and not events.ended_by_flag(cpu, insn):
            r32[_EIP] = eip  # hooks are called once more, for a count of 0

    def decode(self) -> Insn:
        """Return the insn at eip. FetchFault."""
        return self.engine._decode(self.cpu)

    def _handler(self, insn: Insn) -> events.Handler | None:
        try:
            return self._handlers[insn.key]
        except KeyError:
            handler = self._handlers[insn.key] = events.handler_of(insn)
            return handler

    def _trapped(self) -> bool:
        """Deal with an exception that host code met at eip, or behind the insn that is a trap."""
        r32 = self.cpu.r32
        vector, eip = r32[_INFO], r32[_EIP]
        self.jumped = False
        if vector in (1, 3, 4) and self._is_behind_trap(eip):
            events.interrupt(self, vector)
            return self.stopping
        try:
            handler = self._handler(self.decode())
        except FetchFault:
            handler = None
        if handler is None:
            self.cpu.r64[_BUDGET] = self.cpu.r64[_BUDGET] - 1 & _MASK64
            events.exception(self, vector)
            return self.stopping
        if eip in self.exits:
            return True
        self._mark(eip)  # from now on the block ends in front of it
        self.called_at = eip if self.hooks.by_kind["code"] else -1
        self.inside = eip
        return self.step()

    def _is_behind_trap(self, eip: int) -> bool:
        return self.space.fetch(eip - 1 & 0xFFFFFFFF, 1) in (b"\xcc", b"\xce", b"\xf1")

    def _note_fault(self) -> None:
        """Mark an insn that accesses a device, so that the host need not fault there again."""
        address = self.cpu.r32[FIELDS["fault_address"].offset // 4]
        part = self.space.part_at(address)
        eip = self.cpu.r32[_EIP]
        if part is not None and part.device is not None and eip not in self.marks.stops:
            self._mark(eip)
        self.called_at = eip if self.hooks.by_kind["code"] else -1
        self.inside = eip

    def fetch(self, fault: FetchFault) -> None:
        """Deal with code that cannot be fetched; return once hooks have made that possible."""
        address, access = fault.address, self.access
        if address is None:  # behind the end of CS
            events.exception(self, _GP)
            return
        access.permitted("fetch", address, address, 1, 0)
        if not self.space.fetch(address, 1):
            raise Failure("fetch_unmapped")
        self.engine.changes += 1

    def _tell_edge(self, pc: int) -> None:
        """Call the hooks for edges when a block is reached for the first time."""
        calls = self.hooks.at("edge", pc)
        before = self._last_block
        if not calls:
            return
        now = self._last_block = self._walk(pc)
        if pc in self._seen:
            return
        self._seen.add(pc)
        if before is not None:
            for call, data in calls:
                call(self.owner, now, before, data)

    def extent(self, pc: int) -> int:
        """Return the size of the block at an address, as hooks are told it."""
        return self._walk(pc).size

    def _walk(self, pc: int) -> Block:
        """Decode to the end of the block at an address."""
        end, code, count = pc, self.space.fetch(pc, 1024), 0
        while end - pc < 1000:
            try:
                insn = decode(code, end - pc)
            except Truncated:
                break
            end += insn.length
            count += 1
            if insn.mnemonic in events.TRANSFERS or end in self.exits:
                break
        return Block(pc, count, end - pc)
