"""Strategy `stencil`: every block is copied together from stencils, flags dropped where dead."""

from __future__ import annotations

from translator.ir import Op
from translator.planner import Item, Plan
from translator.strategies import Lowered, Piece, strategy
from translator.tiers.stencil import Request, live_mask
from translator.tiers.store import STORE

PROLOGUE = (b"!budget", b"!over", b"!guard", b"!verify", b"!stale", b"!interp", b"!goto", b"!stub")


def service(name: bytes) -> Request:
    """Return the request for a service stencil."""
    return Request((name,), 0)


def fuses(first: Item, second: Item) -> bool:
    """Whether a conditional jump should be compiled together with the insn that sets its flags."""
    jump, setter = second.shape, first.shape
    return (
        jump.is_conditional
        and bool(jump.reads & setter.writes)
        and setter.terminal is None
        and all(v.op in (Op.COND, Op.GETFLAG) for v in jump.unit.ops)
    )


def requests(plan: Plan) -> list[tuple[Request, list[dict[str, int]]]]:
    """Name the stencils of a plan's insns, with their slots."""
    result = []
    items, live = plan.items, plan.live
    index = 0
    while index < len(items):
        item = items[index]
        shape = item.shape
        if index + 1 < len(items) and fuses(item, items[index + 1]):
            index += 1
            second = items[index]
            keys = (shape.insn.key, second.shape.insn.key)
            mask = live_mask(live[index], shape.writes | second.shape.writes)
            result.append((Request(keys, mask), [item.slots, second.slots]))
        else:
            mask = live_mask(live[index], shape.writes)
            result.append((Request((shape.insn.key,), mask), [item.slots]))
        index += 1
    return result


def frame(plan: Plan, body: list[Piece], verify: bytes | None) -> Lowered:
    """Put the checks in front of a block's code and its exits behind it."""
    count, pc = len(plan.items), plan.pc
    here = {"pc": pc, "count": count}
    pieces, tails = [], {}
    if verify is not None:
        check = STORE.get(service(b"!verify"))
        for at in [*range(0, max(len(verify) - 4, 0), 4), max(len(verify) - 4, 0)]:
            word = verify[at : at + 4].ljust(4, b"\0")
            slots = {"pc": pc, "address": pc + at, "bytes": int.from_bytes(word, "little")}
            pieces.append(Piece(check, [slots]))
        tails["stale"] = Piece(STORE.get(service(b"!stale")), [here])
    if plan.fpu is not None:
        pieces.append(Piece(STORE.get(service(b"!guard")), [{**here, "fpu": plan.fpu}]))
    if count:
        pieces.append(Piece(STORE.get(service(b"!budget")), [here]))
        tails["over"] = Piece(STORE.get(service(b"!over")), [here])
    checks = len(pieces)
    pieces += body
    if plan.interp_at is not None:
        pieces.append(Piece(STORE.get(service(b"!interp")), [{"pc": plan.interp_at}]))
    elif plan.items[-1].shape.terminal is None:
        slots = {"next": plan.end & 0xFFFFFFFF}
        pieces.append(Piece(STORE.get(service(b"!goto")), [slots]))
    return Lowered(pieces, tails, checks)


@strategy("stencil")
class Stencils:
    """Copy-and-patch; see tiers/stencil.py."""

    name = "stencil"
    max_insns = 64

    def lower(self, plan: Plan, verify: bytes | None) -> Lowered:
        """Copy the block together."""
        get = STORE.get
        return frame(plan, [Piece(get(r), slots) for r, slots in requests(plan)], verify)

    def is_prepared(self, plan: Plan) -> bool:
        """Whether every stencil of the plan exists."""
        return STORE.has([r for r, _ in requests(plan)])

    def prepare(self, plans: list[Plan]) -> None:
        """Compile missing stencils in one batch."""
        STORE.ensure([r for plan in plans for r, _ in requests(plan)])


