"""The cache directory: opened only where nobody else can have put native code into it.

Everything goes through descriptors of directories that were checked, so that nothing can be
swapped between the check and the use.  What cannot be used is reported once, in one line.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import re
import resource
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

DEFAULT_LIMIT = 512 << 20
TEMPORARY = ".new-"
LOCK, BUILDING = "lock", "building"  # of who writes, and of who compiles for all
VERSION_NAME = re.compile(r"v1-[0-9a-f]{32}")
FILE_NAME = re.compile(r"[a-z]+-[0-9a-f]{16}\.pack|lock|building|\.new-[0-9]+|used")
# A smaller file is copied: nothing that happens to it later can hurt. A larger one is mapped.
COPIED = 16 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_warned: set[str] = set()
_process = os.getpid()


class Unusable(Exception):  # noqa: N818 (a state of the disk)
    """The cache cannot be used; the text says what and why."""


def base() -> Path | None:
    """Return the cache directory: $JITEMU_CACHE, $XDG_CACHE_HOME/jitemu or ~/.cache/jitemu.

    None: JITEMU_CACHE=off.
    """
    named = os.environ.get("JITEMU_CACHE")
    if named == "off":
        return None
    if named:
        return Path(named).absolute()
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not home.startswith("/"):  # the specification: a relative path is to be ignored
        home = os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home).absolute() / "jitemu"


def limit() -> int:
    """Return how many bytes the cache may hold: $JITEMU_CACHE_SIZE (as 512M), else 512 MiB."""
    text = os.environ.get("JITEMU_CACHE_SIZE", "")
    if not text:
        return DEFAULT_LIMIT
    found = re.fullmatch(r"(\d+)([KMGT]?)", text.upper())
    if found is None:
        warn(f"JITEMU_CACHE_SIZE={text}: no size (as 4096, 64K, 512M or 2G)")
        return DEFAULT_LIMIT
    return int(found[1]) << " KMGT".index(found[2] or " ") * 10


def warn(text: str) -> None:
    """Tell the user, once, and not again in children of this process."""
    if text in _warned or os.getpid() != _process:
        return
    _warned.add(text)
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(f"jitemu: {text}", file=sys.stderr, flush=True)


def _judge(status: os.stat_result, path: str, *, or_root: bool = False) -> None:
    """Raise Unusable unless only this user, or root, can write what has that status."""
    if status.st_uid != os.geteuid() and not (or_root and status.st_uid == 0):
        raise Unusable(f"{path} belongs to another user: it could hold anybody's code")
    if status.st_mode & _OTHERS_WRITE:
        raise Unusable(f"{path} can be written by other users (chmod go-w makes it usable)")


def _enter(path: str, shown: str, parent: int | None, is_created: bool) -> int | None:
    try:
        fd = os.open(path, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        if error.errno == errno.ENOENT and is_created:
            _make(path, shown, parent)
            return _enter(path, shown, parent, False)
        if error.errno == errno.ENOENT:
            return None
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise Unusable(f"{shown} is not a directory, or a symbolic link") from None
        raise Unusable(f"{shown}: {error.strerror}") from None
    try:
        _judge(os.fstat(fd), shown)
    except Unusable:
        os.close(fd)
        raise
    return fd


def _make(path: str, shown: str, parent: int | None) -> None:
    try:
        if parent is None:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700, dir_fd=parent)
            # The guest's umask may have taken our own rights away.
            os.chmod(path, 0o700, dir_fd=parent)
    except OSError as error:
        raise Unusable(f"{shown}: {error.strerror}") from None


@contextlib.contextmanager
def opened(version: str | None, *, create: bool = False) -> Iterator[int | None]:
    """Open the cache directory, or one version's below it; None where there is none.

    Raises Unusable where one is there but cannot be trusted or used.
    """
    top = base()
    if top is None:
        yield None
        return
    outer = _enter(str(top), str(top), None, create)
    inner = None
    try:
        if version is None or outer is None:
            yield outer
            return
        inner = _enter(version, f"{top}/{version}", outer, create)
        yield inner
    finally:
        for fd in (inner, outer):
            if fd is not None:
                os.close(fd)


def built() -> Path:
    """Return the directory of what `jitemu cache build` made: $JITEMU_BUILT, or runtime/built."""
    named = os.environ.get("JITEMU_BUILT")
    return Path(named) if named else Path(__file__).parent.parent / "built"


@contextlib.contextmanager
def opened_built(*, create: bool = False) -> Iterator[int | None]:
    """Open the directory of what installing jitemu compiled.

    Raises Unusable where others than this user and root can write it, OSError if it cannot be made.
    """
    path = built()
    if create:
        path.mkdir(mode=0o755, exist_ok=True)
    try:
        fd = os.open(path, _DIRECTORY)
    except OSError:
        if create:
            raise
        yield None
        return
    try:
        _judge(os.fstat(fd), str(path), or_root=True)
        yield fd
    finally:
        os.close(fd)


def built_names() -> list[str]:
    """List what `jitemu cache build` made."""
    try:
        with opened_built() as folder:
            return names(folder) if folder is not None else []
    except Unusable:
        return []


@contextlib.contextmanager
def locked(folder: int, name: str = LOCK, *, wait: bool = False) -> Iterator[bool]:
    """Hold a version's lock against other processes; False if somebody has it and not *wait*."""
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.ENOLCK):
                raise
            yield False
            return
        yield True
    finally:
        os.close(fd)


def names(folder: int) -> list[str]:
    """List the cache's own files in a directory."""
    return [name for name in os.listdir(folder) if FILE_NAME.fullmatch(name)]


def read(folder: int, name: str, *, or_roots: bool = False) -> bytes | mmap.mmap | None:
    """Return a file's content, mapped if it is large; None if it is not there any more.

    Raises Unusable if somebody else can have written it.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    shown = f"cache file {name}"
    try:
        fd = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unusable(f"{shown} is a symbolic link") from None
        return None
    try:
        status = os.fstat(fd)
        _judge(status, shown, or_root=or_roots)
        if not stat.S_ISREG(status.st_mode):
            raise Unusable(f"{shown} is not a regular file")
        if status.st_size <= COPIED:
            return os.read(fd, COPIED)
        return mmap.mmap(fd, status.st_size, prot=mmap.PROT_READ)
    except OSError:
        return None
    finally:
        os.close(fd)


def write(folder: int, name: str, parts: list[bytes], *, sync: bool, mode: int = 0o600) -> None:
    """Put a file in place in one step: whoever looks sees all of it or nothing. OSError."""
    soft = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if soft != resource.RLIM_INFINITY and soft < sum(map(len, parts)):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))  # else the guest's limit would kill us
    temporary = f"{TEMPORARY}{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    fd = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        try:
            os.fchmod(fd, mode)
            for part in parts:
                view = memoryview(part)
                while view:
                    view = view[os.write(fd, view) :]
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        remove(folder, temporary)
        raise


def remove(folder: int, name: str) -> None:
    """Delete a file, if it can be deleted."""
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)
