"""A processor without an operating system: engine, registers, memory; delivers exceptions itself.

`run` goes on until something outside the processor is needed: hlt, a limit, or the shutdown that a
fault ends in which cannot be delivered.  What is at its pins (ports, interrupt requests) is set by
who made it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from runtime import native
from runtime.access import GuestMemory
from runtime.cpu import Cpu
from runtime.dispatch import Engine
from runtime.interpreting import BUDGET, HALT, Exit
from runtime.memory import Memory
from runtime.system import control, interrupts, old, segments
from runtime.system.debug import Debug
from runtime.system.engine import LinearAccess, SystemEngine
from runtime.system.linear import CR0_PG, CR0_WP, CR4_PAE, CR4_PGE, CR4_PSE, Linear
from runtime.system.requests import NMI, Requests
from translator import DEFAULT_STRATEGY
from translator.faults import GuestFault
from translator.mode import LATER_FLAGS, Model
from translator.quick.system import HAS_ERROR, SAVES_RF
from translator.state import FIELDS

_CR = {i: FIELDS[f"cr{i}"].offset // 4 for i in (0, 2, 3, 4)}
_IDTR_LIMIT, _GDTR_LIMIT = (FIELDS[f"{n}_limit"].offset // 2 for n in ("idtr", "gdtr"))
_TR_LIMIT, _TR_ATTR = (FIELDS[f"tr_{n}"].offset // 4 for n in ("limit", "attr"))
_LDTR_LIMIT, _LDTR_ATTR = (FIELDS[f"ldtr_{n}"].offset // 4 for n in ("limit", "attr"))
_EIP = FIELDS["eip"].offset // 4
Registers = tuple[int, int, int, int]  # EAX EBX ECX EDX
SHUTDOWN = Exit("shutdown")
_DB, _BP, _OF, _UD, _PF = 1, 3, 4, 6, 14
_AS_FAULT = HAS_ERROR | SAVES_RF
_ATTENTION = FIELDS["attention"].offset // 4
# Of CR0 and CR4: what changes how memory is seen (SDM vol. 3, 4.10.4.1).
_PAGING_BITS = {0: CR0_PG | CR0_WP | segments.CR0_PE, 4: CR4_PSE | CR4_PAE | CR4_PGE}
_NOT_HALTED = (-1, -1)
_SPURIOUS = 0xFF  # what a processor reads from a bus where nobody answers INTA


def _no_port(port: int, size: int) -> int:
    return (1 << 8 * size) - 1


def _no_controller() -> int:
    return _SPURIOUS


def _ignore(port: int, value: int, size: int) -> None:
    pass


class Extras(Protocol):
    """What a machine adds to its processor."""

    def cpuid(self, number: int, found: Registers) -> Registers:
        """Return what CPUID says, given what the processor alone would say."""
        ...

    def read_msr(self, index: int) -> int | None:
        """Return a model-specific register; None for one that the machine does not add."""
        ...

    def write_msr(self, index: int, value: int) -> bool:
        """Write one; False if the machine does not add it."""
        ...


class Processor:
    """One CPU with its memory and its engine."""

    extras: Extras | None = None

    watches = 0  # which accesses somebody watches (mode.py)
    cr4_harmless = 0  # bits that CR4 may hold besides those that mean something

    def __init__(
        self, memory: Memory, strategy: str = DEFAULT_STRATEGY, model: Model = Model.MAX
    ) -> None:
        """Make a processor in real mode, as after reset but for CS:IP, which is 0:0."""
        self.memory, self.model = memory, model
        self.cpu = Cpu(memory)
        self.cpu.system = self
        self.linear = memory if isinstance(memory, Linear) else None
        if self.linear is not None:
            engine = SystemEngine(self.linear, strategy)
            self.engine: Engine = engine
            self.access: GuestMemory = LinearAccess(self.linear)
            engine.attach(self.cpu)
            self.linear.let_compiled(LATER_FLAGS.get(model, 0))
        else:
            self.engine, self.access = Engine(memory, strategy), GuestMemory(memory)
        self.debug = Debug(self)
        self.msrs: dict[int, int] = {}
        self._clock: Callable[[], int] = time.monotonic_ns
        self.requests = Requests(self.cpu)
        self._halted_at = _NOT_HALTED
        # The INTA cycle: what the interrupt controller answers with.
        self.acknowledge: Callable[[], int] = _no_controller
        self.connect(_no_port, _ignore)
        # Of data ports, for rep ins and outs (runtime/bus.py): (port, bytes, items) -> data that is
        # there now; (port, data, bytes) -> how many bytes were taken.
        self.read_stream: Callable[[int, int, int], bytes] = lambda port, size, count: b""
        self.write_stream: Callable[[int, bytes, int], int] = lambda port, data, size: 0
        # Called with EIP at an undefined insn: whether it meant something to the firmware
        # (runtime/firmware/callbacks.py), so that there is no exception.
        self.on_undefined: Callable[[], bool] = lambda: False
        self.reset()

    def reset(self) -> None:
        """Set registers as after reset (SDM vol. 3, table 10-1), CS:IP apart."""
        cpu = self.cpu
        cpu.reset()
        cpu.eflags = 2
        for register in _CR.values():
            cpu.r32[register] = 0
        cpu.r32[_CR[0]] = 0x60000010
        cpu.r16[_IDTR_LIMIT] = cpu.r16[_GDTR_LIMIT] = 0xFFFF
        cpu.r32[_LDTR_LIMIT] = cpu.r32[_TR_LIMIT] = 0xFFFF
        cpu.r32[_LDTR_ATTR] = segments.PRESENT | 2 << 8
        cpu.r32[_TR_ATTR] = segments.PRESENT | 11 << 8
        for index in range(6):
            segments.set_segment(cpu, index, 0, 0, 0xFFFF, segments.REAL_ATTR)
        self.msrs = control.reset_msrs()
        self.write_fast_call_registers()
        self._set_tsc_offset(0)
        self.debug.reset()
        self.requests.reset()
        self._halted_at = _NOT_HALTED
        self.update_context()

    # -- pins ------------------------------------------------------------------------------------
    def connect(
        self, port_in: Callable[[int, int], int], port_out: Callable[[int, int, int], None]
    ) -> None:
        """Let functions answer for ports: (port, bytes) -> number; (port, number, bytes)."""
        self._port_in, self._port_out = port_in, port_out
        if isinstance(self.engine, SystemEngine):
            self.engine.devices.connect(port_in, port_out)

    @property
    def port_in(self) -> Callable[[int, int], int]:
        """Who answers IN: (port, bytes) -> number."""
        return self._port_in

    @port_in.setter
    def port_in(self, function: Callable[[int, int], int]) -> None:
        self.connect(function, self._port_out)

    @property
    def port_out(self) -> Callable[[int, int, int], None]:
        """Who answers OUT: (port, number, bytes)."""
        return self._port_out

    @port_out.setter
    def port_out(self, function: Callable[[int, int, int], None]) -> None:
        self.connect(self._port_in, function)

    def set_intr(self, level: bool) -> None:
        """Drive the INTR pin, from any thread: the next insn boundary with IF set accepts it."""
        self.requests.set_intr(level)

    def nmi(self) -> None:
        """Pulse the NMI pin, from any thread."""
        self.requests.nmi()

    def post(self, function: Callable[[], object]) -> None:
        """Call a function between two insns, from any thread; `run` calls it, halted or not.

        Called from a port's or a device's callback: right behind the insn that made the access.
        """
        self.requests.call(function)

    def update_context(self) -> None:
        """Take note of changes that Python made to CS, SS, limits, CR0.PE or EFLAGS.VM."""
        segments.update_context(self.cpu)

    # -- what paging has to know -------------------------------------------------------------------
    @property
    def space(self) -> int:
        """Number of the address space; 0 with paging off."""
        return 0 if self.linear is None else self.linear.space

    def change_cr(self, index: int, old: int, value: int) -> None:
        """Give a control register a value that was checked; #GP if page tables are no good."""
        r32 = self.cpu.r32
        r32[_CR[index]] = value
        if not (old ^ value) & _PAGING_BITS.get(index, -1) and index != 3:
            return
        try:
            self.update_paging(keep_global=index == 3)
        except GuestFault:
            r32[_CR[index]] = old
            raise

    def update_paging(self, *, keep_global: bool = False) -> None:
        """Take note of changes to CR0, CR3, CR4 or EFER; #GP if page tables are no good.

        *keep_global*: as a load of CR3 does, which leaves global pages in the TLB.
        """
        if self.linear is not None:
            cr0, cr3, cr4 = (self.cpu.r32[_CR[i]] for i in (0, 3, 4))
            nx = bool(self.msrs[control.EFER] & control.EFER_NXE)
            self.linear.load_space(cr0, cr3, cr4, nx=nx, keep_global=keep_global)
        self.update_context()

    def write_cr3(self, value: int) -> None:
        """Load CR3 for a new task."""
        self.change_cr(3, self.cpu.r32[_CR[3]], value)

    def paging_changed(self) -> None:
        """Take note of a change to EFER."""
        self.update_paging()

    def write_fast_call_registers(self) -> None:
        """Show compiled code the registers of sysenter."""
        if self.linear is not None:
            numbers = (control.SYSENTER_CS, control.SYSENTER_ESP, control.SYSENTER_EIP)
            self.linear.set_fast_call(*(self.msrs[number] for number in numbers))

    # -- the time stamp counter: ns ----------------------------------------------------------------
    def follow(self, clock: Callable[[], int]) -> None:
        """Let the time stamp counter follow a clock (ns), instead of the host's monotonic one."""
        self._clock = clock
        self._set_tsc_offset(self.tsc_offset)

    def read_tsc(self) -> int:
        """Return the time stamp counter."""
        return self._clock() + self.tsc_offset & 0xFFFFFFFFFFFFFFFF

    def write_tsc(self, value: int) -> None:
        """Set it."""
        self._set_tsc_offset(value - self._clock())

    def _set_tsc_offset(self, offset: int) -> None:
        self.tsc_offset = offset
        if self.linear is not None:
            self.linear.set_tsc(offset, is_host=self._clock is time.monotonic_ns)

    def set_a20(self, *, enabled: bool) -> None:
        """Let address line 20 through, or hold it at 0, as a PC's gate does after reset.

        ValueError without the physical memory of a machine (runtime/system/linear.py).
        """
        if self.linear is None:
            raise ValueError("only a machine with physical memory has an A20 gate")
        self.linear.set_a20(enabled=enabled)

    def forget_page(self, address: int) -> None:
        """Forget the translation of a page: invlpg."""
        if self.linear is not None:
            self.linear.invlpg(address)

    def set_real_segment(self, index: int, selector: int) -> None:
        """Load a segment register as real mode does."""
        segments.set_real_segment(self.cpu, index, selector)
        self.update_context()

    def run(self) -> Exit:
        """Run until hlt, the budget, a stop or shutdown; the guest's handlers get the rest.

        That are exceptions and software interrupts, and interrupts at the pins as soon as they may
        be accepted.  A halt is returned only where none may; so does each call until one comes, or
        somebody sets another CS:EIP.
        """
        cpu, requests = self.cpu, self.requests
        requests.thread = threading.get_ident()
        try:
            while True:
                if cpu.r32[_ATTENTION]:
                    requests.run_calls()
                    exit = self._accept()
                    if exit is not None:
                        if not self._handle(exit):
                            return exit
                        continue  # it may have been the hlt behind sti
                if self._halted_at == (cpu.cs, cpu.eip):
                    return HALT
                self._halted_at = _NOT_HALTED
                exit = self.engine.run(cpu)
                if not self._handle(exit):
                    return exit
        except interrupts.Shutdown:
            return SHUTDOWN

    def _handle(self, exit: Exit) -> bool:
        """Do what an exit asks for; say whether to go on."""
        if exit.kind == "int":
            self.interrupt(exit.vector)
        elif exit.kind == "fault":
            if exit.vector != _UD or not self.on_undefined():
                self.fault(exit.vector, exit.error, exit.address)
        elif exit.kind != "attention":
            if self.model in (Model.I8086, Model.I286):
                self.cpu.r32[_EIP] &= 0xFFFF  # it was the segment's last insn
            if exit.kind != "halt":
                return False
            self._halted_at = self.cpu.cs, self.cpu.eip
        return True

    def _accept(self) -> Exit | None:
        """Accept an interrupt if one waits and may come, or execute the insn to be first."""
        cpu, requests = self.cpu, self.requests
        vector = requests.next_interrupt()
        if not vector or self.debug.pending:  # its trap comes first
            return None
        if requests.in_shadow():
            if cpu.budget <= 0:
                return BUDGET
            requests.end_shadow()
            return self.engine.step(cpu)
        self._halted_at = _NOT_HALTED
        # Compiled code delivers it if nothing else is asked for; what is asked for meanwhile is
        # looked at again.
        native.is_stopped(cpu)
        if vector == NMI:
            requests.begin_nmi()
        else:
            vector = self.acknowledge()
        try:
            if self.linear is None or not self.linear.deliver(cpu.state_address, vector):
                interrupts.deliver(self, vector, is_external=True)
        except GuestFault as fault:
            self.fault(fault.vector, fault.error, fault.address)
        if requests.is_urgent:
            native.poke(cpu)
        return None

    def interrupt(self, vector: int) -> None:
        """Execute int *vector*; EIP is behind it."""
        behind = self.cpu.eip
        try:
            interrupts.deliver(self, vector, is_software=True)
        except GuestFault as fault:
            if self.cpu.eip == behind:  # it is no new task's: the insn is to be restarted
                self.cpu.eip = self._start_of_int(vector, behind)
            self.fault(fault.vector, fault.error, fault.address)

    def _start_of_int(self, vector: int, behind: int) -> int:
        """Return where the int insn began; prefixes, which mean nothing, are not looked for."""
        place = self.engine.context(self.cpu).linear(behind - 1)
        last = self.access.load_system(place, 8)
        is_short = (vector == _BP and last == 0xCC) or (vector == _OF and last == 0xCE)
        return behind - (1 if is_short else 2) & 0xFFFFFFFF

    def fault(self, vector: int, error: int = 0, address: int = 0) -> None:
        """Deliver an exception to the guest; EIP is where it shall return to.

        Raises interrupts.Shutdown if the processor stops.
        """
        if self.model == Model.I286:
            old.before_fault(self, vector)
        if vector == _PF and self.linear is not None:
            self.cpu.r32[_CR[2]] = address
            if self.linear.deliver(self.cpu.state_address, _PF, _AS_FAULT, error):
                return
        interrupts.deliver_fault(self, vector, error, address)
        if vector == _DB:
            self.debug.begin_handler()
