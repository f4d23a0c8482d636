"""Keeps a guest's descriptors and the calling Python's apart: they share one host process.

While the guest runs, its own files stand at 0, 1 and 2, and every other descriptor that it did not
open itself is reserved, so that the guest can neither use nor close it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.personalities.linux.fds import FdTable

Stream = int | IO[bytes] | IO[str]
_STANDARD = (0, 1, 2)
_CLOSED = -1


def _is_open(fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def _open_now() -> set[int]:
    """Return the descriptors of this process."""
    return {fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_open(fd)}


class Capture:
    """A file in memory that takes what the guest writes."""

    def __init__(self, fds: FdTable, name: str, content: bytes = b"") -> None:
        fd = os.memfd_create(f"jitemu-{name}")
        with contextlib.closing(_Writer(fd)) as writer:
            writer.write(content)
        os.lseek(fd, 0, os.SEEK_SET)
        self.fd = fds.reserve(fd)
        self._fds = fds

    def release(self) -> None:
        """Let go of it; what the guest has stays open."""
        self._fds.release(self.fd)

    def content(self) -> bytes:
        """Return all that is in it so far."""
        size = os.fstat(self.fd).st_size
        return os.pread(self.fd, size, 0)


class _Writer:
    def __init__(self, fd: int) -> None:
        self.file = open(os.dup(fd), "wb")  # noqa: SIM115
        self.write, self.close = self.file.write, self.file.close


class Descriptors:
    """The guest's standard streams and its other descriptors."""

    def __init__(
        self, fds: FdTable, streams: Iterable[Stream | Capture | None], pass_fds: Iterable[int]
    ) -> None:
        self._fds = fds
        self._own = set(pass_fds)  # descriptors of the guest above 2
        self._lent: set[int] = set()  # of the host, reserved while the guest runs
        self._standard = [
            self._copy(number if stream is None else _number(stream))
            for number, stream in zip(_STANDARD, streams, strict=True)
        ]

    def _copy(self, fd: int) -> int:
        return self._fds.reserve_copy(fd) if _is_open(fd) else _CLOSED

    def enter(self) -> None:
        """Put the guest's streams in place and the host's descriptors out of its reach."""
        others = _open_now() - self._own - self._fds.reserved
        self._lent = others.difference(_STANDARD)
        self._fds.reserved |= self._lent
        self._swap()

    def leave(self) -> None:
        """Undo `enter`."""
        self._swap()
        self._fds.reserved -= self._lent
        self._own = _open_now() - self._lent - self._fds.reserved - set(_STANDARD)

    def _swap(self) -> None:
        """Exchange what stands at 0, 1 and 2 with what is kept."""
        for number in _STANDARD:
            kept = self._standard[number]
            self._standard[number] = self._copy(number)
            if kept == _CLOSED:
                with contextlib.suppress(OSError):
                    os.close(number)
            else:
                os.dup2(kept, number)
                self._fds.release(kept)

    def close(self) -> None:
        """Close what the guest left open."""
        for fd in self._own:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._own = set()
        for fd in self._standard:
            self._fds.release(fd)
        self._standard = [_CLOSED] * 3


def _number(stream: Stream | Capture) -> int:
    if isinstance(stream, int):
        return stream
    return stream.fd if isinstance(stream, Capture) else stream.fileno()
