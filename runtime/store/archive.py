"""The compiled code of one version <-> a tar file, to be carried to another installation.

An archive holds a manifest, which says what must agree, and one pack for each kind.  Nothing in it
is ever extracted by name: packs are read, verified record by record, and added to the cache.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from runtime.store import version
from runtime.store.library import Library
from runtime.store.pack import Damaged, Pack, encode

_MANIFEST = "manifest.json"
_MANIFEST_SIZE = 1 << 16
_SUFFIX = ".pack"
_FORMAT = 1
_WHAT = {
    "sources": "another version of jitemu",
    "llvm": "another version of LLVM",
    "python": "another version of Python",
    "host": "another host architecture",
    "features": "a processor with other features",
}
Counts = dict[str, int]  # kind -> records
Find = Callable[[str], Library | None]


class BadArchive(Exception):  # noqa: N818 (the user's file)
    """An archive cannot be used; the text says why."""


def export(file: BinaryIO, libraries: Iterable[Library]) -> Counts:
    """Write an archive; return how many records of each kind it holds."""
    current = version.current()
    counts: Counts = {}
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        manifest = {"format": _FORMAT, **current._asdict()}
        _add(tar, _MANIFEST, json.dumps(manifest, indent=1).encode())
        for library in libraries:
            records, insns = library.records()
            if records:
                data = encode(library.kind, current.digest(), records, insns)
                _add(tar, f"{library.kind}{_SUFFIX}", data)
                counts[library.kind] = len(records)
    return counts


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o600
    tar.addfile(member, io.BytesIO(data))


def load(file: BinaryIO, find: Find, limit: int) -> Counts:
    """Add what an archive holds to the cache, all or nothing; return how many records of each kind.

    *find* returns the library of a kind, if there is such a kind. BadArchive if it is none.
    """
    counts: Counts = {}
    try:
        for library, data in _packs(file, find, limit):
            _records(library, data)
        for library, data in _packs(file, find, limit):
            records, insns = _records(library, data)
            if records and not library.add(records, insns, wait=True):
                raise BadArchive("another process holds the cache's lock; try again")
            counts[library.kind] = counts.get(library.kind, 0) + len(records)
    except (tarfile.TarError, EOFError, UnicodeError, Damaged) as error:
        raise BadArchive(f"it is damaged ({error})") from None
    return counts


def _packs(file: BinaryIO, find: Find, limit: int) -> Iterator[tuple[Library, bytes]]:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as tar:
        _check_manifest(tar)
        while (member := tar.next()) is not None:
            kind = member.name.removesuffix(_SUFFIX)
            library = find(kind) if kind != member.name else None
            if library is None:
                raise BadArchive(f"it holds {member.name!r}, which no export has")
            if not member.isreg() or not 0 <= member.size <= min(size, limit):
                raise BadArchive(f"{member.name} is no pack that fits into the cache")
            stream = tar.extractfile(member)
            yield library, stream.read() if stream is not None else b""


def _check_manifest(tar: tarfile.TarFile) -> None:
    member = tar.next()
    if member is None or member.name != _MANIFEST or not 0 < member.size <= _MANIFEST_SIZE:
        raise BadArchive("it is no export of jitemu's cache")
    stream = tar.extractfile(member)
    try:
        found = json.loads(stream.read() if stream is not None else b"")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise BadArchive("it is no export of jitemu's cache, or of another format")
    for name, value in version.current()._asdict().items():
        if found.get(name) != value:
            raise BadArchive(f"it was made by {_WHAT[name]} ({found.get(name)}, here {value})")


def _records(library: Library, data: bytes) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
    """Return a pack's records and the guest insns of each. Damaged unless every one is whole."""
    pack = Pack(library.kind, data, library.kind, version.current().digest())
    records: dict[bytes, bytes] = {}
    insns: dict[bytes, int] = {}
    for key in pack.names():
        found = pack.record(key)
        if found is None:
            raise Damaged(f"a record of {library.kind}")
        records[key], insns[key] = found
    return records, insns
