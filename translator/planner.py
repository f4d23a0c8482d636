"""Guest bytes -> Plan: which insns a block holds, and which flags anybody behind each can read.

The plan is what every block-wise strategy starts from.  Flags are dropped where no insn, exit or
fault can see them: inside the block, and one block ahead where the successors are known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from translator.decode import Truncated, scan
from translator.ir import CondLink, Link
from translator.shape import ALL_FLAGS, SHAPES, SLOT_INDEX, Shape, Slots, shape_of

MAX_INSNS = 64
WINDOW = 384  # bytes fetched at once; more than MAX_INSNS usual insns
PEEK = 12  # insns looked at in a successor
PEEK_BYTES = 8 * PEEK


class FetchFault(Exception):  # noqa: N818 (the guest's event)
    """The insn at `pc` cannot be read; `address` is the first byte that is missing."""

    def __init__(self, pc: int, address: int) -> None:
        super().__init__(pc, address)
        self.pc, self.address = pc, address


@dataclass(slots=True)
class Plan:
    """One block before lowering."""

    pc: int
    items: list[tuple[Shape, Slots]] = field(default_factory=list)
    live: list[int] = field(default_factory=list)  # mask of flag groups read behind each item
    end: int = 0  # address behind the last byte
    fpu: int | None = None  # x87 TOP << 8 | tags that the block requires, None for any
    interp_at: int | None = None  # the insn here must be interpreted; the block ends before it
    looked_at: list[tuple[int, int]] = field(default_factory=list)  # ranges it depends on

    def successors(self) -> list[int]:
        """Return the guest addresses that the block can go to, as far as they are known."""
        if self.interp_at is not None or not self.items:
            return [self.end & 0xFFFFFFFF]
        shape, slots = self.items[-1]
        match shape.terminal:
            case None:
                return [self.end & 0xFFFFFFFF]
            case Link(slot):
                return [slots[SLOT_INDEX[slot]]]
            case CondLink(_, taken, otherwise):
                return [slots[SLOT_INDEX[taken]], slots[SLOT_INDEX[otherwise]]]
            case _:
                return []


class Peek(NamedTuple):
    """What `look` found."""

    needed: int  # mask of flag groups
    insns: int  # so many insns must run until all other groups are defined
    span: int  # bytes looked at


class Options(NamedTuple):
    """What the runtime knows about the place: part of a block's key."""

    fpu: int = 0  # the x87 stack now
    precise: bool = False  # an x87 or SSE exception is unmasked: floats go to interp
    ends_at_store: bool = False  # the code may be overwritten at any time
    max_insns: int = MAX_INSNS


def form(pc: int, code: bytes, options: Options, peek: Callable[[int], Peek]) -> Plan:
    """Plan the block at *pc*, whose bytes *code* holds. FetchFault if not even one insn is there.

    *peek* says what the code at another address can read of the flags (see `look`).
    """
    plan = Plan(pc)
    items = plan.items
    at, fpu, size = 0, options.fpu, len(code)
    precise, shapes = options.precise, SHAPES
    for _ in range(options.max_insns):
        here = pc + at & 0xFFFFFFFF
        try:
            key, length, disp, imm, imm2 = scan(code, at)
        except Truncated:
            if not items:
                raise FetchFault(pc, pc + size & 0xFFFFFFFF) from None
            break
        shape = shapes.get(key) or shape_of(key)
        need = shape.fpu
        if (
            not shape.is_supported
            or (precise and shape.is_float)
            or (need is not None and not need.allowed(fpu))
        ):
            plan.interp_at = here
            at += length
            break
        after = here + length & 0xFFFFFFFF
        target = after + imm & (0xFFFF if shape.wraps_target else 0xFFFFFFFF)
        slots = [imm & 0xFFFFFFFF, imm2, disp & 0xFFFFFFFF, here, after, target, 0, 0, 0, 0]
        at += length
        if need is not None:
            plan.fpu = options.fpu
            slots[7] = 0 if need.mode == "mmx" else fpu >> 8
            fpu = slots[6] = need.after(fpu)
        items.append((shape, slots))
        if shape.terminal is not None or after < here:
            break
        if options.ends_at_store and shape.stores:
            break
    rest = len(items)
    for _, slots in items:
        slots[8] = rest
        rest -= 1
        slots[9] = rest
    plan.end = pc + at
    plan.looked_at.append((pc, at))
    _liveness(plan, peek)
    return plan


def _liveness(plan: Plan, peek: Callable[[int], Peek]) -> None:
    """Fill plan.live, backwards from what the successors need."""
    live = ALL_FLAGS
    items = plan.items
    if plan.interp_at is None and items:
        targets = plan.successors()
        if targets:
            live = 0
        for target in targets:
            needed, _, span = peek(target)
            live |= needed
            plan.looked_at.append((target, span))
    result = []
    for shape, _ in reversed(items):
        result.append(live)
        live = ALL_FLAGS if shape.can_fault else live & ~shape.writes | shape.reads
    result.reverse()
    plan.live = result


def look(code: bytes) -> Peek:
    """Say which flag groups some code can read before it defines them."""
    needed = defined = at = count = 0
    while count < PEEK:
        try:
            found = scan(code, at)
        except Truncated:
            break
        shape = shape_of(found.key)
        count += 1
        at += found.length
        if shape.can_fault or not shape.is_supported:
            break
        needed |= shape.reads & ~defined
        defined |= shape.writes
        if needed | defined == ALL_FLAGS:
            return Peek(needed, count, at)
        if shape.terminal is not None:
            break
    return Peek(ALL_FLAGS & ~defined | needed, count, max(at, 1))
