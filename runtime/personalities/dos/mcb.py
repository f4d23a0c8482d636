"""Conventional memory: the chain of memory control blocks (functions 48h, 49h, 4Ah, 58h).

Each block is headed by a paragraph: 'M' or, at the last one, 'Z'; the owner's PSP, 0 if free; its
size in paragraphs; at 8 the name of the program that owns itself. The chain is in guest memory, as
DOS has it, so programs that walk or change it find what they expect.  Upper memory is behind a
block that DOS owns; the chain leads there while somebody has linked it.
Source: Ralf Brown's Interrupt List, INT 21h AH=52h (format of memory control block), AH=58h.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from runtime.personalities.dos.errors import (
    INVALID_BLOCK,
    INVALID_FUNCTION,
    MCB_DESTROYED,
    NO_MEMORY,
    DosError,
)
from runtime.personalities.dos.memory import RealMemory

FIRST_FIT, BEST_FIT, LAST_FIT = 0, 1, 2
_MORE, _LAST = ord("M"), ord("Z")
FREE, SYSTEM = 0, 8  # owners
HIGH_ONLY, HIGH_FIRST = 0x40, 0x80  # strategies: a bit besides the fit


class Block(NamedTuple):
    """A memory control block: its own paragraph, then *size* paragraphs."""

    segment: int
    is_last: bool
    owner: int
    size: int

    @property
    def start(self) -> int:
        """Segment of the memory that it controls."""
        return self.segment + 1


class Arena:
    """The chain."""

    def __init__(
        self, memory: RealMemory, first: int, end: int, upper: tuple[int, int] | None = None
    ) -> None:
        """Make all from segment *first* up to *end* one free block, and *upper* memory another."""
        self.memory, self.first = memory, first
        self.strategy = FIRST_FIT
        self.is_linked = False
        self.hole = end  # segment of the block in front of upper memory, if there is any
        self.upper = 0
        if upper is not None:
            self.hole, self.upper = end - 1, upper[0]
            self._put(Block(self.hole, False, SYSTEM, self.upper - end), b"SC")
            self._put(Block(self.upper, True, FREE, upper[1] - self.upper - 1))
        self._put(Block(first, True, FREE, self.hole - first - 1))

    def _put(self, block: Block, name: bytes = b"") -> None:
        head = bytes([_LAST if block.is_last else _MORE])
        head += block.owner.to_bytes(2, "little") + block.size.to_bytes(2, "little") + bytes(3)
        self.memory.write(block.segment << 4, head + name[:8].ljust(8, b"\0"))

    def block(self, segment: int) -> Block:
        """Read the control block at a segment; DosError if there is none."""
        if segment > 0xFFFF:
            raise DosError(MCB_DESTROYED)
        data = self.memory.read(segment << 4, 5)
        if data[0] not in (_MORE, _LAST):
            raise DosError(MCB_DESTROYED)
        owner, size = int.from_bytes(data[1:3], "little"), int.from_bytes(data[3:5], "little")
        return Block(segment, data[0] == _LAST, owner, size)

    def blocks(self, segment: int = 0) -> Iterator[Block]:
        """Go through the chain, from a block on; DosError where it is destroyed."""
        segment = segment or self.first
        for _ in range(0x10000):
            block = self.block(segment)
            yield block
            if block.is_last:
                return
            segment = block.segment + block.size + 1
        raise DosError(MCB_DESTROYED)

    def link(self, *, is_linked: bool) -> None:
        """Let the chain lead to upper memory, or end in front of it; DosError."""
        if not self.upper:
            raise DosError(INVALID_FUNCTION)
        for block in self.blocks():
            if block.start + block.size == self.hole:
                kind = _MORE if is_linked else _LAST
                self.memory.write(block.segment << 4, bytes([kind]))
                self.is_linked = is_linked
                return
        raise DosError(MCB_DESTROYED)

    def _merge_free(self) -> None:
        """Join neighbours that are free."""
        for first in (self.first, self.upper):
            last: Block | None = None
            for block in self.blocks(first) if first else ():
                if last is not None and last.owner == FREE and block.owner == FREE:
                    last = Block(last.segment, block.is_last, FREE, last.size + block.size + 1)
                    self._put(last)
                else:
                    last = block

    def _free(self) -> list[list[Block]]:
        """Return free blocks where the strategy looks for them: groups, in order."""
        self._merge_free()
        free = [b for b in self.blocks() if b.owner == FREE]
        low = [b for b in free if b.segment < self.hole]
        high = [b for b in free if b.segment > self.hole]
        if not self.is_linked or not self.strategy & (HIGH_ONLY | HIGH_FIRST):
            return [free]
        return [high] if self.strategy & HIGH_ONLY else [high, low]

    def largest(self, need: int = 0) -> int:
        """Return the size of the largest free block, in paragraphs.

        Where some memory is preferred, it is of that, if *need* paragraphs are there.
        """
        sizes = [max((b.size for b in group), default=0) for group in self._free()]
        return next((size for size in sizes if need and size >= need), max(sizes))

    def allocate(self, size: int, owner: int, name: bytes = b"") -> int:
        """Return the segment of *size* paragraphs for a program; DosError."""
        for group in self._free():
            fitting = [b for b in group if b.size >= size]
            if fitting:
                return self._take(fitting, size, owner, name)
        raise DosError(NO_MEMORY)

    def fill_below(self, segment: int) -> int:
        """Allocate what is free up to a segment, in one block; 0 if there is nothing. DosError."""
        for block in self.blocks():
            room = segment - block.start
            if block.owner == FREE and 0 < room < block.size:
                return self._take([block], room, SYSTEM, b"")
        return 0

    def largest_upper(self) -> int:
        """Return the size of the largest free block of upper memory, linked or not."""
        self._merge_free()
        blocks = self.blocks(self.upper) if self.upper else ()
        return max((b.size for b in blocks if b.owner == FREE), default=0)

    def allocate_upper(self, size: int) -> int:
        """Return the segment of *size* paragraphs of upper memory, linked or not; DosError."""
        if size > self.largest_upper():
            raise DosError(NO_MEMORY)
        fitting = [b for b in self.blocks(self.upper) if b.owner == FREE and b.size >= size]
        return self._take(fitting, size, SYSTEM, b"UMB")

    def owns_upper(self, start: int) -> bool:
        """Whether a segment is a block of upper memory that is not free."""
        blocks = self.blocks(self.upper) if self.upper else ()
        return any(b.start == start and b.owner != FREE for b in blocks)

    def _take(self, fitting: list[Block], size: int, owner: int, name: bytes) -> int:
        """Allocate from one of some free blocks."""
        kind = self.strategy & 3
        if kind == FIRST_FIT:
            found = fitting[0]
        elif kind == BEST_FIT:
            found = min(fitting, key=lambda b: b.size)
        else:
            found = fitting[-1]
        if found.size == size:
            self._put(found._replace(owner=owner), name)
            return found.start
        if kind >= LAST_FIT:
            self._put(found._replace(is_last=False, size=found.size - size - 1))
            upper = Block(found.segment + found.size - size, found.is_last, owner, size)
            self._put(upper, name)
            return upper.start
        self._put(Block(found.segment, False, owner, size), name)
        rest = found.size - size - 1
        self._put(Block(found.start + size, found.is_last, FREE, rest))
        return found.start

    def _of(self, start: int) -> Block:
        try:
            block = self.block(start - 1 & 0xFFFF)
        except DosError:
            raise DosError(INVALID_BLOCK) from None
        return block

    def free(self, start: int) -> None:
        """Give a block back; DosError."""
        block = self._of(start)
        self._put(block._replace(owner=FREE))

    def resize(self, start: int, size: int) -> int:
        """Change the size of a block; return what it has then: less than asked if it cannot grow.

        As DOS does, a block that cannot grow enough gets all there is.
        """
        block = self._of(start)
        owner, name = block.owner, self.memory.read((block.segment << 4) + 8, 8)
        while size > block.size and not block.is_last:
            behind = self.block(block.start + block.size)
            if behind.owner != FREE:
                break
            block = Block(block.segment, behind.is_last, owner, block.size + behind.size + 1)
        if size < block.size:
            self._put(Block(block.segment, False, owner, size), name)
            rest = Block(block.start + size, block.is_last, FREE, block.size - size - 1)
            self._put(rest)
            self._merge_free()
            return size
        self._put(block._replace(owner=owner), name)
        return block.size

    def set_owner(self, start: int, owner: int, name: bytes = b"") -> None:
        """Give a block to a program."""
        self._put(self._of(start)._replace(owner=owner), name)

    def free_all(self, owner: int) -> None:
        """Give back all that a program owns; DosError if the chain is destroyed."""
        for first in (self.first, self.upper):
            for block in list(self.blocks(first)) if first else ():
                if block.owner == owner:
                    self._put(block._replace(owner=FREE))
        self._merge_free()
