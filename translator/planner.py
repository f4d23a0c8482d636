"""Guest bytes -> Plan: which insns a block holds, and which flags anybody behind each can read.

The plan is what every block-wise strategy starts from.  Flags are dropped where no insn, exit or
fault can see them: inside the block, and one block ahead where the successors are known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from translator.decode import Truncated, conditional, scan_fields
from translator.hooks import BLOCK, INTERP, SERVED, Marks, Tally, covers
from translator.ir import CondLink, Link
from translator.mode import CONTEXT_SHIFT, USER_CONTEXT, Context, meeting_devices
from translator.shape import ALL_FLAGS, SHAPES, SLOT_INDEX, Shape, Slots, shape_of

MAX_INSNS = 64
WINDOW = 384  # bytes fetched at once; more than MAX_INSNS usual insns
# The same where somebody wants to know where blocks begin: there Unicorn's are as long.
TOLD_INSNS, TOLD_WINDOW = 512, 4096
PEEK = 12  # insns looked at in a successor
PEEK_BYTES = 8 * PEEK


class FetchFault(Exception):  # noqa: N818 (the guest's event)
    """The insn at `pc` cannot be read; `address` is the first byte that is missing.

    That is a linear address, or None where the insn goes beyond the limit of CS.
    """

    def __init__(self, pc: int, address: int | None) -> None:
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
    recipe: int = -1  # the insn whose flags the successors may have to recover, or -1
    recipe_id: int = 0
    called: list[int] = field(default_factory=list)  # insns that code leaves before, for hooks
    served: list[int] = field(default_factory=list)  # insns that Python executes, on the way
    tallies: list[Tally] = field(default_factory=list)  # what is counted, and where
    block_call: bool = False  # the same where the block begins
    saved: int = -1  # without a recipe, the insn whose operands a region may save for the same end
    options: Any = None  # the Options it was made with
    pieces: Any = None  # what the strategy found for it, once complete
    looked_at: list[tuple[int, int]] = field(default_factory=list)  # linear ranges it depends on
    code: bytes = b""  # what it was made from, where that may change at any time

    @property
    def context(self) -> Context:
        """Mode and place of the code; a worker's plans have none, and need none."""
        return USER_CONTEXT if self.options is None else self.options.context

    @property
    def location(self) -> int:
        """What the code cache knows it by, outside of precise floating-point mode."""
        return self.pc | self.context.number << CONTEXT_SHIFT

    @property
    def linear(self) -> int:
        """Linear address of its first byte."""
        return self.context.linear(self.pc)

    @property
    def next(self) -> int:
        """Offset in CS behind the last insn."""
        return self.end & (0xFFFF if self.context.mode.wraps else 0xFFFFFFFF)

    def splits(self, index: int) -> bool:
        """Whether something happens between an insn and the one before it."""
        if not (self.called or self.served or self.tallies):
            return False
        is_counted = any(at == index for at, _, _ in self.tallies)
        return is_counted or index in self.called or not {index, index - 1}.isdisjoint(self.served)

    def successors(self) -> list[int]:
        """Return the guest addresses that the block can go to, as far as they are known."""
        if self.interp_at is not None or not self.items:
            return [self.next]
        shape, slots = self.items[-1]
        match shape.terminal:
            case None:
                return [self.next]
            case Link(slot):
                return [slots[SLOT_INDEX[slot]]]
            case CondLink(_, taken, otherwise):
                return [slots[SLOT_INDEX[taken]], slots[SLOT_INDEX[otherwise]]]
            case _:
                return []


class Peek(NamedTuple):
    """What `look` found."""

    needed: int  # mask of the flag groups that it reads
    is_shown: bool  # it reads none, but a memory fault before it defines them would show them all
    changed: int  # registers written before the last such access
    insns: int  # so many insns must run until all other groups are defined
    spans: list[tuple[int, int]]  # what it depends on: address and size


class Options(NamedTuple):
    """What the runtime knows about the place: part of a block's key."""

    fpu: int = 0  # the x87 stack now
    # An x87 or SSE exception is unmasked, or CR0 forbids such insns: they go to interp.
    precise: bool = False
    ends_at_store: bool = False  # the code may be overwritten at any time
    max_insns: int = MAX_INSNS
    recovers: bool = False  # flags that only a fault shows are recovered, not stored
    context: Context = USER_CONTEXT


def form(
    pc: int,
    code: bytes,
    options: Options,
    peek: Callable[[int], Peek],
    marks: Marks | None = None,
) -> Plan:
    """Plan the block at *pc* in CS, whose bytes *code* holds. FetchFault if no insn is there.

    *peek* says what the code at another address can read of the flags (see `look`).
    """
    plan = Plan(pc, options=options)
    items = plan.items
    at, fpu, size = 0, options.fpu, len(code)
    precise, shapes = options.precise, SHAPES
    context = options.context
    mode, wraps = context.mode, 0xFFFF if context.mode.wraps else 0xFFFFFFFF
    for _ in range(options.max_insns):
        here = pc + at & wraps
        try:
            key, length, disp, imm, imm2 = scan_fields(code, at, mode)
        except (Truncated, IndexError):
            if not items:
                raise FetchFault(pc, context.missing(pc, size)) from None
            break
        shape = shapes.get(key) or shape_of(key)
        where = context.linear(here) if context.number else here
        if marks is not None and where in marks.conditions:
            shape = shape_of(conditional(key, marks.conditions[where]))
        elif marks is not None and where in marks.devices:
            shape = shape_of(meeting_devices(key))
        who = marks.at(where, shape) if marks is not None else 0
        need = shape.fpu
        if (
            who == INTERP
            or not (shape.is_supported or who)
            or (precise and (shape.is_float or (shape.uses_fpu and mode.system)) and not who)
            or (need is not None and not need.allowed(fpu))
        ):
            plan.interp_at = here
            at += length
            break
        after = here + length & wraps
        target = after + imm & (0xFFFF if shape.wraps_target else 0xFFFFFFFF)
        slots = [imm & 0xFFFFFFFF, imm2, disp & 0xFFFFFFFF, here, after, target, 0, 0, 0, 0]
        at += length
        if need is not None:
            plan.fpu = options.fpu
            slots[7] = 0 if need.mode == "mmx" else fpu >> 8
            fpu = slots[6] = need.after(fpu)
        if who == SERVED:
            plan.served.append(len(items))
        if marks is not None and covers(marks.calls, where):
            plan.called.append(len(items))
        if marks is not None and marks.insn_counts:
            plan.tallies += [(len(items), how, place) for how, place in marks.of_insn(where)]
        items.append((shape, slots))
        # What is served goes on behind itself, unless somebody wants to know where blocks begin.
        goes_on = who and not (marks is not None and marks.counts_blocks)
        if (shape.terminal is not None and not goes_on) or after < here:
            break
        if options.ends_at_store and shape.stores:
            break
    rest = len(items)
    for _, slots in items:
        slots[8] = rest
        rest -= 1
        slots[9] = rest
    plan.end = pc + at
    if options.ends_at_store:
        plan.code = code[:at]
    plan.looked_at += context.spans(pc, at)
    if marks is not None:
        first = context.linear(pc)
        if first not in marks.exits:
            plan.block_call = covers(marks.blocks, first)
            plan.tallies += [(BLOCK, how, place) for how, place in marks.of_block(first)]
    _liveness(plan, peek, options.recovers)
    return plan


def _liveness(plan: Plan, peek: Callable[[int], Peek], recovers: bool) -> None:
    """Fill plan.live, backwards from what the successors need.

    *live* are the groups that something reads; *shown* those that only a memory fault would show,
    which need not be stored while the registers in *changed* are not those they follow from.
    """
    live, shown, changed = ALL_FLAGS, 0, 0
    items = plan.items
    if plan.interp_at is None and items:
        targets = plan.successors()
        if targets:
            live = 0
        for target in targets:
            ahead = peek(target)
            live |= ahead.needed
            if ahead.is_shown:
                shown = ALL_FLAGS
            changed |= ahead.changed
            plan.looked_at += ahead.spans
    if live or not recovers:
        live |= shown
        shown = changed = 0
    pending = shown  # what this block leaves, and a fault in a successor would show
    result = [0] * len(items)
    fused_reads = 0  # what a jump reads that is compiled together with the insn before it
    for index in range(len(items) - 1, -1, -1):
        shape = items[index][0]
        if index and not plan.splits(index) and fuses(items[index - 1][0], shape):
            result[index] = live
            fused_reads = shape.reads
            continue
        writes = shape.writes
        need = live & writes
        if shown & writes:
            hidden = shown & writes & ~live
            can = shape.recoverable if hidden and not _reads(shape) & changed else 0
            if pending & writes:
                # The successor finds the flags of this insn by its number, all of them or none.
                # The number is stored before it runs: should it fault itself, those of another
                # insn are to be found.
                if writes == can == hidden == pending == ALL_FLAGS and not shape.exposes:
                    plan.recipe = index
                else:
                    if writes == hidden == pending == ALL_FLAGS and shape.rule is not None:
                        plan.saved = index
                    can &= ~pending
                    # Those that are stored since this block itself reads them are shown, too.
                    for later in range(index + 1, len(items)):
                        result[later] |= shown & writes & pending
                pending &= ~writes
            need |= hidden & ~can
        result[index] = live & ~writes | need
        if writes:
            live &= ~writes
            shown &= ~writes
            if not shown:
                changed = 0
        if shown:
            changed |= shape.registers
        live |= shape.reads | fused_reads & ~writes
        fused_reads = 0
        if shape.leaks:
            live, shown, changed = ALL_FLAGS, 0, 0
        elif shape.exposes:
            if recovers:
                shown = ALL_FLAGS & ~live
            else:
                live = ALL_FLAGS
        if index in plan.called or index in plan.served:
            live, shown, changed = ALL_FLAGS, 0, 0
    plan.live = result


def fuses(setter: Shape, jump: Shape) -> bool:
    """Whether a jump shall be compiled together with the insn before it, which sets its flags."""
    return jump.is_fusible_jump and bool(jump.reads & setter.writes)


def _reads(shape: Shape) -> int:
    """Return the registers that recovering a shape's flags reads."""
    return shape.recovery.registers if shape.recovery is not None else 0


def look(
    pc: int,
    fetch: Callable[[int, int], bytes],
    context: Context = USER_CONTEXT,
    depth: int = 2,
    limit: int = PEEK,
) -> Peek:
    """Say which flag groups the code at *pc* can read or show before it defines them.

    Direct jumps and calls are followed, two-way branches *depth* times, all for *limit* insns.
    """
    spans: list[tuple[int, int]] = []
    needed = defined = count = changed = pending = 0
    is_shown = False
    while count < limit:
        code = fetch(pc, PEEK_BYTES)
        at = 0
        shape = target = None
        while count < limit:
            try:
                key, length, _, imm, _ = scan_fields(code, at, context.mode)
            except (Truncated, IndexError):
                shape = None
                break
            shape = SHAPES.get(key) or shape_of(key)
            count += 1
            at += length
            if shape.leaks or not shape.is_supported or (shape.exposes and defined):
                shape = None  # somebody may see the flags, or only some of them: store all
                break
            if shape.exposes:
                is_shown = True
                changed |= pending
            pending |= shape.registers
            needed |= shape.reads & ~defined
            defined |= shape.writes
            if needed | defined == ALL_FLAGS:
                spans += context.spans(pc, at)
                if needed and is_shown:
                    return Peek(ALL_FLAGS, False, 0, count, spans)
                return Peek(needed, is_shown, changed, count, spans)
            if shape.terminal is not None:
                target = pc + at + imm & (0xFFFF if shape.wraps_target else 0xFFFFFFFF)
                break
        spans += context.spans(pc, max(at, 1))
        if shape is None or target is None:
            break
        if shape.is_jump:
            pc = target
            continue
        if not shape.is_conditional or not depth or is_shown or needed:
            break
        taken = look(target, fetch, context, depth - 1, limit - count)
        other = look(pc + at & 0xFFFFFFFF, fetch, context, depth - 1, limit - count)
        if (taken.is_shown or other.is_shown) and defined:
            break
        still = ~defined
        return Peek(
            (taken.needed | other.needed) & still,
            taken.is_shown or other.is_shown,
            taken.changed | other.changed | pending,
            count + max(taken.insns, other.insns),
            spans + taken.spans + other.spans,
        )
    return Peek(ALL_FLAGS, False, 0, count, spans)
