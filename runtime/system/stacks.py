"""A stack that something is pushed on or popped from before it is known that all will succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system import segments
from runtime.system.segments import BIG, SS
from translator.faults import GuestFault

if TYPE_CHECKING:
    from runtime.cpu import Cpu
    from runtime.system.descriptors import Descriptor, Memory

_SS_FAULT, _AC = 12, 17
_FULL = 0xFFFFFFFF


class Stack:
    """A stack segment with a pointer of its own; `commit` makes it the CPU's.

    Nothing but memory changes before.  A violated limit is #SS with the given error code.
    """

    def __init__(
        self,
        mem: Memory,
        base: int,
        limit: int,
        attr: int,
        pointer: int,
        error: int = 0,
        *,
        is_inner: bool = False,
        is_aligned: bool = False,
    ) -> None:
        """Describe a stack.

        *is_inner*: accesses are those of ring 0 to 2, not of the caller.  *is_aligned*: others than
        to multiples of their size raise #AC.
        """
        self.base, self.error, self.is_aligned = base, error, is_aligned
        self.low, self.span = segments.extent(limit, attr)
        self.mask = _FULL if attr & BIG else 0xFFFF
        self.pointer = pointer & self.mask
        self.load = mem.load_system if is_inner else mem.load
        self.store = mem.store_system if is_inner else mem.store

    def check(self, offset: int, size: int) -> None:
        """Fault unless *size* bytes at an offset lie in the segment."""
        if (offset - self.low & _FULL) + size - 1 > self.span:
            raise GuestFault(_SS_FAULT, error=self.error)
        if self.is_aligned and self.base + offset & size - 1:
            raise GuestFault(_AC, error=0)

    def reserve(self, count: int, size: int) -> None:
        """Fault unless *count* numbers of *size* bytes can be pushed, before any is."""
        for index in range(1, count + 1):
            self.check(self.pointer - index * size & self.mask, size)

    def push(self, value: int, size: int) -> None:
        """Push *size* bytes."""
        top = self.pointer - size & self.mask
        self.check(top, size)
        self.store(self.base + top & _FULL, value & (1 << 8 * size) - 1, 8 * size)
        self.pointer = top

    def peek(self, distance: int, size: int) -> int:
        """Read *size* bytes that lie a distance above the top."""
        place = self.pointer + distance & self.mask
        self.check(place, size)
        return self.load(self.base + place & _FULL, 8 * size)

    def pop(self, size: int) -> int:
        """Pop *size* bytes."""
        value = self.peek(0, size)
        self.release(size)
        return value

    def pop_all(self, count: int, size: int) -> list[int]:
        """Pop *count* numbers of *size* bytes; the highest is read first, as hardware does."""
        values = [self.peek(index * size, size) for index in reversed(range(count))]
        self.release(count * size)
        return values[::-1]

    def release(self, size: int) -> None:
        """Drop *size* bytes."""
        self.pointer = self.pointer + size & self.mask

    def commit(self, cpu: Cpu) -> None:
        """Make the pointer that of the CPU, whose SS is this one now."""
        cpu.esp = cpu.esp & ~self.mask | self.pointer


def current(cpu: Cpu, mem: Memory, error: int = 0) -> Stack:
    """Return the stack that the CPU uses now."""
    _, base, limit, attr = segments.segment(cpu, SS)
    is_inner, is_aligned = segments.privilege(cpu) < 3, segments.checks_alignment(cpu)
    return Stack(mem, base, limit, attr, cpu.esp, error, is_inner=is_inner, is_aligned=is_aligned)


def inner(mem: Memory, found: Descriptor, pointer: int, error: int) -> Stack:
    """Return the stack of a more privileged level."""
    return Stack(mem, found.base, found.limit, found.attr, pointer, error, is_inner=True)
