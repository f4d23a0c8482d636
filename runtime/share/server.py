"""9P2000.L server: a message in, its reply out; a fid is a path in the folder, perhaps open.

Sources: "Plan 9 manual", section 5 (9P2000), and diod's protocol.md (9P2000.L).
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from runtime.share.folder import Folder, Path, check_name
from runtime.share.messages import HEADER, Reader, attributes, qid, string

_ERROR, _VERSION = 7, b"9P2000.L"
_MAX = 512 << 10  # bytes of a message
_FIDS_MAX, _DEPTH_MAX = 65536, 256
_OPEN_MAX = 1024  # descriptors of the host that a guest may hold
_NO_FID = 0xFFFFFFFF
# Open flags of the protocol, which are those of Linux, that mean something here.
_FLAGS = os.O_ACCMODE | 0o1000 | 0o2000  # O_TRUNC, O_APPEND
_SET_MODE, _SET_SIZE = 1, 8
_SET_ACCESSED, _SET_MODIFIED, _ACCESSED_GIVEN, _MODIFIED_GIVEN = 0x10, 0x20, 0x80, 0x100
_REMOVE_DIRECTORY = 0x200
_UNLOCKED, _GRANTED = 2, 0
_MAGIC = 0x01021997  # of the file system, for statfs


@dataclass
class Fid:
    """What a guest's number stands for."""

    path: Path
    fd: int = -1
    names: list[bytes] = field(default_factory=list)  # of an open directory, read once


class Server:
    """Answers one guest's messages about one folder."""

    def __init__(self, folder: Folder) -> None:
        """Serve a folder."""
        self.folder = folder
        self.fids: dict[int, Fid] = {}
        self.size = 8192  # bytes of a message at most
        self.opened = 0

    def reset(self) -> None:
        """Close everything."""
        for fid in self.fids.values():
            self._close(fid)
        self.fids.clear()

    def answer(self, message: bytes) -> bytes:
        """Return the reply to a message."""
        if len(message) < HEADER.size:
            return self._reply(_ERROR, 0xFFFF, errno.EPROTO.to_bytes(4, "little"))
        _, kind, tag = HEADER.unpack_from(message)
        action = MESSAGES.get(kind)
        try:
            if action is None:
                raise _fail(errno.EOPNOTSUPP)
            return self._reply(kind + 1, tag, action(self, Reader(message)))
        except OSError as error:
            code = error.errno or errno.EIO
        except (ValueError, OverflowError):
            code = errno.EINVAL
        return self._reply(_ERROR, tag, code.to_bytes(4, "little"))

    def _reply(self, kind: int, tag: int, body: bytes) -> bytes:
        return HEADER.pack(HEADER.size + len(body), kind, tag) + body

    # -- fids --------------------------------------------------------------------------------------
    def _fid(self, message: Reader) -> Fid:
        fid = self.fids.get(message.u32())
        if fid is None:
            raise _fail(errno.EBADF)
        return fid

    def _add(self, number: int, path: Path) -> Fid:
        if number in self.fids or number == _NO_FID:
            raise _fail(errno.EBADF)
        if len(self.fids) >= _FIDS_MAX:
            raise _fail(errno.ENFILE)
        fid = self.fids[number] = Fid(path)
        return fid

    def _close(self, fid: Fid) -> None:
        if fid.fd >= 0:
            os.close(fid.fd)
            self.opened -= 1
            fid.fd = -1

    def _hold(self, fid: Fid, fd: int) -> os.stat_result:
        """Keep a descriptor for a fid."""
        self._close(fid)
        if self.opened >= _OPEN_MAX:
            os.close(fd)
            raise _fail(errno.EMFILE)
        fid.fd = fd
        self.opened += 1
        return os.fstat(fd)

    def _beneath(self, fid: Fid, message: Reader) -> Path:
        if len(fid.path) >= _DEPTH_MAX:
            raise _fail(errno.ENAMETOOLONG)
        return (*fid.path, check_name(message.string()))

    def _stat(self, fid: Fid) -> os.stat_result:
        return os.fstat(fid.fd) if fid.fd >= 0 else self.folder.stat(fid.path)

    def _qid(self, info: os.stat_result) -> bytes:
        return qid(info, self.folder.device)

    # -- sessions ----------------------------------------------------------------------------------
    def _version(self, message: Reader) -> bytes:
        size, version = message.u32(), message.string()
        self.reset()
        self.size = max(512, min(size, _MAX))
        known = _VERSION if version == _VERSION else b"unknown"
        return self.size.to_bytes(4, "little") + string(known)

    def _attach(self, message: Reader) -> bytes:
        self._add(message.u32(), ())
        return self._qid(self.folder.stat(()))

    def _flush(self, message: Reader) -> bytes:
        return b""  # every message is answered before the next one is read

    def _clunk(self, message: Reader) -> bytes:
        number = message.u32()
        fid = self.fids.pop(number, None)
        if fid is None:
            raise _fail(errno.EBADF)
        self._close(fid)
        return b""

    def _walk(self, message: Reader) -> bytes:
        fid, number, count = self._fid(message), message.u32(), message.u16()
        path, found = fid.path, []
        names = [message.string() for _ in range(count)]
        if fid.fd >= 0 or count > 16:
            raise _fail(errno.EINVAL)
        for name in names:
            following = path[:-1] if name == b".." else (*path, check_name(name))
            try:
                if len(following) > _DEPTH_MAX:
                    raise _fail(errno.ENAMETOOLONG)
                found.append(self._qid(self.folder.stat(following)))
            except OSError:
                if not found:
                    raise
                break
            path = following
        if len(found) == count:
            if self.fids.get(number) is fid:
                fid.path = path
            else:
                self._add(number, path)
        return len(found).to_bytes(2, "little") + b"".join(found)

    # -- files -------------------------------------------------------------------------------------
    def _unit(self) -> bytes:
        return (self.size - 24).to_bytes(4, "little")

    def _open(self, message: Reader) -> bytes:
        fid, flags = self._fid(message), message.u32()
        if fid.fd >= 0:
            raise _fail(errno.EBUSY)
        info = self._hold(fid, self.folder.open(fid.path, flags & _FLAGS))
        return self._qid(info) + self._unit()

    def _create(self, message: Reader) -> bytes:
        fid = self._fid(message)
        path, flags, mode = self._beneath(fid, message), message.u32(), message.u32()
        if fid.fd >= 0:
            raise _fail(errno.EBUSY)
        info = self._hold(fid, self.folder.create(path, flags & _FLAGS, mode))
        fid.path = path
        return self._qid(info) + self._unit()

    def _read(self, message: Reader) -> bytes:
        fid, offset, count = self._opened(message), message.u64(), message.u32()
        data = os.pread(fid.fd, min(count, self.size - 11), offset)
        return len(data).to_bytes(4, "little") + data

    def _write(self, message: Reader) -> bytes:
        fid, offset, count = self._opened(message), message.u64(), message.u32()
        return os.pwrite(fid.fd, message.raw(count), offset).to_bytes(4, "little")

    def _opened(self, message: Reader) -> Fid:
        fid = self._fid(message)
        if fid.fd < 0:
            raise _fail(errno.EBADF)
        return fid

    def _sync(self, message: Reader) -> bytes:
        os.fsync(self._opened(message).fd)
        return b""

    def _list(self, message: Reader) -> bytes:
        fid, offset, count = self._opened(message), message.u64(), message.u32()
        if not offset:
            fid.names = self.folder.names(fid.path)
        room, body = min(count, self.size - 11), b""
        for number, name in enumerate(fid.names[offset:], offset + 1):
            path = {b".": fid.path, b"..": fid.path[:-1]}.get(name, (*fid.path, name))
            try:
                entry = self._qid(self.folder.stat(path))
            except OSError:  # it has gone meanwhile
                continue
            row = entry + struct.pack("<QB", number, 4 if entry[0] & 0x80 else 0) + string(name)
            if len(body) + len(row) > room:
                break
            body += row
        return len(body).to_bytes(4, "little") + body

    # -- attributes --------------------------------------------------------------------------------
    def _getattr(self, message: Reader) -> bytes:
        return attributes(self._stat(self._fid(message)), self.folder.device)

    def _setattr(self, message: Reader) -> bytes:
        """Owners stay as they are: all that guests make is the host user's."""
        fid, valid, mode = self._fid(message), message.u32(), message.u32()
        message.raw(8)
        size = message.u64()
        times = [message.u64() for _ in range(4)]
        folder = self.folder
        folder.writes()
        if valid & _SET_MODE:
            folder.chmod(fid.path, mode)
        if valid & _SET_SIZE:
            if fid.fd >= 0:
                os.ftruncate(fid.fd, size)
            else:
                folder.truncate(fid.path, size)
        if valid & (_SET_ACCESSED | _SET_MODIFIED):
            folder.set_times(
                fid.path,
                _time(valid & _SET_ACCESSED, valid & _ACCESSED_GIVEN, times[0:2]),
                _time(valid & _SET_MODIFIED, valid & _MODIFIED_GIVEN, times[2:4]),
            )
        return b""

    def _statfs(self, message: Reader) -> bytes:
        self._fid(message)
        info = self.folder.statvfs()
        return struct.pack(
            "<IIQQQQQQI",
            _MAGIC,
            info.f_bsize,
            info.f_blocks,
            info.f_bfree,
            info.f_bavail,
            info.f_files,
            info.f_ffree,
            0,
            info.f_namemax,
        )

    def _lock(self, message: Reader) -> bytes:
        self._fid(message)
        return bytes([_GRANTED])

    def _getlock(self, message: Reader) -> bytes:
        self._fid(message)
        message.u8()
        return bytes([_UNLOCKED]) + message.raw(20) + string(message.string())

    # -- names -------------------------------------------------------------------------------------
    def _made(self, path: Path) -> bytes:
        return self._qid(self.folder.stat(path))

    def _symlink(self, message: Reader) -> bytes:
        path = self._beneath(self._fid(message), message)
        self.folder.symlink(path, message.string())
        return self._made(path)

    def _mknod(self, message: Reader) -> bytes:
        path, mode = self._beneath(self._fid(message), message), message.u32()
        if mode & 0o170000 in (0, 0o100000):
            os.close(self.folder.create(path, os.O_WRONLY, mode))
        else:
            self.folder.mkfifo(path, mode)
        return self._made(path)

    def _mkdir(self, message: Reader) -> bytes:
        path = self._beneath(self._fid(message), message)
        self.folder.mkdir(path, message.u32())
        return self._made(path)

    def _link(self, message: Reader) -> bytes:
        directory, fid = self._fid(message), self._fid(message)
        self.folder.link(fid.path, self._beneath(directory, message))
        return b""

    def _readlink(self, message: Reader) -> bytes:
        return string(self.folder.readlink(self._fid(message).path))

    def _rename(self, message: Reader) -> bytes:
        fid, directory = self._fid(message), self._fid(message)
        self._move(fid.path, self._beneath(directory, message))
        return b""

    def _renameat(self, message: Reader) -> bytes:
        old = self._beneath(self._fid(message), message)
        self._move(old, self._beneath(self._fid(message), message))
        return b""

    def _move(self, old: Path, new: Path) -> None:
        self.folder.rename(old, new)
        for fid in self.fids.values():
            if fid.path[: len(old)] == old:
                fid.path = new + fid.path[len(old) :]

    def _unlinkat(self, message: Reader) -> bytes:
        path = self._beneath(self._fid(message), message)
        self.folder.unlink(path, is_directory=bool(message.u32() & _REMOVE_DIRECTORY))
        return b""

    def _remove(self, message: Reader) -> bytes:
        number = message.u32()
        fid = self.fids.pop(number, None)
        if fid is None:
            raise _fail(errno.EBADF)
        self._close(fid)
        is_directory = self._qid(self.folder.stat(fid.path))[0] & 0x80
        self.folder.unlink(fid.path, is_directory=bool(is_directory))
        return b""


def _fail(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def _time(is_set: int, is_given: int, words: list[int]) -> int | None:
    """Return the time to set, in ns; None: stays."""
    if not is_set:
        return None
    if not is_given:
        return time.time_ns()
    return words[0] * 1_000_000_000 + words[1]


MESSAGES: dict[int, Callable[[Server, Reader], bytes]] = {
    8: Server._statfs,
    12: Server._open,
    14: Server._create,
    16: Server._symlink,
    18: Server._mknod,
    20: Server._rename,
    22: Server._readlink,
    24: Server._getattr,
    26: Server._setattr,
    40: Server._list,
    50: Server._sync,
    52: Server._lock,
    54: Server._getlock,
    70: Server._link,
    72: Server._mkdir,
    74: Server._renameat,
    76: Server._unlinkat,
    100: Server._version,
    104: Server._attach,
    108: Server._flush,
    110: Server._walk,
    116: Server._read,
    118: Server._write,
    120: Server._clunk,
    122: Server._remove,
}
