"""Paravirtual console. Source: VIRTIO 1.1, 5.3, with one port."""

from __future__ import annotations

import struct
from collections.abc import Callable

from runtime.devices.virtio.device import VirtioDevice
from runtime.devices.virtio.queue import BrokenQueueError, Queue
from runtime.system.physical import Physical

_SIZE = 1 << 0  # feature: columns and rows are known
_INPUT, _OUTPUT = 0, 1  # queues
_PENDING_MAX = 1 << 20  # bytes of input that wait for the guest


class VirtioConsole(VirtioDevice):
    """A terminal line: what the guest writes goes to *output*, what `feed` gets to the guest."""

    kind, class_code, features = 3, 0x078000, _SIZE

    def __init__(
        self,
        physical: Physical,
        output: Callable[[bytes], None],
        size: tuple[int, int] = (80, 25),
    ) -> None:
        """*size*: columns and rows."""
        super().__init__(physical, [64, 64], struct.pack("<HHII", *size, 1, 0))
        self.output = output
        self.pending = bytearray()

    def feed(self, data: bytes) -> int:
        """Type; return how many bytes were taken: at most 1 MiB waits for the guest."""
        taken = data[: max(0, _PENDING_MAX - len(self.pending))]
        self.pending += taken
        self.notify(_INPUT)
        return len(taken)

    def resize(self, columns: int, rows: int) -> None:
        """Tell the guest of another size."""
        self.config[:4] = struct.pack("<HH", columns, rows)
        self.config_changed()

    def handle(self, number: int, queue: Queue) -> None:
        """Move what can be moved."""
        if number == _OUTPUT:
            while (chain := queue.pop()) is not None:
                self.output(queue.read(chain))
                queue.push(chain, 0)
            return
        while self.pending and (chain := queue.pop()) is not None:
            if not chain.room:
                raise BrokenQueueError("a buffer for input without room")
            size = queue.write(chain, bytes(self.pending[: chain.room]))
            del self.pending[:size]
            queue.push(chain, size)
