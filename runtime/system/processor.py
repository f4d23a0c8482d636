"""A processor without an operating system: engine, registers, memory; delivers exceptions itself.

`run` goes on until something outside the processor is needed: hlt, a limit, or a fault that cannot
be delivered.  What is at its pins (ports, interrupt requests) is set by who made it.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.access import GuestMemory
from runtime.cpu import Cpu
from runtime.dispatch import Engine
from runtime.interpreting import Exit
from runtime.memory import Memory
from runtime.system import bodies, interrupts, segments
from runtime.system.engine import LinearAccess, SystemEngine
from runtime.system.linear import Linear
from translator import DEFAULT_STRATEGY
from translator.faults import GuestFault
from translator.mode import Model
from translator.state import FIELDS

_ = bodies  # it registers the bodies of helpers
_CR0, _CR3, _CR4 = (FIELDS[name].offset // 4 for name in ("cr0", "cr3", "cr4"))
_IDTR_LIMIT = FIELDS["idtr_limit"].offset // 2


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
            self.engine = Engine(memory, strategy)
            self.access = GuestMemory(memory)
        # Ports: (port, bytes) -> number; (port, number, bytes).
        self.port_in: Callable[[int, int], int] = _no_port
        self.port_out: Callable[[int, int, int], None] = _ignore
        self.has_nx = False  # EFER.NXE
        self.reset()

    def reset(self) -> None:
        """Set registers as after reset (SDM vol. 3, table 10-1), CS:IP apart."""
        cpu = self.cpu
        cpu.reset()
        cpu.eflags = 2
        cpu.r32[_CR0] = 0x60000010
        cpu.r16[_IDTR_LIMIT] = 0xFFFF
        for index in range(6):
            segments.set_real_segment(cpu, index, 0)
        self.update_context()

    def update_context(self) -> None:
        """Take note of changes that Python made to CS, SS, limits, CR0.PE or EFLAGS.VM."""
        space = self.linear.space if self.linear is not None else 0
        segments.update_context(self.cpu, self.model, space=space)

    def update_paging(self, *, keep_global: bool = False) -> None:
        """Take note of changes to CR0, CR3, CR4 or EFER.NXE; #GP if page tables are no good.

        *keep_global*: as a load of CR3 does, which leaves global pages in the TLB.
        """
        if self.linear is not None:
            r32 = self.cpu.r32
            self.linear.load_space(
                r32[_CR0], r32[_CR3], r32[_CR4], nx=self.has_nx, keep_global=keep_global
            )
        self.update_context()

    def set_real_segment(self, index: int, selector: int) -> None:
        """Load a segment register as real mode does."""
        segments.set_real_segment(self.cpu, index, selector)
        self.update_context()

    def run(self) -> Exit:
        """Run until hlt, the budget or a stop; exceptions go to the guest's own handlers."""
        while True:
            exit = self.engine.run(self.cpu)
            if exit.kind == "int":
                self.interrupt(exit.vector)
            elif exit.kind == "fault":
                self.fault(exit.vector, exit.error, exit.address)
            else:
                return exit

    def interrupt(self, vector: int) -> None:
        """Execute int *vector*; EIP is behind it."""
        try:
            interrupts.deliver(self, vector, is_software=True)
        except GuestFault as fault:
            self.fault(fault.vector, fault.error, fault.address)

    def fault(self, vector: int, error: int = 0, address: int = 0) -> None:
        """Deliver an exception to the guest; EIP is where it shall return to."""
        interrupts.deliver_fault(self, vector, error, address)
