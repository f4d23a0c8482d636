"""One kind of compiled code on disk: its packs, looked up, added to, merged and evicted.

Additions are packs of their own, written under the version's lock; whoever finds it taken keeps
what it has for later.  So any number of processes may share a cache, and one that is killed leaves
at most a temporary file behind.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import time
from typing import Any

from runtime.store import place, version
from runtime.store.disk import evict
from runtime.store.pack import Damaged, Item, Pack, encode, file_name

MERGE_AT = 8  # packs of a kind that make their merging worth while
_TOUCH_AFTER = 3600  # seconds between notes that a pack was used


class Library:
    """All packs of one kind, of the version that runs."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.packs: list[Pack] | None = None  # newest first; None before the first look
        self.built: list[Pack] = []  # what installing jitemu compiled

    def find(self, key: bytes) -> Any:
        """Return what is saved under a key, or None."""
        if self.packs is None:
            self.open()
        for pack in (*(self.packs or ()), *self.built):
            value = pack.get(key)
            if value is not None:
                if pack.is_mine and time.time() - pack.used > _TOUCH_AFTER:
                    self._touch(pack)
                return value
        return None

    def _touch(self, pack: Pack) -> None:
        """Note on disk that a pack is still used, for eviction."""
        pack.used = time.time()
        folder = place.opened(version.current().folder)
        with contextlib.suppress(OSError, place.Unusable), folder as fd:
            if fd is not None:
                os.utime(pack.name, dir_fd=fd, follow_symlinks=False)

    def open(self) -> None:
        """Look at the disk again."""
        self.packs = []
        self.built = [pack for pack in (self._built(name) for name in place.built_names()) if pack]
        try:
            with place.opened(version.current().folder) as folder:
                if folder is not None:
                    self._open(folder)
        except (place.Unusable, OSError) as error:
            place.warn(f"no compiled code is kept or used: {error}")

    def refresh(self) -> None:
        """Look what others have added to the disk since."""
        if self.packs is None:
            return
        with (
            contextlib.suppress(place.Unusable, OSError),
            place.opened(version.current().folder) as folder,
        ):
            if folder is not None:
                self._open(folder)

    def _built(self, name: str) -> Pack | None:
        """Open what `jitemu cache build` made, if it is of this version and of this kind."""
        with contextlib.suppress(place.Unusable, OSError, Damaged), place.opened_built() as folder:
            if folder is not None and name.startswith(f"{self.kind}-"):
                pack = self._pack(folder, name, or_roots=True)
                pack.is_mine = False
                return pack
        return None

    def build(self, fresh: dict[bytes, Item]) -> None:
        """Put values where the installation keeps them, instead of what was there. OSError."""
        if not fresh:
            return
        records = {key: marshal.dumps(item.value) for key, item in fresh.items()}
        insns = {key: item.insns for key, item in fresh.items()}
        data = encode(self.kind, version.current().digest(), records, insns)
        with place.opened_built(create=True) as folder:
            assert folder is not None
            name = file_name(self.kind, data)
            place.write(folder, name, [data], sync=True, mode=0o644)
            for other in place.names(folder):
                if other.startswith(f"{self.kind}-") and other != name:
                    place.remove(folder, other)

    def _open(self, folder: int) -> list[str]:
        """Read the packs in a directory; return the names of those that are of no use."""
        known = {pack.name: pack for pack in self.packs or ()}
        found: list[tuple[float, Pack]] = []
        useless = []
        for name in place.names(folder):
            if not name.startswith(f"{self.kind}-"):
                continue
            try:
                changed = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
                pack = known.get(name) or self._pack(folder, name)
            except FileNotFoundError:
                continue  # merged by somebody meanwhile
            except Damaged:
                useless.append(name)
                continue
            pack.used = max(pack.used, changed)
            found.append((changed, pack))
        found.sort(key=lambda item: item[0], reverse=True)
        self.packs = [pack for _, pack in found]
        return useless

    def _pack(self, folder: int, name: str, *, or_roots: bool = False) -> Pack:
        data = place.read(folder, name, or_roots=or_roots)
        if data is None:
            raise FileNotFoundError(name)
        return Pack(name, data, self.kind, version.current().digest())

    def totals(self) -> tuple[int, int]:
        """Return how many different keys there are, and how many guest insns they stand for."""
        insns: dict[bytes, int] = {}
        for pack in self.packs or ():
            for number, key in enumerate(pack.names()):
                insns.setdefault(key, pack.insns(number))
        return len(insns), sum(insns.values())

    def records(self) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
        """Return all marshalled records that are whole, and the guest insns of each."""
        self.open()
        return _records(self.packs or [])

    # -- writing -----------------------------------------------------------------------------------
    def save(self, fresh: dict[bytes, Item], *, wait: bool = False) -> bool:
        """Add values; False if somebody else is writing, and it should be tried later."""
        records = {key: marshal.dumps(item.value) for key, item in fresh.items()}
        return self.add(records, {key: item.insns for key, item in fresh.items()}, wait=wait)

    def add(
        self, records: dict[bytes, bytes], insns: dict[bytes, int], *, wait: bool = False
    ) -> bool:
        """Add marshalled records; False if somebody else is writing (not if *wait*)."""
        if not records or not place.limit():
            return True
        try:
            with place.opened(version.current().folder, create=True) as folder:
                if folder is None:
                    return True
                with place.locked(folder, wait=wait) as is_mine:
                    if is_mine:
                        self._add(folder, records, insns)
                    return is_mine
        except place.Unusable as error:
            place.warn(f"no compiled code is kept or used: {error}")  # as `open` says: once
            return True
        except OSError as error:
            place.warn(f"compiled code cannot be kept: {error.strerror} ({place.base()})")
            return True

    def _add(self, folder: int, records: dict[bytes, bytes], insns: dict[bytes, int]) -> None:
        if self.packs is None:
            self.open()
        useless = self._open(folder)
        for name in place.names(folder):
            if name.startswith(place.TEMPORARY):  # the lock is ours: its writer is dead
                useless.append(name)
        for name in useless:
            place.remove(folder, name)
        absent = {key: record for key, record in records.items() if self.find(key) is None}
        if absent:
            self._write(folder, absent, insns, sync=False)
        assert self.packs is not None
        if len(self.packs) > MERGE_AT or any(pack.is_damaged for pack in self.packs):
            self._merge(folder)
        evict(place.limit())

    def _write(
        self, folder: int, records: dict[bytes, bytes], insns: dict[bytes, int], *, sync: bool
    ) -> None:
        data = encode(self.kind, version.current().digest(), records, insns)
        name = file_name(self.kind, data)
        place.write(folder, name, [data], sync=sync)
        assert self.packs is not None
        kept = [pack for pack in self.packs if pack.name != name]
        pack = self._pack(folder, name)  # mapped: the memory is the file's
        pack.used = time.time()
        self.packs = [pack, *kept]

    def _merge(self, folder: int) -> None:
        """Write packs as one: all small ones, up to where the next is larger than they together."""
        assert self.packs is not None
        chosen: list[Pack] = []
        size = 0
        for pack in sorted(self.packs, key=lambda p: p.size):
            if len(chosen) > 1 and pack.size > 2 * size and not pack.is_damaged:
                continue
            if size + pack.size > place.limit() // 8 and not pack.is_damaged:
                continue
            chosen.append(pack)
            size += pack.size
        if not chosen:
            return
        records, insns = _records([pack for pack in self.packs if pack in chosen])
        self.packs = [pack for pack in self.packs if pack not in chosen]
        if records:
            # On the disk before what it replaces is deleted.
            self._write(folder, records, insns, sync=True)
        for pack in chosen:
            if pack.name not in {p.name for p in self.packs}:
                place.remove(folder, pack.name)


def _records(packs: list[Pack]) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
    """Collect the whole records of packs, newest first."""
    records: dict[bytes, bytes] = {}
    insns: dict[bytes, int] = {}
    for pack in packs:
        for key in pack.names():
            found = pack.record(key) if key not in records else None
            if found is not None:
                records[key], insns[key] = found
    return records, insns
