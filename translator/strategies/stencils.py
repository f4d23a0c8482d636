"""Strategy `stencil`: every block is copied together from stencils, flags dropped where dead."""

from __future__ import annotations

from functools import cache

from translator.hooks import BLOCK as BEGIN
from translator.hooks import CAPTURE, COUNT, SET
from translator.planner import Plan, fuses
from translator.shape import PC, REST, numbers
from translator.strategies import Lowered, Piece, strategy
from translator.tiers.stencil import Request, Stencil
from translator.tiers.store import STORE

_CHECKS = {4: b"!verify", 2: b"!verify2", 1: b"!verify1"}  # by bytes that they compare

# What `!call` is for: BLOCK, where the block begins; SERVE | index, in place of that insn; index.
BLOCK, SERVE = 1 << 16, 1 << 17


SERVICE_NAMES = {COUNT: b"!count", SET: b"!cover"}
SERVICE_NAMES |= {CAPTURE + i: b"!capture%d" % i for i in range(8)}


@cache
def service(name: bytes) -> Stencil:
    """Return a service stencil."""
    return STORE.get(Request((name,), 0))


def body(plan: Plan, missing: list[Request]) -> list[Piece]:
    """Find the stencils of a plan's insns; name in *missing* those that are not compiled yet."""
    pieces = []
    items, live, called, served = plan.items, plan.live, plan.called, plan.served
    tallies = plan.tallies
    index, last = 0, len(items) - 1
    while index <= last:
        shape, slots = items[index]
        if index in called:
            pieces.append(call(plan, index))
        if tallies:
            pieces += counting(plan, index)
        if index in served:
            pieces.append(call(plan, index, SERVE))
            index += 1
            continue
        if index == plan.recipe:
            pieces.append(Piece(service(b"!recipe"), [numbers(recipe=plan.recipe_id)]))
        if (
            index < last
            and not plan.splits(index + 1)
            and fuses(shape, jump := items[index + 1][0])
        ):
            mask = live[index] & shape.writes
            index += 1
            stencil = shape.pairs.get((jump, mask))
            if stencil is None:
                stencil = STORE.search(Request((shape.key, jump.key), mask), missing)
                if stencil is not None:
                    shape.pairs[jump, mask] = stencil
            both = [slots, items[index][1]]
        else:
            mask = live[index] & shape.writes
            stencil = shape.single[mask]
            if stencil is None:
                stencil = shape.single[mask] = STORE.search(Request((shape.key,), mask), missing)
            both = [slots]
        if stencil is not None:
            pieces.append(Piece(stencil, both))
        index += 1
    return pieces


def counting(plan: Plan, index: int) -> list[Piece]:
    """Count what is counted in front of an insn, or where the block begins."""
    return [
        Piece(service(SERVICE_NAMES[how]), [numbers(address=place)])
        for at, how, place in plan.tallies
        if at == index
    ]


def call(plan: Plan, index: int, kind: int = 0) -> Piece:
    """Leave before an insn; what stands behind this piece is where to go on."""
    pc, rest = plan.items[index][1][PC], plan.items[index][1][REST]
    return Piece(service(b"!call"), [numbers(pc=pc, rest=rest, count=index | kind)])


def _parts(size: int) -> list[tuple[int, int]]:
    """Return place and size of what code bytes are compared in: no more than they are.

    Behind a short block there may be data, such as an interrupt handler's counter.
    """
    if size >= 4:
        return [(at, 4) for at in (*range(0, size - 4, 4), size - 4)]
    return [(0, 2), (2, 1)][: size - 1] if size > 1 else [(0, 1)]


def compared(linear: int, code: bytes, pc: int) -> list[Piece]:
    """Compare code at a linear address with what it was; else go to the label `stale`, at *pc*."""
    pieces = []
    for at, size in _parts(len(code)):
        word = int.from_bytes(code[at : at + size], "little")
        slots = numbers(pc=pc, address=linear + at, bytes=word)
        pieces.append(Piece(service(_CHECKS[size]), [slots]))
    return pieces


def frame(plan: Plan, inner: list[Piece], verify: bytes | None) -> Lowered:
    """Put the checks in front of a block's code and its exits behind it."""
    count, pc = len(plan.items), plan.pc
    here = numbers(pc=pc, count=count, fpu=plan.fpu or 0)
    pieces: list[Piece] = []
    tails = {}
    if verify is not None:
        pieces = compared(plan.linear, verify, pc)
        tails["stale"] = Piece(service(b"!stale"), [here])
    if plan.fpu is not None:
        pieces.append(Piece(service(b"!guard"), [here]))
    if count:
        pieces.append(Piece(service(b"!budget"), [here]))
        tails["over"] = Piece(service(b"!over"), [here])
    checks = len(pieces)
    if plan.block_call:
        pieces.append(Piece(service(b"!call"), [numbers(pc=pc, rest=count, count=BLOCK)]))
    pieces += counting(plan, BEGIN)
    pieces += inner
    if plan.interp_at is not None:
        pieces.append(Piece(service(b"!interp"), [numbers(pc=plan.interp_at)]))
    elif plan.items[-1][0].terminal is None or count - 1 in plan.served:
        after = numbers(next=plan.next)
        pieces.append(Piece(service(b"!goto"), [after]))
    return Lowered(pieces, tails, checks)


@strategy("stencil")
class Stencils:
    """Copy-and-patch; see tiers/stencil.py."""

    name = "stencil"
    max_insns = 64
    recovers_flags = True
    regions = ""

    def lower(self, plan: Plan, verify: bytes | None) -> Lowered:
        """Copy the block together."""
        if not self.is_prepared(plan):
            self.prepare([plan])
            self.is_prepared(plan)
        return frame(plan, plan.pieces, verify)

    def is_prepared(self, plan: Plan) -> bool:
        """Whether every stencil of the plan exists; they are remembered in the plan."""
        missing: list[Request] = []
        if plan.pieces is None:
            pieces = body(plan, missing)
            if missing and all(STORE.derive(request) for request in missing):
                missing.clear()
                pieces = body(plan, missing)
            plan.pieces = None if missing else pieces
        return not missing

    def prepare(self, plans: list[Plan]) -> None:
        """Compile missing stencils in one batch."""
        missing: list[Request] = []
        for plan in plans:
            body(plan, missing)
        STORE.ensure(missing)
