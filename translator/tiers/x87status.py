"""The x87 condition bit C1 computed only where somebody sees it.

Nearly every x87 insn sets C1, and nearly nobody reads it.  In regions an insn leaves the status
word alone; where control leaves or the bit is read, on a cold path as a rule, the insn is executed
a second time on the same operands for its status.  Its exceptions are sticky: nothing changes.
"""

from __future__ import annotations

from translator.hostops import HOSTOPS, HostOp, quiet
from translator.ir import Op, Unit, Value
from translator.tiers import hostasm
from translator.tiers.llvm import Lowering
from translator.tiers.llvm_ops import STRICT, strict_call

# Insns between which an operation and its repetition would differ.
_CONTROL = frozenset({"fldcw", "fnclex", "fnstsw"})


class DeferredStatus(Lowering):
    """A Lowering whose C1 is a name in `deferred` until it is needed."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.deferred: dict[str, tuple[HostOp, list[str]]] = {}
        self.may_defer = False

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
            if name in self.deferred:
                return name  # C1 taken out of the status word: still to be computed
        return super()._pure(v)

    def resolved(self, name: str) -> str:
        """Compute a deferred C1 here; any other value is what it is."""
        found = self.deferred.get(name)
        if found is None:
            return name
        row, args = found
        *_, status = hostasm.host(self.t, self.allocas, self.fresh, row, args)
        high = self.t(f"lshr i16 {status}, 8")
        byte = self.t(f"trunc i16 {high} to i8")
        return self.t(f"and i8 {byte}, 2")

    def get_field(self, field: str, width: int) -> str:
        """Return the current value of a state field."""
        return self.resolved(super().get_field(field, width))

    def store_field(self, field: str) -> None:
        """Store a pending state field."""
        value, width = self.fields[field]
        if value in self.deferred:
            self.fields[field] = (self.resolved(value), width)
            super().store_field(field)
            self.fields[field] = (value, width)  # what was computed is known here only
            return
        super().store_field(field)


assert all(quiet(HOSTOPS[name]) is not None for name in STRICT)
