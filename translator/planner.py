"""Guest bytes -> Plan: which insns a block holds, and which flags anybody behind each can read.

The plan is what every block-wise strategy starts from.  Flags are dropped where no insn, exit or
fault can see them: inside the block, and one block ahead where the successors are known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from translator import flags
from translator.decode import Truncated, scan
from translator.ir import CondLink, Link
from translator.shape import Shape, shape_of, slots_of

MAX_INSNS = 64
WINDOW = 512  # bytes fetched at once; more than MAX_INSNS usual insns
PEEK = 12  # insns looked at in a successor
NOTHING: frozenset[str] = frozenset()

Fetch = Callable[[int, int], bytes]


class FetchFault(Exception):  # noqa: N818 (the guest's event)
    """The insn at `pc` cannot be read; `address` is the first byte that is missing."""

    def __init__(self, pc: int, address: int) -> None:
        super().__init__(pc, address)
        self.pc, self.address = pc, address


class Item(NamedTuple):
    """One insn of a block."""

    shape: Shape
    slots: dict[str, int]


@dataclass(slots=True)
class Plan:
    """One block before lowering."""

    pc: int
    items: list[Item] = field(default_factory=list)
    live: list[frozenset[str]] = field(default_factory=list)  # flag groups read behind each item
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
                following = [slots["next"]] if shape.insn.mnemonic == "call" else []
                return [slots[slot], *following]
            case CondLink(_, taken, otherwise):
                return [slots[taken], slots[otherwise]]
            case _:
                return [slots["next"]]


class Options(NamedTuple):
    """What the runtime knows about the place: part of a block's key."""

    fpu: int = 0  # the x87 stack now
    precise: bool = False  # an x87 or SSE exception is unmasked: floats go to interp
    ends_at_store: bool = False  # the code may be overwritten at any time
    max_insns: int = MAX_INSNS


def form(pc: int, fetch: Fetch, options: Options) -> Plan:
    """Collect the insns of the block at *pc*. FetchFault if not even one can be read."""
    plan = Plan(pc)
    code = fetch(pc, WINDOW)
    at, fpu = 0, options.fpu
    while len(plan.items) < options.max_insns:
        here = (pc + at) & 0xFFFFFFFF
        try:
            found = scan(code, at)
        except Truncated:
            if not plan.items:
                raise FetchFault(pc, (pc + len(code)) & 0xFFFFFFFF) from None
            break
        shape = shape_of(found.key)
        is_native = shape.is_supported and not (options.precise and shape.is_float)
        if shape.fpu is not None and is_native:
            is_native = shape.fpu.allowed(fpu)
        if not is_native:
            plan.interp_at = here
            at += found.length
            break
        slots = slots_of(found, here, shape.insn.width)
        at += found.length
        if shape.fpu is not None:
            plan.fpu = options.fpu
            fpu = shape.fpu.after(fpu)
            slots["fpu"] = fpu
            slots["top"] = plan_top(slots, shape, fpu)
        plan.items.append(Item(shape, slots))
        if shape.terminal is not None:
            break
        if options.ends_at_store and any(v.op.name == "STORE" for v in shape.unit.ops):
            break
        if here + found.length > 0xFFFFFFFF:
            break
    for index, item in enumerate(plan.items):
        # What a side exit gives back to the budget: with this insn, or without it.
        item.slots["rest"] = len(plan.items) - index
        item.slots["left"] = len(plan.items) - index - 1
    plan.end = pc + at
    plan.looked_at.append((pc, at))
    plan.live = _liveness(plan, fetch)
    return plan


def plan_top(slots: dict[str, int], shape: Shape, after: int) -> int:
    """Return the TOP that an insn starts with, from the stack behind it."""
    assert shape.fpu is not None
    if shape.fpu.mode == "mmx":
        return 0
    return ((after >> 8) - shape.fpu.delta) & 7


def _liveness(plan: Plan, fetch: Fetch) -> list[frozenset[str]]:
    live = _live_out(plan, fetch)
    result = []
    for shape, _ in reversed(plan.items):
        result.append(live)
        live = flags.ALL if shape.can_fault else (live - shape.writes) | shape.reads
    result.reverse()
    return result


def _live_out(plan: Plan, fetch: Fetch) -> frozenset[str]:
    if plan.interp_at is not None or not plan.items:
        return flags.ALL
    if not isinstance(plan.items[-1].shape.terminal, Link | CondLink | None):
        return flags.ALL
    targets = plan.successors()
    live: frozenset[str] = NOTHING
    for target in targets:
        needed, _, span = peek(target, fetch)
        live |= needed
        plan.looked_at.append((target, span))
    return live


def peek(pc: int, fetch: Fetch) -> tuple[frozenset[str], int, int]:
    """Say which flag groups the code at *pc* can read before it defines them.

    Returns the groups, how many insns must run until all others are defined, and how many bytes
    were looked at.
    """
    code = fetch(pc, PEEK * 8)
    needed, defined = NOTHING, NOTHING
    at = count = 0
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
        needed |= shape.reads - defined
        defined |= shape.writes
        if needed | defined == flags.ALL:
            return needed, count, at
        if shape.terminal is not None:
            break
    return flags.ALL - defined | needed, count, max(at, 1)
