"""What a region's nodes need and leave, and what their slots are; see region.py."""

from __future__ import annotations

from translator.ir import Op
from translator.regions import Node
from translator.shape import ALL_FLAGS, SLOT_INDEX, Slots

ADDRESSES = frozenset({"pc", "next", "target", "recipe"})  # slots that stay open


class RegionSlots:
    """Slots of insn number *index* of a region: addresses are symbols, all else is known."""

    def __init__(self, index: int, numbers: Slots, used: set[str]) -> None:
        self.index, self.numbers, self.used = index, numbers, used

    def _symbol(self, name: str) -> str:
        symbol = f"h{self.index}_{name}"
        self.used.add(symbol)
        return symbol

    def value(self, name: str, width: int) -> str:
        """Return the slot's number, or the constant expression of an address."""
        if name in ADDRESSES:
            return f"ptrtoint (ptr @{self._symbol(name)} to i{width})"
        return str(self.numbers[SLOT_INDEX[name]] & ((1 << width) - 1))

    def constant(self, name: str) -> str:
        """Return the slot as an operand of inline assembly."""
        if name in ADDRESSES:
            return f"ptr @{self._symbol(name)}"
        return f"i32 {self.numbers[SLOT_INDEX[name]]}"

    def link(self, name: str) -> str:
        """Return the symbol of a link."""
        return f"link{self.index}_{name}"

    def st(self, index: int) -> str:
        """Return the field of the physical register that is ST(index)."""
        return f"fpr{(self.numbers[SLOT_INDEX['top']] + index) & 7}"


def is_empty(field: str, fpu: int) -> bool:
    """Whether a field is an x87 register that is empty with a stack; it then stays in the state."""
    return field.startswith("fpr") and not fpu >> int(field[3:]) & 1


def set_first(node: Node) -> set[str]:
    """Return the fields that a node sets before it reads them or can leave."""
    read: set[str] = set()
    found: set[str] = set()
    for shape, slots in node.plan.items:
        if shape.exposes or shape.leaks or shape.terminal is not None:
            break
        at = RegionSlots(0, slots, set())
        for v in shape.unit.ops:
            field = at.st(int(str(v.attr))) if v.op in (Op.GETST, Op.SETST) else str(v.attr)
            if v.op in (Op.GET, Op.GETST) and field not in found:
                read.add(field)
            elif v.op in (Op.SET, Op.SETST) and field not in read:
                found.add(field)
    return found


def flags_in(node: Node) -> int:
    """Return the flag groups (mask) that a node reads, shows or passes on."""
    needed = written = 0
    for shape, _ in node.plan.items:
        needed |= shape.reads & ~written
        if shape.exposes or shape.leaks:
            break
        written |= shape.writes
    return needed | ALL_FLAGS & ~written
