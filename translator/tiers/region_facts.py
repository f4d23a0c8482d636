"""What a region's nodes need and leave; see region.py."""

from __future__ import annotations

from translator.ir import Op
from translator.planner import Plan
from translator.regions import Node
from translator.shape import ALL_FLAGS, GROUP_BITS, Shape
from translator.tiers.slots import ConstantSlots


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
        at = ConstantSlots(0, slots)
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


def read_by_recovery(shape: Shape) -> int:
    """Return the registers (mask) that all flags of an insn follow from; 0: they do not."""
    if shape.recovery is None or shape.recoverable != ALL_FLAGS:
        return 0
    return shape.recovery.registers


def keeps_until_shown(node: Node, registers: int) -> bool:
    """Whether what a node can show of the flags that it is entered with follows from registers.

    It does if none of these (mask) is changed before a fault, or a test of the budget, that shows
    them, and if the node passes none of them on.
    """
    changed = written = 0
    for index, (shape, _) in enumerate(node.plan.items):
        is_shown = shape.exposes or shape.leaks or index == node.count - 1
        if is_shown and changed & registers:
            return False
        changed |= shape.registers
        written |= shape.writes
        if written == ALL_FLAGS:
            return True
    return False


def reads_carry(plan: Plan, start: int) -> bool:
    """Whether an insn of a block, from some on, reads the carry flag that it starts with."""
    carry = GROUP_BITS["cf"]
    for shape, _ in plan.items[start:]:
        if (shape.reads | shape.writes) & carry:
            return bool(shape.reads & carry)
    return bool(plan.live[-1] & carry)
