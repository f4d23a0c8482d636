"""What a service of the firmware sees of the guest that called it: registers, flags, memory.

Everything is as guest code would see it: linear addresses go through paging (a DOS under EMM386
runs in virtual-8086 mode) and the A20 gate, and an access that guest code may not make raises
GuestFault, which the guest's own handler gets; the service is called again afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system import descriptors, segments
from runtime.system.linear import USER
from runtime.system.physical import PAGE
from runtime.system.segments import BIG, CS, DS, EFLAGS_VM, ES, FS, GS, SS
from translator import flags
from translator.quick import paging as at
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.system.processor import Processor

_REST = FIELDS["eflags_rest"].offset // 4
_FULL = 0xFFFFFFFF
_FEW = 32  # bytes that are written to a device one by one before it is looked at again


def _register(name: str, width: int, high: int = 0) -> property:
    """Build the property for a register or a part of it."""
    offset = FIELDS[name].offset + high
    index, array = offset * 8 // width, {8: "r8", 16: "r16", 32: "r32"}[width]
    mask = (1 << width) - 1

    def get(self: Call) -> int:
        return int(getattr(self.cpu, array)[index])

    def put(self: Call, value: int) -> None:
        getattr(self.cpu, array)[index] = value & mask

    return property(get, put)


def _segment(index: int) -> property:
    """Build the property for a segment register, loaded as guest code would load it."""

    def get(self: Call) -> int:
        return segments.segment(self.cpu, index)[0]

    def put(self: Call, value: int) -> None:
        descriptors.load(self.cpu, self.processor.access, index, value & 0xFFFF)

    return property(get, put)


def _flag(bit: int) -> property:
    """Build the property for a flag as the caller will find it."""

    def get(self: Call) -> bool:
        return bool(self.flags >> bit & 1)

    def put(self: Call, value: bool) -> None:
        self.flags = self.flags & ~(1 << bit) | bool(value) << bit

    return property(get, put)


class Call:
    """The guest while it waits for a service."""

    eax, ecx, edx, ebx = (_register(n, 32) for n in ("eax", "ecx", "edx", "ebx"))
    esp, ebp, esi, edi = (_register(n, 32) for n in ("esp", "ebp", "esi", "edi"))
    ax, cx, dx, bx = (_register(n, 16) for n in ("eax", "ecx", "edx", "ebx"))
    sp, bp, si, di = (_register(n, 16) for n in ("esp", "ebp", "esi", "edi"))
    al, cl, dl, bl = (_register(n, 8) for n in ("eax", "ecx", "edx", "ebx"))
    ah, ch, dh, bh = (_register(n, 8, 1) for n in ("eax", "ecx", "edx", "ebx"))
    es, cs, ss, ds, fs, gs = (_segment(i) for i in (ES, CS, SS, DS, FS, GS))
    carry, zero = _flag(flags.CF), _flag(flags.ZF)

    def __init__(self, processor: Processor) -> None:
        """See the registers of a processor whose memory is a machine's."""
        self.processor, self.cpu = processor, processor.cpu
        if processor.linear is None:
            raise ValueError("only a machine with physical memory has firmware")
        self.memory = processor.linear
        self.has_frame = False  # the service ends with iret: flags are on the stack

    # -- flags and stack ---------------------------------------------------------------------------
    @property
    def flags(self) -> int:
        """FLAGS as the caller will find them: on the stack if the service ends with iret."""
        if self.has_frame:
            return self.processor.access.load(self._stack(2 * self._word()), 16)
        return self.cpu.eflags & 0xFFFF

    @flags.setter
    def flags(self, value: int) -> None:
        if self.has_frame:
            self.processor.access.store(self._stack(2 * self._word()), value & 0xFFFF, 16)
        else:
            self.cpu.eflags = self.cpu.eflags & ~0xFFFF | value & 0xFFFF

    @property
    def caller(self) -> tuple[int, int]:
        """CS and IP where the service returns to."""
        size, load = self._word(), self.processor.access.load
        return load(self._stack(size), 16), load(self._stack(0), 8 * size)

    def push(self, value: int) -> None:
        """Push a word (of the size that the code segment has) on the guest's stack."""
        size = self._word()
        self.processor.access.store(self._stack(-size), value, 8 * size)
        self._move_stack(-size)

    def _word(self) -> int:
        """Return the size of what the end of the service pops: of the code segment."""
        is_virtual = self.cpu.r32[_REST] & EFLAGS_VM
        return 4 if segments.segment(self.cpu, CS)[3] & BIG and not is_virtual else 2

    def _stack_mask(self) -> int:
        is_virtual = self.cpu.r32[_REST] & EFLAGS_VM
        return _FULL if segments.segment(self.cpu, SS)[3] & BIG and not is_virtual else 0xFFFF

    def _stack(self, distance: int) -> int:
        """Return the linear address of something at a distance from the top of the stack."""
        offset: int = self.esp + distance & self._stack_mask()
        return segments.segment(self.cpu, SS)[1] + offset & _FULL

    def _move_stack(self, distance: int) -> None:
        mask = self._stack_mask()
        self.esp = self.esp & ~mask | self.esp + distance & mask

    # -- memory ------------------------------------------------------------------------------------
    def linear(self, index: int, offset: int) -> int:
        """Return the linear address of an offset in the segment of a segment register."""
        return segments.segment(self.cpu, index)[1] + offset & _FULL

    def load(self, address: int, width: int) -> int:
        """Read *width* bits (8, 16, 32) at a linear address."""
        return int(self.processor.access.load(address, width))

    def store(self, address: int, value: int, width: int) -> None:
        """Write *width* bits at a linear address."""
        self.processor.access.store(address, value & (1 << width) - 1, width)

    def read(self, address: int, size: int) -> bytes:
        """Copy bytes from a linear address."""
        physical, parts = self.memory.physical, []
        for place, count in self._pages(address, size, 0):
            if physical.is_ram(place // PAGE):
                parts.append(physical.read(place, count))
            else:
                parts.append(bytes(physical.load(place + i, 8) for i in range(count)))
        return b"".join(parts)

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes to a linear address: all of them, or none if a page is not accessible."""
        physical, done = self.memory.physical, 0
        for place, count in list(self._pages(address, len(data), at.A_WRITE)):
            part = data[done : done + count]
            first = 0
            # A device may let its memory be RAM once it is used much.
            while first < count and not physical.is_ram(place // PAGE):
                for i in range(first, min(first + _FEW, count)):
                    physical.store(place + i, part[i], 8)
                first += _FEW
            if first < count and physical.is_writable(place // PAGE):
                physical.write(place + first, part[first:])
            done += count

    def _pages(self, address: int, size: int, kind: int) -> list[tuple[int, int]]:
        """Return physical address and size of each page's part of a linear range."""
        kind |= at.A_MARK | (at.A_USER if self.memory.view == USER else 0)
        found = []
        while size > 0:
            count = min(size, PAGE - address % PAGE)
            frame = self.memory.walk(address & _FULL, kind) >> 8
            found.append((frame * PAGE + address % PAGE, count))
            address, size = address + count, size - count
        return found
