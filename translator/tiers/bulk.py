"""Repeated string insns in bulk: many iterations by the host's own insn, beside the unit of one.

The unit stays the definition.  It does few iterations, those that run backwards, and those where a
range wraps or comes upon the insn itself.  A fault in the middle shows what the host insn shows:
the registers of the iteration that faulted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from translator import flags
from translator.ir import CondLink, Repeat, Unit
from translator.tiers import hostasm

if TYPE_CHECKING:
    from translator.tiers.llvm import Lowering

MOST = 1 << 16  # iterations between two looks at the budget, and at whether a stop was asked for
# Starting the host insn costs as much as so many iterations of the unit.
LEAST = {("movs", 8): 4, ("stos", 8): 4}
LEAST |= {("movs", 16): 8, ("movs", 32): 8, ("stos", 16): 8, ("stos", 32): 8}
LEAST |= {(name, width): 6 for name in ("cmps", "scas") for width in (8, 16, 32)}
TOP, TOP_NARROW = 1 << 32, 1 << 16  # where the address space ends; a segment of real mode
_LONGEST = 15  # bytes of a guest insn
ECX, ESI, EDI = 1, 6, 7


class _Way(NamedTuple):
    """One way to a label: where it comes from, registers (i64) and budget there."""

    label: str
    registers: dict[int, str]
    budget: str


def before(low: Lowering, unit: Unit) -> Bulk | None:
    """Emit the bulk of a unit, if it is a repeated string insn; the unit's ops follow."""
    if unit.repeat is None:
        return None
    bulk = Bulk(low, unit, unit.repeat)
    bulk.emit()
    return bulk


class Bulk:
    """The bulk of one unit.

    What compares leaves the last iteration to the unit, which yields the flags.  What moves is
    done by one of the two, and their ways come together behind the unit.
    """

    def __init__(self, low: Lowering, unit: Unit, repeat: Repeat) -> None:
        self.low, self.t, self.unit, self.repeat = low, low.t, unit, repeat
        self.size = repeat.width // 8
        self.shift = self.size.bit_length() - 1
        self.compares = repeat.mnemonic in ("cmps", "scas")
        self.indices = [EDI] if repeat.mnemonic in ("stos", "scas") else [EDI, ESI]
        self.least = LEAST[repeat.mnemonic, repeat.width]
        self.type = "{" + ", ".join(["i64"] * (1 + len(self.indices))) + "}"
        self.behind = low.fresh("behind")
        self.top = TOP_NARROW if repeat.is_narrow else TOP
        self.segments: dict[int, str] = {}  # index register -> base of its segment, if it has one
        self.registers: dict[int, str] = {}  # before the insn, as i64
        self.parts: dict[int, str] = {}  # of them, what counts
        self.linear: dict[int, str] = {}  # index register -> guest address as i64
        self.done: _Way

    def emit(self) -> None:
        """Emit all that stands before the unit."""
        low, t = self.low, self.t
        low.snapshot = low.save()
        first, many, up, exact, bulk, done, fault, unit = (
            low.fresh(stem)
            for stem in ("first", "many", "up", "exact", "bulk", "done", "fault", "unit")
        )
        low.do(f"br label %{first}")
        low.label(first)
        self._look()
        few = t(f"icmp ult i64 {self.parts[ECX]}, {self.least}")
        low.do(f"br i1 {few}, label %{unit}, label %{many}")
        low.label(many)
        is_up = t(f"icmp eq i32 {low.get_field('df', 32)}, 1")
        low.do(f"br i1 {is_up}, label %{up}, label %{unit}")
        low.label(up)
        usual = self._least(self.parts[ECX], str(MOST))
        usual_from = self._check(usual, up, exact)
        low.do(f"br label %{bulk}")
        low.label(exact)
        cut = self._cut(usual)
        enough = t(f"icmp sge i64 {cut}, {self.least}")
        low.do(f"br i1 {enough}, label %{bulk}, label %{unit}")

        low.label(bulk)
        count = t(f"phi i64 [ {usual}, %{usual_from} ], [ {cut}, %{exact} ]")
        base = self._base()
        places = [t(f"add i64 {base}, {self.linear[i]}") for i in self.indices]
        accumulator = "" if ESI in self.indices else low.regs[0]
        pc = low.slots.constant("pc")
        call = (self.type, [count, *places], accumulator, pc, done, fault)
        outs = t(hostasm.string(self.repeat, *call))
        low._on_cold(fault, lambda: self._leave(outs, count))
        low.label(done)
        ran, registers = self._after(outs, count, back=int(self.compares))
        # One iteration is paid for: what compares has the unit do it.
        cost = ran if self.compares else t(f"sub i64 {ran}, 1")
        self.done = _Way(done, registers, t(f"sub i64 {low.budget}, {cost}"))
        low.do(f"br label %{unit if self.compares else self.behind}")
        low.label(unit)
        if self.compares:
            ways = [_Way(label, self.registers, low.budget) for label in (first, many, exact)]
            self._merge([*ways, self.done])

    def join(self) -> None:
        """Emit what stands behind the unit."""
        if self.compares:
            return
        low, t = self.low, self.t
        last = low.fresh("last")
        low.do(f"br label %{last}")
        low.label(last)
        unit = _Way(last, {i: low.zext64(low.regs[i]) for i in self.registers}, low.budget)
        low.do(f"br label %{self.behind}")
        low.label(self.behind)
        self._merge([unit, self.done])
        # The same as the unit's own condition.
        terminal = self.unit.terminal
        assert isinstance(terminal, CondLink)
        count = low.regs[ECX]
        if self.repeat.is_narrow:
            count = t(f"and i32 {count}, {TOP_NARROW - 1}")
        low.names[terminal.cond] = t(f"icmp ne i32 {count}, 0")

    # -- before ------------------------------------------------------------------------------------
    def _look(self) -> None:
        """Emit what the other steps need, and what the unit will find there."""
        low, t = self.low, self.t
        self.registers = {i: low.zext64(low.regs[i]) for i in (ECX, *self.indices)}
        self.parts = dict(self.registers)
        low.get_field("df", 32)
        if self.repeat.is_narrow:
            low.get_field("cs_base", 32)
            last = TOP_NARROW - 1
            self.parts = {i: t(f"and i64 {name}, {last}") for i, name in self.registers.items()}
        self.linear = dict(self.parts)
        for index, field in ((ESI, self.repeat.base), (EDI, self.repeat.target)):
            if field and index in self.indices:
                base = self.segments[index] = low.get_field(field, 32)
                part = t(f"trunc i64 {self.parts[index]} to i32")
                linear = t(f"add i32 {part}, {base}")
                self.linear[index] = t(f"zext i32 {linear} to i64")

    def _check(self, count: str, label: str, otherwise: str) -> str:
        """Emit branches away where so many are too many; return the label of what follows."""
        low, t = self.low, self.t

        def unless(problem: str) -> str:
            label = low.fresh("fits")
            low.do(f"br i1 {problem}, label %{otherwise}, label %{label}, !prof !0")
            low.label(label)
            return label

        unless(t(f"icmp slt i64 {self._allowed()}, {count}"))
        size = t(f"shl i64 {count}, {self.shift}") if self.shift else count
        for index in self.indices:
            end = t(f"add i64 {self._within(index)}, {size}")
            label = unless(t(f"icmp ugt i64 {end}, {self.top}"))
        return label if self.compares else unless(t(f"icmp slt i64 {self._ahead()}, {size}"))

    def _cut(self, count: str) -> str:
        """Emit how many of *count* are not too many; it may be negative."""
        count = self._least(count, self._allowed())
        for index in self.indices:
            room = self.t(f"sub i64 {self.top}, {self._within(index)}")
            count = self._least(count, self._elements(room))
        return count if self.compares else self._least(count, self._elements(self._ahead()))

    def _within(self, index: int) -> str:
        """Return what must not go beyond the top: an address, or an offset in a segment."""
        return self.parts[index] if self.repeat.is_narrow else self.linear[index]

    def _allowed(self) -> str:
        """Emit how many iterations the budget lasts for."""
        floor = self.t(f"load i64, ptr {self.low.pointer('floor')}")
        return self.t(f"sub i64 {self.low.budget}, {floor}")

    def _ahead(self) -> str:
        """Emit how many bytes from EDI on are not the insn itself, or a few less.

        What it overwrites of itself counts from the next iteration on.
        """
        behind = self.low.slots.value("next", 32)
        if self.repeat.is_narrow:
            behind = self.t(f"add i32 {behind}, {self.low.get_field('cs_base', 32)}")
        end = self.t(f"sub i32 {behind}, 1")
        target = self.t(f"trunc i64 {self.linear[EDI]} to i32")
        ahead = self.t(f"sub i32 {end}, {target}")
        return self.t(f"sub i64 {self.t(f'zext i32 {ahead} to i64')}, {_LONGEST - 1}")

    def _base(self) -> str:
        return self.t(f"load i64, ptr {self.low.pointer('memory_base')}")

    def _elements(self, size: str) -> str:
        return self.t(f"ashr i64 {size}, {self.shift}") if self.shift else size

    def _least(self, left: str, right: str) -> str:
        less = self.t(f"icmp slt i64 {left}, {right}")
        return self.t(f"select i1 {less}, i64 {left}, i64 {right}")

    # -- behind ------------------------------------------------------------------------------------
    def _after(self, outs: str, count: str, back: int) -> tuple[str, dict[int, str]]:
        """Emit how many iterations ran, *back* fewer than all, and the registers behind those."""
        t, base = self.t, self._base()
        left = t(f"extractvalue {self.type} {outs}, 0")
        ran = t(f"sub i64 {count}, {left}")
        if back:
            ran = t(f"sub i64 {ran}, {back}")
        found = {ECX: t(f"sub i64 {self.parts[ECX]}, {ran}")}
        for at, register in enumerate(self.indices, 1):
            place = t(f"extractvalue {self.type} {outs}, {at}")
            found[register] = t(f"sub i64 {place}, {base}")
            if back:
                found[register] = t(f"sub i64 {found[register]}, {back * self.size}")
        narrow = {i: t(f"trunc i64 {name} to i32") for i, name in found.items()}
        for index, base in self.segments.items():
            narrow[index] = t(f"sub i32 {narrow[index]}, {base}")
        if self.repeat.is_narrow:
            narrow = {i: self._joined(i, name) for i, name in narrow.items()}
        return ran, {i: t(f"zext i32 {name} to i64") for i, name in narrow.items()}

    def _joined(self, register: int, low_part: str) -> str:
        """Emit a register of which only the low half has changed."""
        t = self.t
        before = t(f"trunc i64 {self.registers[register]} to i32")
        kept = t(f"and i32 {before}, {-TOP_NARROW}")
        return t(f"or i32 {kept}, {t(f'and i32 {low_part}, {TOP_NARROW - 1}')}")

    def _leave(self, outs: str, count: str) -> None:
        """Leave where the host insn faulted."""
        low = self.low
        ran, registers = self._after(outs, count, back=0)
        for register, name in registers.items():
            low.regs[register] = self.t(f"trunc i64 {name} to i32")
        low.budget = self.t(f"sub i64 {low.budget}, {ran}")
        low.commit(flags.ALL)
        low.tail("jitemu_leave")

    def _merge(self, ways: list[_Way]) -> None:
        """Emit what is known of registers and budget where ways come together."""
        low, t = self.low, self.t
        both = {
            i: t("phi i64 " + ", ".join(f"[ {way.registers[i]}, %{way.label} ]" for way in ways))
            for i in self.registers
        }
        low.budget = t("phi i64 " + ", ".join(f"[ {way.budget}, %{way.label} ]" for way in ways))
        for register, name in both.items():
            narrow = low.regs[register] = t(f"trunc i64 {name} to i32")
            low.wide[narrow] = name
