"""A sorted map of non-overlapping address ranges with protection and backing, neighbours merged."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

PAGE = 4096


class Region(NamedTuple):
    """One mapping: [start, end), guest protection, and what it shows (key and offset of a file)."""

    start: int
    end: int
    prot: int
    shared: bool = False
    name: str = ""
    offset: int = 0
    key: tuple[int, int] | None = None

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self.end - self.start

    def clipped(self, start: int, end: int) -> Region:
        """Return the part of the region inside [start, end)."""
        first, last = max(self.start, start), min(self.end, end)
        offset = self.offset + first - self.start if self.key else 0
        return self._replace(start=first, end=last, offset=offset)

    def continues(self, other: Region) -> bool:
        """Say whether this region is the direct continuation of *other*."""
        return (
            other.end == self.start
            and other[2:5] == self[2:5]
            and other.key == self.key
            and (self.key is None or other.offset + other.size == self.offset)
        )


class RegionMap:
    """Regions in address order; `accessible` counts the bytes whose protection is not zero."""

    def __init__(self) -> None:
        self.regions: list[Region] = []
        self._starts: list[int] = []
        self.accessible = 0

    def at(self, address: int) -> Region | None:
        """Return the region that holds *address*."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0 and self.regions[index].end > address:
            return self.regions[index]
        return None

    def _span(self, start: int, end: int) -> tuple[int, int]:
        first = bisect_right(self._starts, start) - 1
        if first < 0 or self.regions[first].end <= start:
            first += 1
        last = first
        while last < len(self.regions) and self.regions[last].start < end:
            last += 1
        return first, last

    def overlapping(self, start: int, end: int) -> list[Region]:
        """Regions that have a byte in [start, end)."""
        first, last = self._span(start, end)
        return self.regions[first:last]

    def accessible_in(self, start: int, end: int) -> int:
        """Count the accessible bytes of [start, end)."""
        return sum(r.clipped(start, end).size for r in self.overlapping(start, end) if r.prot)

    def remove(self, start: int, end: int) -> bool:
        """Cut [start, end) out of the map; False if nothing was there."""
        first, last = self._span(start, end)
        if first == last:
            return False
        self._replace(first, last, self._rests(first, last, start, end))
        return True

    def insert(self, region: Region) -> None:
        """Put *region* in place of what was there, merged with the neighbours it continues."""
        first, last = self._span(region.start, region.end)
        pieces = self._rests(first, last, region.start, region.end)
        before = [r for r in pieces if r.end <= region.start]
        after = [r for r in pieces if r.start >= region.end]
        if not before and first > 0:
            first -= 1
            before = [self.regions[first]]
        if not after and last < len(self.regions):
            after = [self.regions[last]]
            last += 1
        if before and region.continues(before[0]):
            region = region._replace(start=before[0].start, offset=before[0].offset)
            before = []
        if after and after[0].continues(region):
            region = region._replace(end=after[0].end)
            after = []
        self._replace(first, last, [*before, region, *after])

    def find_free(self, size: int, low: int, high: int) -> int | None:
        """Start of the highest free range of *size* bytes within [low, high)."""
        index = bisect_right(self._starts, high - 1) - 1
        while index >= 0:
            region = self.regions[index]
            if high - region.end >= size:
                break
            high = min(high, region.start)
            index -= 1
        return high - size if high - size >= low else None

    def _rests(self, first: int, last: int, start: int, end: int) -> list[Region]:
        rests = []
        if first < last:
            if self.regions[first].start < start:
                rests.append(self.regions[first].clipped(0, start))
            if self.regions[last - 1].end > end:
                rests.append(self.regions[last - 1].clipped(end, 1 << 33))
        return rests

    def _replace(self, first: int, last: int, regions: list[Region]) -> None:
        self.accessible += sum(r.size for r in regions if r.prot)
        self.accessible -= sum(r.size for r in self.regions[first:last] if r.prot)
        self.regions[first:last] = regions
        self._starts[first:last] = [r.start for r in regions]
