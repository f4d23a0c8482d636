"""Stencils that exist already: in memory, and in a file that the runtime may load and save."""

from __future__ import annotations

import threading
from typing import Any

from translator.tiers.stencil import Branch, Fault, Hole, Request, Stencil, build


class Store:
    """Request -> Stencil, compiled when first asked for."""

    def __init__(self) -> None:
        # What was loaded from disk stays a plain tuple until it is asked for.
        self.known: dict[Request, Stencil | tuple[Any, ...]] = {}
        self.fresh: dict[Request, Stencil] = {}  # compiled by this process, not saved yet
        self.lock = threading.RLock()

    def get(self, request: Request) -> Stencil:
        """Return a stencil; compile it alone if nobody asked for it in a batch."""
        found = self.known.get(request)
        if found is None:
            self.ensure([request])
            found = self.known[request]
        if not isinstance(found, Stencil):
            found = self.known[request] = restore(found)
        return found

    def find(self, request: Request, missing: list[Request]) -> Stencil | None:
        """Return a stencil that exists; add the request to *missing* if it does not."""
        if request in self.known:
            return self.get(request)
        missing.append(request)
        return None

    def ensure(self, requests: list[Request]) -> None:
        """Compile those that are missing, in one batch."""
        missing = list(dict.fromkeys(r for r in requests if r not in self.known))
        if not missing:
            return
        with self.lock:
            for request, stencil in zip(missing, build(missing), strict=True):
                self.known[request] = self.fresh[request] = stencil


def restore(plain: tuple[Any, ...]) -> Stencil:
    """Rebuild a stencil from the tuples that were saved."""
    code, cold, holes, branches, faults, constants = plain
    return Stencil(
        code,
        cold,
        tuple(Hole(*h) for h in holes),
        tuple(Branch(*b) for b in branches),
        tuple(Fault(*f) for f in faults),
        constants,
    )


STORE = Store()
