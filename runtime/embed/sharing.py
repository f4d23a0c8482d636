"""Many engines in one arena: each has its own tables, all put their code behind one another.

When there is no room left, the code of all is dropped.  While two threads run guests, only Python,
which holds a lock that all engines share, makes new code.
"""

from __future__ import annotations

import ctypes
import threading
import time
import weakref
from threading import get_ident
from typing import TYPE_CHECKING

from runtime import bounds, native
from runtime.codecache import CodeCache, Full

if TYPE_CHECKING:
    from runtime.embed.engine import EmbedEngine

LOCK = threading.RLock()
_CONSTANTS = 1 << 14
_COUNTERS = 32 << 20  # bytes at the arena's end that are never dropped
_MARGIN = 1 << 20
_MADE_MAX = 1024  # engines whose code is kept although they may be gone
END = native.ARENA_SIZE - _COUNTERS


class SharedCache(CodeCache):
    """A code cache that leaves the arena to others, too."""

    shared_lock = LOCK

    def clear(self) -> None:
        """Forget all blocks; their room is free again when all engines are flushed."""
        self.resets += 1
        self.table.clear()
        self.constants = {}
        if self.arena.used + _CONSTANTS + _MARGIN > END:
            flush()
        self.constants_at = (self.arena.used + 63) & -64
        self.arena.used = self.first = self.constants_end = self.constants_at + _CONSTANTS

    def set_size(self, size: int) -> None:
        """Let code take all of the arena."""
        super().set_size(END - self.first)
        self.limit = min(self.limit, END - _MARGIN)

    @property
    def size(self) -> int:
        """Bytes that the code of all engines takes."""
        return self.arena.used - self.arena.floor


class Group:
    """The engines that share the arena, and the threads that run them."""

    def __init__(self) -> None:
        self.engines: weakref.WeakSet[EmbedEngine] = weakref.WeakSet()
        self.threads: dict[int, int] = {}  # host thread -> how deeply it runs guests
        self.active: list[EmbedEngine] = []  # that run, as often as they do
        self.is_installing = False  # a region is put into the arena by the compiler's thread
        self.was_crowded = False  # there were two threads since all engines were told
        self.counters = END
        self.made = 0  # engines since the arena was emptied
        self.free: dict[int, list[int]] = {}  # numbers that are not used: size -> addresses

    @property
    def is_alone(self) -> bool:
        """Whether at most one thread runs guests."""
        return len(self.threads) < 2

    def enter(self, engine: EmbedEngine) -> int:
        """Note that the calling thread, which is returned, runs a guest.

        Native code of others is kept from growing.
        """
        me = get_ident()
        self.active.append(engine)
        threads = self.threads
        if threads or self.is_installing:
            self._join(me)
        else:
            threads[me] = 1
        return me

    def _join(self, me: int) -> None:
        """Enter where others run, or this thread itself, or where a region is being installed."""
        if self.is_installing:
            with LOCK:
                pass
        depth = self.threads.get(me, 0)
        self.threads[me] = depth + 1
        if not depth and len(self.threads) == 2:
            self.was_crowded = True
            for other in self.active.copy():
                with other.lock:  # waits until native code is not making a block
                    other._let_proceed()

    def leave(self, engine: EmbedEngine, me: int) -> None:
        """Note that it does not any more."""
        active = self.active
        if active[-1] is engine:
            active.pop()
        else:
            active.remove(engine)
        depth = self.threads.pop(me, 1)
        if depth > 1:
            self.threads[me] = depth - 1

    def add(self, engine: EmbedEngine) -> None:
        """Note a new engine."""
        self.engines.add(engine)
        self.made += 1

    def trim(self) -> None:
        """Empty the arena if most of it belongs to engines that are gone."""
        if self.made > _MADE_MAX and self.made > 2 * len(self.engines):
            flush()


GROUP = Group()


def flush() -> None:
    """Drop the code of all engines, once no thread runs any."""
    with LOCK:
        engines = list(GROUP.engines)
        for engine in engines:
            engine.flushed.clear()
            engine.is_flushing = True
        try:
            # A thread that is calling Python may wait for our lock; it will not go on from there.
            while busy := [
                cpu
                for engine in engines
                if engine.serving.is_in_guest
                for cpu in list(engine.running)
            ]:
                for cpu in busy:
                    cpu.request_stop()
                time.sleep(0.0002)
            for engine in engines:
                for cpu in list(engine.cpus):
                    engine._at_block(cpu)
            native.arena.reset()
            GROUP.made = len(engines)
            for engine in engines:
                engine.changes += 1
                engine.cache.clear()
                engine.recipes.clear()
                bounds.trim(engine)
                engine.forget_jumps()
        finally:
            for engine in engines:
                engine.is_flushing = False
                engine.flushed.set()


def new_counters(count: int) -> int:
    """Return the host address of some 64-bit numbers, 0, that host code can count in. Full."""
    with LOCK:
        free = GROUP.free.get(count)
        if free:
            at = free.pop()
            ctypes.memset(at, 0, 8 * count)
            return at
        if GROUP.counters + 8 * count > native.ARENA_SIZE:
            raise Full
        at = native.arena.base + GROUP.counters
        GROUP.counters += 8 * count
    return at


def free_counters(at: int, count: int) -> None:
    """Give numbers back; no code counts in them any more."""
    with LOCK:
        GROUP.free.setdefault(count, []).append(at)
