"""A paravirtual device as a PCI function, for old drivers by ports and for new ones by memory.

Sources: VIRTIO 1.1, 4.1 (over PCI), with its notes on the legacy interface.
"""

from __future__ import annotations

import struct

from runtime.bus import Bus
from runtime.devices.pci import STATUS, Function
from runtime.devices.virtio.device import VirtioDevice
from runtime.devices.virtio.queue import Queue
from runtime.system.physical import Device

_VENDOR = 0x1AF4
# Device ID of the specification -> PCI device ID of a transitional device.
_IDS = {1: 0x1000, 2: 0x1001, 3: 0x1003, 4: 0x1005, 9: 0x1009}
_LEGACY = 20  # bytes before the device's own configuration, without MSI-X
_COMMON, _INTERRUPTS, _CONFIG, _NOTIFY = 0x0000, 0x1000, 0x2000, 0x3000  # in BAR 4
_AREA, _MEMORY = 0x1000, 0x4000
_CAPABILITIES, _WINDOW = 0x34, 0x90  # in configuration space
_PAGE = 4096
_LAYOUT = struct.Struct("<IIIIHHBBHHHHHQQQ")
# Offset in the common configuration -> bytes, attribute of a queue: halves of its addresses.
_ADDRESSES = {32: "table", 40: "available", 48: "used"}


class _Function(Function):
    """Configuration space with a window (4.1.4.9) through which firmware reaches the BARs."""

    def __init__(self, transport: VirtioPci) -> None:
        device = transport.device
        ids, subsystem = (_VENDOR, _IDS[device.kind]), (_VENDOR, device.kind)
        super().__init__(ids, device.class_code, pin=1, subsystem=subsystem)
        self.transport = transport

    def _window(self) -> tuple[int, int, int] | None:
        """Return BAR, offset and bytes that the driver chose; None if that cannot be."""
        bar, offset, size = (self.get(_WINDOW + at, n) for at, n in ((4, 1), (8, 4), (12, 4)))
        end = {0: self.transport.port_count, 4: _MEMORY}.get(bar, 0)
        is_access = size in (1, 2, 4) and not offset % size and offset + size <= end
        return (bar, offset, size) if is_access else None

    def read(self, offset: int, size: int) -> int:
        """Read as the guest does; the window is looked through first."""
        if offset < _WINDOW + 20 and offset + size > _WINDOW + 16:
            found = self._window()
            if found is not None:
                self.put(_WINDOW + 16, self.transport.load_bar(*found), 4)
        return super().read(offset, size)

    def write(self, offset: int, value: int, size: int) -> None:
        """Write as the guest does, through the window, too."""
        super().write(offset, value, size)
        if offset < _WINDOW + 20 and offset + size > _WINDOW + 16:
            found = self._window()
            if found is not None:
                bar, place, length = found
                self.transport.store_bar(bar, place, self.get(_WINDOW + 16, length), length)


class VirtioPci:
    """The transport of one device."""

    def __init__(self, bus: Bus, device: VirtioDevice) -> None:
        """Make the PCI function, which is to be added to the host bridge."""
        self._bus, self.device = bus, device
        self.function = _Function(self)
        self.port_count = 32
        while self.port_count < _LEGACY + len(device.config):
            self.port_count *= 2
        self.base: int | None = None
        self.memory: Device | None = None
        self.selected = 0
        self._offers = self._accepts = 0  # which half of the features is meant
        self.function.add_bar(0, self.port_count, self._map_ports, kind=1)
        self.function.add_bar(4, _MEMORY, self._map_memory)
        self._add_capabilities()
        device.on_interrupt = self.function.intx.set

    def _add_capabilities(self) -> None:
        function, at = self.function, 0x40
        function.put(STATUS, 0x10, 2)
        function.put(_CAPABILITIES, at, 1)
        areas = [
            (1, _COMMON, _AREA),
            (3, _INTERRUPTS, _AREA),
            (4, _CONFIG, _AREA),
            (2, _NOTIFY, _AREA),
        ]
        for number, (kind, offset, size) in enumerate(areas):
            length = 20 if kind == 2 else 16
            following = _WINDOW if number == len(areas) - 1 else at + length
            head = struct.pack("<BBBBB3xII", 9, following, length, kind, 4, offset, size)
            function.config[at : at + 16] = head
            at += length
        # All queues are told of at one place: the multiplier behind the last one is 0.
        function.config[_WINDOW : _WINDOW + 4] = bytes((9, 0, 20, 5))
        function.allow(_WINDOW + 4, 0xFF, 1)
        function.allow(_WINDOW + 8, (1 << 96) - 1, 12)

    def reset(self) -> None:
        """Do what RST# does; PciHost resets the function."""
        self.device.reset()
        self.selected = self._offers = self._accepts = 0

    @property
    def queue(self) -> Queue | None:
        """The queue that registers are about."""
        queues = self.device.queues
        return queues[self.selected] if self.selected < len(queues) else None

    def load_bar(self, bar: int, offset: int, size: int) -> int:
        """Read at an offset of a base address register, wherever it is."""
        return (self._load if bar else self._read)(offset, size)

    def store_bar(self, bar: int, offset: int, value: int, size: int) -> None:
        """Write at an offset of a base address register."""
        (self._store if bar else self._write)(offset, value, size)

    # -- legacy: ports -----------------------------------------------------------------------------
    def _map_ports(self, base: int | None) -> None:
        if self.base is not None:
            self._bus.unmap_ports(self.base, self.port_count)
        self.base = None
        if base is None or any(self._bus.owner_of(base + i) for i in range(self.port_count)):
            return
        self.base = base
        self._bus.map_ports(base, self.port_count, self._read, self._write, owner="virtio")

    def _read(self, port: int, size: int) -> int:
        at, device, queue = port & self.port_count - 1, self.device, self.queue
        if at == 19:
            return device.take_interrupts()
        if at >= _LEGACY:
            return self._config(at - _LEGACY, size)
        page = queue.table // _PAGE if queue is not None and queue.is_ready else 0
        head = struct.pack(
            "<IIIHHHB",
            device.offered & 0xFFFFFFFF,
            device.accepted & 0xFFFFFFFF,
            page,
            0 if queue is None else queue.largest,
            self.selected,
            0,
            device.status,
        )
        return int.from_bytes(head[at : at + size], "little")

    def _write(self, port: int, value: int, size: int) -> None:
        at, device = port & self.port_count - 1, self.device
        value &= (1 << 8 * size) - 1
        if at == 16:
            device.notify(value)
        elif at == 4 and size == 4:
            device.accept(value)
        elif at == 8 and size == 4:
            self._set_page(value)
        elif at == 14:
            self.selected = value & 0xFFFF
        elif at == 18:
            device.set_status(value & 0xFF)
        elif at >= _LEGACY:
            device.write_config(at - _LEGACY, value.to_bytes(size, "little"))

    def _set_page(self, page: int) -> None:
        """Lay a queue out as old drivers do: used elements begin at a page."""
        queue = self.queue
        if queue is None:
            return
        queue.reset()
        if page:
            queue.table = page * _PAGE
            queue.available = queue.table + 16 * queue.size
            end = queue.available + 6 + 2 * queue.size
            queue.used = -(-end // _PAGE) * _PAGE
            self.device.start_queue(queue)

    def _config(self, offset: int, size: int) -> int:
        return int.from_bytes(self.device.config[offset : offset + size], "little")

    # -- memory ------------------------------------------------------------------------------------
    def _map_memory(self, base: int | None) -> None:
        physical = self._bus.physical
        if self.memory is not None:
            physical.remove_device(self.memory)
            self.memory = None
        if base is not None:
            self.memory = physical.add_device(base, _MEMORY, self._load, self._store)

    def _load(self, address: int, size: int) -> int:
        area, at = address & 0x3000, address & 0xFFF
        if area == _INTERRUPTS:
            return self.device.take_interrupts() if not at else 0
        if area == _CONFIG:
            return self._config(at, size)
        if area == _COMMON:
            return int.from_bytes(self._common()[at : at + size], "little")
        return 0

    def _common(self) -> bytes:
        device, queue = self.device, self.queue
        offered = device.offered >> 32 * self._offers if self._offers < 2 else 0
        accepted = device.accepted >> 32 * self._accepts if self._accepts < 2 else 0
        rest = (0, 0xFFFF, 0, 0, 0, 0, 0)
        if queue is not None:
            rest = (queue.size, 0xFFFF, queue.is_ready, 0, queue.table, queue.available, queue.used)
        return _LAYOUT.pack(
            self._offers,
            offered & 0xFFFFFFFF,
            self._accepts,
            accepted & 0xFFFFFFFF,
            0xFFFF,
            len(device.queues),
            device.status,
            device.generation,
            self.selected,
            *rest,
        )

    def _store(self, address: int, value: int, size: int) -> None:
        area, at = address & 0x3000, address & 0xFFF
        value &= (1 << 8 * size) - 1
        if area == _NOTIFY:
            self.device.notify(value & 0xFFFF)
        elif area == _CONFIG:
            self.device.write_config(at, value.to_bytes(size, "little"))
        elif area == _COMMON:
            self._store_common(at, value, size)

    def _store_common(self, at: int, value: int, size: int) -> None:
        device, queue = self.device, self.queue
        if at == 0:
            self._offers = value
        elif at == 8:
            self._accepts = value
        elif at == 12 and self._accepts < 2:
            shift = 32 * self._accepts
            device.accept(device.accepted & ~(0xFFFFFFFF << shift) | value << shift)
        elif at == 20:
            device.set_status(value & 0xFF)
        elif at == 22:
            self.selected = value & 0xFFFF
        elif queue is None or queue.is_ready:
            return
        elif at == 24:
            if 0 < value <= queue.largest and not value & (value - 1):
                queue.size = value
        elif at == 28:
            if value & 1:
                device.start_queue(queue)
        elif at & ~4 in _ADDRESSES and size == 4:
            name, shift = _ADDRESSES[at & ~4], 32 if at & 4 else 0
            old: int = getattr(queue, name)
            setattr(queue, name, old & ~(0xFFFFFFFF << shift) | value << shift)
