"""Insn shapes -> stencils: machine code compiled once, whose operands are holes (copy-and-patch).

A stencil is compiled by the LLVM tier with every slot an external symbol, so that its relocations
are the holes.  Xu and Kjolstad, "Copy-and-Patch Compilation", OOPSLA 2021.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from translator.ir import Terminal
from translator.semantics import lift
from translator.shape import GROUP_BITS, SLOT_INDEX, shape_of
from translator.tiers import backend, elf
from translator.tiers.immediates import HoleLowering
from translator.tiers.llvm import module
from translator.tiers.renaming import Field
from translator.tiers.services import SERVICES
from translator.tiers.slots import HoleSlots

LEAVE = "jitemu_leave"
NEXT = "jitemu_next"
PLAIN_JUMP = 0xE9
_HOLE = re.compile(r"h\d")


ST0 = 100  # slot numbers from here on: the state offset of ST(number - ST0)


class Hole(NamedTuple):
    """A field of `size` bytes at `offset`: slot `slot` of insn `insn`, plus `addend`, goes in.

    If `size` is negative, the number counts from the field's own host address.
    """

    offset: int
    size: int
    insn: int
    slot: int  # index into shape.SLOTS, or ST0 + i
    addend: int


class Branch(NamedTuple):
    """A 32-bit relative field at `offset`: to a routine, a block's tail, or a linked address.

    With `insn` >= 0 it is a link to the address in slot `slot`; else `symbol` names the target.
    """

    offset: int
    addend: int
    symbol: str
    insn: int = -1
    slot: int = -1


class Fault(NamedTuple):
    """An access that may fault: its offset, its recovery's (-1: jitemu_leave) and its insn."""

    access: int
    recovery: int
    insn: int  # -1: `pc` is the guest address
    pc: int


class Stencil(NamedTuple):
    """Machine code with holes. `code` falls through at its end; `cold` is reached by faults only.

    Offsets count through `code` and on into `cold`.
    """

    code: bytes
    cold: bytes
    holes: tuple[Hole, ...]
    branches: tuple[Branch, ...]
    faults: tuple[Fault, ...]
    constants: tuple[tuple[int, int, bytes], ...]  # (offset of a relative field, addend, data)
    # Where it names guest registers, if it is the model of a pattern and that is known.
    fields: tuple[Field, ...] | None = None


class Request(NamedTuple):
    """What names a stencil: insn shape keys in order, and the flag groups read behind each."""

    keys: tuple[bytes, ...]
    live: int  # mask by GROUP_BITS, of the groups that the insns write


class Job(NamedTuple):
    """A stencil to compile: with the places that guest registers have among the arguments."""

    request: Request
    places: Sequence[int] = range(8)


def lower(name: str, job: Job, used: set[str]) -> HoleLowering:
    """Lower the insns of a request into one function."""
    request = job.request
    service = SERVICES.get(request.keys[0])
    if service is not None:
        lowering = HoleLowering(name)
        lowering.slots = HoleSlots(0, used)
        service(lowering)
        return lowering
    live = frozenset(g for g, bit in GROUP_BITS.items() if request.live & bit)
    lowering = HoleLowering(name, has_flags=bool(live), places=job.places)
    terminal: Terminal | None = None
    for index, key in enumerate(request.keys):
        unit = lift(shape_of(key).insn)  # lowering adds values to it
        lowering.insn(unit, HoleSlots(index, used))
        terminal = unit.terminal
    lowering.terminal(terminal, live)
    return lowering


def source(jobs: Sequence[Job]) -> str:
    """Return the LLVM module of some stencils, function `s0`, `s1`... for each."""
    used: set[str] = set()
    symbols: set[str] = set()
    functions = []
    for i, job in enumerate(jobs):
        lowering = lower(f"s{i}", job, used)
        functions.append(lowering.text())
        symbols |= lowering.symbols
    return module(functions, symbols, used)


def build(jobs: Sequence[Job]) -> list[Stencil]:
    """Compile stencils, in one batch."""
    if not jobs:
        return []
    obj = elf.parse(backend.compile_object(source(jobs), optimize=False))
    names = [f"s{i}" for i in range(len(jobs))]
    return [extract(obj, code) for code in elf.functions(obj, names)]


def extract(obj: elf.Object, section: elf.Code, *, whole: bool = False) -> Stencil:
    """Make a stencil of a function; *whole*: do not look for a cold part behind the hot one."""
    code = section.code
    recoveries = [] if whole else [f.recovery for f in section.faults]
    cold_start = min([len(code), *recoveries])
    nexts = [r for r in section.relocs if r.symbol == NEXT]
    cut = cold_start
    last = next((r for r in nexts if r.offset + 4 == cold_start), None)
    if last is not None and code[last.offset - 1] == PLAIN_JUMP:
        cut = last.offset - 1
    crossing = _crosses(code, cold_start, section.relocs)
    if crossing:
        # Hot and cold code jump into each other: keep them together, in order.
        cut = cold_start = len(code)
        last = None
    cold = code[cold_start:]
    removed = cold_start - cut

    def place(offset: int) -> int:
        return offset if offset < cut else offset - removed

    holes, branches, constants = [], [], []
    is_bare_leave = len(cold) == 5 and cold[0] == PLAIN_JUMP and not crossing
    for r in section.relocs:
        if r is last and cut != cold_start:
            continue
        if is_bare_leave and r.offset >= cold_start:
            is_bare_leave = r.symbol == LEAVE
            if is_bare_leave:
                continue
        at = place(r.offset)
        data = obj.sections.get(r.symbol) or (
            obj.sections.get(obj.symbols[r.symbol][0]) if r.symbol in obj.symbols else None
        )
        if data is not None:
            base = 0 if r.symbol in obj.sections else obj.symbols[r.symbol][1]
            constants.append((at, *_constant(data, base + r.addend)))
        elif r.is_relative and not _HOLE.match(r.symbol):
            branches.append(_branch(at, r))
        else:
            insn, slot = _slot(r.symbol)
            holes.append(Hole(at, -r.size if r.is_relative else r.size, insn, slot, r.addend))
    if is_bare_leave:
        cold = b""
    faults = tuple(
        Fault(
            place(f.access),
            -1 if is_bare_leave else place(f.recovery),
            _slot(f.pc)[0] if f.pc else -1,
            f.pc_value,
        )
        for f in section.faults
    )
    return Stencil(code[:cut], cold, tuple(holes), tuple(branches), faults, tuple(constants))


def _constant(data: elf.Code, addend: int) -> tuple[int, bytes]:
    """Cut one constant out of a section of equal ones; return the addend against it, and it."""
    size = int(data.name.rpartition("cst")[2] or 0) if "cst" in data.name else 0
    if not size:
        return addend, data.code
    # The field may stand up to 4 bytes before the insn's end: the constant starts above addend + 4.
    start = (addend + 4 + size - 1) // size * size
    return addend - start, data.code[start : start + size]


def _slot(symbol: str) -> tuple[int, int]:
    """Return insn and slot of a hole's symbol, `hINSN_SLOT`."""
    insn, name = symbol[1:].split("_", 1)
    slot = SLOT_INDEX.get(name)
    return int(insn), ST0 + int(name[2:]) if slot is None else slot


def _branch(at: int, reloc: elf.Reloc) -> Branch:
    """Make a branch of a relative relocation; `linkINSN_SLOT` is a link or a tail's name."""
    if not reloc.symbol.startswith("link"):
        return Branch(at, reloc.addend, reloc.symbol)
    insn, name = reloc.symbol[4:].split("_", 1)
    slot = SLOT_INDEX.get(name)
    if slot is None:
        return Branch(at, reloc.addend, name)
    return Branch(at, reloc.addend, "", int(insn), slot)


def _crosses(code: bytes, cold_start: int, relocs: list[elf.Reloc]) -> bool:
    """Whether a jump without a relocation goes from hot to cold code or back."""
    if cold_start == len(code):
        return False
    from translator.tiers import hostdis

    if not hostdis.ends_with_jump(code[:cold_start]):
        return True  # hot code falls through into the cold
    related = {r.offset for r in relocs}
    for at, size, target in hostdis.jumps(code):
        if not any(at < offset < at + size for offset in related) and (at < cold_start) != (
            target < cold_start
        ):
            return True
    return False
