"""What the guest asked for and did not get: unknown system calls and unsupported requests.

Counts live in memory that forked children share, so the first process reports for all of them.
"""

from __future__ import annotations

import mmap
import struct

from runtime.personalities.linux.names import NAMES

_CALLS = 512  # one counter per system call number; the last one takes all larger numbers
_TEXTS_AT = 4 * _CALLS
_TEXT_SIZE = 64
_TEXTS = 64


class Report:
    """Counters of unknown calls and short texts about unsupported requests."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _TEXTS_AT + _TEXTS * _TEXT_SIZE)

    def unknown_call(self, number: int) -> None:
        """Count a system call that has no handler."""
        self._count(4 * min(number, _CALLS - 1))

    def unsupported(self, text: str) -> None:
        """Count a request that a known call could not serve; *text* names it in a few words."""
        data = text.encode()[: _TEXT_SIZE - 5]
        for i in range(_TEXTS):
            at = _TEXTS_AT + i * _TEXT_SIZE
            held = self._shared[at + 4 : at + _TEXT_SIZE].rstrip(b"\0")
            if not held:
                self._shared[at + 4 : at + 4 + len(data)] = data
            if held in (b"", data):
                self._count(at)
                return

    def _count(self, at: int) -> None:
        (value,) = struct.unpack_from("<I", self._shared, at)
        struct.pack_into("<I", self._shared, at, value + 1)

    def unknown_calls(self) -> dict[str, int]:
        """Return name (or number) -> count of the unknown system calls."""
        counts = struct.unpack_from(f"<{_CALLS}I", self._shared)
        return {NAMES.get(n, str(n)): count for n, count in enumerate(counts) if count}

    def unsupported_requests(self) -> dict[str, int]:
        """Return text -> count of the unsupported requests."""
        found = {}
        for i in range(_TEXTS):
            at = _TEXTS_AT + i * _TEXT_SIZE
            text = self._shared[at + 4 : at + _TEXT_SIZE].rstrip(b"\0").decode(errors="replace")
            if text:
                found[text] = struct.unpack_from("<I", self._shared, at)[0]
        return found

    def summary(self) -> str:
        """Return one line for a guest that failed; empty if nothing was missing."""
        parts = [f"{name} ({count})" for name, count in self.unknown_calls().items()]
        text = f"unknown system calls: {', '.join(parts)}" if parts else ""
        others = [f"{name} ({count})" for name, count in self.unsupported_requests().items()]
        more = f"unsupported: {', '.join(others)}" if others else ""
        return "; ".join(part for part in (text, more) if part)

    def full(self) -> str:
        """Return the end-of-run report, one finding per line."""
        lines = [f"  {count:8} {name}: unknown" for name, count in self.unknown_calls().items()]
        lines += [f"  {count:8} {text}" for text, count in self.unsupported_requests().items()]
        return "\n".join(["system call report:", *(lines or ["  nothing was missing"])])
