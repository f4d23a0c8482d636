"""What all paravirtual devices have in common: features, status, configuration, queues.

Source: VIRTIO 1.1, 2.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.devices.virtio.queue import BrokenQueueError, Queue
from runtime.system.physical import Physical

INDIRECT, EVENT_INDEX, VERSION_1 = 1 << 28, 1 << 29, 1 << 32  # features of the transport
ANY_LAYOUT = 1 << 27
DRIVER_OK, NEEDS_RESET = 4, 0x40  # status
_CONFIG_CHANGED, _USED = 2, 1  # interrupt status


class VirtioDevice:
    """A device without its transport; a kind of device says what its queues do."""

    kind = 0  # device ID of the specification, 5
    class_code = 0xFF0000  # of PCI
    features = 0

    def __init__(self, physical: Physical, sizes: list[int], config: bytes = b"") -> None:
        """Make queues of so many entries at most, and what the driver sees as configuration."""
        self.queues = [Queue(physical, size) for size in sizes]
        self.config = bytearray(config)
        self.offered = self.features | INDIRECT | EVENT_INDEX | VERSION_1 | ANY_LAYOUT
        self.accepted = 0
        self.status = 0
        self.generation = 0  # of the configuration
        self.reason = ""  # why it stopped
        self.interrupts = 0
        # Lets a call be made between two insns, so that no driver holds the machine up with what
        # it asks for at once; None: the rest follows immediately.
        self.post: Callable[[Callable[[], None]], None] | None = None
        self.on_interrupt: Callable[[bool], None] = lambda level: None  # the transport's

    def reset(self) -> None:
        """Stop, and forget what the driver said."""
        for queue in self.queues:
            queue.reset()
        self.accepted = self.status = 0
        self.take_interrupts()
        self.stopped()

    def stopped(self) -> None:
        """Drop what is under way."""

    def set_status(self, value: int) -> None:
        """Take the driver's word for how far it is; 0 resets the device."""
        if not value:
            self.reset()
            return
        self.status = value & 0xFF | self.status & NEEDS_RESET
        for queue in self.queues:
            queue.has_event_index = bool(self.accepted & EVENT_INDEX)

    def accept(self, features: int) -> None:
        """Take the features that the driver wants, as far as they are there."""
        self.accepted = features & self.offered

    def start_queue(self, queue: Queue) -> None:
        """Take a queue over from the driver."""
        try:
            queue.start()
        except BrokenQueueError as error:
            self._break(str(error))

    def notify(self, number: int) -> None:
        """Look at a queue, as the driver asks."""
        if number >= len(self.queues) or self.status & NEEDS_RESET:
            return
        queue = self.queues[number]
        queue.is_cut = True
        while queue.is_cut:
            queue.begin_turn()
            try:
                self.handle(number, queue)
            except BrokenQueueError as error:
                self._break(str(error))
                return
            self.tell(queue)
            if queue.is_cut and self.post is not None:
                self.post(lambda: self.notify(number))
                return

    def handle(self, number: int, queue: Queue) -> None:
        """Do what a queue holds."""
        raise NotImplementedError

    def tell(self, queue: Queue) -> None:
        """Interrupt the driver if it wants to know of what was given back."""
        if queue.is_ready and queue.wants_interrupt():
            self._interrupt(_USED)

    def _break(self, reason: str) -> None:
        self.reason = reason
        self.status |= NEEDS_RESET
        if self.accepted & VERSION_1:
            self._interrupt(_CONFIG_CHANGED)

    def config_changed(self) -> None:
        """Tell the driver to look at the configuration again."""
        self.generation = self.generation + 1 & 0xFF
        if self.status & DRIVER_OK:
            self._interrupt(_CONFIG_CHANGED)

    def write_config(self, offset: int, data: bytes) -> None:
        """Take what the driver writes to the configuration; most have nothing to write."""

    def _interrupt(self, bits: int) -> None:
        self.interrupts |= bits
        self.on_interrupt(True)

    def take_interrupts(self) -> int:
        """Return why the driver was interrupted, and take the interrupt back."""
        value, self.interrupts = self.interrupts, 0
        self.on_interrupt(False)
        return value
