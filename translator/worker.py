"""The process that compiles regions while guest code runs on.

Frames on its standard input and output: length (u32, little-endian), then a marshalled value.  In:
a region as `regions.plain` makes it.  Out: (stencil as plain tuples, seconds), or a message.  It
ends with its input.  A process, because LLVM may end one, and to leave the guest its processor.
"""

from __future__ import annotations

import marshal
import os
import signal
import struct
import time
from typing import Any

from translator.regions import rebuild
from translator.shape import SHAPES, SHAPES_MAX
from translator.tiers.regioncode import compile_region
from translator.tiers.store import plain

FRAME = struct.Struct("<I")


def read_exactly(fd: int, size: int) -> bytes:
    """Read *size* bytes; EOFError if the other side is gone."""
    parts = []
    while size:
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def receive(fd: int) -> Any:
    """Read one frame; EOFError if the other side is gone."""
    (size,) = FRAME.unpack(read_exactly(fd, FRAME.size))
    return marshal.loads(read_exactly(fd, size))


def send(fd: int, value: Any) -> None:
    """Write one frame."""
    data = marshal.dumps(value)
    view = memoryview(FRAME.pack(len(data)) + data)
    while view:
        view = view[os.write(fd, view) :]


def answer(described: Any) -> Any:
    """Compile one region."""
    started = time.process_time()
    try:
        stencil = compile_region(rebuild(described))
    except Exception as error:  # the guest goes on without this region
        return f"{type(error).__name__}: {error}"
    return plain(stencil), time.process_time() - started


def main() -> None:
    """Serve until the input ends."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    send(1, os.getpid())
    while True:
        try:
            described = receive(0)
        except EOFError:
            return
        send(1, answer(described))
        if len(SHAPES) > SHAPES_MAX:
            SHAPES.clear()
