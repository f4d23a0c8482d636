"""Paravirtual source of random bytes. Source: VIRTIO 1.1, 5.4."""

from __future__ import annotations

import os
from collections.abc import Callable

from runtime.devices.virtio.device import VirtioDevice
from runtime.devices.virtio.queue import Queue
from runtime.system.physical import Physical

_AT_ONCE = 1 << 16  # bytes


class VirtioEntropy(VirtioDevice):
    """Fills buffers with random bytes."""

    kind = 4

    def __init__(self, physical: Physical, source: Callable[[int], bytes] = os.urandom) -> None:
        """*source* returns so many random bytes."""
        super().__init__(physical, [8])
        self.source = source

    def handle(self, number: int, queue: Queue) -> None:
        """Fill all buffers, each at most for 64 KiB."""
        while (chain := queue.pop()) is not None:
            queue.push(chain, queue.write(chain, self.source(min(chain.room, _AT_ONCE))))
