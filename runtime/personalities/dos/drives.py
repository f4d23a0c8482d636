"""Drives: host directories as DOS sees them. DOS paths in, confined host descriptors out.

The host never follows anything that leads out of a drive's directory (openat2, RESOLVE_BENEATH);
what is neither a file nor a directory is not there.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from runtime.personalities.dos import clockwork, names
from runtime.personalities.dos.errors import (
    ACCESS_DENIED,
    FILE_EXISTS,
    FILE_NOT_FOUND,
    IS_CURRENT,
    NO_MORE_FILES,
    PATH_NOT_FOUND,
    WRITE_PROTECTED,
    CriticalError,
    DosError,
    of_host,
)
from runtime.personalities.linux.openat2 import confined_open

READ_ONLY, HIDDEN, SYSTEM, VOLUME, DIRECTORY, ARCHIVE = 1, 2, 4, 8, 16, 32
_KEPT = HIDDEN | SYSTEM | ARCHIVE  # attributes that the host has no place for
_OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NOT_FILE = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # nothing happens if it is none
Path = tuple[bytes, ...]  # DOS names from a drive's root on


class Entry(NamedTuple):
    """What a directory holds."""

    name: bytes  # 8.3, capitals
    attributes: int
    size: int
    date: int
    time: int

    @property
    def eleven(self) -> bytes:
        """The name as eleven bytes."""
        return names.padded(self.name)


class Drive:
    """A host directory."""

    def __init__(self, root: str, *, is_read_only: bool = False, label: bytes = b"") -> None:
        """Open a directory; OSError."""
        self.root = os.path.realpath(root)
        self.fd = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.is_read_only, self.label = is_read_only, label
        self.serial = os.fstat(self.fd).st_ino & 0xFFFFFFFF
        self.current: Path = ()
        self.number = 2  # letter: 0 is A:
        self._names: dict[tuple[int, int], names.Names] = {}
        self._kept: dict[tuple[int, int], int] = {}  # file -> attributes that the host has not

    def close(self) -> None:
        """Give the directory back."""
        os.close(self.fd)

    # -- paths -------------------------------------------------------------------------------------
    def _open(self, path: bytes, flags: int, mode: int = 0) -> int:
        fd = confined_open(self.fd, path or b".", flags, mode)
        if fd < 0:
            raise OSError(-fd, os.strerror(-fd))
        return fd

    def _read_names(self, fd: int) -> names.Names:
        """Return the names in an open directory."""
        about = os.fstat(fd)
        known = self._names.setdefault((about.st_dev, about.st_ino), names.Names())
        stamp = (about.st_mtime_ns, about.st_ctime_ns, about.st_nlink)
        if known.stamp != stamp or about.st_mtime_ns > _recently():
            known.update(os.fsencode(name) for name in os.listdir(fd))
            known.stamp = stamp
        return known

    @contextlib.contextmanager
    def directory(self, path: Path) -> Iterator[tuple[int, names.Names]]:
        """Open a directory for a while: its descriptor and names. DosError if there is none."""
        try:
            fd = self._open(self.host_path(path), _OPEN_DIR)
        except OSError as error:
            code = of_host(error)
            raise DosError(PATH_NOT_FOUND if code == FILE_NOT_FOUND else code) from None
        try:
            yield fd, self._read_names(fd)
        finally:
            os.close(fd)

    def host_path(self, path: Path) -> bytes:
        """Return the host's path of directories below the root; DosError if one is not there."""
        host: list[bytes] = []
        for name in path:
            try:
                fd = self._open(b"/".join(host), _OPEN_DIR)
            except OSError:
                raise DosError(PATH_NOT_FOUND) from None
            try:
                found = self._read_names(fd).of_short.get(name)
            finally:
                os.close(fd)
            if found is None:
                raise DosError(PATH_NOT_FOUND)
            host.append(found)
        return b"/".join(host)

    def exists(self, path: Path) -> bool:
        """Whether there is such a directory."""
        try:
            with self.directory(path):
                return True
        except DosError:
            return False

    # -- contents ----------------------------------------------------------------------------------
    def _status(self, fd: int, host: bytes) -> os.stat_result | None:
        """Look at something in an open directory, links followed; None if it is not shown."""
        try:
            about = os.stat(host, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISLNK(about.st_mode):
                there = os.fsencode(os.readlink(f"/proc/self/fd/{fd}"))
                inside = os.path.relpath(there + b"/" + host, os.fsencode(self.root))
                link = self._open(inside, os.O_PATH | os.O_CLOEXEC)
                try:
                    about = os.fstat(link)
                finally:
                    os.close(link)
        except OSError:
            return None
        return about if stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode) else None

    def _entry(self, name: bytes, host: bytes, about: os.stat_result) -> Entry:
        date, clock = clockwork.packed(about.st_mtime)
        is_directory = stat.S_ISDIR(about.st_mode)
        size = 0 if is_directory else min(about.st_size, 0xFFFFFFFF)
        return Entry(name, self._attributes(host, about), size, date, clock)

    def _attributes(self, host: bytes, about: os.stat_result) -> int:
        found = DIRECTORY if stat.S_ISDIR(about.st_mode) else 0
        usual = (HIDDEN if host[:1] == b"." else 0) | (0 if found else ARCHIVE)
        kept = self._kept.get((about.st_dev, about.st_ino), usual)
        return kept | found | (0 if about.st_mode & 0o200 else READ_ONLY)

    def entries(self, path: Path) -> list[Entry]:
        """Return all entries of a directory in order of their names; DosError."""
        with self.directory(path) as (fd, known):
            found = []
            for short, host in sorted(known.of_short.items()):
                about = self._status(fd, host)
                if about is not None:
                    found.append(self._entry(short, host, about))
            if path:
                about = os.fstat(fd)
                dots = self._entry(b".", b"", about), self._entry(b"..", b"", about)
                found = [*dots, *found]
            return found

    def entry(self, path: Path) -> Entry:
        """Return the entry of a file or directory; DosError."""
        with self._parent(path) as (fd, known):
            host = known.of_short.get(path[-1])
            about = None if host is None else self._status(fd, host)
            if host is None or about is None:
                raise DosError(FILE_NOT_FOUND)
            return self._entry(path[-1], host, about)

    @contextlib.contextmanager
    def _parent(self, path: Path) -> Iterator[tuple[int, names.Names]]:
        """Open the directory that a path is in; host errors become DosError."""
        if not path:
            raise DosError(ACCESS_DENIED)
        with self.directory(path[:-1]) as found:
            try:
                yield found
            except OSError as error:
                raise DosError(of_host(error)) from None

    def _writable(self) -> None:
        if self.is_read_only:
            raise CriticalError(WRITE_PROTECTED, self.number)

    # -- files -------------------------------------------------------------------------------------
    def open(self, path: Path, flags: int) -> int:
        """Open a file that exists, with os.O_* flags: a host descriptor. DosError."""
        if flags & (os.O_ACCMODE | os.O_TRUNC):
            self._writable()
        with self._parent(path) as (_, known):
            host = known.of_short.get(path[-1])
            if host is None:
                raise DosError(FILE_NOT_FOUND)
            parent = self.host_path(path[:-1])
            return self._regular(parent + b"/" + host if parent else host, flags)

    def _regular(self, host: bytes, flags: int, mode: int = 0) -> int:
        fd = self._open(host, flags & ~os.O_TRUNC | _NOT_FILE, mode)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise DosError(ACCESS_DENIED)
        if flags & os.O_TRUNC:
            os.ftruncate(fd, 0)
        return fd

    def create(
        self, path: Path, attributes: int = 0, *, is_new: bool = False, long: bytes = b""
    ) -> int:
        """Create or truncate a file: a host descriptor. *is_new*: DosError if it exists.

        *long*: what it is called if it is made.
        """
        self._writable()
        with self._parent(path) as (_, known):
            host = known.of_short.get(path[-1])
            if host is not None:
                if is_new:
                    raise DosError(FILE_EXISTS)
                if self.entry(path).attributes & (READ_ONLY | DIRECTORY):
                    raise DosError(ACCESS_DENIED)
            parent = self.host_path(path[:-1])
            name = _host_name(path[-1], long) if host is None else host
            flags = os.O_RDWR | os.O_CREAT | (os.O_EXCL if host is None else os.O_TRUNC)
            fd = self._regular(parent + b"/" + name if parent else name, flags, 0o666 & ~_umask())
            self._keep(fd, attributes | ARCHIVE)
            return fd

    def _keep(self, fd: int, attributes: int) -> None:
        """Give an open file its DOS attributes."""
        about = os.fstat(fd)
        self._kept[about.st_dev, about.st_ino] = attributes & _KEPT
        mode = about.st_mode & 0o7777
        wanted = mode & ~0o222 if attributes & READ_ONLY else mode | 0o200
        if wanted != mode:
            os.fchmod(fd, wanted)

    def set_attributes(self, path: Path, attributes: int) -> None:
        """Change a file's or directory's attributes; DosError."""
        self._writable()
        fd = self._descriptor(path)
        try:
            if os.fstat(fd).st_mode & stat.S_IFDIR and attributes & READ_ONLY:
                raise DosError(ACCESS_DENIED)
            self._keep(fd, attributes)
        except OSError as error:
            raise DosError(of_host(error)) from None
        finally:
            os.close(fd)

    def _descriptor(self, path: Path) -> int:
        """Open a file or directory to look at it or change what is known of it."""
        entry = self.entry(path)
        if not entry.attributes & DIRECTORY:
            return self.open(path, os.O_RDONLY)
        try:
            return self._open(self.host_path(path), _OPEN_DIR)
        except OSError as error:
            raise DosError(of_host(error)) from None

    def remove(self, path: Path) -> None:
        """Delete a file; DosError."""
        self._writable()
        if self.entry(path).attributes & (READ_ONLY | DIRECTORY):
            raise DosError(ACCESS_DENIED)
        with self._parent(path) as (fd, known):
            os.unlink(known.of_short[path[-1]], dir_fd=fd)

    def make_directory(self, path: Path, long: bytes = b"") -> None:
        """Make a directory, maybe with a long name; DosError."""
        self._writable()
        with self._parent(path) as (fd, known):
            if path[-1] in known.of_short:
                raise DosError(ACCESS_DENIED)
            os.mkdir(_host_name(path[-1], long), dir_fd=fd)

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory; DosError."""
        self._writable()
        if self.current == path:
            raise DosError(IS_CURRENT)
        with self._parent(path) as (fd, known):
            host = known.of_short.get(path[-1])
            if host is None:
                raise DosError(PATH_NOT_FOUND)
            os.rmdir(host, dir_fd=fd)

    def rename(self, old: Path, new: Path, long: bytes = b"") -> None:
        """Give a file or directory another name on this drive, maybe a long one; DosError."""
        self._writable()
        with self._parent(old) as (fd, known), self._parent(new) as (to, others):
            host = known.of_short.get(old[-1])
            if host is None:
                raise DosError(FILE_NOT_FOUND)
            there = others.of_short.get(new[-1])
            wanted = _host_name(new[-1], long)
            is_itself = there == host and old[:-1] == new[:-1]  # of which the case may change
            if there is not None and not (long and is_itself and there != wanted):
                raise DosError(ACCESS_DENIED)
            os.rename(host, wanted, src_dir_fd=fd, dst_dir_fd=to)

    def space(self) -> tuple[int, int]:
        """Return bytes free and in all."""
        about = os.fstatvfs(self.fd)
        return about.f_bavail * about.f_frsize, about.f_blocks * about.f_frsize

    def long_path(self, path: Path) -> Path:
        """Return the long names of a path whose directories exist."""
        found: list[bytes] = []
        for i, name in enumerate(path):
            with self.directory(path[:i]) as (_, known):
                host = known.of_short.get(name)
                found.append(name if host is None else known.long(host))
        return tuple(found)

    def short_name(self, path: Path, long: bytes) -> bytes | None:
        """Return the short name of what is in a directory; None if it is not there. DosError."""
        with self.directory(path) as (_, known):
            host = known.find_long(long)
            return None if host is None else known.of_host[host]

    def status(self, path: Path) -> os.stat_result:
        """Return what the host says about a file or directory; DosError."""
        if not path:
            return os.fstat(self.fd)
        with self._parent(path) as (fd, known):
            host = known.of_short.get(path[-1])
            about = None if host is None else self._status(fd, host)
            if about is None:
                raise DosError(FILE_NOT_FOUND)
            return about

    def set_times(self, path: Path, access: float | None, write: float | None) -> None:
        """Let a file or directory have been read, or written, at a time (Unix); DosError."""
        self._writable()
        fd = self._descriptor(path)
        try:
            about = os.fstat(fd)
            times = (
                about.st_atime if access is None else access,
                about.st_mtime if write is None else write,
            )
            os.utime(fd, times)
        except OSError as error:
            raise DosError(of_host(error)) from None
        finally:
            os.close(fd)

    def search(self, path: Path, template: bytes, attributes: int) -> list[Entry]:
        """Return what find first and find next give: entries that fit eleven bytes.

        *attributes* is what they may have besides; with VOLUME alone only the label. DosError.
        """
        found = []
        if attributes & VOLUME and not path:
            label = self.label[:11].ljust(11)
            if self.label and names.matches(template, label):
                text = (
                    self.label if len(self.label) <= 8 else self.label[:8] + b"." + self.label[8:]
                )
                found.append(Entry(text, VOLUME, 0, 0x21, 0))
        if attributes & 0x3F != VOLUME:
            unwanted = (HIDDEN | SYSTEM | DIRECTORY) & ~attributes
            found += [
                entry
                for entry in self.entries(path)
                if not entry.attributes & unwanted and names.matches(template, entry.eleven)
            ]
        if not found:
            raise DosError(NO_MORE_FILES)
        return found


def _host_name(short: bytes, long: bytes) -> bytes:
    """Return the host's name for something new; DosError if DOS allows no such name."""
    if long:
        if not names.is_long(long):
            raise DosError(PATH_NOT_FOUND)
        if names.is_device(names.upper(long)):
            raise DosError(ACCESS_DENIED)
        return names.to_host(long)
    if not names.is_short(short) or names.is_device(short):
        raise DosError(ACCESS_DENIED)
    return names.to_host(short)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _recently() -> int:
    """Return a time (ns) after which a directory may have changed again without a new stamp."""
    import time

    return time.time_ns() - 50_000_000
