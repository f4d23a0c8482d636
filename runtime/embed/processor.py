"""What privileged insns find around the CPU of a machine: ports, system registers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from runtime.embed import events
from runtime.system import control, segments
from runtime.system.debug import Debug
from runtime.system.processor import Processor
from runtime.system.requests import Requests
from translator.mode import Model
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.embed.machine import Machine

_CR0, _CR4 = FIELDS["cr0"].offset // 4, FIELDS["cr4"].offset // 4
# What Unicorn has in CR4 at first: OSFXSR, and FSGSBASE and OSXSAVE, which do nothing here.
_FSGSBASE, _OSXSAVE = 1 << 16, 1 << 18


class _Registers(dict[int, int]):
    """Model-specific registers: all are there, and 0."""

    def __contains__(self, index: object) -> bool:
        return True

    def __missing__(self, index: int) -> int:
        return 0


class Pins(Processor):
    """The processor of a machine that has engine and registers already."""

    cr4_harmless = _FSGSBASE | _OSXSAVE

    @property
    def msrs(self) -> dict[int, int]:
        """The machine's model-specific registers."""
        return self.machine.msrs

    @msrs.setter
    def msrs(self, values: dict[int, int]) -> None:
        self.machine.msrs = _Registers()

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.memory, self.model = machine.space, Model.MAX
        self.cpu, self.engine, self.access = machine.cpu, machine.engine, machine.access
        self.cpu.system = self
        self.linear = None
        self.debug = Debug(self)
        self.requests = Requests(self.cpu)
        self._clock = time.monotonic_ns
        self.connect(
            lambda port, size: events.port_in(machine, port, size),
            lambda port, value, size: events.port_out(machine, port, size, value),
        )
        self.reset()
        if machine.is_real:
            self.cpu.r32[_CR0] = 0  # as Unicorn has it
        else:
            self.protect()

    def protect(self) -> None:
        """Begin in ring 0 of protected mode: flat segments, whose selectors are 0."""
        self.cpu.r32[_CR0] = 0x11
        self.cpu.r32[_CR4] = segments.CR4_OSFXSR | self.cr4_harmless
        for name in ("gdtr", "idtr", "ldtr", "tr"):  # as Unicorn has them
            self.cpu.r16[FIELDS[f"{name}_limit"].offset // 2] = 0
        for name in ("ldtr", "tr"):
            self.cpu.r32[FIELDS[f"{name}_attr"].offset // 4] = 0
        segments.set_flat(self.cpu, 0, code=0, data=0)
        self.update_context()

    def update_paging(self, *, keep_global: bool = False) -> None:
        """Take note of changes to CR0, CR3, CR4 or EFER; #GP if page tables are no good."""
        if self.linear is None and self.cpu.r32[_CR0] & control.PG:
            self.machine.begin_paging()
        super().update_paging(keep_global=keep_global)
        self.engine.changes += 1  # type: ignore[attr-defined]  # an EmbedEngine

    def take_paging(self) -> None:
        """Take over control registers that the user set, whatever they say."""
        if self.linear is None and not self.cpu.r32[_CR0] & control.PG:
            self.update_context()
            return
        linear = self.machine.begin_paging()
        linear.is_lenient = True
        try:
            self.update_paging()
        finally:
            linear.is_lenient = False
