"""Paravirtual 9P transport: a folder of the host. Source: VIRTIO 1.2, 5.19; Linux: trans_virtio."""

from __future__ import annotations

from runtime.devices.virtio.device import VirtioDevice
from runtime.devices.virtio.queue import Queue
from runtime.share.server import Server
from runtime.system.physical import Physical

_TAGGED = 1 << 0  # feature: the configuration has a mount tag


class VirtioShare(VirtioDevice):
    """Chains are a message and room for its reply."""

    kind, class_code, features = 9, 0x018000, _TAGGED

    def __init__(self, physical: Physical, server: Server, tag: str) -> None:
        """*tag*: the name by which the guest mounts it; ValueError if it is too long."""
        name = tag.encode()
        if not 0 < len(name) <= 31:
            raise ValueError("the name of a share has 1 to 31 bytes")
        super().__init__(physical, [128], len(name).to_bytes(2, "little") + name)
        self.server = server

    def stopped(self) -> None:
        """Close all files."""
        self.server.reset()

    def handle(self, number: int, queue: Queue) -> None:
        """Answer all messages."""
        while (chain := queue.pop()) is not None:
            reply = self.server.answer(queue.read(chain))
            queue.push(chain, queue.write(chain, reply))
