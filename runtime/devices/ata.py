"""An ATA disk: sectors by PIO or DMA, addressed by cylinder, head and sector or by number.

Source: ATA/ATAPI-6 (T13/1410D r3b), chapter 8; for what it dropped, ATA-3 (X3T13/2008D).
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.clock import Clock
from runtime.devices.ataidentity import MULTIPLE_MAX, Modes, identify
from runtime.devices.idedevice import (
    ABRT,
    BSY,
    COUNT,
    DEVICE,
    DRQ,
    FEATURES,
    HIGH,
    IDNF,
    LBA,
    LOW,
    MID,
    UNC,
    IdeDevice,
    Memory,
)
from runtime.disks.disk import SECTOR, Disk
from runtime.disks.geometry import Geometry, disk_geometry

_CHUNK = 2048  # sectors that are moved at once by DMA
_WRITES = frozenset({0x30, 0x31, 0x34, 0x39, 0xC5, 0xCA, 0xCB, 0x35})
_EXTENDED = frozenset({0x24, 0x25, 0x29, 0x34, 0x35, 0x39, 0x42})
_MULTIPLE = frozenset({0xC4, 0xC5, 0x29, 0x39})


class AtaDisk(IdeDevice):
    """A hard disk."""

    def __init__(self, clock: Clock, disk: Disk, *, serial: str = "JE00001") -> None:
        """Show *disk* to the guest; *serial*: at most 20 characters."""
        super().__init__(clock)
        self.disk, self.serial = disk, serial
        self.sectors = disk.sectors
        self.default = disk_geometry(disk)
        self.geometry = self.default  # of CHS addresses
        self.modes = Modes()
        self.scratch = bytes(SECTOR)  # READ BUFFER and WRITE BUFFER
        self.code = 0  # of the command
        self.lba = self.left = 0  # where it is, and sectors that are left of it
        self.block = 1  # sectors of a DRQ block
        self._on_data: Callable[[], None] = self.done

    # -- addresses ---------------------------------------------------------------------------------
    def _place(self, extended: bool) -> tuple[int | None, int]:
        """Return the first sector, None if there is no such place, and the number of sectors."""
        now, before = self.registers, self.previous
        count = now[COUNT] or 256
        if extended:
            count = now[COUNT] | before[COUNT] << 8 or 65536
        if not now[DEVICE] & LBA:
            cylinder = now[MID] | now[HIGH] << 8
            return self.geometry.lba(cylinder, now[DEVICE] & 15, now[LOW]), count
        low = now[LOW] | now[MID] << 8 | now[HIGH] << 16
        if extended:
            return low | before[LOW] << 24 | before[MID] << 32 | before[HIGH] << 40, count
        return low | (now[DEVICE] & 15) << 24, count

    def _show_place(self, lba: int, left: int) -> None:
        """Put where the command is into the registers."""
        now = self.registers
        extended = self.code in _EXTENDED
        now[COUNT] = left & 0xFF
        if now[DEVICE] & LBA:
            now[LOW : HIGH + 1] = (lba & 0xFFFFFF).to_bytes(3, "little")
            if extended:
                self.previous[LOW : HIGH + 1] = (lba >> 24 & 0xFFFFFF).to_bytes(3, "little")
                self.previous[COUNT] = left >> 8 & 0xFF
            else:
                now[DEVICE] = now[DEVICE] & 0xF0 | lba >> 24 & 15
            return
        track, sector = divmod(lba, self.geometry.sectors)
        cylinder, head = divmod(track, self.geometry.heads)
        now[LOW], now[MID], now[HIGH] = sector + 1, cylinder & 0xFF, cylinder >> 8 & 0xFF
        now[DEVICE] = now[DEVICE] & 0xF0 | head & 15

    def _find(self) -> bool:
        """Begin at the place in the registers; False, and the command has failed, if not there."""
        lba, count = self._place(self.code in _EXTENDED)
        if lba is None or lba >= self.sectors:
            self.fail(IDNF)
            return False
        self.lba, self.left = lba, count
        return True

    def _bad_end(self) -> bool:
        """Whether the command has reached the end of the disk."""
        if self.lba < self.sectors:
            return False
        self._show_place(self.lba, self.left)
        self.fail(IDNF)
        return True

    # -- commands ----------------------------------------------------------------------------------
    def execute(self, code: int) -> None:
        """Do a command."""
        self.code = code
        if code & 0xF0 in (0x10, 0x70):  # RECALIBRATE, SEEK
            self._seek()
        elif (action := ACTIONS.get(code)) is None:
            self.fail(ABRT)
        else:
            action(self)

    def _seek(self) -> None:
        if self.code & 0xF0 == 0x10:
            self.registers[MID] = self.registers[HIGH] = 0
            self.done()
        elif self._find():
            self.done()

    def _identify(self) -> None:
        data = identify(self.sectors, self.default, self.geometry, self.serial, self.modes)
        self._on_data = self._end_quietly
        self.offer(data)

    def _end_quietly(self) -> None:
        """End a command whose last block the host has just read: no interrupt tells of it."""
        self.buffer, self.at = b"", 0
        self.status = self.ready

    def taken(self) -> None:
        """Go on when the host has read a block."""
        self._on_data()

    def given(self) -> None:
        """Go on when the host has written a block."""
        self.later(self._on_data)

    def _read_pio(self) -> None:
        self.block = self.modes.multiple if self.code in _MULTIPLE else 1
        if not self.block:
            self.fail(ABRT)
        elif self._find():
            self._read_next()

    def _read_next(self) -> None:
        if self._bad_end():
            return
        count = min(self.block, self.left, self.sectors - self.lba)
        try:
            data = self.disk.read(self.lba, count)
        except OSError:
            self._show_place(self.lba, self.left)
            self.fail(UNC)
            return
        self.lba += count
        self.left -= count
        self._show_place(self.lba - 1, self.left)
        self._on_data = self._read_more if self.left else self._end_quietly
        self.offer(data)

    def _read_more(self) -> None:
        self.later(self._read_next)

    def _write_pio(self) -> None:
        self.block = self.modes.multiple if self.code in _MULTIPLE else 1
        if not self.block or self.disk.is_read_only:
            self.fail(ABRT)
        elif self._find():
            self._on_data = self._write_next
            self.ask(min(self.block, self.left) * SECTOR, interrupt=False)

    def _write_next(self) -> None:
        if self._bad_end() or not self._store(bytes(self.buffer)):
            return
        if self.left and not self._bad_end():
            self.ask(min(self.block, self.left) * SECTOR, interrupt=True)
        elif not self.left:
            self.done()

    def _store(self, data: bytes) -> bool:
        """Write sectors where the command is; False if it has failed."""
        count = min(len(data) // SECTOR, self.sectors - self.lba)
        try:
            self.disk.write(self.lba, data[: count * SECTOR])
        except OSError:
            self._show_place(self.lba, self.left)
            self.fail(ABRT)
            return False
        self.lba += count
        self.left -= count
        self._show_place(self.lba - 1, self.left)
        return True

    def _verify(self) -> None:
        if not self._find():
            return
        count = min(self.left, self.sectors - self.lba)
        self.lba += count
        self.left -= count
        if not self.left:
            self._show_place(self.lba - 1, 0)
            self.done()
        else:
            self._bad_end()

    def _dma(self) -> None:
        if self.dma is None or (self.code in _WRITES and self.disk.is_read_only):
            self.fail(ABRT)
        elif self._find():
            self.buffer, self.at = b"", 0
            self._request()

    def move(self, channel: Memory) -> bool:
        """Move some sectors of a DMA command; the rest a little later."""
        writes = self.code in _WRITES
        if channel.is_to_memory == writes:
            return False
        if self._bad_end():
            return True
        count = min(self.left, _CHUNK, self.sectors - self.lba)
        if writes:
            data = channel.get(count * SECTOR)
            if len(data) < count * SECTOR:
                return False
            if not self._store(data):
                return True
        else:
            try:
                data = self.disk.read(self.lba, count)
            except OSError:
                self._show_place(self.lba, self.left)
                self.fail(UNC)
                return True
            if channel.put(data) < len(data):
                return False
            self.lba += count
            self.left -= count
        if self.left:
            self.later(self._request)
        else:
            self._show_place(self.lba - 1, 0)
            self.done()
        return True

    def _request(self) -> None:
        self.status = self.ready | DRQ | BSY
        if self.dma is not None:
            self.dma.request(self)

    def _set_multiple(self) -> None:
        count = self.registers[COUNT]
        if count > MULTIPLE_MAX or count & (count - 1):
            self.fail(ABRT)
        else:
            self.modes.multiple = count
            self.done()

    def _set_geometry(self) -> None:
        heads, sectors = (self.registers[DEVICE] & 15) + 1, self.registers[COUNT]
        if not sectors:
            self.fail(ABRT)
            return
        cylinders = min(self.sectors // (heads * sectors), 65535)
        self.geometry = Geometry(cylinders, heads, sectors)
        self.done()

    def _set_features(self) -> None:
        if self.modes.set(self.registers[FEATURES], self.registers[COUNT]):
            self.done()
        else:
            self.fail(ABRT)

    def _flush(self) -> None:
        try:
            self.disk.flush()
        except OSError:
            self.fail(ABRT)
        else:
            self.done()

    def _check_power(self) -> None:
        self.registers[COUNT] = 0xFF  # active or idle
        self.done()

    def _read_buffer(self) -> None:
        self._on_data = self._end_quietly
        self.offer(self.scratch)

    def _write_buffer(self) -> None:
        self._on_data = self._keep_buffer
        self.ask(SECTOR, interrupt=False)

    def _keep_buffer(self) -> None:
        self.scratch = bytes(self.buffer)
        self.done()


ACTIONS: dict[int, Callable[[AtaDisk], None]] = {
    **dict.fromkeys((0x20, 0x21, 0x24, 0x29, 0xC4), AtaDisk._read_pio),
    **dict.fromkeys((0x30, 0x31, 0x34, 0x39, 0xC5), AtaDisk._write_pio),
    **dict.fromkeys((0x25, 0x35, 0xC8, 0xC9, 0xCA, 0xCB), AtaDisk._dma),
    **dict.fromkeys((0x40, 0x41, 0x42), AtaDisk._verify),
    0x91: AtaDisk._set_geometry,
    0xC6: AtaDisk._set_multiple,
    0xE4: AtaDisk._read_buffer,
    0xE8: AtaDisk._write_buffer,
    0xE7: AtaDisk._flush,
    0xEA: AtaDisk._flush,
    0xEC: AtaDisk._identify,
    0xEF: AtaDisk._set_features,
    **dict.fromkeys((0x98, 0xE5), AtaDisk._check_power),
    # STANDBY, IDLE, SLEEP and their immediate forms; the disk is always ready at once.
    **dict.fromkeys((0x94, 0x95, 0x96, 0x97, 0x99, 0xE0, 0xE1, 0xE2, 0xE3, 0xE6), IdeDevice.done),
}
