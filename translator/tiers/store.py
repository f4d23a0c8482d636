"""Stencils and regions that exist already: in memory, and on disk where the runtime attaches it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

from translator import frequent
from translator.tiers.family import Sample, derived, make
from translator.tiers.renaming import Field
from translator.tiers.stencil import Branch, Fault, Hole, Request, Stencil

# So many models are compiled for themselves, and then so many others in the batch of a missing one.
_ALONE, _WITH = 256, 40

Key = TypeVar("Key", bytes, Request)


class Fresh(NamedTuple):
    """What this process compiled and has not saved yet."""

    stencil: Stencil
    insns: int  # how many guest insns it stands for, 0 if it is no guest code


class Shelf(Generic[Key]):
    """Key -> Stencil, in memory, with a source behind it that is asked for what is not there.

    When *most* are there, the older half is forgotten.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.known: dict[Key, Stencil] = {}
        self.fresh: dict[Key, Fresh] = {}
        self.source: Callable[[Key], tuple[Any, ...] | None] | None = None
        self.lock = threading.RLock()

    def find(self, key: Key) -> Stencil | None:
        """Return what exists under a key."""
        found = self.known.get(key)
        if found is None and self.source is not None:
            plain = self.source(key)
            if plain is not None:
                found = restore(plain)
                self.keep(key, found)
        return found

    def keep(self, key: Key, stencil: Stencil) -> None:
        """Keep what comes from disk."""
        with self.lock:
            self._keep(key, stencil)

    def _keep(self, key: Key, stencil: Stencil) -> None:
        if len(self.known) >= self.most:
            for old in list(self.known)[: self.most // 2]:
                del self.known[old]
        self.known[key] = stencil

    def add(self, key: Key, stencil: Stencil, insns: int) -> None:
        """Keep what was just compiled from so many guest insns; the runtime saves it."""
        with self.lock:
            self._keep(key, stencil)
            self.fresh[key] = Fresh(stencil, insns)

    def take_fresh(self) -> dict[Key, Fresh]:
        """Return what is not saved yet, and count it as saved."""
        with self.lock:
            taken, self.fresh = self.fresh, {}
        return taken


class Store(Shelf[Request]):
    """Stencils of insn shapes, compiled when first asked for.

    Where it turns out that much is to be compiled, so is what most programs need: by somebody else
    if *help*, which is told the mode and how many are missing, says so.
    """

    help: Callable[[bytes, int], bool] | None = None

    @cached_property
    def expected(self) -> dict[bytes, Iterator[Sample]]:
        """Mode -> a sample of each pattern that programs need there, the first needed first."""
        found: dict[bytes, list[Sample]] = {}
        for sample in frequent.models():
            found.setdefault(frequent.mode_of(sample.request), []).append(sample)
        return {mode: iter(samples) for mode, samples in found.items()}

    def get(self, request: Request) -> Stencil:
        """Return a stencil; compile it alone if nobody asked for it in a batch."""
        found = self.find(request)
        if found is None:
            self.ensure([request])
            found = self.known[request]
        return found

    def search(self, request: Request, missing: list[Request]) -> Stencil | None:
        """Return a stencil that exists; add the request to *missing* if it does not."""
        found = self.find(request)
        if found is None:
            missing.append(request)
        return found

    def derive(self, request: Request) -> Stencil | None:
        """Return a stencil that exists, or that needs no compilation."""
        stencil = self.find(request)
        if stencil is None:
            with self.lock:
                stencil = derived(request, MODELS)
                if stencil is not None:
                    self.add(request, stencil, len(request.keys))
        return stencil

    def ensure(self, requests: list[Request]) -> None:
        """Compile those that are missing, in one batch."""
        missing = [r for r in dict.fromkeys(requests) if self.find(r) is None]
        if not missing:
            return
        with self.lock:
            mode = frequent.mode_of(missing[0])
            is_helped = self.help is not None and self.help(mode, len(missing))
            is_much = len(MODELS.known) >= _ALONE and not is_helped
            others = islice(self.expected.get(mode, ()), _WITH) if is_much else ()
            for request, stencil in zip(missing, make(missing, MODELS, others), strict=True):
                self.add(request, stencil, len(request.keys))


def restore(plain: tuple[Any, ...]) -> Stencil:
    """Rebuild a stencil from the tuples that were saved."""
    code, cold, holes, branches, faults, constants, fields = plain
    return Stencil(
        code,
        cold,
        tuple(Hole(*h) for h in holes),
        tuple(Branch(*b) for b in branches),
        tuple(Fault(*f) for f in faults),
        constants,
        None if fields is None else tuple(Field(*f) for f in fields),
    )


def plain(value: Any) -> Any:
    """Turn named tuples into tuples, all the way down, as they are saved."""
    return tuple(plain(v) for v in value) if isinstance(value, tuple) else value


STORE = Store(1 << 16)
MODELS = Shelf[bytes](1 << 14)  # of patterns, by their names
REGIONS = Shelf[bytes](1 << 10)  # compiled regions, by a digest of all that each depends on
