"""`jitemu cache`: what earlier runs compiled, kept in the user's cache directory."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from jitemu.complain import complain

USAGE = """\
usage: jitemu cache info                                where it is, what it holds
       jitemu cache clear                               remove it; later runs compile again
       jitemu cache warm [-L DIR] [-j N] PROGRAM [ARGS...]
                                                        compile ahead what a program needs
       jitemu cache build [-j N]                        compile what most programs need into the
                                                        installation, which clear leaves alone
       jitemu cache export FILE                         copy it to a tar file
       jitemu cache import FILE                         add an export of the same version

The directory is $JITEMU_CACHE, $XDG_CACHE_HOME/jitemu or ~/.cache/jitemu; JITEMU_CACHE=off: none.
It holds at most $JITEMU_CACHE_SIZE bytes (512M); what was not used for longest goes first.
Only what nobody but you can write is used: it holds native code. Import only what you trust.

examples:
  jitemu cache warm -L ~/i386 /usr/bin/perl
  jitemu cache export jitemu.tar && scp jitemu.tar twin: && ssh twin jitemu cache import jitemu.tar
"""
_ANY = range(1, 1 << 20)
_ARGUMENTS = {
    "info": (0,),
    "clear": (0,),
    "warm": _ANY,
    "build": range(3),
    "export": (1,),
    "import": (1,),
}


def cache(words: Sequence[str]) -> int:
    """Show, clear, fill or carry the cache."""
    if list(words) in (["-h"], ["--help"]):
        print(USAGE, end="", flush=True)
        return 0
    name, *rest = words or [""]
    if name not in _ARGUMENTS or len(rest) not in _ARGUMENTS[name]:
        complain("cache: say info, clear, warm, build, export or import (see jitemu cache --help)")
        return 2
    from runtime.store.archive import BadArchive
    from runtime.store.place import Unusable

    try:
        return _run(name, rest)
    except BadArchive as error:
        complain(f"cache import: {rest[0]}: {error}")
        return 1
    except Unusable as error:
        complain(f"cache: {error}")
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        complain(f"cache: {where}{error.strerror or error}")
        return 1


def _run(name: str, rest: list[str]) -> int:
    if name == "info":
        return _info()
    if name == "clear":
        return _clear()
    if name in ("warm", "build"):
        from jitemu import warm
        from jitemu.options import UsageError

        try:
            return warm.warm(rest) if name == "warm" else warm.build(rest)
        except UsageError as error:
            complain(f"cache {name}: {error} (see jitemu cache {name} --help)")
            return 2
    return _export(rest[0]) if name == "export" else _import(rest[0])


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
        print(f"{library.kind:<10} {count} ({insns} insns)")
    programs = {kind for f in mine if codestore.is_image(kind := f.name.partition("-")[0])}
    print(f"images     of what {len(programs)} programs need")
    built = sum(pack.count for pack in codestore.STENCIL_PACKS.built)
    print(f"built in   {built} stencils, by the installation (jitemu cache build)", flush=True)
    return 0


def _size(files: Sequence[tuple[str, str, int, float]]) -> int:
    return sum(size for _, _, size, _ in files)


def _clear() -> int:
    from runtime.store import disk, place

    files = disk.clear()
    print(f"removed {len(files)} files, {_size(files)} bytes, from {place.base()}", flush=True)
    return 0


def _export(path: str) -> int:
    from runtime import codestore
    from runtime.store import archive

    temporary = f"{path}.part"
    with open(temporary, "wb") as file:
        try:
            counts = archive.export(file, codestore.libraries())
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    print(f"{path}: {_text(counts)}, {os.path.getsize(path)} bytes", flush=True)
    return 0


def _import(path: str) -> int:
    from runtime import codestore
    from runtime.store import archive, place

    if os.path.exists(path) and not os.path.isfile(path):
        raise archive.BadArchive("it is no file")  # opening a pipe would wait for ever
    if place.base() is None:
        raise place.Unusable("JITEMU_CACHE=off: there is nothing to import to")
    with open(path, "rb") as file:
        counts = archive.load(file, codestore.library, place.limit())
    print(f"{path}: {_text(counts)} are in the cache", flush=True)
    return 0


def _text(counts: Mapping[str, int]) -> str:
    """Say what an archive holds."""
    from runtime import codestore

    programs = sum(map(codestore.is_image, counts))
    stencils, regions = counts.get("stencils", 0), counts.get("regions", 0)
    return f"{stencils} stencils, {regions} regions, images of {programs} programs"
