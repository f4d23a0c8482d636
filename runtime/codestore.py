"""Compiled support code and stencils on disk, so that most runs never load LLVM.

One file per kind under the user's cache directory (XDG), named by a key of everything that the
code depends on.  A file is a digest and a marshalled payload; one that is damaged, foreign or
unreadable is ignored, and a cache that cannot be written only costs time.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import marshal
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from translator.features import llvm_features

_DIGEST = hashlib.blake2b
_DIGEST_SIZE = 32
VERSIONS_KEPT = 4  # files of one kind, for that many versions of jitemu, LLVM or Python
SAVE_EVERY = 256  # fresh stencils after which they are saved although the guest still runs


def directory() -> Path:
    """Return the cache directory: $JITEMU_CACHE, $XDG_CACHE_HOME/jitemu or ~/.cache/jitemu."""
    named = os.environ.get("JITEMU_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "jitemu"


@cache
def key() -> str:
    """Name everything that compiled code depends on: sources, LLVM, Python, host processor."""
    digest = _DIGEST(digest_size=12)
    root = Path(__file__).parent.parent
    for folder in ("translator", "runtime"):
        for path, _, names in os.walk(root / folder):
            if "personalities" in path:
                continue
            for name in sorted(names):
                if name.endswith(".py"):
                    status = os.stat(os.path.join(path, name))
                    digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    digest.update(f"{sys.version} {os.uname().machine} {_llvm_version()} ".encode())
    digest.update(llvm_features().encode())
    return digest.hexdigest()


def _llvm_version() -> str:
    """Name the installed LLVM by its library file: reading package metadata takes 15 ms."""
    from importlib.util import find_spec

    spec = find_spec("llvmlite")
    if spec is None or spec.origin is None:
        return "none"
    status = os.stat(Path(spec.origin).parent / "binding")
    return f"{spec.origin} {status.st_mtime_ns}"


def _path(kind: str) -> Path:
    return directory() / f"{kind}-{key()}.bin"


def _is_trusted(fd: int) -> bool:
    """Whether only this user can have written the file: it holds native code."""
    status = os.fstat(fd)
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def load(kind: str) -> Any:
    """Return what was saved last under *kind*, or None."""
    try:
        fd = os.open(_path(kind), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if not _is_trusted(fd):
            return None
        with open(fd, "rb", closefd=False) as file:
            data = file.read()
    except OSError:
        return None
    finally:
        os.close(fd)
    payload = data[_DIGEST_SIZE:]
    if _DIGEST(payload, digest_size=_DIGEST_SIZE).digest() != data[:_DIGEST_SIZE]:
        return None
    try:
        return marshal.loads(payload)
    except (ValueError, EOFError, TypeError):
        return None


def save(kind: str, value: Any) -> None:
    """Replace what is saved under *kind*, in one step; do nothing where that is impossible."""
    payload = marshal.dumps(value)
    path = _path(kind)
    temporary = None
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with open(fd, "wb") as file:
            file.write(_DIGEST(payload, digest_size=_DIGEST_SIZE).digest() + payload)
        os.replace(temporary, path)
        temporary = None
        _drop_old(kind)
    except OSError:
        pass
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _drop_old(kind: str) -> None:
    """Delete the files of versions that have not been used for longest."""
    files = sorted(directory().glob(f"{kind}-*.bin"), key=lambda p: p.stat().st_mtime)
    for path in files[:-VERSIONS_KEPT]:
        for old in (path, path.with_suffix(".lock")):
            with contextlib.suppress(OSError):
                old.unlink()


@contextlib.contextmanager
def locked(kind: str) -> Any:
    """Hold a lock against other processes that would save the same kind."""
    fd = -1
    try:
        path = _path(kind)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
    except OSError:
        pass
    try:
        yield
    finally:
        if fd >= 0:
            os.close(fd)


def support_code() -> tuple[Any, ...]:
    """Return the native support routines, linked: (code, symbols, relocations, faults)."""
    found = load("support")
    if found is None:
        from runtime import nativecode
        from translator.tiers import backend, elf

        obj = elf.parse(backend.compile_object(nativecode.text(), reloc="pic"))
        (section,) = obj.sections.values()
        found = (
            section.code,
            {name: offset for name, (_, offset, _) in obj.symbols.items()},
            [(r.offset, r.symbol, r.addend) for r in section.relocs],
            [(f.access, f.recovery, f.pc_value) for f in section.faults],
        )
        save("support", found)
    return tuple(found)


def load_stencils() -> None:
    """Make the stencils of earlier runs known."""
    from translator.tiers.store import STORE

    STORE.source = (load("stencils") or {}).get


def save_stencils() -> None:
    """Add what this process compiled to the file."""
    from translator.tiers.store import STORE, plain

    fresh = STORE.take_fresh()
    if not fresh:
        return
    with locked("stencils"):
        known = load("stencils") or {}
        known.update({plain(request): plain(stencil) for request, (stencil, _) in fresh.items()})
        save("stencils", known)
