"""The DPMI host's tables in extended memory: GDT, IDT, LDT, task state (SDM vol. 3, 3.4.5)."""

from __future__ import annotations

import struct
from typing import NamedTuple

from runtime.personalities.dos.memory import RealMemory

GDT, IDT, TSS, STACK0, STACK3, LDT = 0, 0x1000, 0x2000, 0x3000, 0x4000, 0x8000  # in the area
AREA = LDT + 0x10000  # bytes
STACK0_TOP, STACK3_SIZE = 0x1000, 0x4000
ENTRIES = 8192
# Selectors of the GDT.
CODE0, DATA0, TASK, LOCAL, CODE16, CODE32, STACK, BIOS_DATA = (
    8,
    0x10,
    0x18,
    0x20,
    0x2B,
    0x33,
    0x3B,
    0x43,
)
_PRESENT, _MEMORY = 0x80, 0x10
CODE_ACCESS, DATA_ACCESS = 0xFA, 0xF2  # ring 3, readable code, writable data
_GRANULAR, _BIG = 0x8, 0x4
_ROM = 0xF0000
_IDT_LIMIT, _GDT_LIMIT, _TSS_LIMIT = 0x7FF, 0x4F, 0x67
_CALLER = 3


class Segment(NamedTuple):
    """What a descriptor says."""

    base: int
    limit: int  # bytes
    access: int
    flags: int  # bits 20 to 23: G, B or D, 0, AVL

    def encode(self) -> bytes:
        """Return the eight bytes; a limit beyond 1 MiB is in pages."""
        limit, flags = self.limit, self.flags & 7
        if limit > 0xFFFFF:
            limit, flags = limit >> 12, flags | _GRANULAR
        low = limit & 0xFFFF | (self.base & 0xFFFF) << 16
        high = self.base >> 16 & 0xFF | self.access << 8 | (limit >> 16 & 15) << 16 | flags << 20
        return struct.pack("<II", low, high | self.base & 0xFF000000)


def decode(data: bytes) -> Segment:
    """Read eight bytes of a descriptor."""
    low, high = struct.unpack("<II", data)
    limit, flags = low & 0xFFFF | high & 0xF0000, high >> 20 & 15
    if flags & _GRANULAR:
        limit = limit << 12 | 0xFFF
    base = low >> 16 | (high & 0xFF) << 16 | high & 0xFF000000
    return Segment(base, limit, high >> 8 & 0xFF, flags & 7)


def gate(selector: int, offset: int, kind: int, dpl: int) -> bytes:
    """Encode a gate of the IDT."""
    access = _PRESENT | dpl << 5 | kind
    return struct.pack("<HHBBH", offset & 0xFFFF, selector, 0, access, offset >> 16)


class Tables:
    """The tables of one host."""

    def __init__(self, memory: RealMemory, area: int) -> None:
        """Write them to *area* (AREA bytes)."""
        self.memory, self.area = memory, area
        memory.write(area, bytes(AREA))
        self._put_global(CODE0, Segment(_ROM, 0xFFFF, 0x9A, _BIG))
        self._put_global(DATA0, Segment(0, 0xFFFFFFFF, 0x92, _BIG))
        self.reset_task()
        self._put_global(LOCAL, Segment(area + LDT, 8 * ENTRIES - 1, 0x82, 0))
        self._put_global(CODE16, Segment(_ROM, 0xFFFF, CODE_ACCESS, 0))
        self._put_global(CODE32, Segment(_ROM, 0xFFFF, CODE_ACCESS, _BIG))
        self._put_global(STACK, Segment(area + STACK3, STACK3_SIZE - 1, DATA_ACCESS, _BIG))
        self._put_global(BIOS_DATA, Segment(0x400, 0xFFFF, DATA_ACCESS, 0))
        memory.write(area + TSS + 4, struct.pack("<II", area + STACK0 + STACK0_TOP, DATA0))
        memory.put16(area + TSS + 0x66, _TSS_LIMIT + 1)
        self.used = bytearray(ENTRIES)
        self.used[:16] = b"\1" * 16  # DPMI: for function 000Dh

    def reset_task(self) -> None:
        """Let the task be available: a client before this one has made it busy."""
        self._put_global(TASK, Segment(self.area + TSS, _TSS_LIMIT, 0x89, 0))

    def _put_global(self, selector: int, segment: Segment) -> None:
        self.memory.write(self.area + GDT + (selector & ~7), segment.encode())

    @property
    def gdt(self) -> tuple[int, int]:
        """Base and limit."""
        return self.area + GDT, _GDT_LIMIT

    @property
    def idt(self) -> tuple[int, int]:
        """Base and limit."""
        return self.area + IDT, _IDT_LIMIT

    def set_gate(self, vector: int, data: bytes) -> None:
        """Write a gate."""
        self.memory.write(self.area + IDT + 8 * vector, data)

    # -- local descriptors -------------------------------------------------------------------------
    def place(self, selector: int) -> int | None:
        """Return where the descriptor of a client's selector is; None if it has none."""
        index = selector >> 3
        if not selector & 4 or not self.used[index]:
            return None
        return self.area + LDT + 8 * index

    def allocate(self, count: int, first: int = 16) -> int | None:
        """Return the first of some new selectors, data segments of no size; None: no room."""
        start = self.used.find(bytes(count), first)
        if start < 0:
            return None
        for index in range(start, start + count):
            self.used[index] = 1
            self.put(index << 3 | 7, Segment(0, 0, DATA_ACCESS, 0))
        return start << 3 | 7

    def free(self, selector: int) -> None:
        """Give a selector back."""
        self.memory.write(self.area + LDT + (selector & ~7), bytes(8))
        self.used[selector >> 3] = 0

    def put(self, selector: int, segment: Segment) -> None:
        """Write a client's descriptor."""
        self.memory.write(self.area + LDT + (selector & ~7), segment.encode())

    def make(self, segment: Segment) -> int | None:
        """Return a new selector for a segment; None: no room."""
        selector = self.allocate(1)
        if selector is not None:
            self.put(selector, segment)
        return selector

    def get(self, selector: int) -> Segment | None:
        """Read a client's descriptor."""
        place = self.place(selector)
        return None if place is None else decode(self.memory.read(place, 8))
