"""Repeated string insns in bulk: many iterations by the host's own, in front of the unit of one.

The unit stays the definition.  It does what the bulk step leaves: the last iteration, and all of
them where a range wraps, runs backwards, reaches the insn itself or is short.  A fault in the
middle shows what the host insn shows, the registers of the iteration that faulted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from translator import flags
from translator.ir import Repeat, Unit
from translator.tiers import hostasm

if TYPE_CHECKING:
    from translator.tiers.llvm import Lowering

MOST = 1 << 16  # iterations between two looks at the budget, and at whether a stop was asked for
LEAST = 4  # starting the host insn costs as much as so many iterations of the unit
_LONGEST = 15  # bytes of a guest insn
ECX, ESI, EDI = 1, 6, 7


def step(low: Lowering, unit: Unit) -> None:
    """Emit the bulk step of a unit, if it is a repeated string insn that allows one."""
    if unit.repeat is not None:
        _Bulk(low, unit.repeat).emit()


class _Bulk:
    """One bulk step."""

    def __init__(self, low: Lowering, repeat: Repeat) -> None:
        self.low, self.t, self.repeat = low, low.t, repeat
        self.size = repeat.width // 8
        self.shift = self.size.bit_length() - 1
        self.compares = repeat.mnemonic in ("cmps", "scas")
        self.indices = [EDI] if repeat.mnemonic in ("stos", "scas") else [EDI, ESI]
        self.base = repeat.base if ESI in self.indices else ""

    def emit(self) -> None:
        """Emit everything; behind it the registers are as the bulk left them."""
        low, t = self.low, self.t
        low.snapshot = low.save()
        start, bulk, done, one, fault = (
            low.fresh(stem) for stem in ("start", "bulk", "done", "one", "fault")
        )
        low.do(f"br label %{start}")
        low.label(start)
        before = {i: low.zext64(low.regs[i]) for i in (ECX, *self.indices)}
        base = t(f"load i64, ptr {low.pointer('memory_base')}")
        segment = low.get_field(self.base, 32) if self.base else ""
        linear = dict(before)
        if segment:
            linear[ESI] = low.zext64(t(f"add i32 {low.regs[ESI]}, {segment}"))
        count = self._count(before[ECX], linear)
        enough = t(f"icmp sge i64 {count}, {LEAST}")
        upwards = t(f"icmp eq i32 {low.get_field('df', 32)}, 1")
        go = t(f"and i1 {enough}, {upwards}")
        low.do(f"br i1 {go}, label %{bulk}, label %{one}")

        low.label(bulk)
        places = [t(f"add i64 {base}, {linear[i]}") for i in self.indices]
        outs = t(self._call(count, places, done, fault))

        def after(back: int) -> tuple[dict[int, str], str]:
            """Return registers (i32) and budget behind the call, but *back* iterations earlier."""
            left = t(f"extractvalue {self.type} {outs}, 0")
            ran = t(f"sub i64 {count}, {left}")
            if back:
                ran = t(f"sub i64 {ran}, {back}")
            gone = t(f"sub i64 {before[ECX]}, {ran}")
            found = {ECX: t(f"trunc i64 {gone} to i32")}
            for at, register in enumerate(self.indices, 1):
                place = t(f"extractvalue {self.type} {outs}, {at}")
                index = t(f"sub i64 {place}, {base}")
                if back:
                    index = t(f"sub i64 {index}, {back * self.size}")
                found[register] = t(f"trunc i64 {index} to i32")
            if segment:
                found[ESI] = t(f"sub i32 {found[ESI]}, {segment}")
            return found, t(f"sub i64 {low.budget}, {ran}")

        low.label(done)
        # The unit does the last comparison again, which yields the flags.
        registers, budget = after(1 if self.compares else 0)
        wide = {i: t(f"zext i32 {name} to i64") for i, name in registers.items()}
        low.do(f"br label %{one}")

        def leave() -> None:
            registers, low.budget = after(0)
            for register, name in registers.items():
                low.regs[register] = name
            low.commit(flags.ALL)
            low.tail("jitemu_leave")

        low._on_cold(fault, leave)
        low.label(one)
        for register, name in wide.items():
            both = t(f"phi i64 [ {before[register]}, %{start} ], [ {name}, %{done} ]")
            wide[register] = both
        low.budget = t(f"phi i64 [ {low.budget}, %{start} ], [ {budget}, %{done} ]")
        for register, name in wide.items():
            narrow = low.regs[register] = t(f"trunc i64 {name} to i32")
            low.wide[narrow] = name

    def _count(self, ecx: str, linear: dict[int, str]) -> str:
        """Emit how many iterations can run in bulk; none if that is negative."""
        low, t = self.low, self.t
        # What moves leaves the last iteration to the unit; what compares, one in any case.
        count = ecx if self.compares else t(f"sub i64 {ecx}, 1")
        floor = t(f"load i64, ptr {low.pointer('floor')}")
        count = self._least(count, t(f"sub i64 {low.budget}, {floor}"))
        count = self._least(count, str(MOST))
        # Not beyond 4 GiB.
        last = linear[EDI]
        if ESI in linear:
            larger = t(f"icmp ugt i64 {last}, {linear[ESI]}")
            last = t(f"select i1 {larger}, i64 {last}, i64 {linear[ESI]}")
        room = t(f"sub i64 {1 << 32}, {last}")
        count = self._least(count, self._elements(room))
        if not self.compares:
            # Not into the insn itself: what it becomes counts from the next iteration on.
            end = t(f"sub i32 {low.slots.value('next', 32)}, 1")
            ahead = t(f"zext i32 {t(f'sub i32 {end}, {low.regs[EDI]}')} to i64")
            count = self._least(count, self._elements(t(f"sub i64 {ahead}, {_LONGEST - 1}")))
        return count

    def _elements(self, size: str) -> str:
        return self.t(f"ashr i64 {size}, {self.shift}") if self.shift else size

    def _least(self, left: str, right: str) -> str:
        less = self.t(f"icmp slt i64 {left}, {right}")
        return self.t(f"select i1 {less}, i64 {left}, i64 {right}")

    @property
    def type(self) -> str:
        """LLVM type of what the host insn leaves: count and indices."""
        return "{" + ", ".join(["i64"] * (1 + len(self.indices))) + "}"

    def _call(self, count: str, places: list[str], done: str, fault: str) -> str:
        low = self.low
        accumulator = low.regs[0] if EDI in self.indices and ESI not in self.indices else ""
        return hostasm.string(
            self.repeat, self.type, [count, *places], accumulator,
            low.slots.constant("pc"), done, fault,
        )  # fmt: skip
