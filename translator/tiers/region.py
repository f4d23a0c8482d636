"""A region as one LLVM function: guest state in SSA from end to end, loops closed inside.

Between nodes the guest's state lives in stack variables, which LLVM turns into SSA values; a node
with one source goes on with what is known at the source's end.  Where control leaves, and where an
access faults, the exact state is stored, on a cold path.  Flags are dropped where the plans say so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from translator import flags
from translator.hooks import BLOCK, CAPTURE, SET
from translator.ir import CondLink, Jump, Leave, Link, Op, Terminal, Unit, Value
from translator.planner import Plan, fuses
from translator.regions import Node, Region, service_slots
from translator.shape import SLOT_INDEX
from translator.state import FIELDS, Exit
from translator.tiers.emitter import (
    PINNED,
    PINNED_XMM,
    VECTOR,
    Pending,
    Saved,
)
from translator.tiers.links import waiting
from translator.tiers.openregion import OwnCode
from translator.tiers.region_facts import (
    flags_in,
    read_by_recovery,
    reads_carry,
    set_first,
)
from translator.tiers.services import capture
from translator.tiers.shown import FlagsShown, Saver
from translator.tiers.slots import ConstantSlots, RegionSlots

_FEW_TARGETS = 3  # of a computed jump, which are compared in their order


class _Known(NamedTuple):
    """All that is known at one place: the state, names, and the budget."""

    saved: Saved
    names: dict[Value, str]
    wide: dict[str, str]
    budget: str


class RegionLowering(FlagsShown):
    """Emit one region."""

    def __init__(self, name: str, region: Region, units: list[list[Unit]], used: set[str]) -> None:
        super().__init__(name)
        self.region, self.units, self.used = region, units, used
        self.late = waiting(region, units)
        for unit in (unit for inside in units for unit in inside if region.is_open):
            unit.repeat = None  # each iteration is looked at
        self.left: dict[int, _Known] = {}  # node -> what its only source knows
        self.own_code: OwnCode | None = None  # of a region that may be overwritten
        self.hits = ""  # whether the stores of the node's last insn hit that
        self.written: dict[str, int] = {}  # fields that the region may change: width
        self.known: dict[str, int] = {}  # fields that have a variable: width
        # Nothing leads back to the head: what the insns leave alone stays in the state, unread.
        head, *others = region.nodes
        self.is_straight = head.sources == 1
        # Inside, a budget whose end is near is kept without what may run between two tests.
        self.spare = max(node.need + node.count for node in region.nodes)
        self.is_tested_once = self.is_straight and not any(node.is_check for node in others)
        if self.is_tested_once:
            self.spare = head.need - head.count
        self._survey()

    # -- what the region touches -------------------------------------------------------------------
    def _survey(self) -> None:
        widths: dict[str, set[int]] = {}
        written: Counter[str] = Counter()
        for node, units in zip(self.region.nodes, self.units, strict=True):
            for (_, slots), unit in zip(node.plan.items, units, strict=True):
                at = ConstantSlots(0, slots)
                for v in unit.ops:
                    match v.op:
                        case Op.GET | Op.SET:
                            field, width = str(v.attr), (v.args[0].width if v.args else v.width)
                        case Op.GETST | Op.SETST:
                            assert isinstance(v.attr, int)
                            field, width = at.st(v.attr), 80
                        case Op.FPSTACK:
                            self.written["fpu"] = 16  # a constant in every node
                            continue
                        case Op.FLAGS | Op.SETFLAG:
                            self._survey_flags(v)
                            continue
                        case _:
                            continue
                    if field not in PINNED and self.is_field(field):
                        widths.setdefault(field, set()).add(width)
                        written[field] += v.op not in (Op.GET, Op.GETST)
        has_mmx = any(
            shape.fpu is not None and shape.fpu.mode == "mmx"
            for node in self.region.nodes
            for shape, _ in node.plan.items
        )
        self.survey_status(self.units)
        self.survey_mmx(self.region, widths)
        for field, found in widths.items():
            # What is used at another width stays in memory; so do the x87 registers if MMX insns
            # put them in use without writing them.
            is_x87 = has_mmx and field.startswith("fpr")
            if field in self.mmx or (found == {FIELDS[field].width} and not is_x87):
                self.known[field] = min(found)
                if written[field]:
                    self.written[field] = min(found)

    def is_field(self, field: str) -> bool:
        """Whether a state field is kept by the region."""
        return True

    def enter(self) -> None:
        """Emit what must be done before anything else."""
        if self.region.is_open:
            self.own_code = OwnCode(self, self.region, self.units[0][0].mode, self.used)

    def _survey_flags(self, v: Value) -> None:
        rule = v.attr
        groups = rule.groups if isinstance(rule, flags.Rule) else (str(rule),)
        self.changed.update(dict.fromkeys(groups))

    # -- variables ---------------------------------------------------------------------------------
    def lower(self) -> None:
        """Emit everything."""
        self.slots = RegionSlots(0, service_slots(self.region.head), self.used)
        for i in range(8):
            self.allocas.append(f"  %g{i} = alloca i64")
            self.do(f"store i64 %r{i}, ptr %g{i}")
        for i in range(PINNED_XMM):
            self.allocas.append(f"  %y{i} = alloca {VECTOR}, align 16")
            self.do(f"store {VECTOR} %x{i}, ptr %y{i}")
        self.allocas.append("  %left = alloca i64")
        if not self.is_tested_once:
            self.budget = self.t(f"sub i64 %budget, {self._ahead()}")
        self.do(f"store i64 {self.budget}, ptr %left")
        head = self.region.head
        for field, width in self.known.items():
            is_given = not self.is_straight or field not in self.written
            is_known = is_given and not self.is_out(field, head.entry)
            self.declare_variable(field, width, is_known=is_known)
        for group in self.changed:
            width = _stored(group)
            self.allocas.append(f"  %f_{group} = alloca i{width}")
            if not self.is_straight:
                value = self.t(f"load i{width}, ptr {self.pointer(group)}")
                if group == "cf":
                    value = self.t(f"and i8 {value}, 1")  # a number where it is added
                self.do(f"store i{width} {value}, ptr %f_{group}")
        self.declare_status()
        self.enter()
        if self.is_straight:
            self.left[head.index] = self._known()
        else:
            self._fresh(head)
            self._check(self.slots, rest=False)
        self.do("br label %n0")
        for node in self.region.nodes:
            self._node(node)

    def _fresh(self, node: Node) -> None:
        """Start from the variables."""
        self.names = {}
        self.wide = {}
        for i in range(8):
            wide = self.t(f"load i64, ptr %g{i}")
            self.regs[i] = self.t(f"trunc i64 {wide} to i32")
            self.loose_of[self.regs[i]] = wide
        self.vectors = [self.t(f"load {VECTOR}, ptr %y{i}") for i in range(PINNED_XMM)]
        self.fields, self.flags = {}, {}
        self.dirty = dict.fromkeys(f for f in self.written if not self.is_out(f, node.entry))
        for field, width in self.known.items():
            if not self.is_out(field, node.entry):
                self.fields[field] = (self.load_variable(field, width), width)
        if "fpu" in self.written:
            self.fields["fpu"] = (str(node.entry), 16)
        self.merge_status()
        for group in self.changed:
            width = flags.GROUP_WIDTHS[group]
            value = self.t(f"load i{_stored(group)}, ptr %f_{group}")
            if width == 1:
                number = value
                value = self.t(f"trunc i8 {number} to i1")
                if group == "cf":
                    self.numbers[value] = self.t(f"zext i8 {number} to i64")
            self.flags[group] = Pending(None, (self.named(value, width),))
        self.budget = self.t("load i64, ptr %left")

    def tail(self, symbol: str) -> None:
        """Emit the tail call that hands the pinned registers on."""
        inside, regs = self.budget, self.regs
        if not self.is_tested_once:
            self.budget = self.t(f"add i64 {inside}, {self._ahead()}")
        if symbol == "jitemu_leave":  # behind a link the registers are what the loop has now
            self.regs = [self.again(name) for name in regs]
        super().tail(symbol)
        self.budget, self.regs = inside, regs

    def _ahead(self) -> str:
        """Return what is kept of the budget while inside.

        Nothing at the end of a slice: what runs behind a region that always left there would never
        be seen, however hot it is.
        """
        mask = self.t(f"load i64, ptr {self.pointer('look_ahead')}")
        return self.t(f"and i64 {mask}, {self.spare}")

    def commit(self, live: frozenset[str]) -> None:
        """Store what the region has changed."""
        for field in self.dirty:
            if field in self.fields:
                self.store_field(field)
        self.commit_flags(live)

    def _sync(self, fpu: int, dead: set[str]) -> None:
        """Store what is known into the variables, empty x87 registers into the state.

        *dead*: fields that nobody will read.
        """
        for i, name in enumerate(self.regs):
            self.do(f"store i64 {self.loose(name)}, ptr %g{i}")
        for i, name in enumerate(self.vectors):
            self.do(f"store {VECTOR} {name}, ptr %y{i}")
        for field in self.dirty:
            if (field not in self.known and field != "fpu") or self.is_out(field, fpu):
                self.store_field(field)
        for field, width in self.written.items():
            if field == "fpu" or self.is_out(field, fpu):
                continue
            if field in dead:
                value = "poison"
            elif self.get_field(field, width) and field == "fc1":
                value = self.join_status()
            else:
                value = self.fields[field][0]
            self.store_variable(field, width, value)
        for group in self.changed:
            width = flags.GROUP_WIDTHS[group]
            name = self._get_flag(group)
            if width == 1 and name != "poison":
                name = self.carry_as(name, 8) or self.t(f"zext i1 {name} to i8")
            self.do(f"store i{_stored(group)} {name}, ptr %f_{group}")
        self.do(f"store i64 {self.budget}, ptr %left")

    # -- nodes -------------------------------------------------------------------------------------
    def _node(self, node: Node) -> None:
        number = self._first(node)
        service = RegionSlots(number, service_slots(node), self.used)
        self.slots = service
        self.saver = self.savers.get(node.index)
        self.label(f"n{node.index}")
        self.begin_mmx(node)
        before = self.left.pop(node.index, None)
        if before is None:
            self._fresh(node)
        else:
            self._take_up(before)
        self.budget = self.t(f"sub i64 {self.budget}, {node.count}")
        if node.is_check:
            # Or what leaves would be computed from the value before, which had to be kept, too.
            self.budget = self.t(f'call i64 asm "", "=r,0"(i64 {self.budget})')
        plan = node.plan
        items, units = plan.items, self.units[node.index]
        terminal: Terminal | None = None
        self.dropped = {}
        # Tested where a fault may show everything anyway, so that nothing is kept for this alone.
        at = next((i for i, (s, _) in enumerate(items) if s.exposes or s.leaks), node.count - 1)
        if self.is_straight and node is self.region.head:
            at = 0  # the budget has not been tested before
        for index, unit in enumerate(units):
            slots = RegionSlots(number + 1 + index, items[index][1], self.used)
            if node.is_check and index == at:
                self._check(slots, rest=True)
            if plan.tallies:
                self._count(plan, index, index == (at if node.is_check else 0))
            self.begin_status(unit)
            self.has_carry = reads_carry(plan, index + 1)
            self.insn(unit, slots)
            terminal = unit.terminal
            if index == plan.saved:
                self.behind = list(self.regs)
            is_fused = index + 1 < len(units) and fuses(items[index][0], items[index + 1][0])
            if index + 1 < len(units) and not is_fused:
                self.drop(items[index][0].writes & ~plan.live[index])
        if plan.interp_at is not None:
            self.slots = service
            self._exit(lambda: self._leave(Exit.INTERP, "next", None))
            return
        if terminal is None:
            self.slots = service
        self._end(node, terminal, service)

    def _count(self, plan: Plan, index: int, begins: bool) -> None:
        """Count an insn; the block, too, once it is certain that it runs to its end from here."""
        for which, how, place in plan.tallies:
            if which != index and not (begins and which == BLOCK):
                continue
            pointer = f"inttoptr (i64 {place} to ptr)"
            if how == SET:
                self.do(f"store i8 1, ptr {pointer}")
            elif how >= CAPTURE:
                capture(self, pointer, how - CAPTURE)
            else:
                before = self.t(f"load i64, ptr {pointer}")
                self.do(f"store i64 {self.t(f'add i64 {before}, 1')}, ptr {pointer}")

    def _first(self, node: Node) -> int:
        """Return the number of a node's own slots; those of its insns follow."""
        return node.index + sum(n.count for n in self.region.nodes[: node.index])

    def _check(self, slots: RegionSlots, *, rest: bool) -> None:
        """Leave in front of an insn if the budget may not last to the next test, or at a stop.

        *rest*: give back what its node has been charged for from this insn on.
        """
        flags_now = dict(self.flags)
        for group, pending in self.dropped.items():
            # Nothing recovers them for an exit that is no fault.
            if self.names.get(self.flags[group].args[0]) == "poison":
                self.flags[group] = pending
        self.snapshot = self.save()
        floor = self.t(f"load i64, ptr {self.pointer('floor')}")
        over, on = self.fresh("over"), self.fresh("on")
        left = self.budget
        if self.is_tested_once:
            left = self.t(f"sub i64 {left}, {self._ahead()}")
        cond = self.t(f"icmp slt i64 {left}, {floor}")
        self.do(f"br i1 {cond}, label %{over}, label %{on}, !prof !0")

        def leave() -> None:
            self.slots = slots
            if rest:
                self.refund("rest")
            self._leave(Exit.BUDGET, "pc", 1)

        self._on_cold(over, leave)
        self.label(on)
        self.flags = flags_now

    def _exit(self, leave: Callable[[], None]) -> None:
        """Emit code that leaves; what it computes is known there only."""
        here = self._known()
        leave()
        self._take_up(here)

    def _known(self) -> _Known:
        return _Known(self.save(), dict(self.names), dict(self.wide), self.budget)

    def _take_up(self, known: _Known) -> None:
        """Go on from what was known elsewhere."""
        saved, self.names, self.wide, self.budget = known
        self.regs, self.vectors, self.fields, self.dirty, self.flags = saved

    def _go(self, node: Node, pc: int, link: str) -> None:
        """Emit the way to an address, inside or outside."""
        other = node.edges.get(pc)

        def leave() -> None:
            if other is None:
                self.commit(flags.ALL)
                self.tail(link)
                return
            # Not even a fault can show these in the next node.
            self.drop(~flags_in(other))
            dead = set_first(other)
            for field in dead:
                self.dirty.pop(field, None)
            if other.sources == 1 and not other.is_check:
                self.left[other.index] = self._known()
                self.savers[other.index] = self.saver
            else:
                if self.saver is not None:
                    self.save_operands(self.saver, other)
                self._sync(node.exit, dead)
            self.do(f"br label %n{other.index}")

        def leave_anyway() -> None:
            self.commit(flags.ALL)
            self.tail(link)

        if self.hits and link and other is not None:
            out, on = self.fresh("out"), self.fresh("on")
            self.do(f"br i1 {self.hits}, label %{out}, label %{on}, !prof !0")
            self._on_cold(out, leave_anyway)
            self.label(on)
        self._exit(leave)

    def _end(self, node: Node, terminal: Terminal | None, service: RegionSlots) -> None:
        """Emit the end of a node."""
        plan = node.plan
        numbers = plan.items[-1][1]
        taken = ""
        self.hits = self.own_code.hit(self.units[node.index][-1]) if self.own_code else ""
        self.snapshot = self.save()
        if isinstance(terminal, CondLink):
            taken = self.value(terminal.cond)
        written = 0
        for shape, _ in plan.items:
            written |= shape.writes
        self.drop(written & ~plan.live[-1])
        if written:
            self.saver = None
            if plan.saved >= 0:
                needed = read_by_recovery(plan.items[plan.saved][0])
                self.saver = Saver(service, needed, self.behind)
        if plan.recipe >= 0:
            self.recipe(service)
        match terminal:
            case None:
                self._go(node, plan.end & 0xFFFFFFFF, self.slots.link("next"))
            case Link(slot):
                self._go(node, numbers[SLOT_INDEX[slot]], self.slots.link(slot))
            case CondLink(_, target, otherwise):
                yes, no = self.fresh("yes"), self.fresh("no")
                self.do(f"br i1 {taken}, label %{yes}, label %{no}")
                for label, slot in ((yes, target), (no, otherwise)):
                    self.label(label)
                    self._go(node, numbers[SLOT_INDEX[slot]], self.slots.link(slot))
            case Jump(place):
                self._computed(node, self.value(place))
            case Leave(kind, slot, info):
                if slot == "pc":
                    self.refund("rest")
                self._leave(kind, slot, info)

    def _computed(self, node: Node, target: str) -> None:
        """Compare a computed target with the addresses inside; else look it up."""
        slots = self.slots
        out = self.fresh("out")
        if self.hits:
            on = self.fresh("on")
            self.do(f"br i1 {self.hits}, label %{out}, label %{on}, !prof !0")
            self.label(on)
        labels = {pc: self.fresh("inside") for pc in node.edges}
        if len(labels) <= _FEW_TARGETS:
            for pc, label in labels.items():
                # Its own address, which becomes an immediate; a sum would be computed.
                inside = node.edges[pc]
                own = RegionSlots(self._first(inside), service_slots(inside), self.used)
                known = own.value("pc", 32)
                hit = self.t(f"icmp eq i32 {target}, {known}")
                other = self.fresh("other")
                self.do(f"br i1 {hit}, label %{label}, label %{other}")
                self.label(other)
            self.do(f"br label %{out}")
        else:
            head = self.region.head.plan.pc
            self.used.add("h0_pc")
            place = self.t(f"sub i32 {target}, ptrtoint (ptr @h0_pc to i32)")
            cases = " ".join(f"i32 {pc - head}, label %{label}" for pc, label in labels.items())
            self.do(f"switch i32 {place}, label %{out} [ {cases} ]")
        for pc, label in labels.items():
            self.label(label)
            self._go(node, pc, "")
        self.label(out)
        self.slots = slots
        self.commit(flags.ALL)
        self._jump(target)


def _stored(group: str) -> int:
    """Return the width in bits of a flag group as it is kept in memory."""
    return max(flags.GROUP_WIDTHS[group], 8)
