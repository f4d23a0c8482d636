"""A CD or DVD drive, without its cable: packets of 12 bytes in, data or sense out.

Sources: SFF-8020i 2.6 (ATA packet interface for CD-ROMs), MMC-3 (T10/1363-D). Discs have one data
track, of sectors of 2048 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from runtime.disks.disk import Disk

SECTOR = 2048
_PER = SECTOR // 512
_DVD_FROM = 450_000  # sectors: more than any CD has
_LEAD_OUT = 0xAA
_SPEED = 7056  # kB/s: 40x


class Sense(NamedTuple):
    """Why a command failed: key, code, qualifier."""

    key: int
    code: int
    qualifier: int = 0


NONE = Sense(0, 0)
NO_MEDIUM = Sense(2, 0x3A)
READ_ERROR, BAD_COMMAND = Sense(3, 0x11), Sense(5, 0x20)
BAD_PLACE, BAD_FIELD, LOCKED = Sense(5, 0x21), Sense(5, 0x24), Sense(5, 0x53, 2)
WRONG_MODE = Sense(5, 0x64)
CHANGED = Sense(6, 0x28)


class SenseError(Exception):
    """A command that failed."""

    def __init__(self, sense: Sense) -> None:
        super().__init__(sense)
        self.sense = sense


class Reply(NamedTuple):
    """What a command gives: bytes, then sectors of the disc."""

    data: bytes = b""
    sector: int = 0
    sectors: int = 0


def msf(lba: int) -> bytes:
    """Return a place as minute, second and frame."""
    frames = lba + 150
    return bytes([frames // 4500 & 0xFF, frames // 75 % 60, frames % 75])


class CdRom:
    """The drive; who owns the machine inserts and removes discs."""

    def __init__(self, disk: Disk | None = None) -> None:
        """Make a drive with a disc in it, or none."""
        self.disk = disk
        self.is_open = self.is_locked = False
        self.sense = NONE
        self.attention: list[Sense] = []  # what the host is to be told first
        self.event = 0  # of the medium: 2 new, 3 removed

    @property
    def sectors(self) -> int:
        """Sectors of the disc; what its last one lacks reads as zeros."""
        return 0 if self.disk is None else -(-self.disk.sectors // _PER)

    def insert(self, disk: Disk | None) -> None:
        """Replace the disc."""
        self.disk, self.is_open = disk, False
        self._tell_change()

    def reset(self) -> None:
        """Forget sense and lock, as power on does."""
        self.is_locked, self.sense, self.attention = False, NONE, []

    def _tell_change(self) -> None:
        self.event = 3 if self.disk is None or self.is_open else 2
        self.attention = [CHANGED] if self.event == 2 else []

    def read(self, sector: int, count: int) -> bytes:
        """Return sectors of the disc; OSError if it cannot be read."""
        if self.disk is None or self.is_open:
            raise OSError("no disc")
        return self.disk.read(sector * _PER, count * _PER)

    # -- commands ----------------------------------------------------------------------------------
    def do(self, packet: bytes) -> Reply:
        """Do a command; SenseError if it fails, of which REQUEST SENSE tells once more."""
        code = packet[0]
        try:
            if self.attention and code not in (0x03, 0x12, 0x4A, 0x46):
                raise SenseError(self.attention.pop(0))
            action = COMMANDS.get(code)
            if action is None:
                raise SenseError(BAD_COMMAND)
            reply = action(self, packet)
        except SenseError as error:
            self.sense = error.sense
            raise
        if code != 0x03:
            self.sense = NONE
        return reply

    def _need_medium(self) -> int:
        if self.disk is None or self.is_open:
            raise SenseError(NO_MEDIUM)
        return self.sectors

    def _test_ready(self, packet: bytes) -> Reply:
        self._need_medium()
        return Reply()

    def _request_sense(self, packet: bytes) -> Reply:
        sense = self.attention.pop(0) if self.attention and self.sense == NONE else self.sense
        self.sense = NONE
        data = bytes([0x70, 0, sense.key, 0, 0, 0, 0, 10, 0, 0, 0, 0, sense.code, sense.qualifier])
        return Reply((data + bytes(4))[: packet[4]])

    def _inquiry(self, packet: bytes) -> Reply:
        if packet[1] & 1:
            raise SenseError(BAD_FIELD)
        data = bytes([5, 0x80, 0, 0x21, 31, 0, 0, 0]) + b"jitemu  CD-ROM          1.0 "
        return Reply(data[: packet[4]])

    def _start_stop(self, packet: bytes) -> Reply:
        if packet[4] & 2:
            opens = not packet[4] & 1
            if opens and self.is_locked:
                raise SenseError(LOCKED)
            if opens != self.is_open:
                self.is_open = opens
                self._tell_change()
        return Reply()

    def _lock(self, packet: bytes) -> Reply:
        self.is_locked = bool(packet[4] & 1)
        return Reply()

    def _capacity(self, packet: bytes) -> Reply:
        return Reply(struct.pack(">II", self._need_medium() - 1, SECTOR))

    def _read(self, packet: bytes) -> Reply:
        sector = int.from_bytes(packet[2:6], "big")
        end = 10 if packet[0] == 0xA8 else 9
        count = int.from_bytes(packet[6 if packet[0] == 0xA8 else 7 : end], "big")
        return self._sectors(sector, count)

    def _sectors(self, sector: int, count: int) -> Reply:
        if sector + count > self._need_medium():
            raise SenseError(BAD_PLACE)
        return Reply(b"", sector, count)

    def _seek(self, packet: bytes) -> Reply:
        if int.from_bytes(packet[2:6], "big") >= self._need_medium():
            raise SenseError(BAD_PLACE)
        return Reply()

    def _read_cd(self, packet: bytes) -> Reply:
        what, kind = packet[9] & 0xF8, packet[1] >> 2 & 7
        sector, count = int.from_bytes(packet[2:6], "big"), int.from_bytes(packet[6:9], "big")
        if what == 0 or not count:
            self._need_medium()
            return Reply()
        if kind not in (0, 2, 4) or what not in (0x10, 0xF8):
            raise SenseError(WRONG_MODE)
        reply = self._sectors(sector, count)
        if what == 0x10:
            return reply
        if count > 4096:
            raise SenseError(BAD_FIELD)
        return Reply(b"".join(self._raw(sector + i) for i in range(count)))

    def _raw(self, sector: int) -> bytes:
        """Return a sector with its header; its checksums are not computed."""
        minute, second, frame = (n // 10 * 16 + n % 10 for n in msf(sector))
        try:
            data = self.read(sector, 1)
        except OSError:
            raise SenseError(READ_ERROR) from None
        head = b"\0" + b"\xff" * 10 + b"\0" + bytes([minute, second, frame, 1])
        return head + data + bytes(288)

    def _toc(self, packet: bytes) -> Reply:
        form = packet[2] & 15 or packet[9] >> 6
        as_msf, length = packet[1] & 2, int.from_bytes(packet[7:9], "big")
        sectors = self._need_medium()

        def place(lba: int) -> bytes:
            return b"\0" + msf(lba) if as_msf else lba.to_bytes(4, "big")

        if form == 0:
            if packet[6] > 1 and packet[6] != _LEAD_OUT:
                raise SenseError(BAD_FIELD)
            tracks = b"" if packet[6] > 1 else b"\0\x14\1\0" + place(0)
            tracks += bytes([0, 0x14, _LEAD_OUT, 0]) + place(sectors)
        elif form == 1:
            tracks = b"\0\x14\1\0" + place(0)
        elif form == 2:
            rows = [(0xA0, b"\1\0\0"), (0xA1, b"\1\0\0"), (0xA2, msf(sectors)), (1, msf(0))]
            tracks = b"".join(bytes([1, 0x14, 0, n, 0, 0, 0, 0]) + value for n, value in rows)
        else:
            raise SenseError(BAD_FIELD)
        return Reply((struct.pack(">HBB", len(tracks) + 2, 1, 1) + tracks)[:length])

    def _subchannel(self, packet: bytes) -> Reply:
        self._need_medium()
        length = int.from_bytes(packet[7:9], "big")
        if not packet[2] & 0x40:
            return Reply(b"\0\x15\0\0"[:length])
        if packet[3] == 1:
            return Reply((b"\0\x15\0\x0c\1\x14\1\1" + bytes(8))[:length])
        return Reply((bytes([0, 0x15, 0, 20, packet[3]]) + bytes(19))[:length])

    def _configuration(self, packet: bytes) -> Reply:
        first, length = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[7:9], "big")
        profile = 0 if self.disk is None or self.is_open else 0x10 if self._is_dvd() else 8
        features = {
            0: struct.pack(">HBBHBBHBB", 0, 3, 8, 0x10, profile == 0x10, 0, 8, profile == 8, 0),
            1: struct.pack(">HBBII", 1, 7, 8, 2, 0),  # ATAPI
            3: struct.pack(">HBBI", 3, 3, 4, 0x29 << 24),  # tray, lock, eject
            0x10: struct.pack(">HBBIHBB", 0x10, 1, 8, SECTOR, 16, 0, 0),
            0x1E: struct.pack(">HBBI", 0x1E, 1, 4, 0),
        }
        kind = packet[1] & 3
        body = b"".join(
            data
            for number, data in features.items()
            if (number == first if kind == 2 else number >= first)
        )
        return Reply((struct.pack(">IHH", len(body) + 4, 0, profile) + body)[:length])

    def _is_dvd(self) -> bool:
        return self.sectors > _DVD_FROM

    def _event(self, packet: bytes) -> Reply:
        length = int.from_bytes(packet[7:9], "big")
        if not packet[1] & 1:
            raise SenseError(BAD_FIELD)
        if not packet[4] & 0x10:
            return Reply(b"\0\2\x80\x10"[:length])
        state = self.is_open | (self.disk is not None and not self.is_open) << 1
        event, self.event = self.event, 0
        return Reply(bytes([0, 6, 4, 0x10, event, state, 0, 0])[:length])

    def _disc_information(self, packet: bytes) -> Reply:
        self._need_medium()
        data = struct.pack(">HBBBBBBBB", 32, 0xE, 1, 1, 1, 1, 0x20, 0, 0) + bytes(24)
        return Reply(data[: int.from_bytes(packet[7:9], "big")])

    def _track_information(self, packet: bytes) -> Reply:
        sectors, length = self._need_medium(), int.from_bytes(packet[7:9], "big")
        data = struct.pack(">HBBBBBBIIII", 34, 1, 1, 0, 4, 1, 0, 0, 0, 0, 0)
        return Reply((data + struct.pack(">I", sectors) + bytes(8))[:length])

    def _mode_sense(self, packet: bytes) -> Reply:
        page, length = packet[2] & 0x3F, int.from_bytes(packet[7:9], "big")
        if packet[2] >> 6 == 3:
            raise SenseError(Sense(5, 0x39))
        status = struct.pack(
            ">BBBBBBBBHHHHBBH",
            0x2A, 18, 0x3B if self._is_dvd() else 3, 0, 0x71, 0x60, 0x29 | self.is_locked << 1, 0,
            _SPEED, 2, 512, _SPEED, 0, 0, 0,
        )  # fmt: skip
        pages = {
            1: bytes([1, 6, 0, 5, 0, 0, 0, 0]),
            0x0D: bytes([0xD, 6, 0, 0, 0, 60, 0, 75]),
            0x0E: bytes([0xE, 14, 4, 0, 0, 0, 0, 75, 1, 255, 2, 255, 0, 0, 0, 0]),
            0x2A: status,
        }
        if page != 0x3F and page not in pages:
            raise SenseError(BAD_FIELD)
        body = b"".join(pages.values()) if page == 0x3F else pages[page]
        medium = 0x70 if self.disk is None else 0x71 if self.is_open else 1
        return Reply((struct.pack(">HB5x", len(body) + 6, medium) + body)[:length])

    def _mechanism(self, packet: bytes) -> Reply:
        length = int.from_bytes(packet[8:10], "big")
        return Reply(bytes([0, self.is_open << 4, 0, 0, 0, 1, 0, 0])[:length])

    def _nothing(self, packet: bytes) -> Reply:
        return Reply()


COMMANDS: dict[int, Callable[[CdRom, bytes], Reply]] = {
    0x00: CdRom._test_ready,
    0x03: CdRom._request_sense,
    0x12: CdRom._inquiry,
    0x1B: CdRom._start_stop,
    0x1E: CdRom._lock,
    0x25: CdRom._capacity,
    0x28: CdRom._read,
    0x2B: CdRom._seek,
    0x35: CdRom._nothing,  # SYNCHRONIZE CACHE
    0x42: CdRom._subchannel,
    0x43: CdRom._toc,
    0x46: CdRom._configuration,
    0x4A: CdRom._event,
    0x4E: CdRom._nothing,  # STOP PLAY/SCAN
    0x51: CdRom._disc_information,
    0x52: CdRom._track_information,
    0x5A: CdRom._mode_sense,
    0xA8: CdRom._read,
    0xBB: CdRom._nothing,  # SET CD SPEED
    0xBD: CdRom._mechanism,
    0xBE: CdRom._read_cd,
}
