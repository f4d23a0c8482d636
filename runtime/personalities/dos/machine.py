"""The small machine that DOS programs run on: a PC without disks, and its BIOS.

Processor, memory, interrupt controllers, timer, clock, keyboard; a speaker that nobody hears, by
whose port programs measure time; a display adapter when somebody looks at it (display.py). Its
devices are those of runtime/machines/pc.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from runtime.bus import Bus, Line
from runtime.clock import Clock, HostTime
from runtime.devices import rtc as cmos
from runtime.devices.a20 import A20
from runtime.devices.pic import Pic
from runtime.devices.pit import Pit
from runtime.devices.ps2 import Ps2
from runtime.devices.rtc import Rtc
from runtime.devices.speaker import Speaker
from runtime.firmware.bios.bios import Bios, BiosConfig
from runtime.firmware.callbacks import SEGMENT
from runtime.firmware.typeahead import key_reader
from runtime.machines.loop import Loop
from runtime.personalities.dos.memory import RealMemory
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from translator import DEFAULT_STRATEGY
from translator.mode import Model
from translator.state import FIELDS

MEMORY = 64 << 20  # bytes; pages that nobody writes to take no room on the host
VIDEO_MEMORY = 16 << 20  # bytes, of the display adapter
SMALLEST = 0x110000  # the first MiB and the high memory area
_SLICE = 5_000_000  # ns: how often a slowed processor waits
# Code and data share pages in small programs, and blocks of real mode are made by Python: so many
# insns must be between two writes that it is cheaper to make them again than to compare them.
_RARE = 4_000_000
_IF = 0x200
_CR0 = FIELDS["cr0"].offset // 4
_MEASURE = b"\xb9\x37\0\xf7\xf1"  # mov cx, 55 (ms of a tick); div cx
_FATAL = {
    6: "an invalid instruction",
    8: "a double fault",
    12: "an access beyond the end of the stack segment",
    13: "an access beyond the end of a segment",
}


class Crash(Exception):  # noqa: N818 (the guest's)
    """An exception of real mode that nobody handles: on hardware the machine would hang."""


class _Processor(Processor):
    """The processor; it says so when a program has gone wrong for good."""

    # Called for software interrupts that the interp tier executes: whether that was all.
    on_interrupt: Callable[[int], bool] | None = None

    def interrupt(self, vector: int) -> None:
        """Execute int *vector*; EIP is behind it."""
        if self.on_interrupt is None or not self.on_interrupt(vector):
            super().interrupt(vector)

    def fault(self, vector: int, error: int = 0, address: int = 0) -> None:
        """Deliver an exception, unless real mode's handler of it would return to the same insn."""
        if not vector and self._is_measured():
            return
        if vector in _FATAL and not self.cpu.r32[_CR0] & 1:
            far = self.access.load(4 * vector, 32)
            if far >> 16 == SEGMENT:  # the BIOS's, which is for something else
                place = f"{self.cpu.cs:04X}:{self.cpu.eip:04X}"
                raise Crash(f"{_FATAL[vector]} at {place}")
        super().fault(vector, error, address)

    def _is_measured(self) -> bool:
        """Answer Turbo Pascal, which divides the speed of the processor; whether it was that.

        The quotient overflows since there are processors of 200 MHz: "Runtime error 200". It gets
        the largest one.
        """
        cpu = self.cpu
        if cpu.r32[_CR0] & 1 or cpu.eip < 3:
            return False
        place = (cpu.cs << 4) + cpu.eip - 3
        code = self.access.load(place, 32) | self.access.load(place + 4, 8) << 32
        if code.to_bytes(5, "little") != _MEASURE:
            return False
        cpu.eax, cpu.edx, cpu.eip = cpu.eax | 0xFFFF, cpu.edx & ~0xFFFF, cpu.eip + 2
        return True


class Halted(Exception):  # noqa: N818 (the guest's end)
    """The processor halted with interrupts off: nothing can wake it."""


class _Loop(Loop):
    """The machine's loop; nothing but an interrupt can end a halt."""

    def _sleep(self) -> None:
        if not self.processor.cpu.eflags & _IF:
            raise Halted
        super()._sleep()


class DosMachine:
    """A processor in real mode, what is around it, and the BIOS."""

    def __init__(self, strategy: str = DEFAULT_STRATEGY, size: int = MEMORY) -> None:
        """Make a machine that has done its POST."""
        # The display adapter's linear framebuffer is behind the RAM.
        self.framebuffer = size + VIDEO_MEMORY - 1 & -VIDEO_MEMORY
        self.physical = Physical(size, self.framebuffer + VIDEO_MEMORY)
        self.linear = Linear(self.physical)
        self.processor = _Processor(self.linear, strategy, Model.MAX)
        self.processor.engine.code.rare = _RARE
        self.bus = bus = Bus(self.physical)
        self.processor.port_in, self.processor.port_out = bus.port_in, bus.port_out
        self.clock = Clock(HostTime())
        self.loop = _Loop(self.processor, self.clock)
        self.memory = RealMemory(self.physical)
        self._wire(size)
        self.callbacks = self.bios.callbacks
        self.bios.post()
        self.iret = self.callbacks.place(b"\xcf")

    def _wire(self, size: int) -> None:
        bus, clock = self.bus, self.clock
        self.pic = Pic(bus, Line(self.processor.set_intr))
        self.processor.acknowledge = self.pic.acknowledge
        line = self.pic.line
        self.pit = Pit(bus, line(0), clock)
        self.speaker = Speaker(bus, clock, self.pit.counters[2])
        now = time.localtime()
        self.rtc = Rtc(bus, line(8), clock, datetime(*now[:5], min(now.tm_sec, 59)))
        cmos.set_memory_size(self.rtc.ram, size)
        reset = Line(lambda level: self.reset() if level else None)
        self.a20 = A20(bus, self._set_a20, self.reset)
        self.ps2 = Ps2(bus, clock, line(1), line(12), self.a20.keyboard, reset)
        self.ps2.keyboard.is_ready = key_reader(self.physical)
        self.bios = Bios(bus, self.processor, clock, BiosConfig(size))

    def _set_a20(self, is_open: bool) -> None:
        self.processor.set_a20(enabled=is_open)

    def reset(self) -> None:
        """End the run: there is no system to start again."""
        self.loop.stop("reset")

    def unmask(self, irq: int) -> None:
        """Let an interrupt request through the controllers."""
        for port, bit in ((0xA1, irq - 8), (0x21, 2)) if irq >= 8 else ((0x21, irq),):
            self.bus.port_out(port, self.bus.port_in(port, 1) & ~(1 << bit), 1)

    def slow_down(self, insns: int, budget: int | None = None) -> None:
        """Let the processor execute *insns* insns a millisecond, and at most *budget* in all."""
        cpu = self.processor.cpu
        portion = max(insns * _SLICE // 1_000_000, 1)
        due, left = time.monotonic_ns(), budget

        def give() -> None:
            nonlocal due, left
            now = time.monotonic_ns()
            due = max(due + _SLICE, now - _SLICE)
            if due > now:
                time.sleep((due - now) / 1e9)
            given = portion if left is None else min(portion, left)
            if not given:
                self.loop.stop("budget")
            cpu.budget = given
            left = None if left is None else left - given

        self.loop.on_budget = give
        cpu.budget = 0  # the first turn of the loop gives some

    def close(self) -> None:
        """Give all memory back."""
        self.processor.engine.close()
        self.loop.close()
        self.linear.close()
        self.physical.close()
