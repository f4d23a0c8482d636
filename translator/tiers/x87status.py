"""The x87 condition bit C1 computed only where somebody sees it, also across the nodes of a region.

Nearly every x87 insn sets C1, and nearly nobody reads it.  In regions an insn leaves the status
word alone; where control leaves or the bit is read, on a cold path as a rule, the insn is executed
a second time on the same operands for its status.  Its exceptions are sticky: nothing changes.
"""

from __future__ import annotations

from typing import NamedTuple

from translator.hostops import HOSTOPS, HostOp, quiet
from translator.ir import Op, Unit, Value
from translator.tiers import hostasm
from translator.tiers.fusion import Fusion, fusion
from translator.tiers.llvm import Lowering
from translator.tiers.llvm_ops import STRICT, llvm_type, strict_call

# Insns between which an operation and its repetition would differ.
_CONTROL = frozenset({"fldcw", "fnclex", "fnstsw"})


ROWS_MAX = 3  # kinds of insns between which a C1 that comes from other nodes is told apart


class Merged(NamedTuple):
    """A C1 that one of several insns set: which (0: none, it is `value`), and its operands."""

    kind: str
    value: str
    args: dict[tuple[int, int], str]  # by position and width


class DeferredStatus(Lowering):
    """A Lowering whose C1 is a name in `deferred` or `merged` until it is needed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.deferred: dict[str, tuple[HostOp, list[str]]] = {}
        self.merged: dict[str, Merged] = {}
        self.rows: list[HostOp] = []  # that may have set C1 where a node is left
        self.c1_of: dict[HostOp, tuple[Value, Value]] = {}  # C1 in an insn's IR; the status there
        self.may_defer = False

    # -- between nodes -----------------------------------------------------------------------------
    def survey_status(self, nodes: list[list[Unit]]) -> None:
        """Find out which insns leave their C1 to the next node."""
        rows: list[HostOp] = []
        for units in nodes:
            for unit in reversed(units):
                if any(v.op is Op.SET and v.attr == "fc1" for v in unit.ops):
                    hosts = [v for v in unit.ops if v.op is Op.HOST]
                    rows += [self._learn(v) for v in hosts if quiet(HOSTOPS[str(v.attr)])]
                    break
        rows = list(dict.fromkeys(rows))
        self.rows = rows if len(rows) <= ROWS_MAX else []

    def _learn(self, host: Value) -> HostOp:
        """Note how an insn takes C1 from the status word of its HOST row; return the row."""
        row = HOSTOPS[str(host.attr)]
        if row not in self.c1_of:
            (c1,) = (v.args[0] for v in host.unit.ops if v.op is Op.SET and v.attr == "fc1")
            status = c1
            while status is not host and status.op is not Op.PART:
                status = next(a for a in status.args if a.op is not Op.CONST)
            self.c1_of[row] = (c1, status)
        return row

    def _places(self) -> list[tuple[int, int]]:
        return sorted({(i, width) for row in self.rows for i, (_, width) in enumerate(row.ins)})

    def declare_status(self) -> None:
        """Make the variables that carry a deferred C1."""
        if self.rows:
            self.allocas.append("  %c1_kind = alloca i8")
            self.do("store i8 0, ptr %c1_kind")
            for place in self._places():
                self.allocas.append(
                    f"  {_variable(place)} = alloca {llvm_type(place[1])}, align 16"
                )

    def join_status(self) -> str:
        """Store C1 for the next node; return what its plain variable shall hold."""
        name = self.fields["fc1"][0]
        if not self.rows:
            return self.resolved(name)
        merged, deferred = self.merged.get(name), self.deferred.get(name)
        kind, value = "0", name
        args: dict[tuple[int, int], str] = {}
        if merged is not None:
            kind, value, args = merged
        elif deferred is not None and deferred[0] in self.rows:
            row, names = deferred
            kind, value = str(self.rows.index(row) + 1), "poison"
            args = {(i, row.ins[i][1]): names[i] for i in range(len(names))}
        elif deferred is not None:
            value = self.resolved(name)
        self.do(f"store i8 {kind}, ptr %c1_kind")
        for place in self._places():
            ty = llvm_type(place[1])
            self.do(f"store {ty} {args.get(place, 'poison')}, ptr {_variable(place)}")
        return value

    def merge_status(self) -> None:
        """Take C1 over from whatever node was left."""
        if self.rows and "fc1" in self.fields:
            args = {}
            for place in self._places():
                args[place] = self.t(f"load {llvm_type(place[1])}, ptr {_variable(place)}")
            token = self.fresh("merged")
            kind = self.t("load i8, ptr %c1_kind")
            self.merged[token] = Merged(kind, self.fields["fc1"][0], args)
            self.fields["fc1"] = (token, 8)

    # -- inside a node -----------------------------------------------------------------------------
    def fuse(self, unit: Unit) -> Fusion:
        """Say which HOST ops work on guest memory themselves: those that store.

        Where an access that pushes faults, LLVM takes the x87 stack for another than it is, as soon
        as other values are on it: loads go through a general register.
        """
        found = fusion(unit)
        stores = {
            v: a
            for v, a in found.addresses.items()
            if HOSTOPS[str(v.attr)].outs[:1] and HOSTOPS[str(v.attr)].outs[0][0] == "=*m"
        }
        return Fusion(stores, frozenset(v for v in found.useless if v.op is Op.STORE))

    def begin_status(self, unit: Unit) -> None:
        """Look at the next insn."""
        touched = {str(v.attr) for v in unit.ops if v.op in (Op.SET, Op.GET)}
        self.may_defer = touched.isdisjoint({"fcc", "fsw", "fcw"})
        if not self.may_defer or any(v.op is Op.HOST and str(v.attr) in _CONTROL for v in unit.ops):
            self._settle()

    def _settle(self) -> None:
        known = self.fields.get("fc1")
        if known is not None:
            self.fields["fc1"] = (self.resolved(known[0]), known[1])

    def host_row(
        self, v: Value, row: HostOp, args: list[str], place: hostasm.Place | None
    ) -> list[str]:
        """Emit a HOST row, without its status if that can wait."""
        silent = quiet(row) if self.may_defer else None
        if silent is None:
            return super().host_row(v, row, args, place)
        self._learn(v)
        token = self.fresh("status")
        self.deferred[token] = (row, args)
        strict = STRICT.get(str(v.attr))
        if strict is None:
            return [*super().host_row(v, silent, args, place), token]
        # LLVM's own form chooses among the x87 registers better than assembly lets it.
        name, is_swapped = strict
        left, right = args[::-1] if is_swapped else args
        return [self.t(strict_call(name, left, right)), token]

    def _pure(self, v: Value) -> str:
        for arg in v.args:
            name = self.value(arg)
            if name in self.deferred or name in self.merged:
                return name  # C1 taken out of the status word: still to be computed
        return super()._pure(v)

    def resolved(self, name: str) -> str:
        """Compute a deferred C1 here; any other value is what it is."""
        merged = self.merged.get(name)
        if merged is not None:
            return self._resolved(merged)
        found = self.deferred.get(name)
        return name if found is None else self._repeated(*found)

    def _repeated(self, row: HostOp, args: list[str]) -> str:
        c1, status = self.c1_of[row]
        names = self.names
        self.names = {status: hostasm.host(self.t, self.allocas, self.fresh, row, args)[-1]}
        result = self.value(c1)
        self.names = names
        return result

    def _resolved(self, merged: Merged) -> str:
        """Repeat the insn that it was."""
        result, end = "%" + self.fresh("c1"), self.fresh("end")
        self.allocas.append(f"  {result} = alloca i8")
        self.do(f"store i8 {merged.value}, ptr {result}")
        for number, row in enumerate(self.rows, 1):
            mine, other = self.fresh("mine"), self.fresh("other")
            is_it = self.t(f"icmp eq i8 {merged.kind}, {number}")
            self.do(f"br i1 {is_it}, label %{mine}, label %{other}")
            self.label(mine)
            args = [merged.args[i, width] for i, (_, width) in enumerate(row.ins)]
            self.do(f"store i8 {self._repeated(row, args)}, ptr {result}")
            self.do(f"br label %{end}")
            self.label(other)
        self.do(f"br label %{end}")
        self.label(end)
        return self.t(f"load i8, ptr {result}")

    def get_field(self, field: str, width: int) -> str:
        """Return the current value of a state field."""
        return self.resolved(super().get_field(field, width))

    def store_field(self, field: str) -> None:
        """Store a pending state field."""
        value, width = self.fields[field]
        if value in self.deferred or value in self.merged:
            self.fields[field] = (self.resolved(value), width)
            super().store_field(field)
            self.fields[field] = (value, width)  # what was computed is known here only
            return
        super().store_field(field)


def _variable(place: tuple[int, int]) -> str:
    return f"%c1_{place[0]}_{place[1]}"


assert all(quiet(HOSTOPS[name]) is not None for name in STRICT)
