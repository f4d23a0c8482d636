"""Descriptors: out of their tables in guest memory, into segment registers (SDM vol. 3, 3.4.5).

Under Linux, where no table is in guest memory, `Cpu.descriptor` knows them.  All functions raise
GuestFault in the order of the manual's operation sections (vol. 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from runtime.system import segments
from runtime.system.segments import (
    ACCESSED,
    BIG,
    CODE,
    CONFORMING,
    DPL_SHIFT,
    KIND,
    MEMORY,
    PAGES,
    PRESENT,
    READABLE,
    RIGHTS,
    SS,
    WRITABLE,
)
from translator.faults import GuestFault
from translator.mode import Model
from translator.state import FIELDS

if TYPE_CHECKING:
    from runtime.cpu import Cpu

TS_FAULT, NP, SS_FAULT, GP = 10, 11, 12, 13
TSS16, LDT, TSS16_BUSY, CALL16, TASK_GATE, INT16, TRAP16 = range(1, 8)
TSS32, TSS32_BUSY, CALL32, INT32, TRAP32 = 9, 11, 12, 14, 15
_GDT_BASE, _GDT_LIMIT = FIELDS["gdtr_base"].offset // 4, FIELDS["gdtr_limit"].offset // 2
_LDT, _LDT_BASE = FIELDS["ldtr"].offset // 2, FIELDS["ldtr_base"].offset // 4
_LDT_LIMIT, _LDT_ATTR = FIELDS["ldtr_limit"].offset // 4, FIELDS["ldtr_attr"].offset // 4
_TR, _TR_BASE = FIELDS["tr"].offset // 2, FIELDS["tr_base"].offset // 4
_TR_LIMIT, _TR_ATTR = FIELDS["tr_limit"].offset // 4, FIELDS["tr_attr"].offset // 4
_CR0, _REST = FIELDS["cr0"].offset // 4, FIELDS["eflags_rest"].offset // 4
_BUSY = 2 << 8
# What lar shows; bits 16 to 19, which the manual leaves undefined, are the limit's on hardware.
SHOWN_RIGHTS = 0x00FFFF00
_FULL = 0xFFFFFFFF
# What lar and lsl answer for, beside code and data.
_HAS_RIGHTS = frozenset({TSS16, LDT, TSS16_BUSY, CALL16, TASK_GATE, TSS32, TSS32_BUSY, CALL32})
_HAS_LIMIT = frozenset({TSS16, LDT, TSS16_BUSY, TSS32, TSS32_BUSY})


class Memory(Protocol):
    """Linear memory, as runtime.access.GuestMemory gives it: widths in bits, GuestFault(14)."""

    def load(self, address: int, width: int) -> int:
        """Read at the current privilege level."""

    def store(self, address: int, value: int, width: int) -> None:
        """Write at the current privilege level."""

    def load_system(self, address: int, width: int) -> int:
        """Read as ring 0."""

    def store_system(self, address: int, value: int, width: int) -> None:
        """Write as ring 0."""


class Descriptor(NamedTuple):
    """The two words of a descriptor, the selector that named it, and where it lies.

    That is a linear address, or -1 where the personality keeps the table.
    """

    selector: int
    low: int
    high: int
    place: int

    @property
    def base(self) -> int:
        """Linear address of the segment."""
        return self.low >> 16 | (self.high & 0xFF) << 16 | self.high & 0xFF000000

    @property
    def limit(self) -> int:
        """Limit in bytes."""
        limit = self.low & 0xFFFF | self.high & 0xF0000
        return limit << 12 | 0xFFF if self.high & PAGES else limit

    @property
    def attr(self) -> int:
        """Access rights as a segment register keeps them."""
        return self.high & RIGHTS

    @property
    def dpl(self) -> int:
        """Privilege level."""
        return self.high >> DPL_SHIFT & 3

    @property
    def rpl(self) -> int:
        """Requested privilege level of the selector."""
        return self.selector & 3

    @property
    def kind(self) -> int:
        """Type of a system segment or gate; 0 for memory."""
        return 0 if self.high & MEMORY else (self.high & KIND) >> 8

    @property
    def is_code(self) -> bool:
        """Whether it is a code segment."""
        return self.high & (MEMORY | CODE) == MEMORY | CODE

    @property
    def is_conforming(self) -> bool:
        """Whether it is code that any lower privilege level may run."""
        return self.is_code and bool(self.high & CONFORMING)

    @property
    def is_readable(self) -> bool:
        """Whether it can be read: data, or readable code."""
        return bool(self.high & MEMORY) and (not self.high & CODE or bool(self.high & READABLE))

    @property
    def is_writable(self) -> bool:
        """Whether it is data that can be written."""
        return self.high & (MEMORY | CODE | WRITABLE) == MEMORY | WRITABLE

    @property
    def is_present(self) -> bool:
        """Whether it may be used."""
        return bool(self.high & PRESENT)

    # -- gates ---------------------------------------------------------------------------------
    @property
    def is_wide(self) -> bool:
        """Whether a gate or task state is that of a 32-bit processor."""
        return bool(self.kind & 8)

    @property
    def target(self) -> int:
        """Selector that a gate names."""
        return self.low >> 16

    @property
    def offset(self) -> int:
        """Offset that a gate names."""
        return self.low & 0xFFFF | (self.high & 0xFFFF0000 if self.is_wide else 0)


def error_code(selector: int, ext: int = 0) -> int:
    """Return the error code that names a selector (SDM vol. 3, 6.13)."""
    return selector & 0xFFFC | ext


def require(condition: object, vector: int, selector: int, ext: int = 0) -> None:
    """Fault, with a selector's error code, unless a condition holds."""
    if not condition:
        raise GuestFault(vector, error=error_code(selector, ext))


def find(cpu: Cpu, mem: Memory, selector: int) -> Descriptor | None:
    """Read the descriptor of a selector; None where its table has no room for it."""
    if cpu.system is None:
        value = cpu.descriptor(selector)
        return Descriptor(selector, value & _FULL, value >> 32, -1) if value else None
    if selector & 4:
        base, limit = cpu.r32[_LDT_BASE], cpu.r32[_LDT_LIMIT]
        if not cpu.r32[_LDT_ATTR] & PRESENT:
            return None
    else:
        base, limit = cpu.r32[_GDT_BASE], cpu.r16[_GDT_LIMIT]
    if selector | 7 > limit:
        return None
    place = base + (selector & 0xFFF8) & _FULL
    low, high = mem.load_system(place, 32), mem.load_system(place + 4 & _FULL, 32)
    if cpu.system.model == Model.I286:
        high &= 0xFFFF  # the rest is for later processors
    return Descriptor(selector, low, high, place)


def fetch(
    cpu: Cpu, mem: Memory, selector: int, vector: int = GP, ext: int = 0, *, null_error: int = 0
) -> Descriptor:
    """Read the descriptor of a selector that must not be null."""
    if not selector & 0xFFFC:
        raise GuestFault(vector, error=null_error | ext)
    found = find(cpu, mem, selector)
    if found is None:
        raise GuestFault(vector, error=error_code(selector, ext))
    return found


def mark_accessed(mem: Memory, found: Descriptor) -> Descriptor:
    """Set the accessed bit of code or data in its table."""
    if found.high & ACCESSED:
        return found
    found = found._replace(high=found.high | ACCESSED)
    if found.place >= 0:
        mem.store_system(found.place + 5 & _FULL, found.high >> 8 & 0xFF, 8)
    return found


def set_busy(mem: Memory, found: Descriptor, *, is_busy: bool) -> Descriptor:
    """Set or clear the busy bit of a task state in the GDT."""
    high = found.high | _BUSY if is_busy else found.high & ~_BUSY
    mem.store_system(found.place + 5 & _FULL, high >> 8 & 0xFF, 8)
    return found._replace(high=high)


# -- segment registers -----------------------------------------------------------------------------
def put(cpu: Cpu, index: int, found: Descriptor, rpl: int | None = None) -> None:
    """Load a segment register with what was checked."""
    selector = found.selector if rpl is None else found.selector & ~3 | rpl
    segments.set_segment(cpu, index, selector, found.base, found.limit, found.attr)


def put_null(cpu: Cpu, index: int, selector: int = 0) -> None:
    """Make a segment register unusable."""
    segments.set_segment(cpu, index, selector, 0, 0, 0)


def check_data(cpu: Cpu, mem: Memory, selector: int, cpl: int, vector: int = GP) -> Descriptor:
    """Check a selector, not null, for DS ES FS GS."""
    found = fetch(cpu, mem, selector, vector)
    require(found.is_readable, vector, selector)
    if not found.is_conforming:
        require(max(found.rpl, cpl) <= found.dpl, vector, selector)
    require(found.is_present, NP, selector)
    return found


def check_stack(
    cpu: Cpu, mem: Memory, selector: int, cpl: int, vector: int = GP, ext: int = 0
) -> Descriptor:
    """Check a selector for SS at a privilege level."""
    found = fetch(cpu, mem, selector, vector, ext)
    suits = found.rpl == cpl and found.is_writable and found.dpl == cpl
    require(suits, vector, selector, ext)
    require(found.is_present, SS_FAULT, selector, ext)
    return found


def load(cpu: Cpu, mem: Memory, index: int, selector: int) -> None:
    """Load DS ES FS GS or SS, as mov, pop and lds do in any mode."""
    if not cpu.r32[_CR0] & segments.CR0_PE or cpu.r32[_REST] & segments.EFLAGS_VM:
        load_paragraph(cpu, index, selector)
        return
    cpl = segments.privilege(cpu)
    if index == SS:
        put(cpu, SS, mark_accessed(mem, check_stack(cpu, mem, selector, cpl)))
    elif selector & 0xFFFC:
        put(cpu, index, mark_accessed(mem, check_data(cpu, mem, selector, cpl)))
    else:
        put_null(cpu, index, selector)
    segments.update_context(cpu)


def load_paragraph(cpu: Cpu, index: int, selector: int) -> None:
    """Load a segment register in real mode: limit and size stay (SDM vol. 3, 21.1.1)."""
    _, _, limit, attr = segments.segment(cpu, index)
    attr = attr & (BIG | PAGES) | segments.REAL_ATTR
    segments.set_segment(cpu, index, selector, selector << 4, limit, attr)
    segments.update_context(cpu)


def load_ldt(cpu: Cpu, mem: Memory, selector: int, vector: int = GP) -> None:
    """Load LDTR: lldt, or a new task with vector #TS."""
    if not selector & 0xFFFC:
        cpu.r16[_LDT], cpu.r32[_LDT_BASE] = selector, 0
        cpu.r32[_LDT_LIMIT] = cpu.r32[_LDT_ATTR] = 0
        return
    require(not selector & 4, vector, selector)
    found = fetch(cpu, mem, selector, vector)
    require(found.kind == LDT, vector, selector)
    require(found.is_present, NP if vector == GP else vector, selector)
    cpu.r16[_LDT], cpu.r32[_LDT_BASE] = selector, found.base
    cpu.r32[_LDT_LIMIT], cpu.r32[_LDT_ATTR] = found.limit, found.attr


def put_ldt_selector(cpu: Cpu, selector: int) -> None:
    """Show a new task's LDT selector while it is not yet valid."""
    cpu.r16[_LDT] = selector


def load_tr(cpu: Cpu, mem: Memory, selector: int) -> None:
    """Load TR as ltr does, and mark the task busy."""
    found = fetch(cpu, mem, selector)
    require(not selector & 4 and found.kind in (TSS16, TSS32), GP, selector)
    require(found.is_present, NP, selector)
    put_tr(cpu, set_busy(mem, found, is_busy=True))


def put_tr(cpu: Cpu, found: Descriptor) -> None:
    """Load TR with a descriptor that was checked."""
    cpu.r16[_TR], cpu.r32[_TR_BASE] = found.selector, found.base
    cpu.r32[_TR_LIMIT], cpu.r32[_TR_ATTR] = found.limit, found.attr


# -- questions -------------------------------------------------------------------------------------
def _visible(cpu: Cpu, mem: Memory, selector: int, kinds: frozenset[int]) -> Descriptor | None:
    """Return the descriptor that lar, lsl, verr and verw may see, or None."""
    found = find(cpu, mem, selector) if selector & 0xFFFC else None
    if found is None or not (found.high & MEMORY or found.kind in kinds):
        return None
    if found.is_conforming:
        return found
    return found if max(segments.privilege(cpu), found.rpl) <= found.dpl else None


def rights(cpu: Cpu, mem: Memory, selector: int) -> int:
    """Return 1 << 32 | access rights, or 0 where they are not to be seen."""
    found = _visible(cpu, mem, selector, _HAS_RIGHTS)
    return 0 if found is None else 1 << 32 | found.high & SHOWN_RIGHTS


def limit(cpu: Cpu, mem: Memory, selector: int) -> int:
    """Return 1 << 32 | limit in bytes, or 0 where it is not to be seen."""
    found = _visible(cpu, mem, selector, _HAS_LIMIT)
    return 0 if found is None else 1 << 32 | found.limit
