"""Virtqueues: chains of buffers that a driver offers, and which of them a device has used.

Source: VIRTIO 1.1, 2.6 (split virtqueues).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from runtime.system.physical import PAGE_SHIFT, Physical

_DESCRIPTOR = struct.Struct("<QIHH")
_NEXT, _WRITE, _INDIRECT = 1, 2, 4
_NO_INTERRUPT = 1  # flag of the available ring
LARGEST = 1 << 26  # bytes of a chain that a device moves; more is a broken driver
TURN = 1 << 24  # bytes of all chains that are moved before the guest goes on
_ROW = 256  # bytes that could be moved in the time that a descriptor takes


class BrokenQueueError(Exception):
    """A driver's queue that makes no sense; the device stops until it is reset."""


class Chain(NamedTuple):
    """Buffers that belong together: (address, size), for the device to read and to write."""

    head: int
    readable: list[tuple[int, int]]
    writable: list[tuple[int, int]]

    @property
    def room(self) -> int:
        """Bytes that the device may write."""
        return sum(size for _, size in self.writable)


class Queue:
    """One virtqueue of a device."""

    def __init__(self, physical: Physical, largest: int) -> None:
        """Make a queue that is not set up; *largest*: entries, a power of two."""
        self.physical, self.largest = physical, largest
        self.reset()

    def reset(self) -> None:
        """Forget what the driver has set up."""
        self.size = self.largest
        self.table = self.available = self.used = 0
        self.is_ready = False
        self.has_event_index = False
        self.seen = self.done = 0  # indices of both rings, modulo 65536
        self.begin_turn()
        self._told = 0  # index of the used ring when the driver was interrupted last

    def begin_turn(self) -> None:
        """Let chains be popped until they come to `TURN` bytes."""
        self.spent = 0
        self.is_cut = False  # there are more, for another turn

    # -- memory ------------------------------------------------------------------------------------
    def _check(self, address: int, size: int) -> None:
        """Make sure that a range is RAM."""
        physical = self.physical
        first, last = address >> PAGE_SHIFT, address + size - 1 >> PAGE_SHIFT
        if (
            address + size > physical.span
            or physical.kinds.count(0, first, last + 1) <= last - first
        ):
            raise BrokenQueueError(f"no RAM at {address:#x}")

    def _number(self, address: int) -> int:
        return int.from_bytes(self.physical.view[address : address + 2], "little")

    def start(self) -> None:
        """Take the queue over from the driver."""
        self._check(self.table, 16 * self.size)
        self._check(self.available, 6 + 2 * self.size)
        self._check(self.used, 6 + 8 * self.size)
        self.is_ready = True

    # -- chains ------------------------------------------------------------------------------------
    def pop(self) -> Chain | None:
        """Return the next chain that the driver offers."""
        if not self.is_ready:
            return None
        offered = self._number(self.available + 2)
        if offered == self.seen:
            if self.has_event_index:  # be told of the next one
                self._put(self.used + 4 + 8 * self.size, self.seen)
                offered = self._number(self.available + 2)
            if offered == self.seen:
                return None
        if self.spent >= TURN:
            self.is_cut = True
            return None
        if offered - self.seen & 0xFFFF > self.size:
            raise BrokenQueueError("more buffers than the queue has")
        head = self._number(self.available + 4 + 2 * (self.seen % self.size))
        chain = self._chain(head)
        self.seen = self.seen + 1 & 0xFFFF
        return chain

    def _chain(self, head: int) -> Chain:
        found = Chain(head, [], [])
        table, size, index = self.table, self.size, head
        left, total, is_indirect = self.size, 0, False
        while True:
            if index >= size or not left:
                raise BrokenQueueError("a chain without end")
            left -= 1
            self.spent += _ROW
            address, length, flags, following = _DESCRIPTOR.unpack_from(
                self.physical.view, table + 16 * index
            )
            if flags & _INDIRECT:
                if is_indirect or flags & _NEXT or not length or length % 16:
                    raise BrokenQueueError("a broken indirect table")
                self._check(address, length)
                is_indirect, table, size, index = True, address, length // 16, 0
                left = min(size, 1 << 15)
                continue
            total += length
            if total > LARGEST:
                raise BrokenQueueError("a chain that is too long")
            if length:
                self._check(address, length)
                (found.writable if flags & _WRITE else found.readable).append((address, length))
            if not flags & _NEXT:
                self.spent += total
                return found
            index = following

    def push(self, chain: Chain, written: int) -> None:
        """Give a chain back, of which so many bytes were written."""
        at = self.used + 4 + 8 * (self.done % self.size)
        self.physical.write(at, struct.pack("<II", chain.head, written))
        self.done = self.done + 1 & 0xFFFF
        self._put(self.used + 2, self.done)

    def _put(self, address: int, value: int) -> None:
        self.physical.write(address, value.to_bytes(2, "little"))

    def wants_interrupt(self) -> bool:
        """Whether the driver asked to be told of what was given back since the last call."""
        new, old = self.done, self._told
        if new == old:
            return False
        self._told = new
        if self.has_event_index:
            event = self._number(self.available + 4 + 2 * self.size)
            return (new - event - 1 & 0xFFFF) < (new - old & 0xFFFF)
        return not self._number(self.available) & _NO_INTERRUPT

    # -- contents ----------------------------------------------------------------------------------
    def read(self, chain: Chain) -> bytes:
        """Return all that a chain has to read."""
        view = self.physical.view
        return b"".join([bytes(view[address : address + size]) for address, size in chain.readable])

    def write(self, chain: Chain, data: bytes, skip: int = 0) -> int:
        """Write to a chain's buffers, behind *skip* bytes; return how many bytes fitted."""
        at = 0
        for address, size in chain.writable:
            if skip >= size:
                skip -= size
                continue
            part = data[at : at + size - skip]
            if not part:
                break
            self.physical.write(address + skip, part)
            at += len(part)
            skip = 0
        return at
