"""Registers of a program that starts in flat protected mode without paging (Linux, Multiboot)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from runtime.system import segments
from runtime.system.processor import Processor
from translator.state import FIELDS

GDT = 0x0800  # where the descriptor table is put: below all that the protocols use
_CODE, _DATA = 0x00CF9B000000FFFF, 0x00CF93000000FFFF
_GDTR_BASE, _GDTR_LIMIT = FIELDS["gdtr_base"].offset // 4, FIELDS["gdtr_limit"].offset // 2
_CR0 = FIELDS["cr0"].offset // 4
_PE_ET = 0x11


class Start(NamedTuple):
    """How a program wants to begin."""

    entry: int
    registers: dict[str, int]
    code: int  # selectors of flat segments
    data: int

    def apply(self, processor: Processor) -> None:
        """Set registers and a descriptor table; interrupts are off."""
        cpu = processor.cpu
        entries = [0] * (max(self.code, self.data) // 8 + 1)
        entries[self.code // 8], entries[self.data // 8] = _CODE, _DATA
        table = struct.pack(f"<{len(entries)}Q", *entries)
        if processor.linear is None:
            raise ValueError("only a machine with physical memory runs kernels")
        processor.linear.physical.write(GDT, table)
        cpu.r32[_GDTR_BASE], cpu.r16[_GDTR_LIMIT] = GDT, len(table) - 1
        processor.change_cr(0, cpu.r32[_CR0], _PE_ET)
        segments.set_flat(cpu, 0, self.code, self.data)
        cpu.eflags = 2
        for name, value in self.registers.items():
            setattr(cpu, name, value)
        cpu.eip = self.entry
        processor.update_context()
