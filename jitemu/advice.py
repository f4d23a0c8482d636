"""A profile of a finished run -> its hottest blocks and regions, and what could be done about each.

Every advice follows from something that was counted: how often host code left there and what for,
how often the code was dropped, and which tier ran it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jitemu.symbols import Symbols
from runtime.guestcode import LOCATION_PRECISE, PAGE_SHIFT
from runtime.profiling import UNFINISHED, Profile, Spot, plans_of
from translator.planner import FetchFault, Options, Plan
from translator.state import Exit as Kind
from translator.tiers import hostdis

if TYPE_CHECKING:
    from runtime.blocktable import Block
    from runtime.dispatch import Engine

SHOWN = 10  # entries
_VISIBLE = 0.001  # part of all that an entry needs
_LINES = 6  # of disassembly
_INT = 2  # bytes of int 0x80, behind which a system call leaves
# Processor time that leaving for each cause takes, roughly, in seconds: only to find the worst.
_COST = {
    Kind.LOOKUP: 4e-6,
    Kind.FAULT: 15e-6,
    Kind.TRAP: 15e-6,
    Kind.SYSCALL: 5e-6,
    Kind.INTERP: 8e-6,
    Kind.STALE: 50e-6,
}
_COST_OF_DROP = 300e-6
_WORTH = 0.05  # of an entry's time that is worth a word


@dataclass(slots=True)
class Entry:
    """A block or a region that took time."""

    address: int
    name: str
    tier: str
    insns: int = 0  # guest insns that it holds
    ir_ops: int = 0
    host_bytes: int = 0
    samples: int = 0
    share_of_samples: float = 0.0
    share_of_insns: float = 0.0  # of those executed
    share_of_time: float = 0.0  # of processor time, but for translating
    executions: int | None = None  # of a block, estimated
    exits: dict[str, int] = field(default_factory=dict)  # how often host code left in it, by cause
    dropped: dict[str, int] = field(default_factory=dict)  # how often it was, by what for
    code: list[str] = field(default_factory=list)  # the first insns
    advice: str = ""


class Judge:
    """Describes what a profile has seen."""

    def __init__(self, profile: Profile, symbols: Symbols, insns: int) -> None:
        """Take a profile, and how many insns ran."""
        self.profile, self.seen, self.symbols = profile, profile.seen, symbols
        self.engine: Engine = profile.engine
        self.insns = insns
        # Those that end in few exits of one cause are found quickly.
        self.exits: dict[int, list[tuple[int, int, int]]] = {}  # page -> kind, address, count
        for (kind, address), count in self.seen.exits.items():
            at = (address - _INT if kind == Kind.SYSCALL else address) & 0xFFFFFFFF
            self.exits.setdefault(at >> PAGE_SHIFT, []).append((kind, at, count))

    def entries(self) -> list[Entry]:
        """Return the hottest entries, hottest first."""
        if self.engine.strategy is None:
            return self._interpreted()
        merged: dict[tuple[int, bool], Spot] = {}
        early: dict[tuple[int, bool], int] = {}  # insns of a region while it was blocks
        for (pc, is_region), spot in self.seen.spots.items():
            key = pc, is_region
            if not is_region:
                head = self.profile.region_of(pc)
                if head is not None:
                    key = head, True
                    early[key] = early.get(key, 0) + spot.insns
            into = merged.setdefault(key, Spot())
            into.samples += spot.samples
            into.insns += spot.insns
            into.seconds += spot.seconds
        total = Spot(
            sum(s.samples for s in merged.values()),
            sum(s.insns for s in merged.values()),
            sum(s.seconds for s in merged.values()),
        )
        ranked = sorted(merged.items(), key=lambda item: item[1].seconds, reverse=True)
        shown = [
            (key, spot)
            for key, spot in ranked
            if spot.insns > _VISIBLE * total.insns or spot.seconds > _VISIBLE * total.seconds
        ]
        return [self._entry(key, spot, total, early.get(key, 0)) for key, spot in shown[:SHOWN]]

    def _block(self, pc: int) -> Block | None:
        blocks = self.engine.cache.blocks
        return blocks.get(pc) or blocks.get(pc | LOCATION_PRECISE)

    def _entry(self, key: tuple[int, bool], spot: Spot, total: Spot, early: int) -> Entry:
        pc, is_region = key
        strategy = self.engine.strategy
        assert strategy is not None
        block = self._block(pc)
        tier = "region" if is_region else "block" if strategy.name == "block" else "stencil"
        entry = Entry(pc, str(self.symbols.place(pc)), tier, samples=spot.samples)
        entry.share_of_samples = spot.samples / total.samples if total.samples else 0.0
        entry.share_of_insns = spot.insns / total.insns if total.insns else 0.0
        entry.share_of_time = spot.seconds / total.seconds if total.seconds else 0.0
        plans = self._plans(pc, block)
        entry.insns = sum(len(plan.items) for plan in plans)
        entry.ir_ops = sum(len(shape.unit.ops) for plan in plans for shape, _ in plan.items)
        if block is not None:
            entry.host_bytes = block.size
        if not is_region and entry.insns:
            entry.executions = round(entry.share_of_insns * self.insns / entry.insns)
        entry.code = self._disassembly(plans)
        left = self._exits(plans)
        for kind, _, count in left:
            name = Kind.NAMES[kind]
            entry.exits[name] = entry.exits.get(name, 0) + count
        for (at, was_region, why), count in self.seen.drops.items():
            if at == pc and was_region == is_region:
                entry.dropped[why] = entry.dropped.get(why, 0) + count
        found = self._forced(entry, left, spot.seconds)
        entry.advice = found or self._of_tier(entry, block, early / spot.insns if early else 0.0)
        return entry

    def _plans(self, pc: int, block: Block | None) -> list[Plan]:
        code = self.engine.code
        try:
            if block is not None:
                return plans_of(self.engine, block)
            return [code.plan_again(pc, Options(0, max_insns=code.max_insns))]
        except FetchFault:
            return []  # the guest has unmapped it

    def _disassembly(self, plans: list[Plan]) -> list[str]:
        if not plans:
            return []
        plan = plans[0]
        code = self.engine.mem.fetch(plan.pc, plan.end - plan.pc)
        return [f"{at:#010x}  {text}" for at, _, text in hostdis.lines(code, plan.pc, 32)][:_LINES]

    def _exits(self, plans: list[Plan]) -> list[tuple[int, int, int]]:
        """Return (kind, address, count) of the exits in some plans, costliest first."""
        found = set()
        for plan in plans:
            for page in range(plan.pc >> PAGE_SHIFT, (plan.end >> PAGE_SHIFT) + 1):
                for row in self.exits.get(page, ()):
                    if plan.pc <= row[1] < plan.end:
                        found.add(row)
        return sorted(found, key=lambda row: _COST[row[0]] * row[2], reverse=True)

    # -- advice ------------------------------------------------------------------------------------
    def _forced(self, entry: Entry, left: list[tuple[int, int, int]], seconds: float) -> str | None:
        """Say what made host code leave, or dropped it, if that took a noticeable time."""
        worst = _COST[left[0][0]] * left[0][2] if left else 0.0
        written = entry.dropped.get("written", 0)
        if _COST_OF_DROP * written > max(worst, _WORTH * seconds):
            what = "region" if entry.tier == "region" else "block"
            return f"the {what} was dropped {written:,} times because its page was written to"
        if not left or worst < _WORTH * seconds:
            return None
        kind, at, count = left[0]
        match kind:
            case Kind.INTERP:
                why = f"left {count:,} times for the interp tier at {at:#010x}: {self._insn(at)}"
                if (block := self._block(entry.address)) is not None and block.location >> 32:
                    why += "; floating-point exceptions are unmasked"
                return why
            case Kind.SYSCALL:
                return f"makes {count:,} system calls at {at:#010x}"
            case Kind.FAULT:
                return f"{count:,} memory faults at {at:#010x}: {self._insn(at)}"
            case Kind.TRAP:
                return f"{count:,} exceptions at {at:#010x}: {self._insn(at)}"
            case Kind.STALE if self.engine.code.is_open(entry.address, 1):
                return f"self-modifying page: its bytes had changed at {count:,} entries"
            case Kind.STALE:
                return (
                    f"entered {count:,} times with another x87 stack or other bytes than it was "
                    "made for"
                )
            case _:
                return f"looked up {count:,} times for computed jumps or returns to {at:#010x}"

    def _insn(self, at: int) -> str:
        """Return the text of the insn at an address."""
        code = self.engine.mem.fetch(at, 15)
        for _, _, text in hostdis.lines(code, at, 32):
            return f"insn `{text}`"
        return f"bytes {code[:8].hex(' ')}" if code else "no code any more"

    def _of_tier(self, entry: Entry, block: Block | None, early: float) -> str:
        """Say why it is in its tier."""
        engine, tiering = self.engine, self.engine.tiering
        size = max(entry.insns, 1)
        if engine.code.is_open(entry.address, size):
            return "self-modifying page: checks its bytes at every entry, and no region holds it"
        if entry.tier == "region":
            if early > 1 / 3:
                return f"compiled late: {early:.0%} of its insns ran before; a longer run gains"
            return "runs as a compiled region; nothing forces it out"
        if tiering.mode != "when hot":
            if tiering.mode:
                return "stays outside of regions"
            return f"strategy {engine.strategy_name} has no regions: try --strategy tiered"
        if block is not None and block.location >> 32:
            return "floating-point exceptions are unmasked: no region holds it"
        if (lost := entry.dropped.get(UNFINISHED, 0)) > 1:
            return f"its page was written to {lost:,} times while its region was being compiled"
        reason = self.seen.failures.get(entry.address)
        if reason is not None:
            return f"its region could not be compiled: {reason}"
        fpu = block.fpu or 0 if block is not None else 0
        if any(job.region.holds(entry.address, fpu) for job in self.profile.unfinished):
            return "its region was still being compiled: the run was too short"
        heat = tiering.heat.get(entry.address >> 7, 0)
        if heat < 0:
            tries = sum(n for (head, _), n in tiering.tried.items() if head == entry.address)
            what = f"head of a region that was formed ({tries})" if tries else "part of a region"
            return f"{what}, and still runs as a block: entered from elsewhere"
        hot = tiering.thresholds.hot
        return f"not compiled yet: about {heat:,} of the {hot:,} insns that make a place hot"

    # -- strategy interp ---------------------------------------------------------------------------
    def _interpreted(self) -> list[Entry]:
        """Return the hottest runs of insns that followed each other equally often."""
        insns, mem = self.engine.insns, self.engine.mem
        counts = self.seen.interpreted
        total = sum(counts.values())
        runs: list[tuple[int, int, int]] = []  # first address, insns, times
        end = times = -1
        for address in sorted(counts):
            if address == end and counts[address] == times:
                runs[-1] = runs[-1][0], runs[-1][1] + 1, times
            else:
                times = counts[address]
                runs.append((address, 1, times))
            insn = insns.get(address)
            end = address + insn.length if insn is not None else -1
        runs.sort(key=lambda run: run[1] * run[2], reverse=True)
        entries = []
        for address, size, count in runs[:SHOWN]:
            name = str(self.symbols.place(address))
            entry = Entry(address, name, "interp", insns=size, executions=count)
            entry.share_of_insns = size * count / total
            code = mem.fetch(address, 15 * min(size, _LINES))
            lines = [f"{at:#010x}  {text}" for at, _, text in hostdis.lines(code, address, 32)]
            entry.code = lines[: min(size, _LINES)]
            entry.advice = "strategy interp executes one insn at a time: try another"
            entries.append(entry)
        return entries
