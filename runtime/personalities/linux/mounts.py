"""The guest's mount table: options in, (guest path -> host directory or synthesised tree) out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from runtime.personalities.linux.fds import FdTable
    from runtime.personalities.linux.virtual import Dir

_SYNTHETIC = (b"/proc", b"/dev", b"/sys")


class Mount:
    """One mount: a host directory (or file), or a synthesised tree when `fd` is -1."""

    __slots__ = ("fd", "guest", "host", "is_stable", "node", "prefix", "readonly")

    def __init__(
        self, guest: bytes, fd: int, readonly: bool, host: bytes = b"", node: Dir | None = None
    ) -> None:
        self.guest = guest
        self.prefix = guest if guest == b"/" else guest + b"/"
        self.fd = fd
        self.readonly = readonly
        self.host = host
        self.node = node
        self.is_stable = False  # nothing that the guest does can change what is here


class MountRequest(NamedTuple):
    """A host directory or file and where the guest sees it."""

    host: bytes
    guest: bytes
    readonly: bool


def parse_mount(text: str) -> MountRequest:
    """Read HOST[:GUEST][:ro|rw]; the default is the same path, read-only."""
    parts = text.split(":")
    readonly = True
    if len(parts) > 1 and parts[-1] in ("ro", "rw"):
        readonly = parts.pop() == "ro"
    if not 1 <= len(parts) <= 2 or not all(parts):
        raise ValueError(f"--mount {text}: expected HOST[:GUEST][:ro|rw]")
    host = os.path.realpath(os.fsencode(parts[0]))
    guest = os.fsencode(parts[1]) if len(parts) == 2 else os.path.abspath(os.fsencode(parts[0]))
    if not guest.startswith(b"/"):
        raise ValueError(f"--mount {text}: the guest path must start with /")
    if not os.path.exists(host):
        raise ValueError(f"--mount {text}: no such file or directory: {parts[0]}")
    return MountRequest(host, os.path.normpath(guest).replace(b"//", b"/"), readonly)


def is_within(path: bytes, top: bytes) -> bool:
    """Say whether *path* is *top* or below it."""
    return path == top or path.startswith(top if top == b"/" else top + b"/")


class MountTable:
    """Mounts by guest path; `gaps` are directories that exist only because something is below."""

    def __init__(self) -> None:
        self.points: dict[bytes, Mount] = {}
        self.by_length: list[Mount] = []
        self.gaps: set[bytes] = set()
        self.children: dict[bytes, set[bytes]] = {}  # directory -> names that mounts add to it

    def add(self, mount: Mount) -> None:
        """Mount over whatever the path showed before."""
        self.points[mount.guest] = mount
        self.by_length = sorted(self.points.values(), key=lambda m: -len(m.guest))
        path = mount.guest
        while path != b"/":
            parent, _, name = path.rpartition(b"/")
            parent = parent or b"/"
            self.children.setdefault(parent, set()).add(name)
            self.gaps.add(parent)
            path = parent
        self.gaps.difference_update(self.points)

    def find(self, path: bytes) -> Mount:
        """Return the mount that a canonical guest path belongs to."""
        for mount in self.by_length:
            if path.startswith(mount.prefix) or path == mount.guest:
                return mount
        raise AssertionError("no root mount")

    def add_host(self, fds: FdTable, request: MountRequest) -> Mount:
        """Mount a host file or directory."""
        fd = fds.reserve(os.open(request.host, os.O_PATH | os.O_CLOEXEC))
        mount = Mount(request.guest, fd, request.readonly, request.host)
        if request.guest in self.points:
            fds.release(self.points[request.guest].fd)
        self.add(mount)
        return mount

    def find_stable(self) -> None:
        """Mark the read-only mounts that no writable mount overlaps."""
        writable = [m.host for m in self.points.values() if m.host and not m.readonly]
        for mount in self.points.values():
            mount.is_stable = mount.readonly and not any(
                mount.host and (is_within(mount.host, host) or is_within(host, mount.host))
                for host in writable
            )


def default_requests(
    sysroot: bytes | None, program: bytes | None, cwd: bytes
) -> list[MountRequest]:
    """Choose what the guest sees besides its sysroot: the program's and the current directory."""
    requests = []
    is_cwd_shown = cwd != b"/" and not any(is_within(cwd, top) for top in _SYNTHETIC)
    if program is not None:
        # Follow the program's links too: it finds its files next to where it really is.
        for path in dict.fromkeys((os.path.abspath(program), os.path.realpath(program))):
            folder = os.path.dirname(path)
            # A system directory that the sysroot has as well must not hide the sysroot's.
            is_shown = sysroot is not None and not is_within(folder, b"/tmp")
            alone = folder == b"/" or (is_shown and os.path.lexists((sysroot or b"") + folder))
            shown = path if alone else folder
            if not (is_cwd_shown and is_within(shown, cwd)) and os.path.exists(shown):
                requests.append(MountRequest(os.path.realpath(shown), shown, True))
    if is_cwd_shown:
        requests.append(MountRequest(cwd, cwd, False))
    return requests


def describe(mounts: Iterable[Mount]) -> bytes:
    """Return the text of /proc/mounts."""
    lines = []
    for mount in sorted(mounts, key=lambda m: m.guest):
        kind = b"jitemu" if mount.fd >= 0 else mount.guest[1:].split(b"/")[0] or b"rootfs"
        mode = b"ro" if mount.readonly else b"rw"
        place = (
            mount.guest.replace(b"\\", b"\\134").replace(b" ", b"\\040").replace(b"\n", b"\\012")
        )
        lines.append(b"%s %s %s %s,nosuid,nodev 0 0\n" % (kind, place, kind, mode))
    return b"".join(lines)


def describe_info(mounts: Iterable[Mount]) -> bytes:
    """Return the text of /proc/self/mountinfo."""
    lines = []
    for number, line in enumerate(describe(mounts).splitlines(), 20):
        kind, place, _, options, *_ = line.split(b" ")
        mode = options[:2]
        top = 1 if place == b"/" else 20
        lines.append(
            b"%d %d 0:%d / %s %s - %s %s %s\n"
            % (number, top, number, place, options, kind, kind, mode)
        )
    return b"".join(lines)
