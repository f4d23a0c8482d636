"""Pages below 1 MiB that show other RAM: the page frame of expanded memory.

Physical memory says which page shows which frame (`Physical.show`); walks of compiled code look it
up in a table (quick/paging.py), so that a frame is known by one number wherever it is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.system.physical import PAGE, PAGE_SHIFT
from translator.quick import paging as at

if TYPE_CHECKING:
    from runtime.system.linear import Linear


class Aliases:
    """The aliases of one machine, for its linear memory."""

    def __init__(self, linear: Linear) -> None:
        """Begin without any."""
        self.linear, self.shown = linear, linear.physical.shown
        self._table: memoryview | None = None
        self.has_twins = False  # two pages show the same
        linear.physical.on_show = self.changed

    def pages(self, frame: int) -> set[int]:
        """Return the pages that show a frame besides its own."""
        return {page for page, target in self.shown.items() if target == frame}

    def frames(self, first: int, last: int) -> list[int]:
        """Return the frames that a range of pages shows besides its own."""
        return [target for page, target in self.shown.items() if first <= page <= last]

    def changed(self, start: int, size: int) -> None:
        """Let guest code see what a range of pages shows now."""
        linear = self.linear
        if self._table is None:
            self._table = linear.area(at.SHOWN, at.SHOWN_PAGES)
            self._table[:] = memoryview(bytes(4 * at.SHOWN_PAGES)).cast("I")
            for page in range(at.SHOWN_PAGES):
                self._table[page] = page
        pages = range(start >> PAGE_SHIFT, start + size >> PAGE_SHIFT)
        for page in pages:
            self._table[page] = self.shown.get(page, page)
        has_twins = len(set(self._table)) < at.SHOWN_PAGES
        if has_twins and not self.has_twins:  # regions were made as if there were none
            linear.forget_code()
        self.has_twins = has_twins
        if not linear.fields[at.ON // 8] and linear.fields[at.A20 // 8] == -1:
            for page in pages:
                linear.invlpg(page * PAGE)
        else:
            linear.flush(keep_global=False)
