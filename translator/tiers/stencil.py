"""Insn shapes -> stencils: machine code compiled once, whose operands are holes (copy-and-patch).

A stencil is compiled by the LLVM tier with every slot an external symbol, so that its relocations
are the holes.  Xu and Kjolstad, "Copy-and-Patch Compilation", OOPSLA 2021.
"""

from __future__ import annotations

from typing import NamedTuple

from translator import flags
from translator.ir import Terminal
from translator.semantics import lift
from translator.shape import Shape, shape_of
from translator.state import FIELDS
from translator.tiers import backend, elf
from translator.tiers.llvm import Lowering, Unsupported, module
from translator.tiers.services import SERVICES

LEAVE = "jitemu_leave"
NEXT = "jitemu_next"
PLAIN_JUMP = 0xE9
GROUP_BITS = {group: 1 << i for i, group in enumerate(flags.GROUPS)}


class Hole(NamedTuple):
    """A field of `size` bytes at `offset`: the number of a symbol plus `addend` goes in."""

    offset: int
    size: int
    symbol: str
    addend: int


class Stencil(NamedTuple):
    """Machine code with holes. `code` falls through at its end; `cold` is reached by faults only."""

    code: bytes
    cold: bytes
    holes: tuple[Hole, ...]  # absolute numbers; offsets beyond len(code) lie in the cold part
    jumps: tuple[Hole, ...]  # relative: symbol is a code symbol or a link
    faults: tuple[elf.Fault, ...]  # recovery -1: straight to jitemu_leave
    constants: tuple[tuple[int, int, bytes], ...]  # (offset of a relative field, addend, data)


class Request(NamedTuple):
    """What names a stencil: insn shape keys in order, and the flag groups read behind each."""

    keys: tuple[bytes, ...]
    live: int  # mask by GROUP_BITS, of the groups that the insns write


class HoleSlots:
    """Slots of insn number *index* of a stencil: every one is a symbol."""

    def __init__(self, index: int, used: set[str]) -> None:
        self.index, self.used = index, used

    def _symbol(self, name: str) -> str:
        symbol = f"h{self.index}_{name}"
        self.used.add(symbol)
        return symbol

    def value(self, name: str, width: int) -> str:
        """Return the slot as a constant expression."""
        return f"ptrtoint (ptr @{self._symbol(name)} to i{width})"

    def constant(self, name: str) -> str:
        """Return the slot as an operand of inline assembly."""
        return f"ptr @{self._symbol(name)}"

    def link(self, name: str) -> str:
        """Return the symbol of a link."""
        return f"link{self.index}_{name}"

    def st(self, index: int) -> str:
        """Return the hole field of ST(index)."""
        return f"st{index & 7}"


def live_mask(live: frozenset[str], writes: frozenset[str]) -> int:
    """Return the part of a stencil's name that says which of its flags are needed."""
    return sum(bit for group, bit in GROUP_BITS.items() if group in live and group in writes)


def lower(name: str, request: Request, used: set[str], section: str) -> Lowering:
    """Lower the insns of a request into one function."""
    service = SERVICES.get(request.keys[0])
    if service is not None:
        lowering = Lowering(name, section=section)
        lowering.slots = HoleSlots(0, used)
        service(lowering)
        return lowering
    live = frozenset(g for g, bit in GROUP_BITS.items() if request.live & bit)
    lowering = Lowering(name, live, section)
    terminal: Terminal | None = None
    for index, key in enumerate(request.keys):
        unit = lift(shape_of(key).insn)  # lowering adds values to it
        lowering.insn(unit, HoleSlots(index, used))
        terminal = unit.terminal
    lowering.terminal(terminal, live)
    return lowering


def source(requests: list[Request]) -> str:
    """Return the LLVM module of some stencils, function `s0`, `s1`... for each."""
    used: set[str] = set()
    symbols: set[str] = set()
    functions = []
    for i, request in enumerate(requests):
        lowering = lower(f"s{i}", request, used, f".text.s{i}")
        functions.append(lowering.text())
        symbols |= lowering.symbols
    return module(functions, symbols, used)


def build(requests: list[Request]) -> list[Stencil]:
    """Compile stencils, in one batch."""
    obj = elf.parse(backend.compile_object(source(requests), optimize=False))
    return [extract(obj, obj.sections[f".text.s{i}"]) for i in range(len(requests))]


def can_lower(shape: Shape) -> bool:
    """Whether the lowering knows every op of a shape."""
    try:
        lower("probe", Request((shape.insn.key,), 15), set(), "")
    except Unsupported:
        return False
    return True


def extract(obj: elf.Object, section: elf.Code) -> Stencil:
    """Make a stencil of a function in a section of its own."""
    code = section.code
    recoveries = [f.recovery for f in section.faults]
    cold_start = min([len(code), *recoveries])
    nexts = [r for r in section.relocs if r.symbol == NEXT]
    cut = cold_start
    last = next((r for r in nexts if r.offset + 4 == cold_start), None)
    if last is not None and code[last.offset - 1] == PLAIN_JUMP:
        cut = last.offset - 1
    crossing = _crosses(code, cold_start, section.relocs) or _falls_into(cold_start, code, section)
    if crossing:
        # Hot and cold code jump into each other: keep them together, in order.
        cut = cold_start = len(code)
        last = None
    cold = code[cold_start:]
    removed = cold_start - cut

    def place(offset: int) -> int:
        return offset if offset < cut else offset - removed

    holes, jumps, constants = [], [], []
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
        if data is not None and data.name != section.name:
            base = 0 if r.symbol in obj.sections else obj.symbols[r.symbol][1]
            constants.append((at, base + r.addend, data.code))
        elif r.is_relative:
            jumps.append(Hole(at, 4, r.symbol, r.addend))
        else:
            holes.append(Hole(at, r.size, r.symbol, r.addend))
    if is_bare_leave:
        cold = b""
    faults = tuple(
        f._replace(access=place(f.access), recovery=-1 if is_bare_leave else place(f.recovery))
        for f in section.faults
    )
    return Stencil(code[:cut], cold, tuple(holes), tuple(jumps), faults, tuple(constants))


def _falls_into(cold_start: int, code: bytes, section: elf.Code) -> bool:
    """Whether the hot code does not end in a jump: it runs on into the cold code."""
    ends = (r.offset + 4 == cold_start and code[r.offset - 1] == PLAIN_JUMP for r in section.relocs)
    return cold_start < len(code) and not any(ends)


def _crosses(code: bytes, cold_start: int, relocs: list[elf.Reloc]) -> bool:
    """Whether a jump without a relocation goes from hot to cold code or back."""
    if cold_start == len(code):
        return False
    from translator.tiers import hostdis

    related = {r.offset for r in relocs}
    for at, size, target in hostdis.jumps(code):
        if not any(at < offset < at + size for offset in related) and (at < cold_start) != (
            target < cold_start
        ):
            return True
    return False


def hole_number(symbol: str, slots: dict[str, int]) -> int:
    """Return the number for a hole `hN_slot`, given the slots of insn N."""
    name = symbol.split("_", 1)[1]
    if name.startswith("st") and name not in slots:
        return FIELDS[f"fpr{(slots['top'] + int(name[2:])) & 7}"].offset
    return slots[name]
