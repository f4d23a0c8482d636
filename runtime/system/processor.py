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
from translator import DEFAULT_STRATEGY
from translator.faults import GuestFault
from translator.mode import Model
from translator.state import FIELDS

_ = bodies  # it registers the bodies of helpers
_CR0 = FIELDS["cr0"].offset // 4
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
        self.engine = Engine(memory, strategy)
        self.access = GuestMemory(memory)
        # Ports: (port, bytes) -> number; (port, number, bytes).
        self.port_in: Callable[[int, int], int] = _no_port
        self.port_out: Callable[[int, int, int], None] = _ignore
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
        segments.update_context(self.cpu, self.model)

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
