"""The linear pages that code was made of, and what the page tables said of them.

Compiled code (translator/quick/spaces.py) compares the rows with the tables when these may have
changed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from translator.quick.spaces import R_DEAD, R_PAGE, R_SUPER


class CodeRows:
    """Rows of one address space; those of space 0 are of all pages, whoever read them."""

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
            old = self.rows[at]
            self.rows[at] = row | (0 if old & R_DEAD else old & R_SUPER)

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

    def dead(self) -> list[int]:
        """Return the pages that compiled code found to be others."""
        return [row & R_PAGE for row in self.rows if row & R_DEAD]

    def outer(self) -> list[int]:
        """Return the pages that only code of ring 3 was read from."""
        return [row & R_PAGE for row in self.rows if not row & R_SUPER]


def runs(pages: list[int]) -> list[tuple[int, int]]:
    """Return first page and count of each run of neighbours in a sorted list."""
    found: list[tuple[int, int]] = []
    for page in pages:
        if found and found[-1][0] + found[-1][1] == page:
            found[-1] = found[-1][0], found[-1][1] + 1
        else:
            found.append((page, 1))
    return found
