"""MMX registers in regions: each is the low half of a vector, in a vector register of the host.

A value of 64 bits in general registers would have to share them with the guest's eight.  So the
integer names of such values stand for vectors here (`low_of`), of which the upper half means
nothing; LLVM drops the integers that nobody uses.  A region that works on x87 registers as such,
too, leaves all of them in the state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from translator.ir import Op, Unit, Value
from translator.regions import Node, Region
from translator.state import FIELDS
from translator.tiers import hostasm
from translator.tiers.emitter import VECTOR, Slots, align, state_type
from translator.tiers.region_facts import is_empty
from translator.tiers.x87status import DeferredStatus
from translator.vectors import VECTORS

_LOW, _WHOLE = 64, 128  # bits of a register, and of the vector that holds it
# Rows whose lanes follow from more than the same lanes of arguments that are as wide.
_ACROSS = {"extend", "blend", "insert", "signs", "widen", "shlby", "lshrby", "ashrby"}


class MmxRegisters(DeferredStatus):
    """A lowering of a region that keeps some x87 registers as MMX registers."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.mmx: set[str] = set()  # the fields that are kept so
        self.low_of: dict[str, str] = {}  # name of an i64 -> the vector that it is the low half of
        # Fields whose exponents are all ones in the state already; the same where nodes start.
        self.marked: set[str] = set()
        self.marked_in: dict[int, frozenset[str]] = {}

    # -- which -------------------------------------------------------------------------------------
    def survey_mmx(self, region: Region, widths: dict[str, set[int]]) -> None:
        """Decide whether x87 registers, used at some widths, are kept as MMX registers."""
        used = {field: found for field, found in widths.items() if field.startswith("fpr")}
        if not all(found == {_LOW} for found in used.values()):
            return
        self.mmx = set(used)
        everything = frozenset(used)
        written = [
            frozenset(f for shape, _ in node.plan.items for f in _written(shape.unit))
            for node in region.nodes
        ]
        into: dict[int, list[int]] = {node.index: [] for node in region.nodes}
        for node in region.nodes:
            for other in node.edges.values():
                into[other.index].append(node.index)
        # What is written on every way from the entry.
        before = {node.index: everything for node in region.nodes}
        before[region.head.index] = frozenset()
        is_stable = False
        while not is_stable:
            is_stable = True
            for index, sources in into.items():
                found = before[index].intersection(*(before[s] | written[s] for s in sources))
                is_stable = is_stable and found == before[index]
                before[index] = found
        self.marked_in = before

    def begin_mmx(self, node: Node) -> None:
        """Start a node."""
        self.marked = set(self.marked_in.get(node.index, ()))

    def is_out(self, field: str, fpu: int) -> bool:
        """Whether a field stays in the state with an x87 stack: an empty register."""
        return field not in self.mmx and is_empty(field, fpu)

    # -- variables ---------------------------------------------------------------------------------
    def declare_variable(self, field: str, width: int, *, is_known: bool) -> None:
        """Make the variable of a field, with what the state has if that is of use."""
        ty, size = (VECTOR, 128) if field in self.mmx else (state_type(width), width)
        self.allocas.append(f"  %f_{field} = alloca {ty}, align {align(size)}")
        if is_known:
            value = self.t(f"load {state_type(width)}, ptr {self.pointer(field)}")
            if field in self.mmx:
                value = self.vector(value)
            self.do(f"store {ty} {value}, ptr %f_{field}, align {align(size)}")

    def load_variable(self, field: str, width: int) -> str:
        """Return the value of a variable, as `fields` knows it."""
        if field in self.mmx:
            return self.low(self.t(f"load {VECTOR}, ptr %f_{field}, align 16"))
        value = self.t(f"load {state_type(width)}, ptr %f_{field}, align {align(width)}")
        return self.t(f"bitcast {VECTOR} {value} to i128") if width == 128 else value

    def store_variable(self, field: str, width: int, value: str) -> None:
        """Give a variable a value as `fields` knows it, or "poison"."""
        ty = state_type(width)
        if field in self.mmx:
            value, ty, width = self.vector(value), VECTOR, 128
        elif width == 128 and value != "poison":
            value = self.t(f"bitcast i128 {value} to {VECTOR}")
        self.do(f"store {ty} {value}, ptr %f_{field}, align {align(width)}")

    def store_field(self, field: str) -> None:
        """Store a pending state field."""
        if field not in self.mmx:
            super().store_field(field)
            return
        # Cut out here, or the integer would be made where the vector is.
        low = self.t(f"extractelement {VECTOR} {self.vector(self.fields[field][0])}, i32 0")
        self.do(f"store i64 {low}, ptr {self.pointer(field)}")

    # -- values ------------------------------------------------------------------------------------
    def vector(self, name: str) -> str:
        """Return a vector whose low half is an i64."""
        known = self.low_of.get(name)
        if known is not None:
            return known
        return self.t(f"insertelement {VECTOR} poison, i64 {name}, i32 0")

    def low(self, vector: str) -> str:
        """Return the low half of a vector."""
        name = self.t(f"extractelement {VECTOR} {vector}, i32 0")
        self.low_of[name] = vector
        return name

    def insn(self, unit: Unit, slots: Slots) -> None:
        """Emit the ops of one insn."""
        super().insn(unit, slots)
        # Once the insn is sure to end.
        for field in _written(unit):
            if field in self.mmx and field not in self.marked:
                self.marked.add(field)
                above = self.t(f"getelementptr i8, ptr {self.pointer(field)}, i64 8")
                self.do(f"store i16 -1, ptr {above}")

    def emit(self, v: Value) -> None:
        """Emit what an op does."""
        if self.mmx and v.op is Op.LOAD and v.width == _LOW and _is_mmx(v.unit):
            self.names[v] = self.low(self._access(v, hostasm.load(128, _LOW), v.args[0]))
            return
        if v.op is Op.STORE and v.args[1].width == _LOW and self.low_of:
            vector = self.low_of.get(self.value(v.args[1]))
            if vector is not None:
                self._access(v, hostasm.store(128, _LOW), v.args[0], vector)
                return
        super().emit(v)

    def _pure(self, v: Value) -> str:
        if self.mmx:
            if v.op is Op.VEC:
                found = self._row(v, *(v.attr if isinstance(v.attr, tuple) else ()))
                if found is not None:
                    return found
            elif v.op is Op.TRUNC and v.width == _LOW and v.args[0].width == _WHOLE:
                return self.low(self._vector_of(self.value(v.args[0])))
        return super()._pure(v)

    def _row(self, v: Value, row: str, lane: int, *immediates: Sequence[int]) -> str | None:
        """Emit a row of vectors.py on the vectors; None: it must be done on integers."""
        if row == "widen" and lane == _LOW:
            return self._whole(self._shuffled([self.vector(self.value(v.args[0]))], (0, 2)))
        if v.width != _LOW:
            return None
        args = [self.vector(self.value(a)) for a in v.args if a.width == _LOW]
        if row == "shuffle":
            count = _LOW // lane
            # The lanes of the second register begin behind the unused half of the first.
            mask = [n if n < count else n + count for n in immediates[0]]
            # What is above means nothing; a lane of its own lets LLVM choose.
            immediates = ([*mask, *["poison"] * count],)  # type: ignore[list-item]
        elif row in ("packs", "packus"):
            both = self._shuffled(args, (0, 2))
            args = [both, both]
        elif row in _ACROSS:
            return None
        wide = VECTORS[row].lower(
            self.t, lane, _WHOLE, *(self._whole(a) for a in args), *immediates
        )
        return self.low(self._vector_of(wide))

    def _shuffled(self, args: Sequence[str], mask: Iterable[int]) -> str:
        second = args[1] if len(args) > 1 else "zeroinitializer"
        order = ", ".join(f"i32 {n}" for n in mask)
        return self.t(f"shufflevector {VECTOR} {args[0]}, {VECTOR} {second}, <2 x i32> <{order}>")

    def _whole(self, vector: str) -> str:
        return self.t(f"bitcast {VECTOR} {vector} to i128")

    def _vector_of(self, name: str) -> str:
        return self.t(f"bitcast i128 {name} to {VECTOR}")


def _is_mmx(unit: Unit) -> bool:
    return any(v.op is Op.SET and _is_register(v) for v in unit.ops) or any(
        v.op is Op.GET and v.width == _LOW and FIELDS[str(v.attr)].width == 80 for v in unit.ops
    )


def _is_register(v: Value) -> bool:
    return v.args[0].width == _LOW and FIELDS[str(v.attr)].width == 80


def _written(unit: Unit) -> set[str]:
    """Return the MMX registers that an insn writes."""
    return {str(v.attr) for v in unit.ops if v.op is Op.SET and _is_register(v)}
