"""Which regions a program had in earlier runs, so that this one forms the same.

What a region holds depends on what ran when it was formed; formed anew it would be another one, and
no cache would have it.  A region is recalled where its head stood and only if all its blocks are
planned as they were: the code is the same.  In a machine, a program that starts again is another
address space with the same code, so it gets the regions that the one before had.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from runtime.store.library import Library
from runtime.store.pack import Item
from translator import regions
from translator.mode import CONTEXT_SHIFT, Segments, context_of
from translator.regions import Node, PlanAt, Region

RECORDS_MAX = 24  # of one program: each run that forms other regions adds one
REGIONS_MAX = 512  # of one record, and of this run: a guest may make code for ever
_OFFSET, _SPACE = 0xFFFFFFFF, 0xFFFF


class Recalled(NamedTuple):
    """A region that was: place of its head, `regions.plain`, and the block sizes asked for."""

    base: int
    described: tuple[Any, ...]
    most: tuple[int, ...]

    @property
    def entry(self) -> int:
        """The x87 stack that it is entered with."""
        return int(self.described[1][0][3][0])

    @property
    def places(self) -> set[int]:
        """The places of its blocks."""
        head, context = self.head, self.base & ~_OFFSET
        return {context | head + row[0][0] & _OFFSET for row in self.described[1]}

    @property
    def head(self) -> int:
        """The address of its head."""
        return self.base & _OFFSET


def place_of(location: int) -> int:
    """Return what a location is known by in other runs and address spaces; -1: by nothing."""
    number = location >> CONTEXT_SHIFT
    if not number:
        return location
    mode = context_of(number).mode
    if mode.is_flat:
        number &= ~_SPACE
    elif mode.segments != Segments.REAL:
        return -1  # numbered as they come
    return location & _OFFSET | number << CONTEXT_SHIFT


class Recall:
    """The regions of earlier runs, by the addresses of their blocks; and those that are new."""

    def __init__(self) -> None:
        self.library: Library | None = None  # of the program; none: nothing is known or kept
        self.records = -1  # that are there; -1: not looked yet
        self.earlier = 0  # of them, of earlier runs
        self.at: dict[int, list[Recalled]] = {}  # place -> what had a block there, latest last
        self.formed: deque[Recalled] = deque()  # by this run, latest last
        self.fresh: list[Recalled] = []

    def begin(self, library: Library | None) -> None:
        """Recall the regions of a program from now on."""
        self.__init__()  # type: ignore[misc]
        self.library = library

    def holding(self, location: int) -> Iterator[Recalled]:
        """Go through what had a block at a location, the latest first."""
        if self.records < 0:
            self._read()
        yield from reversed(self.at.get(place_of(location), []))

    def knows(self, location: int) -> bool:
        """Whether a region had a block at a location."""
        if self.records < 0:
            self._read()
        return place_of(location) in self.at

    def add(self, region: Region, described: tuple[Any, ...]) -> None:
        """Note a region that was formed."""
        most = tuple(node.plan.options.max_insns for node in region.nodes)
        recalled = Recalled(place_of(region.head.plan.location), described, most)
        if recalled.base < 0 or recalled in self.at.get(recalled.base, ()):
            return
        if self.library is not None and len(self.fresh) < REGIONS_MAX:
            self.fresh.append(recalled)
        self._enter(recalled)
        self.formed.append(recalled)
        if len(self.formed) > REGIONS_MAX:
            self._leave(self.formed.popleft())

    def _enter(self, recalled: Recalled) -> None:
        for place in recalled.places:
            self.at.setdefault(place, []).append(recalled)

    def _leave(self, recalled: Recalled) -> None:
        for place in recalled.places:
            self.at[place].remove(recalled)
            if not self.at[place]:
                del self.at[place]

    def _read(self) -> None:
        self.records = 0
        while self.library is not None and self.records < RECORDS_MAX:
            found = self.library.find(_key(self.records))
            if found is None:
                return
            for recalled in found:
                self._enter(Recalled(*recalled))
            self.earlier = self.records = self.records + 1

    def save(self) -> None:
        """Keep what this run formed besides."""
        if self.library is None or not self.fresh:
            return
        if self.records < 0:
            self._read()
        if self.records < RECORDS_MAX:
            value = tuple(tuple(recalled) for recalled in self.fresh)
            if self.library.save({_key(self.records): Item(value, 0)}):
                self.be_saved()
                self.records += 1

    def be_saved(self) -> None:
        """Leave what was formed so far to somebody else to save."""
        self.fresh = []


def _key(number: int) -> bytes:
    return b"regions%9d" % number


def again(recalled: Recalled, plan_at: PlanAt) -> Region | None:
    """Build a region as it was; None if its code is another now."""
    (in_host, rows, is_open), head = recalled.described, recalled.head
    nodes = []
    for index, (row, most) in enumerate(zip(rows, recalled.most, strict=True)):
        (pc, *_), _, items, (entry, leave, sources, is_check, need), _ = row
        plan = plan_at(head + pc & _OFFSET, entry, most)
        if plan is None or len(plan.items) != len(items):
            return None
        nodes.append(Node(plan, entry, leave, {}, sources, index, is_check, need))
    for node, (*_, edges) in zip(nodes, rows, strict=True):
        node.edges = {head + pc & _OFFSET: nodes[i] for pc, i in edges}
    region = Region(nodes, in_host, is_open)
    return region if regions.plain(region) == recalled.described else None
