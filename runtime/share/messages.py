"""Fields of 9P2000.L messages: numbers, strings, and qids, packed and unpacked.

Source: "Plan 9 manual", section 5 (9P2000), and diod's protocol.md (9P2000.L).
"""

from __future__ import annotations

import errno
import os
import stat
import struct

HEADER = struct.Struct("<IBH")  # size, kind, tag


class Reader:
    """Fields of one message, in order; OSError (EPROTO) where it is too short."""

    def __init__(self, data: bytes, at: int = HEADER.size) -> None:
        self.data, self.at = data, at

    def raw(self, size: int) -> bytes:
        """Return the next bytes."""
        end = self.at + size
        if end > len(self.data):
            raise OSError(errno.EPROTO, "a message that is too short")
        part, self.at = self.data[self.at : end], end
        return part

    def u8(self) -> int:
        """Return a byte."""
        return self.raw(1)[0]

    def u16(self) -> int:
        """Return 16 bits."""
        return int.from_bytes(self.raw(2), "little")

    def u32(self) -> int:
        """Return 32 bits."""
        return int.from_bytes(self.raw(4), "little")

    def u64(self) -> int:
        """Return 64 bits."""
        return int.from_bytes(self.raw(8), "little")

    def string(self) -> bytes:
        """Return a counted string."""
        return self.raw(self.u16())


def string(value: bytes) -> bytes:
    """Pack a counted string."""
    return len(value).to_bytes(2, "little") + value


def qid(info: os.stat_result, home: int) -> bytes:
    """Pack what a file is: kind, version, number; *home*: device of the shared folder."""
    kind = 0x80 if stat.S_ISDIR(info.st_mode) else 2 if stat.S_ISLNK(info.st_mode) else 0
    number = info.st_ino
    if info.st_dev != home:  # another file system that is mounted there
        number ^= (info.st_dev & 0xFFFF) << 48
    return struct.pack("<BIQ", kind, info.st_mtime_ns >> 20 & 0xFFFFFFFF, number & (1 << 64) - 1)


def attributes(info: os.stat_result, home: int) -> bytes:
    """Pack the reply to Tgetattr: all that stat(2) knows."""
    times: list[int] = []
    for ns in (info.st_atime_ns, info.st_mtime_ns, info.st_ctime_ns, 0):
        times += divmod(max(0, ns), 1_000_000_000)
    return (
        struct.pack("<Q", 0x7FF)
        + qid(info, home)
        + struct.pack("<III", info.st_mode, info.st_uid, info.st_gid)
        + struct.pack("<QQQQQ", info.st_nlink, 0, info.st_size, info.st_blksize, info.st_blocks)
        + struct.pack("<8Q", *times)
        + bytes(16)
    )
