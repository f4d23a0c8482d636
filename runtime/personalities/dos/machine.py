"""The small machine that DOS programs run on: processor, memory, and a ROM whose calls are Python.

No disks, no interrupt sources of its own: what it has besides is wired up when a program needs it.
"""

from __future__ import annotations

from runtime.bus import Bus
from runtime.firmware.callbacks import Callbacks
from runtime.personalities.dos.memory import RealMemory
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from translator import DEFAULT_STRATEGY
from translator.mode import Model

MEMORY = 64 << 20  # bytes; pages that nobody writes to take no room on the host
SMALLEST = 0x110000  # the first MiB and the high memory area


class DosMachine:
    """A processor in real mode with its memory."""

    def __init__(self, strategy: str = DEFAULT_STRATEGY, size: int = MEMORY) -> None:
        """Make a machine whose interrupt vectors point to an iret."""
        self.physical = Physical(size)
        self.linear = Linear(self.physical)
        self.processor = Processor(self.linear, strategy, Model.MAX)
        self.bus = Bus(self.physical)
        self.processor.port_in, self.processor.port_out = self.bus.port_in, self.bus.port_out
        self.callbacks = Callbacks(self.bus, self.processor)
        self.memory = RealMemory(self.physical)
        segment, offset = self.callbacks.place(b"\xcf")
        self.iret = segment, offset
        vector = (segment << 16 | offset).to_bytes(4, "little")
        self.physical.write(0, vector * 256)

    def close(self) -> None:
        """Give all memory back."""
        self.processor.engine.close()
        self.linear.close()
        self.physical.close()
