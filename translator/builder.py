"""Builder: emits IR for one insn; reads and writes guest registers, memory and flags."""

from __future__ import annotations

from translator.flags import Rule
from translator.insn import Imm, Insn, Mem, Operand, Reg, Special
from translator.ir import F80, CondLink, Jump, Leave, Link, Op, Unit, Value
from translator.mode import WATCH_READS, WATCH_WRITES, Model, Segments
from translator.state import FIELDS, GPRS, RECOVERED, SEGMENTS, WATCH_RANGES, WATCHED, Exit

GPR_INDEX = {
    **{name: (i, 32) for i, name in enumerate(GPRS)},
    **{name[1:]: (i, 16) for i, name in enumerate(GPRS)},
    **{name: (i, 8) for i, name in enumerate(("al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"))},
}

CS, SS = SEGMENTS.index("cs"), SEGMENTS.index("ss")
ESP = 4
VECTORS = {"#DE": 0, "#DB": 1, "#BP": 3, "#OF": 4, "#BR": 5, "#UD": 6}
VECTORS |= {"watch": WATCHED, "#SS": 12, "#GP": 13, "#MF": 16, "#AC": 17, "#XM": 19}
# Bytes of an access -> what its address must be a multiple of where alignment is checked (SDM vol.
# 3, table 6-7).  What loads and stores 16 bytes checks that always, or never.
ALIGNMENTS = {2: 2, 4: 4, 8: 8, 10: 8}


class Builder:
    """Everything a semantics function may do; it only computes, the unit records."""

    def __init__(self, insn: Insn) -> None:
        self.insn = insn
        self.unit = Unit(mode=insn.mode)
        self.width = insn.width
        self.mode = insn.mode
        # Linear addresses that have to be checked against a segment: its index and the offset.
        self.places: dict[Value, tuple[int, Value]] = {}
        self.checked: set[tuple[Value, int, bool]] = set()
        self.watched: set[tuple[Value, bool]] = set()
        self.aligned: set[Value] = set()  # linear addresses whose alignment was checked
        self.targets: set[Value | str] = set()
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

    def behind(self, mem: Mem, offset: Value, size: int) -> Value:
        """Offset of what lies *size* bytes into an operand; on 8086 and 80286 it wraps."""
        further = offset + size
        return further if self.mode.has_386 else further & 0xFFFF

    def linear(self, seg: int, offset: Value) -> Value:
        """Add the segment's base; ES CS SS DS of a flat mode have none."""
        if self.mode.is_flat:
            if seg >= 4:
                place = offset + self.get(f"{SEGMENTS[seg]}_base")
                if self.mode.system:  # these have limits all the same
                    self.places[place] = seg, offset
                return place
            if seg == CS:
                self.code_places.append(offset)
            return offset
        place = offset + self.get(f"{SEGMENTS[seg]}_base")
        if self.mode.model == Model.I8086:
            place = place & 0xFFFFF
        self.places[place] = seg, offset
        return place

    def check(self, place: Value, size: int, *, write: bool) -> None:
        """Fault unless *size* bytes at a linear address lie in their segment, which allows that."""
        self._check_segment(place, size, write=write)
        if place not in self.aligned:
            self.align(place, ALIGNMENTS.get(size, 1))

    def align(self, place: Value, alignment: int) -> None:
        """Fault unless a linear address is a multiple of a power of two, where that is checked."""
        if not self.mode.checks_alignment:
            return
        self.aligned.add(place)
        if alignment > 1:
            self.limit_fault((place & alignment - 1).ne(0), "#AC")

    def _check_segment(self, place: Value, size: int, *, write: bool) -> None:
        if place not in self.places or self.mode.wraps:
            return
        seg, offset = self.places[place]
        vector = "#SS" if seg == SS and self.mode.has_386 else "#GP"
        if self.mode.segments == Segments.REAL:
            if size > 1 or not self._is_short(offset):
                if (place, size, False) not in self.checked:
                    self.limit_fault(self.const(0x10000 - size, 32).ult(offset), vector)
                self.checked.add((place, size, False))
            return
        if (place, size, write) in self.checked:
            return
        self.checked.add((place, size, write))
        name = SEGMENTS[seg]
        room = self.get(f"{name}_{'w' if write else 'r'}span")
        beyond = (offset - self.get(f"{name}_low")).zext(64)
        self.limit_fault((room - (size - 1)).slt(beyond), vector)

    def watch(self, place: Value, size: int, *, write: bool) -> None:
        """Leave for Python if an access at a linear address is one that somebody watches.

        What is longer than 8 bytes are two accesses to those who watch.
        """
        if not self.mode.watches & (WATCH_WRITES if write else WATCH_READS):
            return
        if (place, write) in self.watched:
            return
        self.watched.add((place, write))
        hits = self.const(0, 1)
        for part in (place, place + 8) if size > 8 else (place,):
            for i in range(WATCH_RANGES):
                name = f"watch_{'w' if write else 'r'}{i}"
                inside = (part - self.get(f"{name}_first")).zext(64)
                hits = hits | inside.ult(self.get(f"{name}_size"))
        self.limit_fault(hits, "watch")

    def _is_short(self, offset: Value) -> bool:
        """Whether an offset has no more than 16 bits by the way it was computed."""
        if offset.op is Op.ZEXT:
            return offset.args[0].width <= 16
        mask = offset.args[1] if offset.op is Op.AND else None
        return mask is not None and mask.op is Op.CONST and mask.attr == 0xFFFF

    def load(self, address: Value, width: int, part: int = 0) -> Value:
        """Read guest memory at a linear address, *part* bits of it if given; may fault."""
        self.check(address, (part or width) // 8, write=False)
        self.watch(address, (part or width) // 8, write=False)
        if self.mode.wraps and address in self.places and width > 8:
            return self._load_bytes(address, width)
        return self.unit.emit(Op.LOAD, width, address, attr=part or None)

    def store(self, address: Value, value: Value) -> None:
        """Write guest memory at a linear address; may fault, then nothing after it happens."""
        self.check(address, value.width // 8, write=True)
        self.watch(address, value.width // 8, write=True)
        if self.mode.wraps and address in self.places and value.width > 8:
            for i in range(value.width // 8):
                self.store(self._next_byte(address, i), value.bits(8 * i, 8))
            return
        self.unit.emit(Op.STORE, 0, address, value)

    def cmpxchg(self, address: Value, old: Value, new: Value) -> Value:
        """Write *new* to guest memory if *old* is there; return what was there."""
        if self.mode.wraps:
            self.store(address, new)
            return old
        self.check(address, old.width // 8, write=True)
        self.watch(address, old.width // 8, write=True)
        return self.unit.emit(Op.CMPXCHG, old.width, address, old, new)

    def _next_byte(self, place: Value, index: int) -> Value:
        seg, offset = self.places[place]
        return self.linear(seg, offset + index & 0xFFFF) if index else place

    def _load_bytes(self, place: Value, width: int) -> Value:
        """Read byte by byte: offsets wrap within the segment (8086)."""
        value = self.unit.emit(Op.LOAD, 8, place).zext(width)
        for i in range(1, width // 8):
            byte = self.unit.emit(Op.LOAD, 8, self._next_byte(place, i))
            value = value | byte.zext(width).shl(8 * i)
        return value

    def operand_address(self, mem: Mem) -> Value:
        """Linear address of a memory operand."""
        return self.linear(mem.seg, self.address(mem))

    # -- the stack: SP or ESP, by the mode ---------------------------------------------------
    def sp(self) -> Value:
        """Offset of the top of the stack."""
        return self.reg(ESP) if self.mode.stack32 else self.reg(ESP, 16).zext(32)

    def set_sp(self, offset: Value) -> None:
        """Move the top of the stack; SP leaves the upper half of ESP."""
        self.set_reg(ESP, offset if self.mode.stack32 else offset.trunc(16))

    def stack(self, offset: Value) -> Value:
        """Linear address of an offset in the stack, which wraps as SP or ESP does."""
        return self.linear(SS, offset if self.mode.stack32 else offset & 0xFFFF)

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

    def limit_fault(self, cond: Value, vector: str) -> None:
        """Raise a fault at this insn like `fault_if`; flags need not be stored for it."""
        self.unit.emit(Op.FAULT_IF, 0, cond, attr=VECTORS[vector] | RECOVERED)

    def exit_if(self, cond: Value, terminal: Link | Leave) -> None:
        """Leave the unit early where *cond* is 1."""
        self.unit.emit(Op.EXIT_IF, 0, cond, attr=terminal)

    def target(self, offset: Value | str, where: Value | None = None) -> None:
        """Fault if control may not go to an offset in CS, but only where *where* is 1.

        Who stores anything before jumping asks first.
        """
        if self.mode.is_flat or self.mode.wraps or offset in self.targets:
            return
        self.targets.add(offset)
        if isinstance(offset, str):
            if self.width == 16 and self.mode.segments == Segments.REAL:
                return
            offset = self.slot(offset)
        limit = self.const(0xFFFF, 32)
        if self._is_short(offset) and self.mode.segments == Segments.REAL:
            return
        if self.mode.segments == Segments.CHECKED:
            limit = self.get("cs_limit")
        beyond = limit.ult(offset)
        self.fault_if(beyond if where is None else beyond & where, "#GP")

    def link(self, slot: str = "target") -> None:
        """End with a jump to the address in a slot."""
        self.target(slot)
        self.unit.terminal = Link(slot)

    def branch(self, cond: Value, taken: str = "target", otherwise: str = "next") -> None:
        """End with a conditional jump between two slots."""
        if taken == "target":
            self.target(taken, cond)
        self.unit.terminal = CondLink(cond, taken, otherwise)

    def jump(self, target: Value, is_return: bool = False) -> None:
        """End with a jump to a computed address in CS."""
        self.target(target)
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
