"""What the guest's descriptors are: host descriptor number -> guest path, mount, listing state.

Guest descriptors are host descriptors of the same number. A descriptor without a record was
inherited or came from elsewhere: it may be read and written, but no path starts from it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.personalities.linux.mounts import Mount
    from runtime.personalities.linux.virtual import Node

FIRST_RESERVED = 1000  # the emulator's own descriptors live from here on


@dataclass(slots=True)
class Opened:
    """One guest descriptor: where paths start and whether its file may be changed."""

    path: bytes
    mount: Mount | None = None
    node: Node | None = None  # a synthesised file or directory
    # Directory offsets handed out so far: the guest's 32-bit offset is an index into this list.
    offsets: list[int] = field(default_factory=list)
    position: int = 0  # of a synthesised listing


class FdTable:
    """Records by descriptor, and the numbers that belong to the emulator."""

    def __init__(self) -> None:
        self.records: dict[int, Opened] = {}
        self.reserved: set[int] = set()

    def reserve(self, fd: int) -> int:
        """Move *fd* out of the guest's way and keep it for the emulator; return its new number."""
        high = self.reserve_copy(fd)
        os.close(fd)
        return high

    def reserve_copy(self, fd: int) -> int:
        """Duplicate *fd* for the emulator's own use."""
        try:
            high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_RESERVED)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # RLIMIT_NOFILE is low: stay as high as it allows.
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, max(soft - 64, 3))
        self.reserved.add(high)
        return high

    def release(self, fd: int) -> None:
        """Close a reserved descriptor; nothing happens if that was done before."""
        if fd in self.reserved:
            self.reserved.discard(fd)
            with contextlib.suppress(OSError):
                os.close(fd)

    def check(self, fd: int) -> int:
        """Return *fd*, or raise EBADF if the emulator owns it."""
        if fd in self.reserved:
            raise OSError(errno.EBADF, "reserved")
        return fd

    def copy(self, old: int, new: int) -> None:
        """Let *new* be what *old* is, after dup."""
        record = self.records.get(old)
        if record is not None:
            self.records[new] = record
        else:
            self.records.pop(new, None)

    def forget(self, fd: int) -> None:
        """Drop the record of a closed descriptor."""
        self.records.pop(fd, None)

    def drop_closed(self) -> None:
        """Drop the records of descriptors that are no longer open."""
        for fd in list(self.records):
            try:
                fcntl.fcntl(fd, fcntl.F_GETFD)
            except OSError:
                del self.records[fd]

    def close_on_exec(self) -> None:
        """Close the guest's descriptors that are marked close-on-exec, as execve does."""
        for name in os.listdir("/proc/self/fd"):
            fd = int(name)
            if fd in self.reserved:
                continue
            try:
                if fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                    os.close(fd)
                    self.forget(fd)
            except OSError:
                self.forget(fd)
