"""Compiles what most programs need while a guest runs, in a process of its own, where nobody has.

`jitemu cache build` does it at once, into the installation.  Without it, a guest that needs much
has the patterns of its mode (translator/frequent.py) compiled beside it, and finds them in the
user's cache from then on; so does every other process.  The helping process is no child, holds a
lock, so that there is one for all, and ends with the process that started it or with the list.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator

from runtime import codestore
from runtime.store import place, version
from runtime.store.pack import Item
from translator import frequent
from translator.tiers import family
from translator.tiers.store import MODELS, STORE, plain

_MUCH = 64  # patterns that are missing in a mode before help is asked for
_PAUSE = 1.0  # seconds between two tries to start a process
_NAMES = ("PATH", "HOME", "XDG_CACHE_HOME", "JITEMU_CACHE", "JITEMU_CACHE_SIZE", "JITEMU_BUILT")
_KINDS = ("program", "machine")
_NO_FD = (1 << 64) - 1  # the process opens its own


class Building:
    """What this process knows of the list. The caller holds the store's lock, or runs alone."""

    def __init__(self) -> None:
        self.missing: dict[bytes, int] = {}  # mode -> patterns that were, until help is asked for
        self.helped: set[bytes] = set()  # modes whose list is there, or will be
        self.watched: set[bytes] = set()  # those whose list is not all there yet
        self.changed = 0  # when the cache was, as far as is known; nanoseconds
        self.tried = 0.0
        self.is_machine = False  # what the order of the list is for

    def find(self, key: bytes) -> object:
        """Return a model from disk, or None; look again where somebody adds to them."""
        found = codestore.MODEL_PACKS.find(key)
        if found is None and self.watched and self._has_changed():
            codestore.MODEL_PACKS.refresh()
            found = codestore.MODEL_PACKS.find(key)
        return found

    def need(self, mode: bytes, count: int) -> bool:
        """Note that so many patterns are missing; say whether the list is, or is being compiled."""
        before = self.missing.get(mode, 0)
        if before < _MUCH:
            self.missing[mode] = before + count
            if before + count >= _MUCH:
                self.begin(mode)
        elif mode in self.watched and time.monotonic() - self.tried > _PAUSE:
            self._go_on(mode)  # who helped may have ended
        return mode in self.helped

    def begin(self, mode: bytes = b"", *, is_machine: bool = False) -> None:
        """Have the list of a mode compiled from now on, unless it has been."""
        self.missing[mode] = _MUCH
        self.is_machine |= is_machine
        if _can_be_kept():
            self.helped.add(mode)
            self.watched.add(mode)
            self._go_on(mode)

    def _go_on(self, mode: bytes) -> None:
        self.tried = time.monotonic()
        find, chunks = codestore.MODEL_PACKS.find, frequent.chunks(is_machine=self.is_machine)
        if any(chunk.mode == mode and find(chunk.name) is None for chunk in chunks):
            self._start(mode)
        else:
            self.watched.discard(mode)

    def _start(self, mode: bytes) -> None:
        from runtime.compiler import signals_blocked, spawn

        with contextlib.suppress(OSError, place.Unusable), _lock() as is_mine:
            if not is_mine:
                return
        with contextlib.suppress(OSError), signals_blocked():
            words = [str(os.getpid()), _KINDS[self.is_machine], mode.hex()]
            spawn("runtime.building", words, _NAMES, (_NO_FD,) * 3)

    def _has_changed(self) -> bool:
        try:
            changed = os.stat(f"{place.base()}/{version.current().folder}").st_mtime_ns
        except OSError:
            return False
        is_new, self.changed = changed != self.changed, changed
        return is_new


BUILDING = Building()


def attach() -> None:
    """Let what is compiled be looked up on disk from now on, and help be asked for."""
    codestore.attach()
    STORE.help = BUILDING.need
    MODELS.source = BUILDING.find  # type: ignore[assignment]


def _can_be_kept() -> bool:
    try:
        with place.opened(version.current().folder, create=True) as folder:
            return (
                folder is not None and place.limit() > 0 and os.access(".", os.W_OK, dir_fd=folder)
            )
    except (place.Unusable, OSError):
        return False


@contextlib.contextmanager
def _lock() -> Iterator[bool]:
    """Be the one who builds; False if somebody else is."""
    with place.opened(version.current().folder, create=True) as folder:
        if folder is None:
            yield False
            return
        with place.locked(folder, place.BUILDING) as is_mine:
            yield is_mine


# -- the process -----------------------------------------------------------------------------------
def _end_with(process: int) -> None:
    """End as soon as another process does, whatever is half done."""
    try:
        waiting = select.poll()
        waiting.register(os.pidfd_open(process), select.POLLIN)
    except OSError:
        os._exit(0)

    def wait() -> None:
        waiting.poll()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def compile_list(mode: bytes, *, is_machine: bool) -> None:
    """Compile and save what is missing of a mode's list. OSError, Unusable: nothing can be kept."""
    for chunk in frequent.chunks(is_machine=is_machine):
        if chunk.mode != mode or codestore.MODEL_PACKS.find(chunk.name) is not None:
            continue
        family.make_models(chunk.samples, MODELS)
        fresh = MODELS.take_fresh().items()
        items = {name: Item(plain(model), insns) for name, (model, insns) in fresh}
        items[chunk.name] = Item(1, 0)
        codestore.MODEL_PACKS.save(items, wait=True)
        MODELS.known.clear()
        if codestore.MODEL_PACKS.find(chunk.name) is None:
            return  # there is no room


def main() -> None:
    """Build for the process and the mode that the arguments name."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    _end_with(int(sys.argv[1]))
    codestore.attach()
    with contextlib.suppress(OSError, place.Unusable), _lock() as is_mine:
        if is_mine:
            kind, mode = sys.argv[2:]
            compile_list(bytes.fromhex(mode), is_machine=kind == _KINDS[True])
