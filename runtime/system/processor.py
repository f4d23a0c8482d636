"""A processor without an operating system: engine, registers, memory; delivers exceptions itself.

`run` goes on until something outside the processor is needed: hlt, a limit, or the shutdown that a
fault ends in which cannot be delivered.  What is at its pins (ports, interrupt requests) is set by
who made it.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.access import GuestMemory
from runtime.cpu import Cpu
from runtime.dispatch import Engine
from runtime.interpreting import Exit
from runtime.memory import Memory
from runtime.system import control, interrupts, old, segments
from runtime.system.debug import Debug
from runtime.system.engine import LinearAccess, SystemEngine
from runtime.system.linear import Linear
from translator import DEFAULT_STRATEGY
from translator.faults import GuestFault
from translator.mode import Model
from translator.state import FIELDS

_CR = {i: FIELDS[f"cr{i}"].offset // 4 for i in (0, 2, 3, 4)}
_IDTR_LIMIT, _GDTR_LIMIT = (FIELDS[f"{n}_limit"].offset // 2 for n in ("idtr", "gdtr"))
_TR_LIMIT, _TR_ATTR = (FIELDS[f"tr_{n}"].offset // 4 for n in ("limit", "attr"))
_LDTR_LIMIT, _LDTR_ATTR = (FIELDS[f"ldtr_{n}"].offset // 4 for n in ("limit", "attr"))
_EIP = FIELDS["eip"].offset // 4
SHUTDOWN = Exit("shutdown")
_DB, _BP, _OF, _UD = 1, 3, 4, 6


def _no_port(port: int, size: int) -> int:
    return (1 << 8 * size) - 1


def _ignore(port: int, value: int, size: int) -> None:
    pass


class Processor:
    """One CPU with its memory and its engine."""

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
        else:
            self.engine, self.access = Engine(memory, strategy), GuestMemory(memory)
        self.debug = Debug(self)
        self.msrs: dict[int, int] = {}
        self.tsc_offset = 0
        # Ports: (port, bytes) -> number; (port, number, bytes).
        self.port_in: Callable[[int, int], int] = _no_port
        self.port_out: Callable[[int, int, int], None] = _ignore
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
        self.tsc_offset = 0
        self.debug.reset()
        self.update_context()

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
        """Run until hlt, the budget, a stop or shutdown; exceptions go to the guest's handlers."""
        try:
            while True:
                exit = self.engine.run(self.cpu)
                if exit.kind == "int":
                    self.interrupt(exit.vector)
                elif exit.kind == "fault":
                    if exit.vector != _UD or not self.on_undefined():
                        self.fault(exit.vector, exit.error, exit.address)
                else:
                    if self.model in (Model.I8086, Model.I286):
                        self.cpu.r32[_EIP] &= 0xFFFF  # it was the segment's last insn
                    return exit
        except interrupts.Shutdown:
            return SHUTDOWN

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
        interrupts.deliver_fault(self, vector, error, address)
        if vector == _DB:
            self.debug.begin_handler()
