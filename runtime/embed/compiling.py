"""One compiling process for all machines of a process."""

from __future__ import annotations

import atexit
import os
import weakref
from contextlib import ExitStack
from typing import Any

from runtime import codestore
from runtime.compiler import Compiler, PlainDescriptors
from runtime.embed.sharing import GROUP, LOCK
from runtime.tiering import Tiering


class Client:
    """What a machine's tiering takes for its own compiler."""

    peak = 0

    def __init__(self, tiering: Tiering) -> None:
        self.tiering = weakref.ref(tiering)

    def prepare(self) -> None:
        """Do nothing: guests here have no descriptors."""

    def submit(self, number: int, described: Any) -> None:
        """Compile a region some time."""
        SHARED.submit(self, number, described)

    def abandon(self) -> None:
        """Do nothing; see `after_fork`."""

    def close(self) -> None:
        """Do nothing: others go on."""

    def wait(self) -> None:
        """Do nothing."""


class _Shared:
    """The compiler, with jobs of many clients."""

    def __init__(self) -> None:
        self.compiler: Compiler | None = None
        self.jobs: dict[int, tuple[Client, int]] = {}
        self.number = 0

    def submit(self, client: Client, number: int, described: Any) -> None:
        with LOCK:
            if self.compiler is None:
                self.compiler = Compiler(self._done, self._is_wanted, PlainDescriptors())
                self.compiler.prepare()
            self.number += 1
            self.jobs[self.number] = client, number
            self.compiler.submit(self.number, described)

    def _is_wanted(self, number: int) -> bool:
        client, own = self.jobs[number]
        tiering = client.tiering()
        if tiering is None or own not in tiering.jobs:
            self.jobs.pop(number, None)
            return False
        return True

    def _done(self, number: int, result: Any) -> None:
        client, own = self.jobs.pop(number)
        tiering = client.tiering()
        if tiering is None:
            return
        # The region goes to where native code of others may be putting blocks just now.
        with LOCK, ExitStack() as locks:
            GROUP.is_installing = True
            try:
                for engine in list(GROUP.active):
                    locks.enter_context(engine.lock)
                tiering._done(own, result)
            finally:
                GROUP.is_installing = False

    def close(self) -> None:
        if self.compiler is not None:
            self.compiler.close()

    def after_fork(self) -> None:
        """Leave the process to the parent."""
        if self.compiler is not None:
            self.compiler.abandon()
        self.compiler = None
        self.jobs = {}


SHARED = _Shared()


def share(tiering: Tiering) -> None:
    """Let an engine use the one compiler."""
    client: Any = Client(tiering)
    tiering._new_compiler = lambda: client  # type: ignore[method-assign]


def _at_exit() -> None:
    SHARED.close()
    codestore.save()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=SHARED.after_fork)
