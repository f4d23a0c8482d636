"""`jitemu cache`: what earlier runs compiled, kept in the user's cache directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jitemu.complain import complain

USAGE = """\
usage: jitemu cache info     where the cache is, what it holds
       jitemu cache clear    remove it; later runs compile again what they need

The directory is $JITEMU_CACHE, $XDG_CACHE_HOME/jitemu or ~/.cache/jitemu.
"""


def cache(words: Sequence[str]) -> int:
    """Show or clear the cache."""
    if list(words) in (["-h"], ["--help"]):
        print(USAGE, end="", flush=True)
        return 0
    if len(words) != 1 or words[0] not in ("info", "clear"):
        complain("cache: say info or clear (see jitemu cache --help)")
        return 2
    from runtime import codestore

    directory = codestore.directory()
    return _info(directory, codestore.key()) if words[0] == "info" else _clear(directory)


def _files(directory: Path) -> list[Path]:
    names = ("support-*", "stencils-*", ".new-*")
    return sorted(path for name in names for path in directory.glob(name) if path.is_file())


def _info(directory: Path, key: str) -> int:
    files = _files(directory)
    current = [path for path in files if key in path.name]
    print(f"directory  {directory}")
    print(f"size       {_size(files)} bytes in {len(files)} files")
    print(f"in use     {_size(current)} bytes (the rest is of other versions or machines)")
    known = _stencils() if current else 0
    print(f"stencils   {known}", flush=True)
    return 0


def _size(files: list[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def _stencils() -> int:
    from runtime import codestore

    return len(codestore.load("stencils") or {})


def _clear(directory: Path) -> int:
    files = _files(directory)
    size = _size(files)
    try:
        for path in files:
            path.unlink(missing_ok=True)
    except OSError as error:
        complain(f"cache: {error.filename}: {error.strerror}")
        return 1
    print(f"removed {len(files)} files, {size} bytes, from {directory}", flush=True)
    return 0
