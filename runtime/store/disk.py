"""The whole cache directory, of all versions: what is there, and what must go."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import NamedTuple

from runtime.store import place

VERSIONS_KEPT = 4


class File(NamedTuple):
    """A file of the cache."""

    folder: str  # its version's directory
    name: str
    size: int
    used: float  # when it was last known to be used, seconds since the epoch

    @property
    def is_pack(self) -> bool:
        """Whether it holds compiled code."""
        return self.name.endswith(".pack")


def survey() -> list[File]:
    """List the files of all versions; Unusable where the directory cannot be trusted."""
    found: list[File] = []
    with place.opened(None) as top:
        for folder in _versions(top) if top is not None else ():
            fd = _inner(top, folder)
            if fd is None:
                continue
            try:
                for name in place.names(fd):
                    with contextlib.suppress(FileNotFoundError):
                        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                        found.append(File(folder, name, status.st_size, status.st_mtime))
            finally:
                os.close(fd)
    return found


def _versions(top: int) -> list[str]:
    return sorted(name for name in os.listdir(top) if place.VERSION_NAME.fullmatch(name))


def _inner(top: int | None, folder: str) -> int | None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(folder, flags, dir_fd=top)
    except OSError:
        return None
    if os.fstat(fd).st_uid != os.geteuid() or not stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    return fd


def evict(limit: int) -> list[File]:
    """Delete what was not used for longest until the rest fits; return what was deleted."""
    files = survey()
    packs = sorted((f for f in files if f.is_pack), key=lambda f: f.used)
    newest = {f.folder: f.used for f in packs}  # in order: the last one wins
    kept = sorted(newest, key=newest.__getitem__)[-VERSIONS_KEPT:]
    total = sum(f.size for f in packs)
    gone = []
    for file in packs:
        if file.folder in kept and total <= limit:
            continue
        gone.append(file)
        total -= file.size
    delete(gone)
    left = {f.folder for f in packs} - {f.folder for f in gone if f.folder not in kept}
    _remove_folders({f.folder for f in gone} - left, files)
    return gone


def delete(files: list[File]) -> None:
    """Delete files, as far as they can be deleted."""
    with place.opened(None) as top:
        for folder in {f.folder for f in files} if top is not None else ():
            fd = _inner(top, folder)
            if fd is None:
                continue
            for file in files:
                if file.folder == folder:
                    place.remove(fd, file.name)
            os.close(fd)


def clear() -> list[File]:
    """Delete everything, whatever its version; return it. OSError or Unusable if that fails."""
    files = survey()
    delete(files)
    _remove_folders({f.folder for f in files}, files)
    with place.opened(None) as top:
        for folder in _versions(top) if top is not None else ():
            with contextlib.suppress(OSError):
                os.rmdir(folder, dir_fd=top)
    left = [f for f in survey() if f.is_pack and f in files]
    if left:
        raise OSError(f"{left[0].name} cannot be deleted")
    return files


def _remove_folders(folders: set[str], files: list[File]) -> None:
    """Remove the directories of versions that are not used any more."""
    delete([f for f in files if f.folder in folders and not f.is_pack])
    with place.opened(None) as top:
        for folder in folders if top is not None else ():
            with contextlib.suppress(OSError):
                os.rmdir(folder, dir_fd=top)
