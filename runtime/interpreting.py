"""The engine's part that executes guest insns one by one, by the interp tier.

In: a Cpu of an engine. Out: None to go on, or why the personality is needed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from runtime import bounds, helpers, helpers_simd, helpers_x87, native
from runtime.access import GuestMemory
from runtime.counting import Statistics
from runtime.cpu import STEPPED, Cpu
from runtime.guestcode import CONTEXT_SHIFT, GuestCode, fetch_in, pages_of_span
from runtime.memory import Memory
from runtime.system import bodies, segments
from translator import flags
from translator.decode import TOO_LONG, Truncated, decode
from translator.faults import GuestFault
from translator.insn import Insn, Special
from translator.mode import USER_CONTEXT, Context, context_of
from translator.planner import FetchFault
from translator.shape import ALL_FLAGS, shape_of
from translator.state import FIELDS
from translator.state import Exit as Kind
from translator.tiers import interp

if TYPE_CHECKING:
    from runtime.blocktable import TableLock

_ = (bodies, helpers, helpers_simd, helpers_x87)  # they register the bodies of helpers
_EIP, _STOP = FIELDS["eip"].offset // 4, FIELDS["stop"].offset // 4
_INFO, _REST = FIELDS["exit_info"].offset // 4, FIELDS["eflags_rest"].offset // 4
_BUDGET, _CONTEXT = FIELDS["budget"].offset // 8, FIELDS["context"].offset // 8
_ATTENTION = FIELDS["attention"].offset // 4
_GP, _DB, _UD, _NM = 13, 1, 6, 7
_CR0, _MP, _EM, _TS = FIELDS["cr0"].offset // 4, 2, 4, 8
NO_FPU = _EM | _TS  # bits of CR0
_OPEN_MAX = 4096  # insns of open pages that are kept
STEPS = 1 << flags.TF | STEPPED  # bits of eflags_rest that make the engine go insn by insn
_LOADS_FLAGS = frozenset({"popf", "iret"})
_SS = 2


class Exit(NamedTuple):
    """Why guest code stopped. kind: syscall, fault, stop, budget, int, halt, attention."""

    kind: str
    vector: int = -1
    address: int = 0
    error: int = 0
    info: str = ""


SYSCALL, STOP, BUDGET, HALT = Exit("syscall"), Exit("stop"), Exit("budget"), Exit("halt")
ATTENTION = Exit("attention")  # something at the processor's pins can be served now


class Interpreting:
    """What an engine does without host code."""

    mem: Memory
    lock: TableLock
    code: GuestCode
    statistics: Statistics
    access: threading.local
    insns: dict[int, Insn]  # by location, without the bit for floating point
    insn_pages: dict[int, set[int]]
    # By location, where pages are open: the bytes that an insn was decoded from, and it.
    open_insns: dict[int, tuple[bytes, Insn]]

    def context(self, cpu: Cpu) -> Context:
        """Return the mode and place of the code that a thread runs."""
        number = cpu.r64[_CONTEXT] >> 32
        return context_of(number) if number else USER_CONTEXT

    def _stop(self, cpu: Cpu) -> Exit | None:
        """Take a stop request, or a poke; first run on to where no flags are missing."""
        if not native.is_stopped(cpu):
            if cpu.system is None or not cpu.system.requests.is_urgent:
                return None
            return self._settle(cpu, until="cli") or ATTENTION
        done = self._settle(cpu)
        if done is not None:
            return done  # the request stays, for the next call
        native.clear_stop(cpu)
        return STOP

    def _settle(self, cpu: Cpu, until: str = "") -> Exit | None:
        """Execute the few insns that define the flags which the last block left undefined.

        *until*: a mnemonic to stop in front of. An interrupt that comes between sti and cli must
        not come later, and the flags that are missing then nobody but its handler could see.
        """
        eip = cpu.r32[_EIP]
        with self.lock:
            ahead = self.code.peek(eip, self.context(cpu))
        if ahead.needed == ALL_FLAGS:
            return None
        for _ in range(ahead.insns):
            if cpu.budget <= 0:  # the last insns of a budget run one by one: nothing is missing
                break
            try:
                if until and self._decode(cpu).mnemonic == until:
                    break
            except FetchFault as fault:
                return self._fetch_fault(cpu, fault)
            done = self._interpret(cpu)
            if done is not None:
                return done
        return None

    def _memory(self) -> GuestMemory:
        try:
            return self.access.memory  # type: ignore[no-any-return]
        except AttributeError:
            self.access.memory = GuestMemory(self.mem)
            return self.access.memory  # type: ignore[no-any-return]

    def _fetch(self, context: Context, offset: int, size: int) -> bytes:
        """Read code where it is now."""
        return fetch_in(context, offset, size, self.mem.fetch)

    def _decode(self, cpu: Cpu) -> Insn:
        eip = cpu.r32[_EIP]
        place = eip | cpu.r64[_CONTEXT] << CONTEXT_SHIFT - 32
        insn = self.insns.get(place)
        if insn is None:
            context = self.context(cpu)
            code = self._fetch(context, eip, 1 << 16 if context.mode.wraps else 15)
            known = self.open_insns.get(place)
            if known is not None and code.startswith(known[0]):
                return known[1]
            try:
                insn = decode(code, 0, context.mode.unwatched)
            except Truncated:
                raise FetchFault(eip, context.missing(eip, len(code))) from None
            spans = context.spans(eip, insn.length)
            if any(self.code.is_open(*span) for span in spans):
                if len(self.open_insns) >= _OPEN_MAX:
                    self.open_insns.clear()
                self.open_insns[place] = code[: insn.length], insn
                return insn
            with self.lock:
                bounds.trim_insns(self)
                for page in {page for span in spans for page in pages_of_span(*span)}:
                    self.mem.watch(page)
                    self.insn_pages.setdefault(page, set()).add(place)
                if self._fetch(context, eip, insn.length) == code[: insn.length]:
                    self.insns[place] = insn
        return insn

    def _interpret(self, cpu: Cpu) -> Exit | None:
        """Execute one insn by the interp tier."""
        try:
            insn = self._decode(cpu)
            if cpu.r32[_CR0] & NO_FPU:
                _check_fpu(insn, cpu.r32[_CR0])
            kind = interp.execute(insn, cpu, self._memory())
        except FetchFault as fault:
            return self._fetch_fault(cpu, fault)
        except GuestFault as guest:
            return Exit("fault", guest.vector, guest.address, guest.error)
        if insn.mnemonic in _LOADS_FLAGS and insn.mode.cpl == 3:
            segments.update_context(cpu)  # AC is part of the mode
        self.statistics.insns_interpreted += 1
        cpu.r64[_BUDGET] = cpu.r64[_BUDGET] - 1 & 0xFFFFFFFFFFFFFFFF
        if cpu.r32[_ATTENTION] and cpu.system is not None:
            cpu.system.requests.executed(insn)
        if kind == 0:
            return None
        if kind == Kind.SYSCALL:
            return SYSCALL
        if kind == Kind.INT:
            return Exit("int", cpu.r32[_INFO])
        return HALT if kind == Kind.HALT else Exit("fault", cpu.r32[_INFO])

    def step(self, cpu: Cpu) -> Exit | None:
        """Execute one insn, whatever else waits."""
        return self._single_step(cpu) if cpu.r32[_REST] & STEPS else self._interpret(cpu)

    def _single_step(self, cpu: Cpu) -> Exit | None:
        """Execute one insn while TF is set: a debug trap follows (SDM vol. 3, 17.3.1.4)."""
        if cpu.system is not None:
            return cpu.system.debug.step(self, cpu)
        try:
            shadows = loads_stack(self._decode(cpu))
        except FetchFault:
            shadows = False
        done = self._interpret(cpu)
        if done is not None or shadows:
            return done
        return Exit("fault", _DB, info="step")

    def _fetch_fault(self, cpu: Cpu, fault: FetchFault) -> Exit:
        if fault.address is None:
            return Exit("fault", _GP)
        present = 1 if self.mem.prot_at(fault.address) is not None else 0
        return Exit("fault", 14, fault.address, 16 | 4 | present)

    def _run_interp(self, cpu: Cpu) -> Exit:
        """Run one insn at a time: always, or what is left of the budget if no block fits in."""
        while True:
            if cpu.r32[_STOP] and (done := self._stop(cpu)) is not None:
                return done
            if cpu.budget <= 0:
                return BUDGET
            done = self._single_step(cpu) if cpu.r32[_REST] & STEPS else self._interpret(cpu)
            if done is not None:
                return done


def _check_fpu(insn: Insn, cr0: int) -> None:
    """Raise #NM or #UD for an insn that CR0.EM or CR0.TS forbids (SDM vol. 3, 2.5).

    Where CR4.OSFXSR is 0, SSE insns use nothing: they raise #UD themselves, which comes first.
    """
    if insn.mnemonic == "fwait":
        if cr0 & (_MP | _TS) == _MP | _TS:
            raise GuestFault(_NM)
    elif insn.key != TOO_LONG and shape_of(insn.key).uses_fpu:
        raise GuestFault(_NM if insn.mnemonic.startswith("f") or not cr0 & _EM else _UD)


def loads_stack(insn: Insn) -> bool:
    """Whether no debug trap comes behind an insn: mov ss and pop ss (SDM vol. 3, 6.8.3)."""
    if insn.mnemonic not in ("movseg", "popseg"):
        return False
    first = insn.operands[0]
    return isinstance(first, Special) and first.index == _SS
