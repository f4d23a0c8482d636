"""Paravirtual network card. Source: VIRTIO 1.1, 5.1, without offloads and control queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from runtime.devices.virtio.device import VERSION_1, VirtioDevice
from runtime.devices.virtio.queue import Queue
from runtime.system.physical import Physical

_MAC, _STATUS = 1 << 5, 1 << 16  # features
_RECEIVE, _SEND = 0, 1  # queues
_PENDING_MAX = 512  # frames that wait for the guest; then they are lost, as on any network
_LARGEST = 1514
MAC = bytes.fromhex("525400123456")


class VirtioNet(VirtioDevice):
    """What the guest sends goes to *transmit*; `receive` is what comes in."""

    kind, class_code, features = 1, 0x020000, _MAC | _STATUS

    def __init__(
        self, physical: Physical, transmit: Callable[[bytes], None], mac: bytes = MAC
    ) -> None:
        """Connect a cable."""
        super().__init__(physical, [256, 256], mac + b"\1\0")
        self.transmit = transmit
        self.on_reset: Callable[[], None] = lambda: None  # whoever was talked to is forgotten
        self.pending: deque[bytes] = deque()

    @property
    def _head(self) -> int:
        """Bytes in front of each frame."""
        return 12 if self.accepted & VERSION_1 else 10

    def receive(self, frame: bytes) -> None:
        """Give the guest a frame, now or when it has room."""
        if len(self.pending) < _PENDING_MAX and len(frame) <= _LARGEST:
            self.pending.append(frame)
            self.notify(_RECEIVE)

    def stopped(self) -> None:
        """Forget what the driver did not fetch."""
        self.pending.clear()
        self.on_reset()

    def handle(self, number: int, queue: Queue) -> None:
        """Move frames."""
        if number == _SEND:
            while (chain := queue.pop()) is not None:
                frame = queue.read(chain)[self._head :]
                queue.push(chain, 0)
                if len(frame) <= _LARGEST:
                    self.transmit(frame)
            return
        while self.pending and (chain := queue.pop()) is not None:
            head = bytes(self._head - 2) + b"\1\0" if self._head == 12 else bytes(10)
            queue.push(chain, queue.write(chain, head + self.pending.popleft()))
