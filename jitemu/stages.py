"""Plans and host code -> text: what each stage of the translator makes of a block, for people."""

from __future__ import annotations

from collections.abc import Iterator

from translator.planner import Plan
from translator.regions import Region
from translator.shape import NEXT, PC, SLOTS, Shape, Slots
from translator.strategies import Piece, Strategy
from translator.tiers import hostdis
from translator.tiers.stencil import ST0, Request, Stencil
from translator.tiers.store import STORE

_BYTES = 11  # bytes of guest code on a line before the disassembly; longer insns push it
_HOST_BYTES = 10


def line(address: int, code: bytes, text: str, width: int = _BYTES) -> str:
    """Return one line of disassembly."""
    return f"{address:#010x}  {code.hex(' '):<{3 * width}} {text}"


def guest_insn(shape: Shape, slots: Slots, code: bytes, start: int) -> str:
    """Return the disassembly of one insn of a block."""
    at = slots[PC] - start & 0xFFFFFFFF
    size = slots[NEXT] - slots[PC] & 0xFFFFFFFF
    for address, insn, text in hostdis.lines(code[at : at + size], slots[PC], 32):
        return line(address, insn, text)
    # What capstone does not know, the translator may: then its own name stands here.
    return line(slots[PC], code[at : at + size], shape.insn.mnemonic)


def decode(plan: Plan, code: bytes) -> Iterator[str]:
    """Yield the guest disassembly of a block, whose bytes are *code*."""
    for shape, slots in plan.items:
        yield guest_insn(shape, slots, code, plan.pc)
    if plan.interp_at is not None:
        at = plan.interp_at
        size = plan.end - at
        for address, insn, text in hostdis.lines(code[at - plan.pc :][:size], at, 32):
            yield line(address, insn, text) + "   ; by interp"


def ir(plan: Plan, code: bytes) -> Iterator[str]:
    """Yield the IR of every insn behind its disassembly."""
    from translator.decode import decode as decode_insn
    from translator.semantics import lift

    for shape, slots in plan.items:
        yield guest_insn(shape, slots, code, plan.pc)
        yield str(shape.unit)
    if plan.interp_at is not None:
        insn = code[plan.interp_at - plan.pc :]
        yield list(decode(plan, code))[-1]
        yield str(lift(decode_insn(insn)))


def llvm(plan: Plan, strategy: Strategy | None) -> Iterator[str]:
    """Yield the LLVM IR that host code is made from: a function per block, or per stencil."""
    from translator.strategies import blocks
    from translator.tiers import backend, stencil

    if not plan.items:
        return
    if strategy is None:
        yield from python(plan)
    elif strategy.name == "block":
        yield from _functions(backend.optimized(blocks.source([plan])))
    else:
        requests = {request: None for _, request in _requests(strategy.lower(plan, None).pieces)}
        yield from _functions(stencil.source([stencil.Job(request) for request in requests]))


def region(formed: Region) -> Iterator[str]:
    """Yield the LLVM IR of a region, before the passes."""
    from translator.tiers.regioncode import source

    yield from _functions(source(formed))


def _functions(module: str) -> Iterator[str]:
    """Yield the lines of a module's functions, without its declarations."""
    is_inside = False
    for text in module.splitlines():
        is_inside |= text.startswith("define ")
        if is_inside:
            yield text
        is_inside &= text != "}"


def python(plan: Plan) -> Iterator[str]:
    """Yield the Python functions by which the interp tier executes a block."""
    from translator.tiers import interp

    for shape, slots in plan.items:
        yield f"# {slots[PC]:#010x}"
        yield interp.source(shape.insn)


def _requests(pieces: list[Piece]) -> Iterator[tuple[Stencil, Request]]:
    known = {id(stencil): request for request, stencil in STORE.known.items()}
    for piece in pieces:
        request = known.get(id(piece.stencil))
        if request is not None:
            yield piece.stencil, Request(*request)  # from disk it comes as a plain tuple


def host(plan: Plan, code: bytes, strategy: Strategy | None) -> Iterator[str]:
    """Yield the host code of a block before it is placed, piece by piece, with its holes."""
    if strategy is None:
        yield from python(plan)
        return
    lowered = strategy.lower(plan, None)
    named = {id(stencil): request for stencil, request in _requests(lowered.pieces)}
    texts = {slots[PC]: guest_insn(shape, slots, code, plan.pc) for shape, slots in plan.items}
    for piece in lowered.pieces:
        request = named.get(id(piece.stencil))
        if request is not None and request.keys[0].startswith(b"!"):
            yield f"; {request.keys[0][1:].decode()}"
        else:
            yield from (f"; {texts[slots[PC]]}" for slots in piece.slots if slots[PC] in texts)
        yield from _stencil(piece.stencil)


def _stencil(stencil: Stencil) -> Iterator[str]:
    notes = [(h.offset, _slot(h.insn, h.slot, h.addend)) for h in stencil.holes]
    notes += [(b.offset, b.symbol or _slot(b.insn, b.slot)) for b in stencil.branches]
    notes += [(offset, f"constant {data.hex()}") for offset, _, data in stencil.constants]
    split = len(stencil.code)
    parts = ((0, stencil.code, ""), (split, stencil.cold, "cold "))
    for start, code, mark in parts:
        for address, insn, text in hostdis.lines(code, start, 64):
            inside = [note for at, note in notes if address <= at < address + len(insn)]
            faults = [f for f in stencil.faults if f.access == address]
            inside += ["may fault"] if faults else []
            shown = f"  {mark}{address:04x}  {insn.hex(' '):<{3 * _HOST_BYTES}} {text}"
            yield f"{shown:<72} ; {', '.join(inside)}" if inside else shown


def _slot(insn: int, slot: int, addend: int = 0) -> str:
    name = f"st{slot - ST0}" if slot >= ST0 else SLOTS[slot]
    place = f"{name} of insn {insn}" if insn else name
    return f"{{{place}{addend:+}}}" if addend else f"{{{place}}}"


def placed(code: bytes, address: int) -> Iterator[str]:
    """Yield the disassembly of installed host code."""
    for at, insn, text in hostdis.lines(code, address, 64):
        yield f"{at:#014x}  {insn.hex(' '):<{3 * _HOST_BYTES}} {text}"
