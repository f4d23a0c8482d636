"""What privileged insns find around the CPU of a machine in real mode: ports, system registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.embed import events
from runtime.system.debug import Debug
from runtime.system.processor import Processor
from translator.mode import Model

if TYPE_CHECKING:
    from runtime.embed.machine import Machine


class Pins(Processor):
    """The processor of a machine that has engine and registers already."""

    def __init__(self, machine: Machine) -> None:
        self.memory, self.model = machine.space, Model.MAX
        self.cpu, self.engine, self.access = machine.cpu, machine.engine, machine.access
        self.cpu.system = self
        self.linear = None
        self.debug = Debug(self)
        self.tsc_offset = 0
        self.has_nx = False
        self.port_in = lambda port, size: events.port_in(machine, port, size)
        self.port_out = lambda port, value, size: events.port_out(machine, port, size, value)
        self.reset()
