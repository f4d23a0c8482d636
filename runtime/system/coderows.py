"""The linear pages that code of rings 0 to 2 was made of, and what the page tables said of them.

Compiled code (translator/quick/spaces.py) compares the rows with the tables when these may have
changed.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from functools import partial

from translator.quick.spaces import R_PAGE
from translator.quick.usercode import IS_OPEN


class CodeRows:
    """A number a page (translator/quick/spaces.py)."""

    def __init__(self) -> None:
        self.rows = array("q")
        self.index: dict[int, int] = {}

    def __contains__(self, page: int) -> bool:
        return page in self.index

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def address(self) -> int:
        """Host address of the rows; it changes when one is added."""
        return self.rows.buffer_info()[0]

    def put(self, row: int) -> None:
        """Add a page, or note what it is now."""
        at = self.index.get(row & R_PAGE)
        if at is None:
            self.index[row & R_PAGE] = len(self.rows)
            self.rows.append(row)
        else:
            self.rows[at] = row

    def row(self, page: int) -> int:
        """Return the row of a page."""
        return self.rows[self.index[page]]

    def remove(self, pages: Iterable[int]) -> None:
        """Forget pages."""
        for page in pages:
            at = self.index.pop(page)
            last = self.rows.pop()
            if at < len(self.rows):
                self.rows[at] = last
                self.index[last & R_PAGE] = at


class OpenPages(set[int]):
    """Pages whose code is compared when it is entered, which only Python translates."""

    def __init__(self, bar: Callable[..., None]) -> None:
        """Take what keeps compiled code from translating a page."""
        super().__init__()
        self._bar = partial(bar, bit=IS_OPEN)

    def add(self, page: int) -> None:
        """Open a page."""
        self._bar(page, is_barred=True)
        super().add(page)

    def discard(self, page: object) -> None:
        """Protect it again."""
        assert isinstance(page, int)
        self._bar(page, is_barred=False)
        super().discard(page)

    def clear(self) -> None:
        """Protect all again."""
        for page in self:
            self._bar(page, is_barred=False)
        super().clear()


def runs(pages: list[int]) -> list[tuple[int, int]]:
    """Return first page and count of each run of neighbours in a sorted list."""
    found: list[tuple[int, int]] = []
    for page in pages:
        if found and found[-1][0] + found[-1][1] == page:
            found[-1] = found[-1][0], found[-1][1] + 1
        else:
            found.append((page, 1))
    return found
