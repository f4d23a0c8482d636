"""Debug registers and the debug exceptions that they and TF raise (SDM vol. 3, chapter 17).

While a breakpoint is enabled, the engine goes insn by insn, as under TF, and asks `Debug.step`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runtime.cpu import STEPPED
from translator import flags
from translator.faults import GuestFault
from translator.planner import FetchFault
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.access import GuestMemory
    from runtime.cpu import Cpu
    from runtime.interpreting import Exit, Interpreting
    from runtime.system.processor import Processor

_DR = [FIELDS[f"dr{i}"].offset // 4 for i in range(8)]
_REST, _CR4 = FIELDS["eflags_rest"].offset // 4, FIELDS["cr4"].offset // 4
_EIP = FIELDS["eip"].offset // 4
_DB, _UD = 1, 6
DR6_FIXED, DR6_KNOWN = 0xFFFF0FF0, 0xE00F
DR7_FIXED, DR7_CLEAR = 0x400, 0xD800
BD, BS, BT = 1 << 13, 1 << 14, 1 << 15
_GD, _ENABLED = 1 << 13, 0xFF
_CR4_DE = 1 << 3
_EXECUTE, _WRITE, _PORT, _ACCESS = range(4)
_LENGTHS = (1, 2, 8, 4)
_TF, _RF = 1 << flags.TF, 1 << flags.RF


class Debug:
    """The debug facilities of one processor."""

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        self.pending = 0  # bits of DR6 for a trap that comes before the next insn
        self.hits = 0  # breakpoints that this insn met
        self.held = 0  # those met by an insn that loaded SS: the trap comes one insn later

    def reset(self) -> None:
        """Set the registers as after reset."""
        r32 = self.processor.cpu.r32
        for index in range(4):
            r32[_DR[index]] = 0
        r32[_DR[6]], r32[_DR[7]] = DR6_FIXED, DR7_FIXED
        self.pending = self.hits = self.held = 0
        self._arm()

    # -- registers ---------------------------------------------------------------------------------
    def _index(self, index: int) -> int:
        """Say which register is meant; general detection comes first."""
        r32 = self.processor.cpu.r32
        if index in (4, 5):
            if r32[_CR4] & _CR4_DE:
                raise GuestFault(_UD)
            index += 2
        if r32[_DR[7]] & _GD:
            r32[_DR[6]] |= BD
            raise GuestFault(_DB)
        return index

    def read(self, index: int) -> int:
        """Read a debug register, as mov does."""
        return int(self.processor.cpu.r32[_DR[self._index(index)]])

    def write(self, index: int, value: int) -> None:
        """Write a debug register, as mov does."""
        index = self._index(index)
        if index == 6:
            value = value & DR6_KNOWN | DR6_FIXED
        elif index == 7:
            value = value & ~DR7_CLEAR | DR7_FIXED
        self.processor.cpu.r32[_DR[index]] = value
        self._arm()

    def _arm(self) -> None:
        """Tell the engine whether it has to go insn by insn."""
        r32 = self.processor.cpu.r32
        if self.pending or self.held or r32[_DR[7]] & _ENABLED:
            r32[_REST] |= STEPPED
        else:
            r32[_REST] &= ~STEPPED

    def begin_handler(self) -> None:
        """Let the handler of #DB read debug registers: it starts with GD clear."""
        self.processor.cpu.r32[_DR[7]] &= ~_GD

    # -- breakpoints -------------------------------------------------------------------------------
    def match(self, kinds: tuple[int, ...], address: int, size: int) -> int:
        """Return bits of DR6 for the breakpoints that an access meets; 0 if none is enabled."""
        r32 = self.processor.cpu.r32
        control, found, is_enabled = r32[_DR[7]], 0, False
        for index in range(4):
            if control >> 16 + 4 * index & 3 not in kinds:
                continue
            length = _LENGTHS[control >> 18 + 4 * index & 3]
            start = r32[_DR[index]] & -length
            if start < address + size and address < start + length:
                found |= 1 << index
                is_enabled |= bool(control >> 2 * index & 3)
        return found if is_enabled else 0

    def port(self, port: int, size: int) -> None:
        """Note a port access."""
        if self.processor.cpu.r32[_CR4] & _CR4_DE:
            self.hits |= self.match((_PORT,), port, size)

    def task_trap(self) -> None:
        """Raise a trap before the first insn of a task whose T bit is set."""
        self.pending |= BT
        self._arm()

    # -- stepping ----------------------------------------------------------------------------------
    def step(self, engine: Interpreting, cpu: Cpu) -> Exit | None:
        """Execute one insn with all that may be raised before and behind it."""
        from runtime.interpreting import Exit, loads_stack

        r32 = cpu.r32
        if self.pending:
            return self._trap(self.pending)
        rest, eip = r32[_REST], r32[_EIP]
        if not rest & _RF:
            hits = self.match((_EXECUTE,), engine.context(cpu).linear(eip), 1)
            if hits:
                r32[_DR[6]] |= hits
                return Exit("fault", _DB, info="breakpoint")
        r32[_REST] = rest & ~_RF
        try:
            shadows = loads_stack(engine._decode(cpu))
        except (FetchFault, GuestFault):
            shadows = False
        self.hits = 0
        done = self._execute(engine, cpu)
        if done is not None and done.kind != "halt":
            self.held = 0
            self._arm()
            return done
        hits = self.hits | self.held
        if shadows:
            self.held = hits
            self._arm()
            return None
        hits |= BS if rest & _TF else 0
        self.held = 0
        self._arm()
        return self._trap(hits) if hits else done

    def _trap(self, hits: int) -> Exit:
        from runtime.interpreting import Exit

        self.processor.cpu.r32[_DR[6]] |= hits
        self.pending = 0
        self._arm()
        return Exit("fault", _DB, info="step")

    def _execute(self, engine: Interpreting, cpu: Cpu) -> Exit | None:
        if not self.match_possible():
            return engine._interpret(cpu)
        inner = engine._memory()
        engine.access.memory = Watching(inner, self)
        try:
            return engine._interpret(cpu)
        finally:
            engine.access.memory = inner

    @contextmanager
    def watching_delivery(self, vector: int) -> Iterator[None]:
        """Note what the delivery of an interrupt reads and writes: the trap comes in its handler.

        What the delivery of #DB does meets no breakpoint, so that there is an end.
        """
        if vector == _DB or not self.match_possible():
            yield
            return
        p, inner, self.hits = self.processor, self.processor.access, 0
        p.access = Watching(inner, self)  # type: ignore[assignment]
        try:
            yield
            self.pending |= self.hits
            self._arm()
        finally:
            p.access = inner

    def match_possible(self) -> bool:
        """Tell whether a data breakpoint is enabled."""
        control = self.processor.cpu.r32[_DR[7]]
        return any(
            control >> 2 * i & 3 and control >> 16 + 4 * i & 3 in (_WRITE, _ACCESS)
            for i in range(4)
        )


class Watching:
    """Guest memory that reports what data breakpoints want to know."""

    def __init__(self, inner: GuestMemory, debug: Debug) -> None:
        self.inner, self.debug = inner, debug

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def load(self, address: int, width: int) -> int:
        """Read; only a breakpoint for any access is met."""
        value = self.inner.load(address, width)
        self.debug.hits |= self.debug.match((_ACCESS,), address, width // 8)
        return value

    def store(self, address: int, value: int, width: int) -> None:
        """Write."""
        self.inner.store(address, value, width)
        self.debug.hits |= self.debug.match((_WRITE, _ACCESS), address, width // 8)

    def load_system(self, address: int, width: int) -> int:
        """Read as ring 0."""
        value = self.inner.load_system(address, width)
        self.debug.hits |= self.debug.match((_ACCESS,), address, width // 8)
        return value

    def store_system(self, address: int, value: int, width: int) -> None:
        """Write as ring 0."""
        self.inner.store_system(address, value, width)
        self.debug.hits |= self.debug.match((_WRITE, _ACCESS), address, width // 8)

    def cmpxchg(self, address: int, expected: int, new: int, width: int) -> int:
        """Exchange, which is a write whatever is there."""
        found = self.inner.cmpxchg(address, expected, new, width)
        self.debug.hits |= self.debug.match((_WRITE, _ACCESS), address, width // 8)
        return found
