"""What a vfork child wrote, brought to its parent: the effect of memory that both would share.

The child is a forked copy. When it calls execve or ends, it finds the pages that it no longer
shares with the parent (it wrote to them) and sends them through a pipe; the parent waits for the
end of that pipe. If the parent has other threads, only the mapping that holds its stack is taken
over, because they go on writing elsewhere.
"""

from __future__ import annotations

import os
import struct
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

    def abandon(self) -> None:
        """Close both ends: there is no child."""
        for fd in (self.read_end, self.write_end):
            self.process.release_fd(fd)

    def enter_child(self, process: Process) -> None:
        """In the child: keep the writing end until execve or the end."""
        process.release_fd(self.read_end)
        process.vfork = self

    def finish(self) -> None:
        """In the child: send the written pages and let the parent go on."""
        process = self.process
        process.vfork = None
        try:
            for address, data in written_pages(process, None if self.alone else self.stack):
                _write_all(self.write_end, _HEADER.pack(address, len(data)) + data)
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


def written_pages(process: Process, only: int | None) -> list[tuple[int, bytes]]:
    """Return the private writable pages that this forked process does not share with its parent."""
    found: list[tuple[int, bytes]] = []
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for region in process.mem.regions():
            if region.shared or not region.prot & 2:
                continue
            if only is not None and not region.start <= only < region.end:
                continue
            pagemap.seek((process.mem.base + region.start) // defs.PAGE * 8)
            count = (region.end - region.start) // defs.PAGE
            raw = pagemap.read(8 * count)
            entries = struct.unpack(f"<{len(raw) // 8}Q", raw)
            for i, entry in enumerate(entries):
                if entry & _SWAPPED or (entry & _PRESENT and entry & _EXCLUSIVE):
                    address = region.start + i * defs.PAGE
                    found.append((address, process.mem.read(address, defs.PAGE)))
    return found


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
