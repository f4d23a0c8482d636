"""What the slots of an insn are in host code: holes, numbers, or a hole where it is an address."""

from __future__ import annotations

from translator.shape import SLOT_INDEX, Slots

ADDRESSES = frozenset({"pc", "next", "target", "recipe"})  # slots that stay open in a region


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


class ConstantSlots:
    """Slots of insn number *index* of a block: plain numbers."""

    def __init__(self, index: int, numbers: Slots) -> None:
        self.index, self.numbers = index, numbers

    def value(self, name: str, width: int) -> str:
        """Return the slot's number."""
        return str(self.numbers[SLOT_INDEX[name]] & ((1 << width) - 1))

    def constant(self, name: str) -> str:
        """Return the slot as an operand of inline assembly."""
        return f"i32 {self.numbers[SLOT_INDEX[name]]}"

    def link(self, name: str) -> str:
        """Return the symbol of a link."""
        return f"link{self.index}_{name}"

    def st(self, index: int) -> str:
        """Return the field of the physical register that is ST(index)."""
        return f"fpr{(self.numbers[SLOT_INDEX['top']] + index) & 7}"


class RegionSlots:
    """Slots of insn number *index* of a region: addresses are symbols, all else is known."""

    def __init__(self, index: int, numbers: Slots, used: set[str]) -> None:
        self.known, self.holes = ConstantSlots(index, numbers), HoleSlots(index, used)
        self.link, self.st = self.known.link, self.known.st

    def value(self, name: str, width: int) -> str:
        """Return the slot's number, or the constant expression of an address."""
        return (self.holes if name in ADDRESSES else self.known).value(name, width)

    def constant(self, name: str) -> str:
        """Return the slot as an operand of inline assembly."""
        return (self.holes if name in ADDRESSES else self.known).constant(name)
