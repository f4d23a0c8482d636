"""Memory above the first MiB: who has which part of it. Shared by XMS, EMS and DPMI."""

from __future__ import annotations

_PAGE = 0x1000


class ExtendedMemory:
    """Ranges of physical memory, given out in whole pages, the lowest that fits first."""

    def __init__(self, start: int, end: int) -> None:
        """Manage what is from *start* up to *end*."""
        self.start, self.end = start + _PAGE - 1 & -_PAGE, end & -_PAGE
        self._used: dict[int, int] = {}  # start -> size

    def _gaps(self) -> list[tuple[int, int]]:
        """Return start and size of what is free."""
        gaps = []
        at = self.start
        for start, size in sorted(self._used.items()):
            if start > at:
                gaps.append((at, start - at))
            at = start + size
        if self.end > at:
            gaps.append((at, self.end - at))
        return gaps

    def largest(self) -> int:
        """Return the size of the largest free range in bytes."""
        return max((size for _, size in self._gaps()), default=0)

    def total(self) -> int:
        """Return how much is free in bytes."""
        return sum(size for _, size in self._gaps())

    def allocate(self, size: int) -> int | None:
        """Return the address of *size* bytes, rounded up to pages; None if there is no room."""
        size = max(size + _PAGE - 1 & -_PAGE, _PAGE)
        for start, room in self._gaps():
            if room >= size:
                self._used[start] = size
                return start
        return None

    def allocate_many(self, count: int, size: int) -> list[int] | None:
        """Return the addresses of *count* ranges of whole pages; None if there is no room."""
        found: list[int] = []
        for start, room in self._gaps():
            fitting = min(room // size, count - len(found))
            found += range(start, start + fitting * size, size)
            if len(found) == count:
                self._used.update(dict.fromkeys(found, size))
                return found
        return None

    def resize(self, start: int, size: int) -> bool:
        """Change the size of a range where it is; False if there is no room."""
        size = max(size + _PAGE - 1 & -_PAGE, _PAGE)
        behind = min((s for s in self._used if s > start), default=self.end)
        if start + size > behind:
            return False
        self._used[start] = size
        return True

    def free(self, start: int) -> None:
        """Give a range back."""
        del self._used[start]
