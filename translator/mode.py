"""What translation depends on besides guest bytes: the processor's mode, part of every block's key.

A `Mode` says how insns are decoded and what they may do; a `Context` adds where code is: the base
and limit of CS.  Both have numbers.  Number 0 is a Linux program's mode, flat 32-bit ring 3, whose
shapes have the shortest keys: those of an insn that no mode changes are shared by all flat modes.
"""

from __future__ import annotations

import threading
from enum import IntEnum
from functools import cache, cached_property
from typing import NamedTuple


class Segments(IntEnum):
    """How an access is checked against its segment."""

    FLAT = 0  # ES CS SS DS: base 0, 4 GiB; FS GS have a base. Nothing is checked
    REAL = 1  # CS has base 16 * selector; every limit is FFFFh, everything is allowed
    CHECKED = 2  # base, limit and access rights are looked up


class Model(IntEnum):
    """A processor whose behaviour differs."""

    MAX = 0  # all that there is
    I8086 = 1
    I286 = 2
    I386 = 3
    I486 = 4
    PENTIUM = 5
    PENTIUM3 = 6


# Flags that a processor does not have: AC (18) came with the 80486, VIF, VIP and ID (19 to 21) with
# CPUID.  Programs tell processors apart by them.
LATER_FLAGS = {Model.I286: 15 << 18, Model.I386: 15 << 18, Model.I486: 7 << 19}


class _Mode(NamedTuple):
    code32: bool = True  # CS.D: default operand and address size
    stack32: bool = True  # SS.B
    segments: Segments = Segments.FLAT
    protected: bool = True  # CR0.PE
    vm86: bool = False  # EFLAGS.VM
    cpl: int = 3
    model: Model = Model.MAX
    # Whether there is a whole machine: descriptor tables, ports.  Without, ring 3 of Linux is all.
    system: bool = False
    # Which accesses are compared with the ranges in the state (watch_*): WATCH_READS, WATCH_WRITES.
    watches: int = 0
    has_sse: bool = True  # insns on XMM registers: not while CR4.OSFXSR is 0
    checks_alignment: bool = False  # CR0.AM and EFLAGS.AC in ring 3
    # Of single insns: they have met a device that host code can call (quick/natives.py).
    meets_devices: bool = False


class Mode(_Mode):
    """The processor's mode; see the fields."""

    @cached_property
    def number(self) -> int:
        """The mode in 16 bits; 0 is USER. The ring tells real from virtual-8086 mode.

        The highest bit is set in keys of shapes only.
        """
        assert not self.is_real or self.cpl == (3 if self.vm86 else 0)
        return (
            (not self.code32)
            | (not self.stack32) << 1
            | self.segments << 2
            | self.is_real << 4
            | (not self.has_sse) << 5
            | (3 - self.cpl) << 6
            | self.system << 8
            | self.model << MODEL_SHIFT
            | self.watches << 12
            | self.checks_alignment << 14
            | self.meets_devices << DEVICES_SHIFT
        )

    @cached_property
    def marker(self) -> bytes:
        """What shape keys of this mode begin with.

        No key of USER begins with 26h, which means nothing there.
        """
        number = self.number
        return bytes([MARK, number & 0xFF, number >> 8]) if number else b""

    @cached_property
    def is_flat(self) -> bool:
        """Whether addresses in ES CS SS DS are linear, and nothing is checked."""
        return self.segments == Segments.FLAT

    @cached_property
    def shares_keys(self) -> bool:
        """Whether insns that know no modes have the keys of USER."""
        return self.has_386 and not self.number & OWN_KEYS

    @cached_property
    def unwatched(self) -> Mode:
        """The mode without watches: of insns that Python executes, which looks itself."""
        return self._replace(watches=0) if self.watches else self

    @cached_property
    def is_real(self) -> bool:
        """Whether segment registers are paragraphs: real mode and virtual-8086 mode."""
        return not self.protected or self.vm86

    @cached_property
    def wraps(self) -> bool:
        """Whether offsets and addresses wrap instead of violating a limit."""
        return self.model == Model.I8086

    @cached_property
    def max_length(self) -> int:
        """Bytes of the longest insn."""
        return 10 if self.model == Model.I286 else 15

    @cached_property
    def has_386(self) -> bool:
        """Whether there are 32-bit operands, FS, GS and the opcodes since the 80386."""
        return self.model not in (Model.I8086, Model.I286)


WATCH_READS, WATCH_WRITES = 1, 2
MARK = 0x26
LINUX_CR0 = 0x80050033  # what smsw shows a program, and its state holds
MODE_BITS = DEVICES_SHIFT = 15
MODEL_SHIFT, MODEL_BITS = 9, 3  # of the model, in a mode's number
ANY_MODEL = (1 << MODEL_BITS) - 1 << MODEL_SHIFT
USER = Mode()
NO_SSE = Mode(has_sse=False).number
# Bits of the number that give most insns shape keys and host code of their own.
OWN_KEYS = (1 << MODE_BITS) - 1 & ~(NO_SSE | ANY_MODEL | Mode(cpl=0, system=True).number)
_modes: dict[Mode, Mode] = {USER: USER}


def interned(mode: Mode) -> Mode:
    """Return the one object for a mode, which has computed its properties already."""
    return _modes.setdefault(mode, mode)


@cache
def mode_of(number: int) -> Mode:
    """Return the mode of a number."""
    is_real, cpl = bool(number >> 4 & 1), 3 - (number >> 6 & 3)
    mode = Mode(
        code32=not number & 1,
        stack32=not number >> 1 & 1,
        segments=Segments(number >> 2 & 3),
        protected=not is_real or cpl == 3,
        vm86=is_real and cpl == 3,
        cpl=cpl,
        system=bool(number >> 8 & 1),
        model=Model(number >> MODEL_SHIFT & (1 << MODEL_BITS) - 1),
        watches=number >> 12 & 3,
        has_sse=not number >> 5 & 1,
        checks_alignment=bool(number >> 14 & 1),
        meets_devices=bool(number >> DEVICES_SHIFT & 1),
    )
    return interned(mode)


def marker_of(key: bytes) -> bytes:
    """Return what a shape key begins with besides prefixes and opcode; it need not be a mode."""
    return key[:3] if key[0] == MARK else b""


def meeting_devices(key: bytes) -> bytes:
    """Return the shape key of an insn whose accesses may be a device's."""
    mode, rest = split_key(key)
    return mode._replace(meets_devices=True).marker + rest


def split_key(key: bytes) -> tuple[Mode, bytes]:
    """Return the mode of a shape key, and the rest: prefixes and opcode bytes."""
    if key[0] != MARK:
        return USER, key
    return mode_of(key[1] | key[2] << 8), key[3:]


class Context(NamedTuple):
    """Mode and place of code."""

    mode: Mode
    cs_base: int
    cs_limit: int  # highest offset
    number: int  # 0 for USER; bits 16 to 30: the mode; bits 0 to 15: the selector, or an identifier

    @property
    def end(self) -> int:
        """Where CS ends: the offset behind the last byte."""
        return 0x10000 if self.mode.wraps else self.cs_limit + 1

    def linear(self, offset: int) -> int:
        """Return the linear address of an offset in CS."""
        if self.mode.wraps:
            return self.cs_base + (offset & 0xFFFF) & 0xFFFFF
        return self.cs_base + offset & 0xFFFFFFFF

    def missing(self, offset: int, size: int) -> int | None:
        """Return the linear address behind *size* bytes of code, None if CS ends before."""
        if size > self.cs_limit - offset and not self.mode.wraps and not self.mode.is_flat:
            return None
        return self.linear(offset + size)

    def spans(self, offset: int, size: int) -> list[tuple[int, int]]:
        """Return a range of code as linear addresses and sizes."""
        if self.mode.wraps and offset + size > 0x10000:
            first = 0x10000 - offset
            return [(self.linear(offset), first), (self.linear(0), size - first)]
        return [(self.linear(offset), size)]


CONTEXT_MODE_SHIFT = _PLACE_BITS = 16
_PLACES_MAX = 1 << _PLACE_BITS
CONTEXT_SHIFT = 33  # of a context's number in a location (runtime/guestcode.py)
# Bits of the number with which compiled code cannot translate (translator/quick).
UNUSUAL = (Mode(watches=3).number | Mode(checks_alignment=True).number) << _PLACE_BITS
_places: dict[tuple[int, int, int, int], int] = {}  # mode, base, limit, space -> identifier
_contexts: dict[int, Context] = {0: Context(USER, 0, 0xFFFFFFFF, 0)}
_lock = threading.Lock()
FLAT_LIMIT = 0xFFFFFFFF


class TooManyContexts(Exception):  # noqa: N818
    """A guest made more code segments than there are numbers."""


def context_number(mode: Mode, selector: int, base: int, limit: int, space: int = 0) -> int:
    """Return the number of a context; *space* tells address spaces of ring 3 apart.

    Code that loads CS in real mode computes it itself: the selector is its low half.
    """
    if mode.segments == Segments.REAL:
        assert base == selector << 4
        return mode.number << _PLACE_BITS | selector
    if mode.is_flat:
        number = mode.number << _PLACE_BITS | space
        if number not in _contexts:
            _contexts[number] = Context(mode, 0, FLAT_LIMIT, number)
        return number
    with _lock:
        key = (mode.number, base, limit, space)
        if key not in _places and len(_places) >= _PLACES_MAX:
            raise TooManyContexts
        place = _places.setdefault(key, len(_places))
        number = mode.number << _PLACE_BITS | place
        _contexts[number] = Context(mode, base, limit, number)
    return number


def context_of(number: int) -> Context:
    """Return the context of a number."""
    context = _contexts.get(number)
    if context is None:
        mode = mode_of(number >> _PLACE_BITS & (1 << MODE_BITS) - 1)
        if mode.is_flat:  # compiled code made the number
            context = Context(mode, 0, FLAT_LIMIT, number)
        elif mode.segments == Segments.REAL:
            context = Context(mode, (number & 0xFFFF) << 4, 0xFFFF, number)
        else:
            raise KeyError(number)
        _contexts[number] = context
    return context


def is_usual(number: int) -> bool:
    """Whether compiled code can translate in a context."""
    return not number & UNUSUAL and context_of(number).mode.has_386


USER_CONTEXT = _contexts[0]
