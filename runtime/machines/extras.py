"""What a PC adds to its processor: bits of CPUID, and the clock that KVM gives its guests.

Linux, Documentation/virt/kvm/x86: cpuid.rst (leaves 40000000h and 40000001h) and msr.rst (MSRs
4B564D00h and 4B564D01h). The clock is a place in memory that says how to turn the time stamp
counter into nanoseconds, so that reading it never leaves the guest.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import datetime

from runtime.clock import SECOND, Clock
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from translator.cpuid import announced
from translator.mode import Model

Registers = tuple[int, int, int, int]
_EXTRAS, _FEATURES = 0x40000000, 0x40000001
_NAME = struct.unpack("<III", b"KVMKVMKVM\0\0\0")
_IS_GUEST = 1 << 31  # of leaf 1's ECX
_CLOCK, _STABLE = 1 << 3, 1 << 24
_WALL, _TIME = 0x4B564D00, 0x4B564D01
_SAME = (0x80000000, 1)  # factor and shift for a counter of 1 GHz
_IS_STABLE, _IS_ON = 1, 1
_EPOCH = datetime(1970, 1, 1)


class Extras:
    """The additions of one machine."""

    def __init__(
        self,
        processor: Processor,
        physical: Physical,
        clock: Clock,
        wall: Callable[[], datetime],
    ) -> None:
        """*wall* returns the date and time of the machine's clock."""
        self.processor, self.physical, self.clock, self.wall = processor, physical, clock, wall
        self.edx = announced(processor.model)
        self.has_clock = processor.model == Model.MAX
        self.msrs = {_WALL: 0, _TIME: 0} if self.has_clock else {}
        self.version = 0

    def reset(self) -> None:
        """Forget where the clock was."""
        self.msrs = dict.fromkeys(self.msrs, 0)

    def cpuid(self, number: int, found: Registers) -> Registers:
        """Return what CPUID says, given what the processor alone would say."""
        eax, ebx, ecx, edx = found
        if number == 1:
            return eax, ebx, ecx | (_IS_GUEST if self.has_clock else 0), edx | self.edx
        if self.has_clock and number == _EXTRAS:
            return _FEATURES, *_NAME
        if self.has_clock and number == _FEATURES:
            return _CLOCK | _STABLE, 0, 0, 0
        return found

    def read_msr(self, index: int) -> int | None:
        """Return a register that the machine adds; None for others."""
        return self.msrs.get(index)

    def write_msr(self, index: int, value: int) -> bool:
        """Write a register that the machine adds; False for others."""
        if index not in self.msrs:
            return False
        self.msrs[index] = value
        if index == _WALL:
            self._tell_wall(value & ~3)
        elif value & _IS_ON:
            self._tell_time(value & ~3)
        return True

    def _write(self, place: int, data: bytes) -> None:
        """Write where there is RAM; what is elsewhere is the guest's mistake."""
        pages = range(place >> 12, (place + len(data) - 1 >> 12) + 1)
        if all(self.physical.is_writable(page) for page in pages):
            self.physical.write(place, data)

    def _tell_wall(self, place: int) -> None:
        """Say when guest time 0 was."""
        since = self.wall() - _EPOCH
        start = (since.days * 86400 + since.seconds) * SECOND - self.clock.now()
        self.version += 2
        self._write(place, struct.pack("<III", self.version, *divmod(start, SECOND)))

    def _tell_time(self, place: int) -> None:
        """Say what the time is at what count, and how counts become ns."""
        now, count = self.clock.now(), self.processor.read_tsc()
        self.version += 2
        form = "<IIQQIbBxx"
        self._write(place, struct.pack(form, self.version, 0, count, now, *_SAME, _IS_STABLE))
