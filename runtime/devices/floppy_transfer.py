"""Data commands of the diskette controller: sectors between a drive and memory, or the FIFO.

Source: Intel 82077AA datasheet (290166-007), "Data transfer commands" and "Control commands".
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.clock import Clock
from runtime.devices.diskette import Drive
from runtime.devices.dma import Channel
from runtime.disks.disk import SECTOR

ABNORMAL, SEEK_END = 0x40, 0x20  # ST0
_EN, _DE, _ND, _NW, _MA = 0x80, 0x20, 0x04, 0x02, 0x01  # ST1
_DD, _WC, _SH, _SN = 0x20, 0x10, 0x08, 0x04  # ST2
_MT, _MFM = 0x80, 0x40  # bits of the command's first byte
_IMPLIED_SEEK = 0x40  # second byte of CONFIGURE
_DELAY, _GAP = 200_000, 10_000  # ns until the first sector, and between sectors by the FIFO
_TURN = 200_000_000  # ns for a turn of the medium

# Low five bits of the first byte -> further bits that it may have, parameters, name. Marks of
# deleted data are not kept.
COMMANDS = {
    0x02: (0x60, 8, "read_track"),
    0x05: (0xC0, 8, "write"),
    0x06: (0xE0, 8, "read"),
    0x09: (0xC0, 8, "write"),
    0x0A: (0x40, 1, "read_id"),
    0x0C: (0xE0, 8, "read"),
    0x0D: (0x40, 5, "format"),
    0x11: (0xE0, 8, "scan"),
    0x16: (0xE0, 8, "verify"),
    0x19: (0xE0, 8, "scan"),
    0x1D: (0xE0, 8, "scan"),
}


class Transfer:
    """The data command that is under way, if any."""

    def __init__(
        self,
        clock: Clock,
        dma: Channel,
        interrupt: Callable[[], None],
        end: Callable[[bytes], None],
    ) -> None:
        """*interrupt*: the FIFO wants service; *end* takes the seven bytes of the results."""
        self.clock, self.dma, self.interrupt, self.end = clock, dma, interrupt, end
        self.is_ready = False  # the FIFO waits for the processor
        self.command, self.name = bytes(9), ""
        self.drive: Drive | None = None
        self.rate, self.uses_dma = 0, True
        self.fifo = bytearray()  # a sector on its way
        self.status = bytearray(3)  # ST0 to ST2
        self.place = [0, 0, 0]  # cylinder, head, sector
        self.head = 0
        self.left = 0  # sectors that VERIFY still has
        self.last = 0  # sector of a track, or how many sectors FORMAT makes
        self._work = clock.timer(self._execute)
        dma.on_ready = self._dma_ready

    def stop(self) -> None:
        """Drop what is under way."""
        self._work.cancel()
        self.is_ready, self.dma.wants = False, False
        self.fifo.clear()

    @property
    def writes(self) -> bool:
        """Whether data of the command goes to the controller."""
        return self.name in ("write", "format", "scan")

    def begin(self, command: bytes, drive: Drive | None, rate: int, config: int, dma: bool) -> None:
        """Wait for the medium to turn; then data begins to move."""
        self.name = name = COMMANDS[command[0] & 0x1F][2]
        self.command, self.drive, self.rate, self.uses_dma = command, drive, rate, dma
        self.status[:] = bytes([command[1] & 7, 0, 0])
        self.head = command[1] >> 2 & 1
        self.fifo.clear()
        if name in ("read_id", "format"):
            self.place = [0 if drive is None else drive.cylinder, self.head, 1]
        else:
            self.place = list(command[2:5])
            if config & _IMPLIED_SEEK and drive is not None:
                drive.step(self.place[0] - drive.track)
                self.status[0] |= SEEK_END
        if name == "read_track":
            self.place[2] = 1
        self.left = command[8] if name == "verify" and command[1] & 0x80 else -1
        if name != "read_id":
            self.last = command[3] if name == "format" else command[6]
        if not command[0] & _MFM:  # all media are MFM
            self.status[1] |= _MA
        self.is_ready = False
        self._work.set(self.clock.now() + _DELAY)

    def give(self, value: int) -> None:
        """Take a byte of data from the processor."""
        self.fifo.append(value)
        if len(self.fifo) == self._size():
            self.is_ready = False
            if self._store():
                self._next_or_end()

    def take(self) -> int:
        """Give a byte of data to the processor."""
        value = self.fifo.pop(0)
        if not self.fifo:
            self.is_ready = False
            self._next_or_end()
        return value

    def _execute(self) -> None:
        """Move data until it ends, or until the other side has to act."""
        drive, name = self.drive, self.name
        if drive is None or drive.rate != self.rate or self.status[1]:
            self._fail(_MA)
        elif name == "read_id":
            self._read_id(drive)
        elif self.writes and name != "scan" and drive.disk is not None and drive.disk.is_read_only:
            self._fail(_NW)
        elif self.uses_dma and name != "verify":
            self._run_dma()
        elif name == "verify":
            self._run_verify()
        elif self.writes or self._load():
            self.is_ready = True
            self.interrupt()

    def _read_id(self, drive: Drive) -> None:
        sectors = drive.geometry.sectors
        if drive.cylinder >= drive.geometry.cylinders or self.head >= drive.geometry.heads:
            self._fail(_MA)
            return
        self.place[2] = 1 + self.clock.now() % _TURN * sectors // _TURN
        self._finish(is_next=False)

    def _lba(self) -> int | None:
        """Return the sector that is due; None, and the command has failed, without it."""
        drive = self.drive
        cylinder, head, sector = self.place
        if drive is None:
            return None
        lba = drive.geometry.lba(drive.cylinder, self.head, sector)
        if lba is None or head != self.head or cylinder != drive.cylinder or self.command[5] != 2:
            if cylinder != drive.cylinder:
                self.status[2] |= _WC
            self._fail(_ND if drive.cylinder < drive.geometry.cylinders else _MA)
            return None
        return lba

    def _load(self) -> bool:
        """Fetch the sector that is due."""
        lba, drive = self._lba(), self.drive
        if lba is None or drive is None:
            return False
        try:
            self.fifo[:] = drive.read(lba)
        except OSError:
            self._fail(_DE, _DD)
            return False
        return True

    def _store(self) -> bool:
        """Act on the data that has come for the sector that is due."""
        if self.name == "format":
            return self._format()
        if self.name == "scan":
            return self._scan()
        lba, drive = self._lba(), self.drive
        if lba is None or drive is None:
            return False
        try:
            drive.write(lba, bytes(self.fifo))
        except OSError:
            self._fail(_DE, _DD)
            return False
        self.fifo.clear()
        return True

    def _step_on(self) -> bool:
        """Go to the next sector; False behind the last one of the command."""
        if self.name == "format" or self.left == 1:
            return False
        self.left -= 1
        if self._runs_on():
            return True
        if self.place[2] != self.last:
            self.place[2] = self.place[2] + 1 & 0xFF
            return True
        if self.command[0] & _MT and not self.head and self.name != "read_track":
            self.head = self.place[1] = 1
            self.place[2] = 1
            self.status[0] |= 4
            return True
        return False

    def _runs_on(self) -> bool:
        """Go from a track's last sector to the next track, though the command names a later one.

        So QEMU's controller does where a chip would find no sector, and SeaBIOS needs it: it names
        the last of all sectors that a program asks INT 13h for as the last of the track.
        """
        drive = self.drive
        if drive is None or not self.command[0] & _MT or self.name not in ("read", "write"):
            return False
        if not 0 < drive.geometry.sectors == self.place[2] < self.last:
            return False
        self.head = self.place[1] = self.head ^ 1 if drive.geometry.heads > 1 else 0
        self.place[2] = 1
        self.status[0] = self.status[0] & ~4 | 4 * self.head
        if not self.head:
            drive.step(1)
            self.place[0] = self.place[0] + 1 & 0xFF
        return True

    def _run_dma(self) -> None:
        while True:
            if not self.dma.is_ready:
                self.dma.wants = True
                return
            if self.writes:
                data, ended = self.dma.from_memory(self._size() - len(self.fifo))
                self.fifo += data
                if ended:
                    self.fifo += bytes(self._size() - len(self.fifo))
                if len(self.fifo) < self._size():
                    continue
                if not self._store():
                    return
            else:
                if not self.fifo and not self._load():
                    return
                done, ended = self.dma.to_memory(bytes(self.fifo))
                del self.fifo[:done]
                if self.fifo and not ended:
                    continue
                self.fifo.clear()
            if ended:
                self._finish()
                return
            if not self._step_on():
                self._end_of_cylinder()
                return

    def _dma_ready(self) -> None:
        self.dma.wants = False
        self._work.set(self.clock.now() + _GAP)

    def _size(self) -> int:
        """Return how much data is needed at once."""
        return 4 * self.last or 4 if self.name == "format" else SECTOR

    def _next_or_end(self) -> None:
        """Without DMA: go on with the next sector, or end."""
        if self._step_on():
            self._work.set(self.clock.now() + _GAP)
        else:
            self._end_of_cylinder()

    def _run_verify(self) -> None:
        while self._load():
            if not self._step_on():
                self._finish()
                return

    def _scan(self) -> bool:
        """Compare: satisfied sectors end the command."""
        sent, code = bytes(self.fifo), self.command[0] & 0x1F
        if not self._load():
            return False
        pairs = [(d, h) for d, h in zip(self.fifo, sent, strict=True) if h != 0xFF != d]
        self.fifo.clear()
        is_equal = all(d == h for d, h in pairs)
        is_hit = is_equal or (code == 0x19 and all(d <= h for d, h in pairs))
        if is_hit or (code == 0x1D and all(d >= h for d, h in pairs)):
            self.status[2] = self.status[2] & ~_SN | (_SH if is_equal else 0)
            self._finish()
            return False
        self.status[2] |= _SN
        return True

    def _format(self) -> bool:
        """Fill the sectors that the track is to have; each must be one that the image has."""
        drive, fill = self.drive, bytes([self.command[5]]) * SECTOR
        if drive is None:
            return False
        for at in range(0, len(self.fifo), 4):
            cylinder, head, sector, size = self.fifo[at : at + 4]
            lba = drive.geometry.lba(cylinder, head, sector)
            if lba is None or size != 2 or (cylinder, head) != (drive.cylinder, self.head):
                self._fail(_ND)
                return False
            try:
                drive.write(lba, fill)
            except OSError:
                self._fail(_DE, _DD)
                return False
        self.fifo.clear()
        return True

    def _end_of_cylinder(self) -> None:
        """Sectors ended before the count did; nothing but the count ends well, save in FORMAT."""
        if self.name == "format":
            self._finish(is_next=False)
        else:
            self._fail(_EN, is_next=True)

    def _fail(self, st1: int, st2: int = 0, *, is_next: bool = False) -> None:
        self.status[0] |= ABNORMAL
        self.status[1] |= st1
        self.status[2] |= st2
        self._finish(is_next=is_next)

    def _finish(self, *, is_next: bool = True) -> None:
        """Show the results: what happened, and which sector would come next."""
        cylinder, head, sector = self.place
        if is_next and len(self.command) > 6:
            if sector != self.last:
                sector = sector + 1 & 0xFF
            else:
                sector = 1
                if self.command[0] & _MT:
                    head ^= 1
                if not self.command[0] & _MT or not head:
                    cylinder = cylinder + 1 & 0xFF
        self.dma.wants = False
        self.end(bytes([*self.status, cylinder, head, sector, 2]))
