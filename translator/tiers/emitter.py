"""Text of one LLVM function, and the SSA values that hold the guest's state inside it.

Guest registers, state fields and flags are values; `commit` stores what is pending.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from translator import flags
from translator.ir import Op, Value
from translator.state import FIELDS
from translator.tiers.idioms import carried, funnel
from translator.tiers.llvm_ops import LOWER, llvm_type

VECTOR = "<2 x i64>"
PINNED_XMM = 6  # so many XMM registers travel in host registers, all that ghccc has
ARGS = [
    "ptr %st",
    "i64 %budget",
    *(f"i64 %r{i}" for i in range(8)),
    *(f"{VECTOR} %x{i}" for i in range(PINNED_XMM)),
]
SIGNATURE = "(" + ", ".join(a.rpartition(" ")[0] for a in ARGS) + ")"
_CAST = re.compile(r"bitcast (i128|<[^>]+>) (%\w+) to (i128|<[^>]+>)")
PINNED = {f"xmm{i}": i for i in range(PINNED_XMM)}


def align(width: int) -> int:
    """Return the alignment in bytes of a state field."""
    return 16 if width in (80, 128) else max(width // 8, 1)


def state_type(width: int) -> str:
    """Return the LLVM type in which a state field is loaded, stored and kept."""
    return VECTOR if width == 128 else llvm_type(width)


class Unsupported(Exception):  # noqa: N818 (a fact, not a failure)
    """The unit holds an op that host code cannot do: the interp tier executes the insn."""


class Slots(Protocol):
    """What a unit's slots are: holes in a stencil, constants in a block."""

    def value(self, name: str, width: int) -> str:
        """Return an LLVM constant of type i*width* for a slot."""

    def constant(self, name: str) -> str:
        """Return a slot as a typed constant operand of inline assembly."""

    def link(self, name: str) -> str:
        """Return the symbol of the code for the guest address in a slot."""

    def st(self, index: int) -> str:
        """Return the state field that holds ST(index), counted from the insn's starting TOP."""


class Pending(NamedTuple):
    """A flag group whose value is known but not stored: a rule with operands, or a value."""

    rule: flags.Rule | None
    args: tuple[Value, ...]


class Saved(NamedTuple):
    """Copies of what a Lowering knows of the guest's state."""

    regs: list[str]
    vectors: list[str]
    fields: dict[str, tuple[str, int]]
    dirty: dict[str, None]
    flags: dict[str, Pending]


class Emitter:
    """The text of one host function, and what is known of the guest's state in it."""

    def __init__(self, name: str) -> None:
        # A jump table would be data with relocations, which no Stencil has room for.
        self.head = (
            f'define ghccc void @{name}({", ".join(ARGS)}) nounwind "no-jump-tables"="true" {{'
        )
        self.hot: list[str] = []
        self.cold: list[str] = []
        self.allocas: list[str] = []
        self.lines = self.hot
        self.count = 0
        self.names: dict[Value, str] = {}
        self.order: Sequence[int] = range(8)  # of the guest's registers among the arguments
        self.regs = [f"%q{i}" for i in range(8)]  # current SSA value, i32
        self.vectors = [f"%x{i}" for i in range(PINNED_XMM)]
        self.vector_of: dict[str, tuple[str, str]] = {}  # i128 name -> vector type, name
        self.wide = {f"%q{i}": f"%r{i}" for i in range(8)}  # i32 name -> the same as i64
        self.fields: dict[str, tuple[str, int]] = {}  # known value of a field: name, width
        self.dirty: dict[str, None] = {}  # fields to store on leaving
        self.flags: dict[str, Pending] = {}
        self.symbols: set[str] = set()
        self.budget = "%budget"  # insns that may still run
        self.slots: Slots
        self.snapshot = self.save()
        self.parts: dict[Value, list[str]] = {}
        self.has_carry = True  # an insn reads the carry that this one leaves
        # The label of the last access's fault edge, and what is left there; None behind a join.
        self.last_fault: tuple[str, object] | None = None
        self.slot_of: dict[Value, str] = {}  # slots as i64 constants, looked up with their insn

    # -- text ----------------------------------------------------------------------------------
    def t(self, line: str) -> str:
        """Emit an instruction with a result; return its name."""
        # A vector that goes through i128 stays a vector: LLVM would carry an i128 across a basic
        # block's end (every memory access is one) in two general registers.
        cast = _CAST.fullmatch(line)
        if cast is not None:
            source, name, target = cast.groups()
            known = self.vector_of.get(name) if source == "i128" else None
            if known is not None:
                source, name = known
                if source == target:
                    return name
                line = f"bitcast {source} {name} to {target}"
        self.count += 1
        result = f"%v{self.count}"
        self.lines.append(f"  {result} = {line}")
        if cast is not None and target == "i128":
            self.vector_of[result] = (source, name)
        return result

    def do(self, line: str) -> None:
        """Emit an instruction without a result."""
        self.lines.append("  " + line)

    def label(self, name: str) -> None:
        """Start a basic block."""
        self.last_fault = None
        self.lines.append(name + ":")

    def fresh(self, stem: str) -> str:
        """Return a new label."""
        self.count += 1
        return f"{stem}{self.count}"

    def text(self) -> str:
        """Return the finished function."""
        narrow = [f"  %q{i} = trunc i64 %r{i} to i32" for i in range(8)]
        return "\n".join([self.head, *narrow, *self.allocas, *self.hot, *self.cold, "}"])

    # -- state -----------------------------------------------------------------------------------
    def save(self) -> Saved:
        """Copy what is known of the state."""
        return Saved(
            list(self.regs),
            list(self.vectors),
            dict(self.fields),
            dict(self.dirty),
            dict(self.flags),
        )

    def pointer(self, field: str) -> str:
        """Emit the address of a state field; `st0`... are holes of a stencil."""
        if field.startswith("st") and field not in FIELDS:
            return self.t(f"getelementptr i8, ptr %st, i64 {self.slots.value(field, 64)}")
        return self.t(f"getelementptr i8, ptr %st, i64 {FIELDS[field].offset}")

    def get_field(self, field: str, width: int) -> str:
        """Return the current value of a state field."""
        if field in PINNED:
            return self.t(f"bitcast {VECTOR} {self.vectors[PINNED[field]]} to i128")
        known = self.fields.get(field)
        if known is not None and known[1] == width:
            return known[0]
        if known is not None and field in self.dirty:
            self.store_field(field)
        ty = state_type(width)
        value = self.t(f"load {ty}, ptr {self.pointer(field)}, align {align(width)}")
        if width == 128:
            value = self.t(f"bitcast {VECTOR} {value} to i128")
        if known is None:
            self.fields[field] = (value, width)
        return value

    def store_field(self, field: str) -> None:
        """Store a pending state field."""
        value, width = self.fields[field]
        pointer = self.pointer(field)
        if width == 128:
            vector = self.t(f"bitcast i128 {value} to {VECTOR}")
            self.do(f"store {VECTOR} {vector}, ptr {pointer}, align 16")
            return
        self.do(f"store {llvm_type(width)} {value}, ptr {pointer}, align {align(width)}")
        if field.startswith("fpr") and width == 64:  # an MMX write sets the exponent to all ones
            above = self.t(f"getelementptr i8, ptr {pointer}, i64 8")
            self.do(f"store i16 -1, ptr {above}")

    def commit(self, live: frozenset[str]) -> None:
        """Store every pending field and the pending flags among *live*."""
        for field in self.dirty:
            self.store_field(field)
        self.commit_flags(live)

    def commit_flags(self, live: frozenset[str]) -> None:
        """Store the pending flags among *live*."""
        for group, pending in self.flags.items():
            if group in live:
                value = self.value(self._flag_value(group, pending))
                width = flags.GROUP_WIDTHS[group]
                if width == 1:
                    value, width = self.t(f"zext i1 {value} to i8"), 8
                self.do(f"store i{width} {value}, ptr {self.pointer(group)}")

    def _flag_value(self, group: str, pending: Pending) -> Value:
        if pending.rule is None:
            return pending.args[0]
        return pending.rule.groups[group](*pending.args)

    # -- values ------------------------------------------------------------------------------------
    def value(self, v: Value) -> str:
        """Return the SSA name of a value; emit it if it is pure and new."""
        name = self.names.get(v)
        if name is None:
            name = self.names[v] = self._pure(v)
        return name

    def _pure(self, v: Value) -> str:
        if v.op is Op.CONST:
            return str(v.attr)
        if v.op is Op.SLOT:
            return self.slots.value(str(v.attr), v.width)
        if v.op is Op.GETFLAG:
            return self._get_flag(str(v.attr))
        shift = funnel(v)
        if shift is not None:
            high, low = self.value(shift.high), self.value(shift.low)
            name = "fshl" if shift.left else "fshr"
            return self.t(f"call i32 @llvm.{name}.i32(i32 {high}, i32 {low}, i32 {shift.by})")
        sum_of = carried(v)
        if sum_of is not None:
            if not sum_of.out and not self.has_carry:
                return self._without_carry(sum_of.whole)
            self._with_carry(sum_of.whole)
            return self.names[v]
        lower = LOWER.get(v.op)
        if lower is None:
            raise Unsupported(v.op.name)
        return lower(self.t, v, *(self.value(a) for a in v.args))

    def _without_carry(self, whole: Value) -> str:
        """Emit the result of three alone."""
        left, right = (self.value(part.args[0]) for part in whole.args[0].args)
        third = self.t(f"zext i1 {self.value(whole.args[1].args[0])} to i32")
        name = whole.op.name.lower()
        return self.t(f"{name} i32 {self.t(f'{name} i32 {left}, {right}')}, {third}")

    def _with_carry(self, whole: Value) -> None:
        """Emit result and carry of three, in the form that LLVM makes an adc or sbb of."""
        left, right = (self.value(part.args[0]) for part in whole.args[0].args)
        third = self.t(f"zext i1 {self.value(whole.args[1].args[0])} to i32")
        name = f"@llvm.{'uadd' if whole.op is Op.ADD else 'usub'}.with.overflow.i32"
        carries = []
        for other in (right, third):
            pair = self.t(f"call {{i32, i1}} {name}(i32 {left}, i32 {other})")
            left = self.t(f"extractvalue {{i32, i1}} {pair}, 0")
            carries.append(self.t(f"extractvalue {{i32, i1}} {pair}, 1"))
        carry = self.t(f"or i1 {carries[0]}, {carries[1]}")
        for v in whole.unit.ops:
            found = carried(v)
            if found is not None and found.whole is whole:
                self.names[v] = carry if found.out else left

    def _get_flag(self, group: str) -> str:
        pending = self.flags.get(group)
        if pending is not None:
            return self.value(self._flag_value(group, pending))
        width = flags.GROUP_WIDTHS[group]
        stored = self.t(f"load i{max(width, 8)}, ptr {self.pointer(group)}")
        return self.t(f"trunc i8 {stored} to i1") if width == 1 else stored

    def _cond(self, v: Value) -> str:
        code = str(v.attr)
        needed = flags.code_groups(code)
        pending = [self.flags.get(g) for g in sorted(needed)]
        first = pending[0]
        if first is not None and first.rule is not None and all(p == first for p in pending):
            direct = flags.from_rule(code, first.rule, *first.args)
            if direct is not None:
                return self.value(direct)
        return self.value(
            flags.from_groups(
                code, lambda g: v.unit.emit(Op.GETFLAG, flags.GROUP_WIDTHS[g], attr=g)
            )
        )

    def address(self, v: Value) -> str:
        """Return a guest address as an i64 whose low 32 bits count, so that it needs no cutting."""
        match v.op:
            case Op.CONST | Op.SLOT:
                number = self.slot_of[v] if v.op is Op.SLOT else str(v.attr)
                if number.isdecimal() and int(number) >> 31 & 1:
                    return str((int(number) & 0xFFFFFFFF) - (1 << 32))  # fits a displacement
                return number
            case Op.ADD | Op.SUB:
                left, right = (self.address(a) for a in v.args)
                return self.t(f"{v.op.name.lower()} i64 {left}, {right}")
            case Op.SHL if v.args[1].op is Op.CONST:
                return self.t(f"shl i64 {self.address(v.args[0])}, {v.args[1].attr}")
            case _:
                return self.loose(self.value(v))

    def loose(self, name: str) -> str:
        """Return an i64 whose low half is an i32."""
        return self.zext64(name)

    def zext64(self, name: str) -> str:
        """Return an i32 as i64; free for a register that came in unchanged."""
        wide = self.wide.get(name)
        return wide if wide is not None else self.t(f"zext i32 {name} to i64")
