"""Lowering with holes: a slot becomes the immediate of the machine insn that works on it.

LLVM itself would first load the symbol that stands for the slot into a register.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from translator.hostops_x86_immediate import BINARY, LESS, MOVE
from translator.ir import Op, Unit, Value
from translator.tiers.emitter import Slots
from translator.tiers.llvm import Lowering

_HOLE = re.compile(r"ptrtoint \((ptr @\w+) to i32\)")


class HoleLowering(Lowering):
    """Emit the host function of a stencil.

    *has_flags*: some are stored. Then LLVM does better by computing them with the result.
    *places*: which argument each guest register is.
    """

    def __init__(
        self, name: str, *, has_flags: bool = True, places: Sequence[int] = range(8)
    ) -> None:
        super().__init__(name)
        self.has_flags = has_flags
        self.regs = [f"%q{place}" for place in places]
        self.order = [places.index(place) for place in range(8)]
        self.results: set[Value] = set()  # what becomes a register's value

    def insn(self, unit: Unit, slots: Slots) -> None:
        """Emit the ops of one insn."""
        if not self.has_flags:
            self.results |= {v.args[0] for v in unit.ops if v.op is Op.SETREG}
        super().insn(unit, slots)

    def _pure(self, v: Value) -> str:
        if v in self.results and v.width == 32:
            op, args = v.op, v.args
            if op is Op.TRUNC and args[0].op is Op.MUL:  # of two sign-extended factors
                op, args = Op.MUL, tuple(a.args[0] for a in args[0].args if a.op is Op.SEXT)
            asm = BINARY.get(op)
            if asm is not None and len(args) == 2 and args[0].width == args[1].width == 32:
                left, right = args
                hole = _HOLE.fullmatch(self.value(right)) if right.op is Op.SLOT else None
                if hole is not None and left.op is not Op.SLOT:
                    return self._narrow(f"{asm}(i64 {self.zext64(self.value(left))}, {hole[1]})")
        return super()._pure(v)

    def _narrow(self, call: str) -> str:
        wide = self.t(f"call i64 asm {call}")
        name = self.t(f"trunc i64 {wide} to i32")
        self.wide[name] = wide
        return name

    def zext64(self, name: str) -> str:
        """Return an i32 as i64; a hole is moved to where it is wanted."""
        hole = _HOLE.fullmatch(name)
        return super().zext64(name) if hole is None else self.t(f"call i64 asm {MOVE}({hole[1]})")

    def less(self, name: str, slot: str) -> str:
        """Subtract a positive slot from an i64."""
        return self.t(f"call i64 asm {LESS}(i64 {name}, {self.slots.constant(slot)})")
