"""What a vfork child wrote, brought to its parent: the effect of memory that both would share.

The child is a forked copy. When it calls execve or ends, it finds the pages that it no longer
shares with the parent (it wrote to them) and sends them through a pipe; the parent waits for the
end of that pipe. If the parent has other threads, which go on writing, only the mapping that holds
its stack is taken over, and of it only the words that the child changed: the C library keeps the
thread's descriptor there, with links that other threads set.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runtime.memory import MemoryFault
from runtime.personalities.linux import defs

if TYPE_CHECKING:
    from runtime.personalities.linux.process import Process
    from runtime.personalities.linux.threads import Thread

_PRESENT, _EXCLUSIVE, _SWAPPED = 1 << 63, 1 << 56, 1 << 62
_HEADER = struct.Struct("<II")


class Handover:
    """The pipe between a vfork child and the parent that waits for it."""

    def __init__(self, t: Thread) -> None:
        read_end, write_end = os.pipe()
        self.process = t.process
        self.read_end = t.process.reserve_fd(read_end)
        self.write_end = t.process.reserve_fd(write_end)
        self.alone = len(t.process.threads) == 1
        self.stack = t.cpu.esp
        self.before: dict[int, bytes] = {}  # pages of that mapping as the child found them

    def abandon(self) -> None:
        """Close both ends: there is no child."""
        for fd in (self.read_end, self.write_end):
            self.process.release_fd(fd)

    def enter_child(self, process: Process) -> None:
        """In the child: keep the writing end until execve or the end."""
        process.release_fd(self.read_end)
        process.vfork = self
        if not self.alone:
            self.before = dict(_pages(process, self.stack, _PRESENT, _SWAPPED))

    def finish(self) -> None:
        """In the child: send the written pages and let the parent go on."""
        process = self.process
        process.vfork = None
        try:
            for address, data in written_pages(process, None if self.alone else self.stack):
                for offset, words in changes(self.before.get(address), data):
                    header = _HEADER.pack(address + offset, len(words))
                    _write_all(self.write_end, header + words)
        except OSError:
            pass  # the parent is gone
        process.release_fd(self.write_end)

    def wait_in_parent(self, t: Thread) -> None:
        """In the parent: wait for the child's execve or end and take over what it wrote."""
        self.process.release_fd(self.write_end)
        with os.fdopen(os.dup(self.read_end), "rb") as pipe:
            while len(header := pipe.read(_HEADER.size)) == _HEADER.size:
                address, size = _HEADER.unpack(header)
                data = pipe.read(size)
                try:
                    if len(data) == size and t.mem.read(address, size) != data:
                        t.mem.write(address, data)
                except MemoryFault:
                    pass  # the parent's other threads unmapped it meanwhile
        self.process.release_fd(self.read_end)


def written_pages(process: Process, only: int | None) -> Iterator[tuple[int, bytes]]:
    """Yield the private writable pages that this forked process does not share with its parent."""
    return _pages(process, only, _SWAPPED, _PRESENT | _EXCLUSIVE)


def _pages(process: Process, only: int | None, *wanted: int) -> Iterator[tuple[int, bytes]]:
    """Yield private writable pages, of the mapping at *only* or of all, by bits in the page map.

    All bits of one of the masks *wanted* are set.
    """
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for region in process.mem.regions():
            if region.shared or not region.prot & 2:
                continue
            if only is not None and not region.start <= only < region.end:
                continue
            pagemap.seek((process.mem.base + region.start) // defs.PAGE * 8)
            count = (region.end - region.start) // defs.PAGE
            raw = pagemap.read(8 * count)
            for i, entry in enumerate(struct.unpack(f"<{len(raw) // 8}Q", raw)):
                if any(entry & mask == mask for mask in wanted):
                    address = region.start + i * defs.PAGE
                    yield address, process.mem.read(address, defs.PAGE)


def changes(before: bytes | None, after: bytes) -> list[tuple[int, bytes]]:
    """Return offset and contents of what differs, in words; everything if *before* is None."""
    if before is None:
        return [(0, after)]
    old, new = memoryview(before).cast("I"), memoryview(after).cast("I")
    found: list[tuple[int, bytes]] = []
    start = -1
    for i, (x, y) in enumerate(zip(old, new, strict=True)):
        if x != y and start < 0:
            start = i
        elif x == y and start >= 0:
            found.append((4 * start, after[4 * start : 4 * i]))
            start = -1
    if start >= 0:
        found.append((4 * start, after[4 * start :]))
    return found


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
