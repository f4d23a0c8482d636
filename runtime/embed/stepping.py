"""The machine's part that executes guest insns one by one, with all their hooks."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from runtime.cpu import Cpu
from runtime.embed import direct, events
from runtime.embed.access import Access, Failure
from runtime.embed.delivery import Delivery
from runtime.embed.engine import EmbedEngine
from runtime.embed.hooks import Call, Hooks
from runtime.embed.processor import Pins
from runtime.embed.serving import Service
from runtime.embed.space import Space
from runtime.interpreting import loads_stack
from runtime.system import debug
from translator.conditions import holds
from translator.decode import Truncated, decode
from translator.faults import GuestFault
from translator.hooks import CAPTURE, COUNT, HOST, RING, SET, Marks
from translator.insn import Insn
from translator.planner import TOLD_INSNS, TOLD_WINDOW, FetchFault, Plan
from translator.semantics import STRINGS
from translator.shape import DISP, IMM, IMM2, NEXT, PC, TARGET, Slots, shape_of
from translator.state import FIELDS, WATCHED
from translator.state import Exit as Kind
from translator.tiers import interp

_EIP, _INFO, _CS_BASE = (FIELDS[name].offset // 4 for name in ("eip", "exit_info", "cs_base"))
_CONTEXT = FIELDS["context"].offset // 8
_BUDGET, _ATTENTION = FIELDS["budget"].offset // 8, FIELDS["attention"].offset // 4
_MASK64 = 0xFFFFFFFFFFFFFFFF
_GP, _DB = 13, 1
_DR6 = FIELDS["dr6"].offset // 4
_SOON, _OFTEN = 16, 64  # insns between watched accesses; such accesses of one insn
MARKS_MAX = 4096  # places that are marked because code leaves there


class Block(NamedTuple):
    """A block as hooks for edges are told it: address, insns, bytes."""

    pc: int
    icount: int
    size: int


class Stepping:
    """What a machine does without host code."""

    space: Space
    cpu: Cpu
    engine: EmbedEngine
    access: Access
    hooks: Hooks
    marks: Marks
    owner: Any
    exits: frozenset[int]
    stopping: bool
    msrs: dict[int, int]
    pins: Pins

    def stop(self) -> None:
        """Make the machine stop."""
        raise NotImplementedError

    def __init__(self) -> None:
        self.jumped = False  # a hook wrote eip
        self.called_at = -1  # the hooks of the insn here have been called already
        self.inside = -1  # where code is looked up next although no block begins there
        self._last_block: Block | None = None
        self._seen: set[int] = set()  # blocks that hooks for edges were told of
        self._handlers: dict[bytes, events.Handler | None] = {}
        self.delivery = Delivery(self)
        # The exception that hooks were told of last, with the registers then; how often in a row.
        self.stuck: tuple[tuple[int, bytes], int] = ((-1, b""), 0)
        self.watched: dict[int, int] = {}  # insns whose accesses were watched: how often of late
        self._watched_at = 0  # the budget then

    def pc(self) -> int:
        """Return the linear address of the insn at eip."""
        r32 = self.cpu.r32
        eip: int = r32[_EIP]
        return int(r32[_CS_BASE] + eip) & 0xFFFFFFFF

    def offset(self, linear: int) -> int:
        """Return where in CS a linear address is."""
        return int(linear - self.cpu.r32[_CS_BASE]) & 0xFFFFFFFF

    def step(self) -> bool:
        """Execute one insn with all its hooks; say whether to stop."""
        cpu, hooks, owner = self.cpu, self.hooks, self.owner
        r32 = cpu.r32
        eip, pc = r32[_EIP], self.pc()
        try:
            insn = self.decode()
        except FetchFault as fault:
            self.fetch(fault)
            return self.stopping
        is_called, before = False, self.engine.changes
        if hooks.by_kind["code"] or hooks.by_kind["block"] or hooks.by_kind["edge"]:
            if self.called_at != pc:
                calls = [(call, insn.length) for call in hooks.at("code", pc)]
                if self.inside != pc:
                    blocks = self.edge_calls(pc) + hooks.at("block", pc)
                    calls = [(call, self.extent(pc)) for call in blocks] + calls
                for (call, data), size in calls:
                    call(owner, pc, size, data)
                    if self.stopping:
                        return True
                if self.jumped:
                    self.jumped = False
                    self.called_at = self.inside = -1
                    return False
                r32[_EIP] = eip
            is_called = bool(hooks.at("code", pc) or hooks.at("block", pc))
        self.called_at = -1
        if pc in self.marks.conditions and not self._break(pc, insn.length):
            return self.stopping
        if self.engine.changes != before:  # hooks did: perhaps the insn is another now
            try:
                insn = self.decode()
            except FetchFault as fault:
                self.called_at = pc
                self.fetch(fault)
                return self.stopping
        if self.marks.insn_counts or self.marks.counts_blocks:
            self._count(pc)
        handler = self._handler(insn)
        cpu.r64[_BUDGET] = cpu.r64[_BUDGET] - 1 & _MASK64
        if handler is not None:
            handler(self, insn, eip)
        else:
            self._execute(insn, eip, is_called)
        if cpu.r32[_ATTENTION]:
            self.pins.requests.executed(insn)
        begins = self.jumped or events.ends_block(insn)
        self.inside, self.jumped = -1 if begins else self.pc(), False
        return self.stopping

    def trace(self) -> bool:
        """Execute one insn while TF is set: a debug trap follows (SDM vol. 3, 17.3.1.4)."""
        cpu, delivered = self.cpu, self.delivery.count
        try:
            shadows = loads_stack(self.decode())
        except (FetchFault, GuestFault):
            shadows = False
        if self.step():
            return True
        if shadows or self.delivery.count != delivered:
            return False
        cpu.r32[_DR6] |= debug.BS
        events.interrupt(self, _DB)
        if self.jumped:
            self.jumped, self.inside = False, -1
        return self.stopping

    def _break(self, pc: int, size: int) -> bool:
        """Call the breakpoints of an insn whose conditions hold; whether to execute it now."""
        cpu, changes = self.cpu, self.engine.changes
        eip = cpu.r32[_EIP]
        for hook in tuple(self.hooks.by_kind["break"]):
            if hook.first == pc and holds(hook.condition, cpu.r32[:8]):
                hook.callback(self.owner, pc, size, hook.data)
                if self.stopping:
                    return False
        if self.jumped or self.engine.changes != changes:
            is_elsewhere, self.jumped = self.jumped, False
            if not is_elsewhere:
                cpu.r32[_EIP] = eip
                return True
            self.inside = -1
            return False
        return True

    def _execute(self, insn: Insn, eip: int, is_called: bool) -> None:
        """Execute an insn that is nobody's affair but the CPU's, and the memory hooks'."""
        cpu = self.cpu
        r32 = cpu.r32
        is_string = insn.rep and insn.mnemonic in STRINGS
        left = r32[1] & (0xFFFF if insn.addr_width == 16 else 0xFFFFFFFF) if is_string else 0
        try:
            kind = interp.execute(insn, cpu, self.access)
        except GuestFault as fault:
            events.fault(self, fault)
            return
        self.engine.statistics.insns_interpreted += 1
        if kind == Kind.SYSCALL:
            events.interrupt(self, 0x80)
        elif kind == Kind.HALT:
            self.stop()
        elif kind:
            vector = r32[_INFO]
            if r32[_EIP] == eip:
                events.exception(self, vector)
            else:
                events.interrupt(self, vector)
        elif is_called and left == 1 and r32[_EIP] != eip and not events.ended_by_flag(cpu, insn):
            r32[_EIP] = eip  # hooks are called once more, for a count of 0

    def _count(self, pc: int) -> None:
        """Count an insn, and a block where one begins."""
        tallies = self.marks.of_insn(pc)
        if self.inside != pc:
            tallies += self.marks.of_block(pc)
        for how, place in tallies:
            if how == COUNT:
                ctypes.c_uint64.from_address(place).value += 1
            elif how >= CAPTURE:
                done = ctypes.c_uint64.from_address(place)
                slot = place + 8 + 4 * (done.value & RING - 1)
                ctypes.c_uint32.from_address(slot).value = self.cpu.r32[how - CAPTURE]
                done.value += 1
            else:
                ctypes.c_uint8.from_address(place).value = 1

    def _uncount(self, pc: int) -> None:
        """Take back what host code counted in front of an insn that it did not execute."""
        for how, place in self.marks.of_insn(pc):
            if how != SET:
                ctypes.c_uint64.from_address(place).value -= 1

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
        vector, eip = r32[_INFO], self.pc()
        if vector == WATCHED:
            if eip in self.exits:
                return True
            self.called_at = eip if self.hooks.by_kind["code"] else -1
            self.inside = eip
            self._uncount(eip)
            self._note_watched(eip)
            return self.step()
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
        self._serve(eip)
        self.called_at = eip if self.hooks.by_kind["code"] else -1
        self.inside = eip
        return self.step()

    def _is_behind_trap(self, eip: int) -> bool:
        return self.engine.mem.fetch(eip - 1 & 0xFFFFFFFF, 1) in (b"\xcc", b"\xce", b"\xf1")

    def _note_fault(self) -> None:
        """Mark an insn that accesses a device, so that the host need not fault there again."""
        address = self.cpu.r32[FIELDS["fault_address"].offset // 4]
        linear = self.access.linear
        frame = address >> 12 if linear is None else linear.frame_of(address)
        part = None if frame is None else self.space.part_at(frame << 12 | address & 0xFFF)
        eip = self.pc()
        if part is not None and (part.device is not None or part.perms & 3 == 3):
            self._note_insn(is_fault=True)
        self.called_at = eip if self.hooks.by_kind["code"] else -1
        self.inside = eip

    def _note_insn(self, *, is_fault: bool = False) -> None:
        """Mark an insn that host code leaves for, so that it comes back behind it."""
        eip = self.pc()
        if eip not in self.marks.stops:
            try:
                insn = self.decode()
            except FetchFault:
                return
            shape = shape_of(insn.key)
            is_plain = shape.terminal is None and not shape.is_supported
            if self._handler(insn) is not None or is_plain or (is_fault and not shape.terminal):
                self._serve(eip)
            elif shape.is_supported and not (is_fault or shape.is_float):
                # Host code left on the way: sti or popf, behind the hooks.
                is_host = self.marks.at(eip, shape) == HOST
                self.called_at = eip if is_host and self.hooks.by_kind["code"] else -1

    def _note_watched(self, pc: int) -> None:
        """Let Python execute an insn on the way if nearly all that it accesses is watched.

        That is cheaper than leaving each time: what tells is how few insns ran since the last one.
        """
        left, hits = self.cpu.r64[_BUDGET], self.watched.get(pc, 0)
        is_soon = 0 <= self._watched_at - left < _SOON
        self._watched_at = left
        self.watched[pc] = hits = hits + 1 if is_soon else max(hits - 4, 0)
        if hits == _OFTEN:
            shape = shape_of(self.decode().key)
            if shape.terminal is None and shape.insn.mnemonic not in STRINGS:
                self._serve(pc)

    def _serve(self, eip: int) -> None:
        """Let Python execute an insn on the way, from now on."""
        served = self.marks.served
        if eip not in served:
            if len(served) >= MARKS_MAX:
                served.clear()
            served.add(eip)
            self.engine.remark(eip, eip)

    def leaves_behind(self, plan: Plan, index: int) -> bool:
        """Whether eip shall be behind an insn of a plan as Python executes it."""
        insn = plan.items[index][0].insn
        is_direct = len(self.hooks.by_kind["interrupt"]) == 1 and not self.delivery.on
        return is_direct and events.vector_of(insn) is not None

    def service(self, pc: int, slots: Slots) -> Service:
        """Return what executes the insn at an address, for native code to call."""
        context = self.engine.context(self.cpu)
        code = self.engine.code.fetch_in(context, slots[PC], 15)  # as the plan read it
        insn = decode(code, 0, context.mode.unwatched)
        return direct.service(self, insn, slots) or Service([(self._server(insn, slots), ())])

    def _server(self, insn: Insn, slots: Slots) -> Callable[[], object]:
        """Return what executes an insn at any place."""
        eip, after, handler = slots[PC], slots[NEXT], self._handler(insn)
        if handler is not None:
            return partial(handler, self, insn, eip)
        function = interp.function_of(insn)
        cpu, r32, access, attend = self.cpu, self.cpu.r32, self.access, self.engine.serving.attend
        numbers = slots[IMM], slots[IMM2], slots[DISP], eip, after, slots[TARGET]
        r64 = cpu.r64

        def run() -> None:
            context = r64[_CONTEXT]
            try:
                result = function(cpu, access, *numbers)
            except GuestFault as fault:
                attend()
                events.fault(self, fault)
                return
            r32[_EIP] = result & 0xFFFFFFFF
            if result != after:
                attend()
                self._ended(result)
            elif r64[_CONTEXT] != context:  # what comes next is other code
                attend()

        return run

    def _ended(self, result: int) -> None:
        """Deal with an insn that did not just end."""
        kind = result >> 32 & 0xFF
        if kind == Kind.SYSCALL:
            events.interrupt(self, 0x80)
        elif kind:
            events.exception(self, result >> 40)

    def fetch(self, fault: FetchFault) -> None:
        """Deal with code that cannot be fetched; return once hooks have made that possible."""
        address, access = fault.address, self.access
        if address is None:  # behind the end of CS
            events.exception(self, _GP)
            return
        try:
            place = access.place(address, "fetch")
        except GuestFault as found:
            events.fault(self, found)
            return
        access.permitted("fetch", place, place, 1, 0)
        if not self.space.fetch(place, 1):
            raise Failure("fetch_unmapped")
        self.engine.changes += 1

    def edge_calls(self, pc: int) -> tuple[Call, ...]:
        """Return what to call before the hooks for a block, for those that are told of edges."""
        return ((self._tell_edge, None),) if self.hooks.at("edge", pc) else ()

    def _tell_edge(self, owner: Any, pc: int, size: int, data: None) -> None:
        """Call the hooks for edges when a block is reached for the first time."""
        before = self._last_block
        now = self._last_block = self._walk(pc)
        if pc in self._seen:
            return
        self._seen.add(pc)
        if before is not None:
            for call, more in self.hooks.at("edge", pc):
                call(owner, now, before, more)

    def extent(self, pc: int) -> int:
        """Return the size of the block at an address, as hooks are told it."""
        return self._walk(pc).size

    def _walk(self, pc: int) -> Block:
        """Decode to the end of the block at an address."""
        end, code, count = pc, self.engine.mem.fetch(pc, TOLD_WINDOW), 0
        mode = self.engine.context(self.cpu).mode
        while count < TOLD_INSNS:
            try:
                insn = decode(code, end - pc, mode)
            except Truncated:
                break
            end += insn.length
            count += 1
            if events.ends_block(insn) or end in self.exits:
                break
        return Block(pc, count, end - pc)
