"""The version key: everything that compiled code depends on besides what it was compiled from.

Two installations of one version on hosts with the same processor features have the same key.
"""

from __future__ import annotations

import os
import sys
from _blake2 import blake2b  # hashlib would load OpenSSL
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from translator.features import llvm_features

_ROOT = Path(__file__).parent.parent.parent
# Where IR and host code come from; the rest of the runtime only places it.
_NATIVE = ("base", "code", "serve", "signals", "x87")
_DEVICES = ("counter", "vgaplanes", "vgaregisters", "vgastate")  # codestore.compiled_parts
_SOURCES = (
    "translator",
    *(f"runtime/native{part}.py" for part in (*_NATIVE, "clock")),
    *(f"runtime/devices/{name}.py" for name in _DEVICES),
)


class Version(NamedTuple):
    """What must agree for compiled code to be exchanged."""

    sources: str  # digest of the translator's source text
    llvm: str
    python: str  # of the marshal format
    host: str
    features: str

    def digest(self) -> bytes:
        """Return the 16 bytes that name this version."""
        return blake2b("\n".join(self).encode(), digest_size=16).digest()

    @property
    def folder(self) -> str:
        """The name of its directory in the cache."""
        return f"v1-{self.digest().hex()}"


@cache
def current() -> Version:
    """Return the version that runs."""
    return Version(
        _sources(),
        _llvm(),
        f"{sys.version_info.major}.{sys.version_info.minor}",
        os.uname().machine,
        llvm_features(),
    )


def files() -> list[str]:
    """Return the files that compiled code depends on."""
    found = []
    for name in _SOURCES:
        top = os.path.join(_ROOT, name)
        found += sorted(_python_files(top)) if os.path.isdir(top) else [top]
    return found


def _sources() -> str:
    digest = blake2b(digest_size=16)
    for path in files():
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, 1 << 24)
        finally:
            os.close(fd)
        digest.update(f"{os.path.relpath(path, _ROOT)} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()


def _python_files(folder: str) -> list[str]:
    found = []
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            found += _python_files(entry.path)
        elif entry.name.endswith(".py"):
            found.append(entry.path)
    return found


def _llvm() -> str:
    """Name the installed LLVM by llvmlite's version file: importing it takes 130 ms."""
    spec = find_spec("llvmlite")
    if spec is None or spec.origin is None:
        return "none"
    text = (Path(spec.origin).parent / "_version.py").read_bytes()
    return blake2b(text, digest_size=8).hexdigest()
