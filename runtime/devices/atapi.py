"""An ATAPI CD drive: the ATA side, which carries packets and their data.

Source: ATA/ATAPI-6 (T13/1410D r3b), 8.23 (PACKET) and 9.7 to 9.9.
"""

from __future__ import annotations

from runtime.clock import Clock
from runtime.devices.ataidentity import Modes, identify_packet
from runtime.devices.cdrom import READ_ERROR, SECTOR, CdRom, Reply, Sense, SenseError
from runtime.devices.idedevice import (
    ABRT,
    BSY,
    COUNT,
    DRDY,
    DRQ,
    FEATURES,
    HIGH,
    MID,
    IdeDevice,
    Memory,
)

_TO_HOST, _IS_PACKET = 2, 1  # interrupt reason, in the sector count register
_PACKET = 12
_CHUNK = 512  # sectors that are moved at once


class AtapiDrive(IdeDevice):
    """A CD drive on an IDE cable."""

    signature = (0x14, 0xEB)
    has_device_reset = True
    ready = DRDY

    def __init__(self, clock: Clock, cd: CdRom, *, serial: str = "JE00002") -> None:
        """Connect a drive."""
        super().__init__(clock)
        self.cd, self.serial, self.modes = cd, serial, Modes()
        self.uses_dma = False
        self.limit = 0  # bytes of a block, as the host asked
        self.data = b""  # of the reply, that is to be sent before its sectors
        self.sector = self.left = 0
        self._expects = ""  # what the block in the data register is
        self.status = 0

    def reset_done(self) -> None:
        """Come up; a packet device is not ready before its first command, for old drivers' sake."""
        super().reset_done()
        self.cd.reset()
        self.status = 0

    def execute(self, code: int) -> None:
        """Do an ATA command; all but packets are few."""
        if code == 0xA0:
            self._begin_packet()
        elif code == 0xA1:
            self._expects = "identity"
            self.offer(identify_packet(self.serial, self.modes))
        elif code == 0xEF:
            if self.modes.set(self.registers[FEATURES], self.registers[COUNT]):
                self.done()
            else:
                self.fail(ABRT)
        elif code in (0xE0, 0xE1, 0xE2, 0xE3, 0xE6, 0xE7):
            self.done()
        elif code in (0x98, 0xE5):
            self.registers[COUNT] = 0xFF
            self.done()
        else:
            if code in (0xEC, 0x20):
                self.set_signature()
            self.fail(ABRT)

    # -- packets -----------------------------------------------------------------------------------
    def _begin_packet(self) -> None:
        self.uses_dma = bool(self.registers[FEATURES] & 1)
        limit = self.registers[MID] | self.registers[HIGH] << 8
        self.limit = 0xFFFE if limit in (0, 0xFFFF) else max(2, limit & ~1)
        self.registers[COUNT] = _IS_PACKET
        self._expects = "packet"
        self.ask(_PACKET, interrupt=False)

    def given(self) -> None:
        """Take a packet, or the parameters that it comes with."""
        block = bytes(self.buffer)
        if self._expects == "packet":
            self.later(lambda: self._do(block))
        else:
            self.later(self._end)

    def _do(self, packet: bytes) -> None:
        if packet[0] == 0x55 and (size := int.from_bytes(packet[7:9], "big")):
            # MODE SELECT: the pages are taken, and change nothing.
            self._expects = "parameters"
            self.registers[COUNT] = 0
            self._show_size(min(size, self.limit))
            self.ask(min(size, self.limit), interrupt=True)
            return
        try:
            reply = Reply() if packet[0] == 0x55 else self.cd.do(packet)
        except SenseError as error:
            self._refuse(error.sense)
            return
        self.data, self.sector, self.left = reply.data, reply.sector, reply.sectors
        if not self.data and not self.left:
            self._end()
        elif self.uses_dma and self.dma is not None:
            self._request()
        else:
            self._send()

    def _fetch(self) -> bool:
        """Have some sectors in hand if there are any left; False if the command has failed."""
        if not self.data and self.left:
            count = min(self.left, _CHUNK)
            try:
                self.data = self.cd.read(self.sector, count)
            except OSError:
                self.cd.sense = READ_ERROR
                self._refuse(READ_ERROR)
                return False
            self.sector += count
            self.left -= count
        return True

    def _send(self) -> None:
        """Offer the next block by PIO, or end."""
        if not self._fetch():
            return
        if not self.data:
            self._end()
            return
        # Whole sectors as long as there are any: drivers rely on it.
        size = min(len(self.data), self.limit)
        if size < len(self.data) and size > SECTOR:
            size -= size % SECTOR
        block, self.data = self.data[:size], self.data[size:]
        self.registers[COUNT] = _TO_HOST
        self._show_size(size)
        self._expects = "data"
        self.offer(block)

    def taken(self) -> None:
        """Go on when the host has read a block."""
        if self._expects == "data":
            self.later(self._send)
        else:
            self.buffer, self.at, self.status = b"", 0, self.ready

    def move(self, channel: Memory) -> bool:
        """Send data by DMA: what is in hand; sectors that are left follow a little later."""
        if not channel.is_to_memory:
            return False
        if not self._fetch():
            return True
        size = channel.put(self.data)
        self.data = self.data[size:]
        if self.data:
            return False
        if self.left:
            self.later(self._request)
        else:
            self._end()
        return True

    def _request(self) -> None:
        self.status = self.ready | DRQ | BSY
        self.registers[COUNT] = _TO_HOST
        if self.dma is not None:
            self.dma.request(self)

    def _show_size(self, size: int) -> None:
        self.registers[MID], self.registers[HIGH] = size & 0xFF, size >> 8

    def _end(self) -> None:
        self.registers[COUNT] = _TO_HOST | _IS_PACKET
        self.done()

    def _refuse(self, sense: Sense) -> None:
        self.data, self.left = b"", 0
        self.registers[COUNT] = _TO_HOST | _IS_PACKET
        self.fail(sense.key << 4 | (ABRT if sense.key == 5 else 0))
