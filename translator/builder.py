"""Builder: emits IR for one insn; reads and writes guest registers, memory and flags."""

from __future__ import annotations

from translator.flags import Rule
from translator.insn import Imm, Insn, Mem, Operand, Reg, Special
from translator.ir import F80, CondLink, Jump, Leave, Link, Op, Unit, Value
from translator.state import FIELDS, GPRS, SEGMENTS, Exit

GPR_INDEX = {
    **{name: (i, 32) for i, name in enumerate(GPRS)},
    **{name[1:]: (i, 16) for i, name in enumerate(GPRS)},
    **{name: (i, 8) for i, name in enumerate(("al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"))},
}

CS = SEGMENTS.index("cs")
VECTORS = {"#DE": 0, "#DB": 1, "#BP": 3, "#OF": 4, "#BR": 5, "#UD": 6}
VECTORS |= {"#GP": 13, "#MF": 16, "#XM": 19}


class Builder:
    """Everything a semantics function may do; it only computes, the unit records."""

    def __init__(self, insn: Insn) -> None:
        self.insn = insn
        self.unit = Unit()
        self.width = insn.width
        self.code_places: list[Value] = []  # linear addresses in CS, which must not be written
        self.going_on: Value | None = None  # repeated cmps, scas: whether another iteration comes
        self.helper_writes: list[Value] = []  # linear addresses that a helper writes to

    # -- leaves ------------------------------------------------------------------------------
    def const(self, number: int, width: int) -> Value:
        """A constant."""
        return self.unit.const(number, width)

    def slot(self, name: str, width: int = 32) -> Value:
        """A number known only when the shape is used: imm, imm2, disp, pc, next, target."""
        return self.unit.emit(Op.SLOT, width, attr=name)

    def get(self, field: str, width: int = 0) -> Value:
        """Read a field of the CPU state (state.FIELDS), all of it."""
        return self.unit.emit(Op.GET, width or FIELDS[field].width, attr=field)

    def set(self, field: str, value: Value) -> None:
        """Write a field of the CPU state."""
        assert value.width == FIELDS[field].width, field
        self.unit.emit(Op.SET, 0, value, attr=field)

    # -- general registers -------------------------------------------------------------------
    def reg(self, which: str | int, width: int = 32) -> Value:
        """Read a register by name (`eax`, `ax`, `ah`) or by index and width."""
        index, width = GPR_INDEX[which] if isinstance(which, str) else (which, width)
        if width == 8 and index >= 4:
            return self.unit.emit(Op.GETREG, 32, attr=index - 4).bits(8, 8)
        return self.unit.emit(Op.GETREG, 32, attr=index).trunc(width)

    def set_reg(self, which: str | int, value: Value) -> None:
        """Write a register by name, or by index at the value's width; the other bits stay."""
        if isinstance(which, str):
            index, width = GPR_INDEX[which]
            assert value.width == width, which
        else:
            index = which
        if value.width == 32:
            full = value
        elif value.width == 16:
            full = self.reg(index) & 0xFFFF0000 | value.zext(32)
        elif index < 4:
            full = self.reg(index) & 0xFFFFFF00 | value.zext(32)
        else:
            index -= 4
            full = self.reg(index) & 0xFFFF00FF | value.zext(32).shl(8)
        self.unit.emit(Op.SETREG, 0, full, attr=index)

    def acc(self) -> Value:
        """Read AL... the accumulator at operand size (AX or EAX)."""
        return self.reg(0, self.width)

    # -- memory ------------------------------------------------------------------------------
    def address(self, mem: Mem) -> Value:
        """Effective address of an operand, before the segment base (what LEA yields)."""
        total: Value | None = None
        if mem.base >= 0:
            total = self.reg(mem.base)
        if mem.index >= 0:
            index = self.reg(mem.index)
            if mem.scale > 1:
                index = index.shl(mem.scale.bit_length() - 1)
            total = index if total is None else total + index
        if mem.has_disp or total is None:
            disp = self.slot("disp")
            total = disp if total is None else total + disp
        return total & 0xFFFF if mem.addr_width == 16 else total

    def linear(self, seg: int, address: Value) -> Value:
        """Add the segment's base; ES CS SS DS are flat."""
        if seg >= 4:
            return address + self.get(f"{SEGMENTS[seg]}_base")
        if seg == CS:
            self.code_places.append(address)
        return address

    def load(self, address: Value, width: int) -> Value:
        """Read guest memory at a linear address; may fault."""
        return self.unit.emit(Op.LOAD, width, address)

    def store(self, address: Value, value: Value) -> None:
        """Write guest memory at a linear address; may fault, then nothing after it happens."""
        self.unit.emit(Op.STORE, 0, address, value)

    def operand_address(self, mem: Mem) -> Value:
        """Linear address of a memory operand."""
        return self.linear(mem.seg, self.address(mem))

    # -- operands ----------------------------------------------------------------------------
    def read(self, operand: Operand, width: int = 0) -> Value:
        """Read any operand, at *width* bits if given (memory) or its own width."""
        match operand:
            case Reg(index, w):
                return self.reg(index, w)
            case Mem():
                return self.load(self.operand_address(operand), width or operand.width)
            case Imm(slot, w, value):
                return self.slot(slot, w) if value is None else self.const(value, w)
            case Special(kind="xmm", index=index):
                return self.xmm(index).trunc(width or 128)
            case Special(kind="mm", index=index):
                return self.mm(index).trunc(width or 64)
            case Special(kind="st", index=index):
                return self.st(index)
            case Special(kind="seg", index=index):
                return self.get(SEGMENTS[index])
        raise TypeError(operand)

    def write(self, operand: Operand, value: Value) -> None:
        """Write any operand; a memory operand takes the value's width."""
        match operand:
            case Reg(index, w):
                self.set_reg(index, value if value.width == w else value.fit(w))
            case Mem():
                self.store(self.operand_address(operand), value)
            case Special(kind="xmm", index=index):
                self.set_xmm(index, value)
            case Special(kind="mm", index=index):
                self.set_mm(index, value)
            case Special(kind="st", index=index):
                self.set_st(index, value)
            case _:
                raise TypeError(operand)

    # -- vector and x87 registers -----------------------------------------------------------------
    def xmm(self, index: int) -> Value:
        """Read an XMM register: 128 bits."""
        return self.get(f"xmm{index}")

    def set_xmm(self, index: int, value: Value) -> None:
        """Write an XMM register; a shorter value replaces only the low bits."""
        if value.width < 128:
            keep = self.xmm(index) & ((1 << 128) - (1 << value.width))
            value = keep | value.zext(128)
        self.set(f"xmm{index}", value)

    def mm(self, index: int) -> Value:
        """Read an MMX register: the 64-bit significand of physical x87 register *index*."""
        return self.get(f"fpr{index}", 64)

    def set_mm(self, index: int, value: Value) -> None:
        """Write an MMX register; the exponent becomes all ones (SDM vol. 1, 9.2)."""
        self.unit.emit(Op.SET, 0, value, attr=f"fpr{index}")

    def st(self, index: int) -> Value:
        """Read ST(index), counted from the TOP at the start of this insn."""
        return self.unit.emit(Op.GETST, F80, attr=index)

    def set_st(self, index: int, value: Value) -> None:
        """Write ST(index), counted from the TOP at the insn's start (-1: what a push makes)."""
        assert value.width == F80
        self.unit.emit(Op.SETST, 0, value, attr=index)

    # -- flags ---------------------------------------------------------------------------------
    def set_flags(
        self, rule: Rule, res: Value, left: Value, right: Value, unless: Value | None = None
    ) -> None:
        """Set the flags of *rule* from result and operands; not where *unless* is 1."""
        args = (res, left, right)
        if unless is None:
            self.unit.emit(Op.FLAGS, 0, *args, attr=rule)
            return
        for name, compute in rule.groups.items():
            self.set_flag(name, unless.select(self.flag(name), compute(*args)))

    def flag(self, group: str) -> Value:
        """Read one flag group (flags.GROUPS)."""
        from translator.flags import GROUP_WIDTHS

        return self.unit.emit(Op.GETFLAG, GROUP_WIDTHS[group], attr=group)

    def set_flag(self, group: str, value: Value) -> None:
        """Write one flag group."""
        self.unit.emit(Op.SETFLAG, 0, value, attr=group)

    def cond(self, code: str) -> Value:
        """Evaluate a condition code (flags.CODES) as one bit."""
        return self.unit.emit(Op.COND, 1, attr=code)

    # -- leaving ---------------------------------------------------------------------------------
    def fault_if(self, cond: Value, vector: str) -> None:
        """Raise a fault at this insn where *cond* is 1; nothing after it happens."""
        self.unit.emit(Op.FAULT_IF, 0, cond, attr=VECTORS[vector])

    def exit_if(self, cond: Value, terminal: Link | Leave) -> None:
        """Leave the unit early where *cond* is 1."""
        self.unit.emit(Op.EXIT_IF, 0, cond, attr=terminal)

    def link(self, slot: str = "target") -> None:
        """End with a jump to the address in a slot."""
        self.unit.terminal = Link(slot)

    def branch(self, cond: Value, taken: str = "target", otherwise: str = "next") -> None:
        """End with a conditional jump between two slots."""
        self.unit.terminal = CondLink(cond, taken, otherwise)

    def jump(self, target: Value, is_return: bool = False) -> None:
        """End with a jump to a computed address."""
        self.unit.terminal = Jump(target, is_return)

    def trap(self, vector: str, *, after: bool = False) -> None:
        """End with a guest exception; eip stays at the insn, or goes behind it for traps."""
        slot = "next" if after else "pc"
        self.unit.terminal = Leave(Exit.TRAP, slot, VECTORS[vector])

    def call(self, name: str, width: int, *args: Value) -> Value:
        """Call a runtime helper (translator/helpers.py): only the interp tier executes it."""
        return self.unit.emit(Op.CALL, width, *args, attr=name)

    def vec(self, name: str, lane: int, width: int, *args: Value) -> Value:
        """Emit a vector op of vectors.py on lanes of *lane* bits."""
        return self.unit.emit(Op.VEC, width, *args, attr=(name, lane))

    def host(self, name: str, width: int, *args: Value) -> Value:
        """Emit an op that a host FPU insn computes (hostops.py)."""
        return self.unit.emit(Op.HOST, width, *args, attr=name)
