"""The engine of a machine: what an access needs that faulted, and which view of memory code has."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable

from runtime import native
from runtime.access import GuestMemory
from runtime.blocktable import Block
from runtime.cpu import Cpu
from runtime.dispatch import Engine
from runtime.interpreting import Exit
from runtime.system import moves, streams
from runtime.system.devices import Devices
from runtime.system.linear import SUPERVISOR, USER, Linear
from translator import DEFAULT_STRATEGY
from translator.faults import GuestFault
from translator.hooks import Marks
from translator.insn import Insn
from translator.mode import CONTEXT_SHIFT, context_of
from translator.planner import FetchFault
from translator.quick import paging as at
from translator.quick.usercode import IS_MARKED
from translator.state import FIELDS

_EIP, _ATTENTION = FIELDS["eip"].offset // 4, FIELDS["attention"].offset // 4
_BASE = FIELDS["memory_base"].offset // 8
_PAGING, _CONTEXT = FIELDS["paging"].offset // 8, FIELDS["context"].offset // 8
_PF, _WRITE, _FETCH = 14, 2, 16
_OFFSET = 0xFFFFFFFF  # in CS, in a location
_MET_OFTEN, _MARKS_MAX = 4, 4096
_WIDEST = 64  # bits that are one access


class LinearAccess(GuestMemory):
    """Accesses of the interp tier, as guest code sees memory now."""

    def __init__(self, mem: Linear) -> None:
        super().__init__(mem)
        self.linear, self.supervisor = mem, False

    @property
    def view(self) -> int:
        """The window that accesses go through."""
        return SUPERVISOR if self.supervisor else self.linear.view

    def load_system(self, address: int, width: int) -> int:
        """Read as ring 0 does, whatever the privilege level."""
        before, self.supervisor = self.supervisor, True
        try:
            return self.load(address, width)
        finally:
            self.supervisor = before

    def store_system(self, address: int, value: int, width: int) -> None:
        """Write as ring 0 does."""
        before, self.supervisor = self.supervisor, True
        try:
            self.store(address, value, width)
        finally:
            self.supervisor = before

    def load(self, address: int, width: int) -> int:
        """Read *width* bits (8, 16, 32, 64, 80 or 128)."""
        call = native.loads.get(width)
        if call is None:
            low = self.load(address, _WIDEST)
            return low | self.load(address + 8 & 0xFFFFFFFF, width - _WIDEST) << _WIDEST
        view = self.view
        base = self.linear.bases[view]
        if address + width // 8 > 1 << 32:
            return self._bytes(address, width)
        while call(base + address, self.out_address):
            if not self._fill(address, width // 8, 0, view):
                return self._bytes(address, width)
        return self.out.value

    def store(self, address: int, value: int, width: int) -> None:
        """Write *width* bits; all of them or none."""
        call = native.stores.get(width)
        if call is None:
            self._probe(address, width)
            self.store(address, value & 0xFFFFFFFFFFFFFFFF, _WIDEST)
            self.store(address + 8 & 0xFFFFFFFF, value >> _WIDEST, width - _WIDEST)
            return
        view = self.view
        base = self.linear.bases[view]
        if address + width // 8 > 1 << 32:
            self._store_bytes(address, value, width)
            return
        while call(base + address, value):
            if not self._fill(address, width // 8, at.A_WRITE, view):
                self._store_bytes(address, value, width)
                return

    def cmpxchg(self, address: int, expected: int, new: int, width: int) -> int:
        """Atomically write *new* if *expected* is there; return what was there."""
        call, view = native.exchanges[width], self.view
        base = self.linear.bases[view]
        while call(base + address, expected, new, self.out_address):
            if not self._fill(address, width // 8, at.A_WRITE, view):
                seen = self.load(address, width)
                self.store(address, new if seen == expected else seen, width)
                return seen
        return self.out.value & ((1 << width) - 1)

    def _probe(self, address: int, width: int) -> None:
        """Fault before a store of two parts if its second part would."""
        kind = at.A_WRITE | (at.A_USER if self.view == USER else 0)
        self.linear.walk(address, kind)
        last = address + width // 8 - 1 & 0xFFFFFFFF
        if (last ^ address) >> 12:
            self.linear.walk(last & ~0xFFF, kind)

    def _fill(self, address: int, size: int, kind: int, view: int) -> bool:
        """Map the pages of an access; False if a device takes part in it."""
        kind |= at.A_USER if view == USER else 0
        last = address + size - 1 & 0xFFFFFFFF
        done = self.linear.fill(address, kind, view)
        if last >> 12 != address >> 12:
            try:
                done = self.linear.fill(last, kind, view) and done
            except GuestFault as fault:
                raise GuestFault(_PF, last & ~0xFFF, fault.error) from None
        return done

    # -- devices, and what wraps at 4 GiB: at once within a page, else byte by byte ----------------
    def _place(self, address: int, kind: int) -> int:
        kind |= at.A_MARK | (at.A_USER if self.view == USER else 0)
        return self.linear.walk(address, kind) >> 8 << 12 | address & 0xFFF

    def _bytes(self, address: int, width: int) -> int:
        size = width // 8
        if (address & 0xFFF) + size <= 0x1000:
            return self.linear.physical.load(self._place(address, 0), width)
        places = [self._place(address + i & 0xFFFFFFFF, 0) for i in range(size)]
        return sum(self.linear.physical.load(p, 8) << 8 * i for i, p in enumerate(places))

    def _store_bytes(self, address: int, value: int, width: int) -> None:
        size = width // 8
        value &= (1 << width) - 1
        if (address & 0xFFF) + size <= 0x1000:
            self.linear.physical.store(self._place(address, at.A_WRITE), value, width)
            return
        places = [self._place(address + i & 0xFFFFFFFF, at.A_WRITE) for i in range(size)]
        for i, place in enumerate(places):
            self.linear.physical.store(place, value >> 8 * i & 0xFF, 8)


# How repeated insns are executed where many items go at once.
_IN_BLOCKS = {
    "ins": streams.repeat,
    "outs": streams.repeat,
    "movs": moves.repeat,
    "stos": moves.repeat,
}


class SystemEngine(Engine):
    """An engine whose memory is Linear."""

    def __init__(self, mem: Linear, strategy: str = DEFAULT_STRATEGY) -> None:
        super().__init__(mem, strategy)
        self.linear = mem
        self.cpu: Cpu
        self.devices: Devices
        self.met: dict[int, int] = {}  # linear address of an insn -> how often it met a device
        mem.on_remap = self._remapped
        mem.on_forget = self._forget
        function, i64 = native.arena.function, ctypes.c_int64
        self._put_aside = function("put_aside", i64, *[i64] * 2, keep_gil=True)
        self._forget_aside = function("forget_aside", i64, *[i64] * 2, keep_gil=True)
        mem.use_blocks(self.cache.table.address, self.cache.table.fields, self.lock)

    def frames(self, pages: Iterable[int]) -> dict[int, int]:
        """Say which frames pages of ring 3's code show, or showed last."""
        return {page: self.linear.frame_word(page) for page in pages}

    def settle(self, block: Block) -> None:
        """Put a region of ring 3 aside whose pages are not all active."""
        if not _is_put_aside(block):
            return
        table = self.cache.table
        for page in table.expect(block, self.linear.frame_word):
            self._put_aside(table.address, page)

    def catch_up(self) -> None:
        """Take note of what native code did by itself."""
        self.linear.take_log()

    def _forget(self, gone: list[int], others: list[int]) -> None:
        """Forget what was read of pages whose code of ring 3 was put aside."""
        with self.lock:
            self.code.forget(gone)
            for page in gone:
                for place in self.insn_pages.pop(page, ()):
                    self.insns.pop(place, None)
            if others:
                self.tiering.remapped(others)
            self.forget_jumps()

    def _remapped(self, pages: list[int]) -> None:
        """Drop code of pages that are others now, but that of ring 3, which is put aside."""
        table = self.cache.table
        with self.lock:
            self.code.forget(pages)
            dropped = []
            for page in pages:
                for place in self.insn_pages.pop(page, ()):
                    self.insns.pop(place, None)
                if table.page_heads[page]:
                    dropped += [b for b in table.of_page(page) if not _is_put_aside(b)]
            for block in dropped:
                self.cache.drop(block)
            self.statistics.invalidations += len(dropped)
            self.tiering.invalidate(pages, dropped)
            self.forget_jumps()

    def _install(self, location: int, fpu: int) -> Block:
        linear = self.linear
        if linear.view == USER and linear.space:
            context = context_of(location >> CONTEXT_SHIFT)
            page = context.linear(location & _OFFSET) >> 12
            if page not in self.code.open_pages and not linear.is_watched(page):
                linear.watch(page)  # and what was put aside of it comes back
                block = self.cache.find(location, fpu)
                if block is not None:
                    return block
        return super()._install(location, fpu)

    def invalidate(self, address: int, size: int) -> None:
        """Drop all translated code that depends on a range of guest memory, put aside or not."""
        table = self.cache.table
        with self.lock:
            for page in table.pages(address >> 12, address + max(size, 1) - 1 >> 12):
                self._forget_aside(table.address, page)
        super().invalidate(address, size)

    def attach(self, cpu: Cpu) -> None:
        """Let the fault handler map pages for a CPU, the only one."""
        self.cpu = cpu
        self.devices = Devices(self.cache.table.address, cpu, self.linear)
        if self.strategy is not None:
            self.enter = self.devices.enter
        cpu.r64[_PAGING] = self.linear.context_address
        for name in ("device_load", "device_store"):
            code = native.arena.base + native.arena.symbols[f"jitemu_{name}"]
            cpu.r64[FIELDS[name].offset // 8] = code
        self._change_context(cpu, cpu.r64[_CONTEXT])

    def run(self, cpu: Cpu) -> Exit:
        """Run until something outside the CPU is needed; see Exit."""
        native.current.base = 0  # compiled code and other threads may have changed what is seen
        return super().run(cpu)

    def _memory(self) -> GuestMemory:
        try:
            return self.access.memory  # type: ignore[no-any-return]
        except AttributeError:
            self.access.memory = LinearAccess(self.linear)
            return self.access.memory  # type: ignore[no-any-return]

    def _change_context(self, cpu: Cpu, context: int) -> None:
        super()._change_context(cpu, context)
        view = USER if self.context(cpu).mode.cpl == 3 else SUPERVISOR
        base = self.linear.bases[view]
        if view != self.linear.view:
            self.linear.select(view)
            native.use_memory(base)  # `current` may not know what compiled code changed
        elif native.current.base != base:
            native.use_memory(base)
        cpu.r64[_BASE] = base

    def _run_interp(self, cpu: Cpu) -> Exit:
        self._change_context(cpu, cpu.r64[_CONTEXT])
        return super()._run_interp(cpu)

    def step(self, cpu: Cpu) -> Exit | None:
        """Execute one insn, whatever else waits."""
        self._change_context(cpu, cpu.r64[_CONTEXT])
        return super().step(cpu)

    def _interpret(self, cpu: Cpu) -> Exit | None:
        insn = self._known(cpu)
        repeat = _IN_BLOCKS.get(insn.mnemonic) if insn is not None and insn.rep else None
        if insn is not None and repeat is not None and repeat(cpu, self.linear, insn):
            if cpu.r32[_ATTENTION] and cpu.system is not None:
                cpu.system.requests.behind()
            return None
        done = super()._interpret(cpu)
        if cpu.r64[_CONTEXT] != cpu.context_seen:
            self._change_context(cpu, cpu.r64[_CONTEXT])
        return done

    def _known(self, cpu: Cpu) -> Insn | None:
        """Return the insn that is next if it was decoded before and is still the same."""
        eip, context = cpu.r32[_EIP], cpu.r64[_CONTEXT]
        place = eip | context << CONTEXT_SHIFT - 32
        insn = self.insns.get(place)
        if insn is None and (known := self.open_insns.get(place)) is not None:
            code, insn = known
            if self._fetch(self.context(cpu), eip, len(code)) != code:
                return None
        return insn

    def _fault(self, cpu: Cpu) -> Exit | None:
        """Map the page that an access needs; let the interp tier talk to devices."""
        done = super()._fault(cpu)
        if done is None:
            return None
        view = self.linear.view
        kind = at.A_WRITE if done.error & _WRITE else 0
        try:
            if self.linear.fill(done.address, kind | (at.A_USER if view == USER else 0), view):
                return None
        except GuestFault as fault:
            return Exit("fault", fault.vector, fault.address, fault.error)
        self._meet(self.context(cpu).linear(cpu.eip), done.address, kind)
        return self._interpret(cpu)

    def _meet(self, pc: int, address: int, kind: int) -> None:
        """Note that an insn met a device: soon host code calls that, or leaves before the insn."""
        count = self.met[pc] = self.met.get(pc, 0) + 1
        if count < _MET_OFTEN or self.strategy is None:
            return
        marks = self.code.marks = self.code.marks or Marks()
        if len(marks.stops) + len(marks.devices) >= _MARKS_MAX:
            marks.stops.clear()
            marks.devices.clear()
            self.met.clear()
        self.linear.bar(pc >> 12, IS_MARKED, is_barred=True)
        if self._is_compiled(address, kind):
            self.met[pc] = 0
            if pc in marks.devices:  # that device asked for Python, or the code is not there yet
                return
            marks.devices.add(pc)
        else:
            marks.devices.discard(pc)
            marks.stops.add(pc)
        self.invalidate(pc, 1)

    def _is_compiled(self, address: int, kind: int) -> bool:
        """Whether host code can call the device at a linear address."""
        frame = self.linear.frame_of(address, kind | (at.A_USER if self.linear.view else 0))
        device = None if frame is None else self.linear.physical.device_at(frame << 12)
        return device is not None and device.code is not None

    def _fetch_fault(self, cpu: Cpu, fault: FetchFault) -> Exit:
        if fault.address is None:
            return super()._fetch_fault(cpu, fault)
        kind = at.A_FETCH | (at.A_USER if self.linear.view == USER else 0)
        try:
            self.linear.walk(fault.address, kind)
        except GuestFault as found:
            return Exit("fault", _PF, fault.address, found.error)
        return Exit("fault", _PF, fault.address, _FETCH)


def _is_put_aside(block: Block) -> bool:
    """Whether a block is flat code of ring 3 with paging, which knows its frames."""
    number = block.row.context
    mode = context_of(number).mode
    return mode.cpl == 3 and mode.is_flat and number & 0xFFFF != 0
