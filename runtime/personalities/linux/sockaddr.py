"""Socket addresses and families: who may use which, and AF_UNIX paths through the vfs."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from runtime.personalities.linux import defs

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

AF_UNSPEC, AF_UNIX = 0, 1
_AT_FDCWD = -100
_PATH_MAX = 108
_MAX_ADDRESS = 128
EROFS, EADDRINUSE, ECONNREFUSED, ENAMETOOLONG = 30, 98, 111, 36
_PROC = b"/proc/self/fd/"


def check_family(t: Thread, family: int) -> None:
    """Raise EACCES for families that leave the machine or the file tree, unless `--net host`."""
    if family == AF_UNIX or t.process.options.net == "host":
        return
    t.process.report.unsupported(f"socket family {family} (--net host allows it)")
    raise OSError(defs.EACCES, "no network")


def read(t: Thread, address: int, size: int) -> bytes:
    """Read a socket address of the guest."""
    if size > _MAX_ADDRESS:
        raise OSError(defs.EINVAL, "address too long")
    data: bytes = t.mem.read(address, size)
    return data


def _unix_path(data: bytes) -> bytes | None:
    """Return the path of an AF_UNIX address; None for other families, unnamed or abstract ones."""
    if len(data) <= 2 or struct.unpack_from("<H", data)[0] != AF_UNIX or data[2] == 0:
        return None
    return data[2:].split(b"\0")[0]


def _is_abstract(data: bytes) -> bool:
    return len(data) > 2 and struct.unpack_from("<H", data)[0] == AF_UNIX and data[2] == 0


class HostAddress:
    """A guest's address in host form, valid inside a `with`; a path goes through a descriptor."""

    def __init__(self, t: Thread, data: bytes, *, create: bool = False) -> None:
        self.vfs = t.process.vfs
        self.data = data
        self.create = create
        self.fd = -1
        if _is_abstract(data) and t.process.options.net != "host" and not self.vfs.host_fs:
            # Abstract names reach every program of the machine.
            raise OSError(defs.EACCES if create else ECONNREFUSED, "abstract socket name")
        if len(data) >= 2:
            family: int = struct.unpack_from("<H", data)[0]
            if family != AF_UNSPEC:
                check_family(t, family)

    def __enter__(self) -> bytes:
        """Resolve the path and return the address for the host call."""
        path = _unix_path(self.data)
        if path is None or self.vfs.host_fs:
            return self.data
        if self.create:
            with self.vfs.parent(_AT_FDCWD, path) as place:
                if place.mount is None or place.fd < 0 or place.entry is not None:
                    raise OSError(EROFS, "synthesised directory")
                if place.mount.readonly:
                    raise OSError(EROFS, "read-only")
                self.fd = self.vfs.fds.reserve_copy(place.fd)
                host_path = _PROC + b"%d/" % self.fd + place.name
            host_names[host_path] = path
        else:
            with self.vfs.node(_AT_FDCWD, path) as place:
                if place.fd < 0:
                    raise OSError(ECONNREFUSED, "not a socket")
                self.fd = self.vfs.fds.reserve_copy(place.fd)
                host_path = _PROC + b"%d" % self.fd
        if len(host_path) >= _PATH_MAX:
            raise OSError(ENAMETOOLONG, "socket path")
        return struct.pack("<H", AF_UNIX) + host_path + b"\0"

    def __exit__(self, *_: object) -> None:
        """Release the descriptor."""
        if self.fd >= 0:
            self.vfs.fds.release(self.fd)


host_names: dict[bytes, bytes] = {}  # names bound on the host -> what the guest called them


def to_guest(data: bytes) -> bytes:
    """Convert an address from the host: show the guest's own name for an AF_UNIX path."""
    path = _unix_path(data)
    if path is None or not path.startswith(_PROC):
        return data
    # A socket that another process bound is known by its last name only.
    name = host_names.get(path, os.path.basename(path))
    return struct.pack("<H", AF_UNIX) + name + b"\0"


def write(t: Thread, address: int, size_at: int, data: bytes) -> None:
    """Write an address to the guest, cut to its buffer, and its true size."""
    if not address and not size_at:
        return
    data = to_guest(data)
    room = struct.unpack("<i", t.mem.read(size_at, 4))[0]
    if room < 0:
        raise OSError(defs.EINVAL, "negative size")
    t.mem.write(address, data[:room])
    t.mem.put_u32(size_at, len(data))
