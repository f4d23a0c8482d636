"""A program's code -> the plans of all its blocks, as far as they can be found without running it.

Reachable code is followed from entry points.  What follows a jump or return is looked at too: in
compiled programs it is another function, reached through a pointer that nobody can see here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from translator.planner import FetchFault, Options, Peek, Plan, form, look

_PADDING = frozenset({0x00, 0x90, 0xCC})
_WINDOW = 384
_FPU_STATES = (0, 0xFF)  # an empty x87 stack, and a full one: which one it is nobody knows here


class Walk:
    """Plans the blocks of one image; `fetch` reads its executable bytes only."""

    def __init__(self, fetch: Callable[[int, int], bytes], recovers: bool = True) -> None:
        self.fetch, self.recovers = fetch, recovers
        self.peeks: dict[int, Peek] = {}
        self.seen: set[int] = set()

    def run(self, entries: Iterable[int]) -> Iterator[Plan]:
        """Walk; yield the plans of all blocks."""
        todo = list(entries)
        while todo:
            pc = todo.pop() & 0xFFFFFFFF
            if pc in self.seen:
                continue
            self.seen.add(pc)
            plan = self._plan(pc)
            if plan is None:
                continue
            yield plan
            todo += plan.successors()
            todo.append(self._after(plan.end & 0xFFFFFFFF))

    def _plan(self, pc: int) -> Plan | None:
        """Plan a block for the x87 stack that lets it be longest."""
        best = None
        for fpu in _FPU_STATES:
            try:
                plan = form(pc, self.fetch(pc, _WINDOW), self._options(fpu), self._peek)
            except FetchFault:
                return None
            if best is None or len(plan.items) > len(best.items):
                best = plan
            if plan.interp_at is None:
                break
        return best

    def _options(self, fpu: int) -> Options:
        return Options(fpu, recovers=self.recovers)

    def _peek(self, address: int) -> Peek:
        found = self.peeks.get(address)
        if found is None:
            found = self.peeks[address] = look(address, self.fetch)
        return found

    def _after(self, pc: int) -> int:
        """Return where code goes on behind the padding at an address."""
        code = self.fetch(pc, 32)
        at = 0
        while at < len(code) and code[at] in _PADDING:
            at += 1
        return pc + at
