"""Flags in regions that nothing but a fault shows: what is left of them where nodes meet.

The fault handler computes them from registers, or from operands that were saved for it (see
runtime/flagrecovery.py), by a number that host code leaves in the place of flags.
"""

from __future__ import annotations

from typing import NamedTuple

from translator import flags
from translator.ir import Op, Unit, Value
from translator.regions import Node
from translator.shape import ALL_FLAGS, GROUP_BITS
from translator.state import SAVED_OPERANDS
from translator.tiers.emitter import Pending
from translator.tiers.region_facts import keeps_until_shown
from translator.tiers.slots import RegionSlots
from translator.tiers.sums import SumsKept


class Saver(NamedTuple):
    """Whose pending flags are shown by a fault only: its node's slots, the registers behind it.

    `needed`: mask of those that the flags follow from; 0: they do not.
    """

    slots: RegionSlots
    needed: int
    registers: list[str]


class FlagsShown(SumsKept):
    """A lowering that knows whose flags are pending for a fault."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        # The node whose last flags are shown by a fault only, if they are still pending; and by
        # that of a node that is entered with them.
        self.saver: Saver | None = None
        self.savers: dict[int, Saver | None] = {}
        self.behind: list[str] = []  # registers behind the insn whose operands may be saved
        self.dropped: dict[str, Pending] = {}  # flags that only a fault shows, of the node so far
        self.pseudo = Unit()  # owner of values that no insn computes
        self.changed: dict[str, None] = {}  # flag groups that the region may change

    def named(self, name: str, width: int) -> Value:
        """Return a value that has an SSA name already."""
        value = self.pseudo.emit(Op.GETFLAG, width, attr="")
        self.names[value] = name
        return value

    def drop(self, groups: int) -> None:
        """Forget flags that nobody reads; a fault that shows them has them recovered."""
        for group, bit in GROUP_BITS.items():
            if groups & bit and group in self.changed:
                if group in self.flags:
                    self.dropped[group] = self.flags[group]
                self.flags[group] = Pending(
                    None, (self.named("poison", flags.GROUP_WIDTHS[group]),)
                )

    def recipe(self, service: RegionSlots, *, saved: bool = False) -> None:
        """Say whose flags a fault in the next node shows; see `recipe` in services.py.

        *saved*: they follow from what was saved, not from the registers (runtime/flagrecovery.py).
        """
        number = service.value("recipe", 32)
        if saved:
            number = self.t(f"add i32 {number}, 1")
        wide = self.t(f"zext i32 {number} to i64")
        name = self.t(f"shl i64 {wide}, 32")
        if "szp" in self.changed:
            self.flags["szp"] = Pending(None, (self.named(name, 64),))

    def save_operands(self, saver: Saver, other: Node) -> None:
        """Leave flags that only a fault shows to be computed from what they follow from.

        Three stores in each round of a loop cost less than its flags; none are needed where the
        next node leaves that in the registers.
        """
        pending = self.flags.get("szp")
        if pending is None or pending.rule is None:
            return
        needed = [i for i in range(8) if saver.needed >> i & 1]
        is_there = needed and all(self.regs[i] == saver.registers[i] for i in needed)
        if is_there and keeps_until_shown(other, saver.needed):
            self.drop(ALL_FLAGS)
            self.recipe(saver.slots)
            return
        for field, v in zip(SAVED_OPERANDS, pending.args, strict=True):
            value = self.value(v)
            wide = value if v.width == 32 else self.t(f"zext i{v.width} {value} to i32")
            self.do(f"store i32 {wide}, ptr {self.pointer(field)}")
        self.drop(ALL_FLAGS)
        self.recipe(saver.slots, saved=True)
