"""`jitemu cache`: what earlier runs compiled, kept in the user's cache directory."""

from __future__ import annotations

from collections.abc import Sequence

from jitemu.complain import complain

USAGE = """\
usage: jitemu cache info     where the cache is, what it holds
       jitemu cache clear    remove it; later runs compile again what they need

The directory is $JITEMU_CACHE, $XDG_CACHE_HOME/jitemu or ~/.cache/jitemu; JITEMU_CACHE=off: none.
It holds at most $JITEMU_CACHE_SIZE bytes (512M); what was not used for longest goes first.
"""


def cache(words: Sequence[str]) -> int:
    """Show or clear the cache."""
    if list(words) in (["-h"], ["--help"]):
        print(USAGE, end="", flush=True)
        return 0
    if len(words) != 1 or words[0] not in ("info", "clear"):
        complain("cache: say info or clear (see jitemu cache --help)")
        return 2
    from runtime.store.place import Unusable

    try:
        return _info() if words[0] == "info" else _clear()
    except Unusable as error:
        complain(f"cache: {error}")
        return 1
    except OSError as error:
        complain(f"cache: {error.filename or ''}: {error.strerror or error}")
        return 1


def _info() -> int:
    from runtime import codestore
    from runtime.store import disk, place, version

    files = [f for f in disk.survey() if f.is_pack]
    mine = [f for f in files if f.folder == version.current().folder]
    print(f"directory  {place.base() or 'none: JITEMU_CACHE=off'}")
    print(f"version    {version.current().folder}")
    print(f"size       {_size(files)} bytes in {len(files)} packs, of at most {place.limit()}")
    print(f"in use     {_size(mine)} bytes in {len(mine)} packs")
    others = len({f.folder for f in files} - {version.current().folder})
    print(f"others     {_size(files) - _size(mine)} bytes of {others} other versions or hosts")
    for library in (codestore.STENCIL_PACKS, codestore.REGION_PACKS):
        library.open()
        count, insns = library.totals()
        print(f"{library.kind:<10} {count} ({insns} insns)", flush=True)
    return 0


def _size(files: Sequence[tuple[str, str, int, float]]) -> int:
    return sum(size for _, _, size, _ in files)


def _clear() -> int:
    from runtime.store import disk, place

    files = disk.clear()
    print(f"removed {len(files)} files, {_size(files)} bytes, from {place.base()}", flush=True)
    return 0
