"""Regions: guest blocks with the control flow between them, to be compiled as one host function.

A region has one entry, its head.  It holds blocks that can reach the head again (a loop, nested
loops, the functions they call); if there are none, the blocks that follow the head.  A block is a
node once for every x87 stack it is entered with, which is therefore known inside a region.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import Any

from translator.ir import Jump, Op
from translator.mode import Context
from translator.planner import Plan
from translator.shape import NEXT, PC, TARGET, Slots, numbers, shape_of

MAX_NODES = 160
STRAIGHT_INSNS = 200  # of a region without a loop
DUPLICATED = 6  # insns of a return that is copied
MAX_COPIES = 4
MAX_TARGETS = 64  # addresses that one computed jump is compared with
_COLD = 32  # a block that runs so much less than the head stays outside

Place = tuple[int, int]  # guest address, x87 stack (TOP << 8 | tags)


@dataclass(slots=True, eq=False)
class Node:
    """A block of a region. `edges`: guest address -> the node there, of those that are inside."""

    plan: Plan
    entry: int  # x87 stack when it is entered
    exit: int  # and when it is left
    edges: dict[int, Node] = field(default_factory=dict)
    sources: int = 0  # edges that lead here, the region's entry included
    index: int = 0  # place in the region's order
    is_check: bool = False  # budget and stop flag are tested on the ways back to it
    need: int = 0  # insns that may run from such a test until the next one

    @property
    def count(self) -> int:
        """Insns that it holds."""
        return len(self.plan.items)


@dataclass(slots=True)
class Region:
    """Nodes in reverse postorder; the first is the head."""

    nodes: list[Node]
    x87_in_host: bool = False  # if possible, the guest's x87 registers are in the host's own
    # Its code may be overwritten: it is compared where the region is entered, and each of its own
    # stores that hits it leads outside (tiers/openregion.py).
    is_open: bool = False

    @property
    def head(self) -> Node:
        """Where it is entered."""
        return self.nodes[0]

    @property
    def insns(self) -> int:
        """Guest insns that it holds."""
        return sum(node.count for node in self.nodes)

    @property
    def context(self) -> Context:
        """Mode and place of its code: the same for all of it."""
        return self.head.plan.context

    def holds(self, pc: int, fpu: int) -> bool:
        """Whether a block is one of the nodes."""
        return any(node.plan.pc == pc and node.entry == fpu for node in self.nodes)

    @property
    def uses_fpu(self) -> bool:
        """Whether it depends on the x87 stack that it is entered with."""
        return any(node.plan.fpu is not None for node in self.nodes)

    @property
    def x87_share(self) -> float:
        """Which part of its insns works on the x87 stack."""
        fpu = sum(s.fpu is not None for node in self.nodes for s, _ in node.plan.items)
        return fpu / self.insns

    @property
    def has_loop(self) -> bool:
        """Whether it can stay inside for longer than once through."""
        return any(node.is_check for node in self.nodes[1:]) or self.head.sources > 1


PlanAt = Callable[[int, int, int], Plan | None]  # address, x87 stack, most insns -> plan
Follow = Callable[[Plan], Iterable[int]]
Heat = Callable[[int, float], float]  # address, a guess -> how much runs there


def call_return(plan: Plan) -> int | None:
    """Return where the call that ends a plan returns to; None if it ends with no call."""
    if plan.interp_at is not None or not plan.items:
        return None
    shape, slots = plan.items[-1]
    return slots[NEXT] if shape.insn.mnemonic in ("call", "calli") else None


def _jump(plan: Plan) -> Jump | None:
    if plan.interp_at is not None or not plan.items:
        return None
    terminal = plan.items[-1][0].terminal
    return terminal if isinstance(terminal, Jump) else None


def is_return(plan: Plan) -> bool:
    """Whether a plan ends with a near return."""
    jump = _jump(plan)
    return jump is not None and jump.is_return


def grow(
    head: int,
    fpu: int,
    plan_at: PlanAt,
    follow: Follow,
    max_insns: int,
    heat: Heat = lambda pc, guess: 1.0,
) -> Region | None:
    """Build the region at a head; None if there is nothing to compile.

    *plan_at* plans a block, or returns None where code must not become part of a region; *follow*
    lists the successors that are worth following, for computed jumps too, returns apart: these lead
    behind the calls inside the region.  *heat* says how much runs in a block; the guess, infinite
    for the head, is for where nothing is known.
    """
    nodes = _discover((head, fpu), plan_at, follow, max_insns, heat)
    if nodes is None:
        return None
    nodes = _split(nodes, plan_at)
    _connect(nodes, follow)
    first = nodes[head, fpu]
    looping = _cycle(first)
    keep = [node for node in nodes.values() if node in looping]
    if not keep:
        insns = 0
        for node in nodes.values():
            insns += node.count
            if insns > STRAIGHT_INSNS and keep:
                break
            keep.append(node)
    kept = set(keep)
    for node in keep:
        node.edges = {pc: other for pc, other in node.edges.items() if other in kept}
    for node in keep:
        _duplicate(node, keep)
    order = _reverse_postorder(first)
    for node in order:
        for other in node.edges.values():
            other.sources += 1
            if other.index <= node.index:
                other.is_check = True
    first.sources += 1
    first.is_check = True
    for node in reversed(order):
        if node.is_check:
            node.need = _longest(node)
    return Region(order, is_open=any(node.plan.code for node in order))


def _discover(
    start: Place, plan_at: PlanAt, follow: Follow, max_insns: int, heat: Heat
) -> dict[Place, Node] | None:
    """Find what can be reached from the head, hottest and nearest first, until there is enough."""
    nodes: dict[Place, Node] = {}
    first = heat(start[0], inf)
    todo: list[tuple[float, int, Place]] = [(-first, 0, start)]
    number = insns = 0
    while todo and len(nodes) < MAX_NODES and insns < max_insns:
        coldness, _, place = heappop(todo)
        if -coldness * _COLD < first:
            break
        if place in nodes:
            continue
        plan = plan_at(*place, max_insns)
        if plan is None or not plan.items:
            if place == start:
                return None
            continue
        node = nodes[place] = Node(plan, place[1], stack_behind(plan, place[1]))
        insns += node.count
        following = list(follow(plan))
        ways = [(pc, -coldness / len(following)) for pc in following]
        # A called function returns with its own x87 stack: guess that it is the caller's.
        behind = call_return(plan)
        if behind is not None:
            ways.append((behind, -coldness))
        for pc, guess in ways:
            number += 1
            heappush(todo, (-heat(pc, guess), number, (pc, node.exit)))
    return nodes


def is_fit(plan: Plan) -> bool:
    """Whether a plan can be a node: not if it leads to other modes, or around the end of CS.

    Nor, where that is rare, if its target depends on where it stands.
    """
    last = plan.items[-1][0]
    if plan.context.number:
        return not last.leaves_context and plan.end <= plan.context.end
    return not (last.wraps_target and last.terminal is not None)


def loads_extended(plan: Plan) -> bool:
    """Whether a plan loads extended reals.

    As a value such a load is on LLVM's x87 stack, where it must not fault (tiers/x87status.py).
    """
    return any(v.op is Op.LOAD and v.width == 80 for s, _ in plan.items for v in s.unit.ops)


def stack_behind(plan: Plan, fpu: int) -> int:
    """Return the x87 stack behind a plan that is entered with *fpu*."""
    for shape, _ in plan.items:
        if shape.fpu is not None:
            fpu = shape.fpu.after(fpu)
    return fpu


def _split(nodes: dict[Place, Node], plan_at: PlanAt) -> dict[Place, Node]:
    """End blocks where another one starts, so that each insn is compiled once."""
    starts = {pc for pc, _ in nodes}
    result = {}
    for place, node in nodes.items():
        for number, (_, slots) in enumerate(node.plan.items, 1):
            if slots[NEXT] in starts and number < node.count:
                plan = plan_at(*place, number)
                if plan is not None and len(plan.items) == number:
                    node = Node(plan, place[1], stack_behind(plan, place[1]))
                break
        result[place] = node
    return result


def _connect(nodes: dict[Place, Node], follow: Follow) -> None:
    """Fill the edges."""
    rets: list[Node] = []
    for node in nodes.values():
        if is_return(node.plan):
            rets.append(node)
            continue
        targets = node.plan.successors() if _jump(node.plan) is None else follow(node.plan)
        for pc in targets:
            inside = nodes.get((pc, node.exit))
            if inside is not None and len(node.edges) < MAX_TARGETS:
                node.edges[pc] = inside
    if not rets:
        return
    # Returns lead behind the calls of the functions that they can belong to.
    for node in list(nodes.values()):
        behind = call_return(node.plan)
        if behind is None:
            continue
        for entry in list(node.edges.values()):
            for ret in _body(entry, nodes):
                inside = nodes.get((behind, ret.exit))
                if inside is not None and is_return(ret.plan) and len(ret.edges) < MAX_TARGETS:
                    ret.edges[behind] = inside


def _body(entry: Node, nodes: dict[Place, Node]) -> list[Node]:
    """Return the nodes of a function, those of the functions it calls left out."""
    seen, todo = {entry: None}, [entry]  # in an order that does not depend on the run
    while todo:
        node = todo.pop()
        behind = call_return(node.plan)
        if behind is not None:
            following = [nodes.get((behind, node.exit))]
        elif is_return(node.plan):
            continue
        else:
            following = list(node.edges.values())
        for other in following:
            if other is not None and other not in seen:
                seen[other] = None
                todo.append(other)
    return list(seen)


def _cycle(first: Node) -> set[Node]:
    """Return the nodes that lie on a way from a node back to it; none if there is no such way."""
    reached, todo = {first}, [first]
    into: dict[Node, list[Node]] = {}
    while todo:
        node = todo.pop()
        for other in node.edges.values():
            into.setdefault(other, []).append(node)
            if other not in reached:
                reached.add(other)
                todo.append(other)
    back: set[Node] = set()
    todo = list(into.get(first, ()))
    while todo:
        node = todo.pop()
        if node not in back:
            back.add(node)
            todo += into.get(node, ())
    return back


def _reverse_postorder(first: Node) -> list[Node]:
    order: list[Node] = []
    seen = {first}
    stack = [(first, iter(list(first.edges.values())))]
    while stack:
        node, edges = stack[-1]
        for other in edges:
            if other not in seen:
                seen.add(other)
                stack.append((other, iter(list(other.edges.values()))))
                break
        else:
            order.append(node)
            stack.pop()
    order.reverse()
    for index, node in enumerate(order):
        node.index = index
    return order


def _duplicate(node: Node, nodes: list[Node]) -> None:
    """Give each source of a short return its own copy: it then knows whose flags there are."""
    if not is_return(node.plan) or node.count > DUPLICATED:
        return
    sources = [(n, pc) for n in nodes for pc, other in n.edges.items() if other is node]
    for source, pc in sources[1:MAX_COPIES]:
        source.edges[pc] = Node(node.plan, node.entry, node.exit, dict(node.edges))


def _longest(start: Node) -> int:
    """Return the most insns that can run from a check until the next one or an exit."""
    best: dict[Node, int] = {}

    def cost(node: Node) -> int:
        known = best.get(node)
        if known is None:
            # No recursion without end: every way back is tested.
            further = [
                cost(other) if other.index > node.index else 0 for other in node.edges.values()
            ]
            known = best[node] = node.count + max(further, default=0)
        return known

    return cost(start)


def service_slots(node: Node) -> Slots:
    """Return the numbers that a node itself uses: its address, where it ends, its recipe."""
    plan = node.plan
    end = plan.end if plan.interp_at is None else plan.interp_at
    return numbers(pc=plan.pc, next=end & 0xFFFFFFFF, recipe=plan.recipe_id)


def slots_of(region: Region) -> list[Slots]:
    """Return the slots of a region's host code: of each node, then of its insns."""
    found = []
    for node in region.nodes:
        found.append(service_slots(node))
        found += [slots for _, slots in node.plan.items]
    return found


def code_ranges(region: Region, most: int) -> list[tuple[int, int]]:
    """Return where a region's code lies: offsets from its head, and sizes; no more than *most*.

    Beyond that, what lies between counts as code.
    """
    base = region.head.plan.pc
    spans = sorted({(_signed(n.plan.pc - base), _signed(n.plan.end - base)) for n in region.nodes})
    found = [spans[0]]
    for start, end in spans[1:]:
        if start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    if len(found) > most:
        found = [(found[0][0], found[-1][1])]
    return [(start, end - start) for start, end in found]


def _signed(offset: int) -> int:
    return (offset + (1 << 31) & 0xFFFFFFFF) - (1 << 31)


# -- as plain values -------------------------------------------------------------------------------
_MASK = 0xFFFFFFFF


def plain(region: Region) -> tuple[Any, ...]:
    """Describe a region by numbers, bytes and tuples, all that its host code depends on.

    Addresses count from the head, so that the same code elsewhere has the same description.
    """
    base = region.head.plan.pc
    nodes = []
    for node in region.nodes:
        plan = node.plan
        items = tuple(
            (shape.key, *slots[:PC], *(n - base & _MASK for n in slots[PC : TARGET + 1]),
             *slots[TARGET + 1 :])
            for shape, slots in plan.items
        )  # fmt: skip
        edges = tuple((pc - base & _MASK, other.index) for pc, other in node.edges.items())
        stops = -1 if plan.interp_at is None else plan.interp_at - base & _MASK
        nodes.append(
            (
                (plan.pc - base & _MASK, plan.end - base & _MASK, stops, plan.fpu),
                (tuple(plan.live), plan.recipe, plan.saved, tuple(plan.tallies)),
                items,
                (node.entry, node.exit, node.sources, node.is_check, node.need),
                edges,
            )
        )
    return region.x87_in_host, tuple(nodes), region.is_open


def rebuild(described: tuple[Any, ...]) -> Region:
    """Make a region of its description, its head at address 0."""
    x87_in_host, rows, is_open = described
    nodes = []
    for index, ((pc, end, stops, fpu), needs, items, about, _) in enumerate(rows):
        live, recipe, saved, tallies = needs
        plan = Plan(pc, [(shape_of(key), slots) for key, *slots in items], list(live), end, fpu)
        plan.interp_at = None if stops < 0 else stops
        plan.recipe, plan.saved, plan.tallies = recipe, saved, list(tallies)
        entry, leave, sources, is_check, need = about
        nodes.append(Node(plan, entry, leave, {}, sources, index, is_check, need))
    for node, (*_, edges) in zip(nodes, rows, strict=True):
        node.edges = {pc: nodes[index] for pc, index in edges}
    return Region(nodes, x87_in_host, is_open)
