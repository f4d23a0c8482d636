"""What host code does beside executing insns, by guest address: where it leaves, what it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from translator.ir import Op
from translator.semantics import STRINGS
from translator.shape import Shape

_ACCESSES = frozenset({Op.LOAD, Op.STORE, Op.CMPXCHG, Op.RMW, Op.CALL})
HOST, SERVED, INTERP = (
    0,
    1,
    2,
)  # who executes an insn: host code; Python, on the way; the interp tier
EVERYWHERE = (0, 0xFFFFFFFFFFFFFFFF)
Range = tuple[int, int]  # first and last address


def accesses(shape: Shape) -> bool:
    """Whether an insn may access memory."""
    return any(v.op in _ACCESSES for v in shape.unit.ops)


def covers(ranges: Iterable[Range], address: int) -> bool:
    """Whether an address lies in one of some ranges."""
    return any(first <= address <= last for first, last in ranges)


class Counter(NamedTuple):
    """What host code does with memory of ours: count in 64 bits, or keep registers in a ring."""

    range: Range
    address: int  # on the host, near host code
    hows: tuple[int, ...] = (0,)  # COUNT, CAPTURE + n


class Cover(NamedTuple):
    """Bytes that host code sets to 1 where blocks begin."""

    range: Range
    place: Callable[[int], int]  # address of a block -> host address of its byte


# COUNT adds one, SET stores a byte of 1; CAPTURE + n puts general register n into a ring: a number
# of 64 bits, how many values there were, and RING values of 32 bits behind it.
COUNT, SET, CAPTURE = 0, 1, 2
RING = 1 << 16
Tally = tuple[int, int, int]  # index of an insn, or BLOCK; what to do; host address
BLOCK = -1


@dataclass(slots=True)
class Marks:
    """The marked addresses of one guest; whoever changes them drops the code that they are in."""

    stops: set[int] = field(default_factory=set)  # the insn here is handed to the interp tier
    served: set[int] = field(default_factory=set)  # so is this one, which goes on behind itself
    devices: set[int] = field(default_factory=set)  # what this one accesses may be a device
    conditions: dict[int, bytes] = field(default_factory=dict)  # so is this one, where they hold
    exits: frozenset[int] = frozenset()  # those of them where the run ends
    calls: list[Range] = field(default_factory=list)  # code leaves before each insn
    blocks: list[Range] = field(default_factory=list)  # and where a block begins
    insn_counts: list[Counter] = field(default_factory=list)
    block_counts: list[Counter] = field(default_factory=list)
    covers: list[Cover] = field(default_factory=list)
    checks_memory: bool = False  # insns that access memory are not executed by host code
    watches: bool = False  # those that access what is watched are not

    def at(self, pc: int, shape: Shape) -> int:
        """Say who executes an insn: HOST; SERVED or INTERP."""
        if pc in self.stops:
            return INTERP
        is_repeated = shape.insn.rep != 0 and shape.insn.mnemonic in STRINGS
        if is_repeated and pc in self.devices:
            return INTERP
        if pc in self.served:
            return INTERP if is_repeated or pc in self.conditions else SERVED
        if self.checks_memory and accesses(shape):
            is_odd = is_repeated or shape.terminal is not None or pc in self.conditions
            return INTERP if is_odd else SERVED
        # Each iteration is called for, and once more at the end: an interpreter's affair.
        if is_repeated and (covers((*self.calls, *self.blocks), pc) or pc in self.conditions):
            return INTERP
        return HOST

    @property
    def counts_blocks(self) -> bool:
        """Whether anything happens where blocks begin."""
        return bool(self.blocks or self.block_counts or self.covers)

    def of_insn(self, pc: int) -> list[tuple[int, int]]:
        """Return what to do in front of an insn, and where."""
        found = [one for one in self.insn_counts if covers((one.range,), pc)]
        return [(how, one.address) for one in found for how in one.hows]

    def of_block(self, pc: int) -> list[tuple[int, int]]:
        """Return what to count and to set where a block begins."""
        counts = [(COUNT, one.address) for one in self.block_counts if covers((one.range,), pc)]
        return counts + [(SET, one.place(pc)) for one in self.covers if covers((one.range,), pc)]

    def touch(self, first: int, last: int) -> bool:
        """Whether anything is marked from one address to another."""
        if self.checks_memory:
            return True
        ranges = [*self.calls, *self.blocks]
        ranges += [one.range for one in (*self.insn_counts, *self.block_counts)]
        ranges += [one.range for one in self.covers]
        if any(low <= last and first <= high for low, high in ranges):
            return True
        return any(first <= stop <= last for stop in self._insns())

    def _insns(self) -> tuple[int, ...]:
        """Return the addresses of single insns that are marked."""
        return *self.stops, *self.served, *self.conditions, *self.devices

    def shows(self, first: int, last: int) -> bool:
        """Whether somebody may look at the flags from one address to another."""
        if self.checks_memory or self.watches:
            return True
        if any(low <= last and first <= high for low, high in (*self.calls, *self.blocks)):
            return True
        return any(first <= stop <= last for stop in self._insns())
