"""An engine before and after fork: no lock is left held, and the child has one thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from runtime import codestore, native
from translator.tiers import backend

if TYPE_CHECKING:
    from runtime.dispatch import Engine


def before(engine: Engine) -> None:
    """Get hold of every lock, so that the child finds none held by a thread it lacks."""
    engine.lock.acquire()
    codestore.before_fork()
    backend.LOCK.acquire()


def after(engine: Engine, *, is_child: bool) -> None:
    """Let go again; in the child, keep the forking thread only."""
    backend.LOCK.release()
    codestore.after_fork(is_child=is_child)
    engine.lock.release()
    if is_child:
        _forget_others(engine)


def _forget_others(engine: Engine) -> None:
    cpu = getattr(native.current, "cpu", None)
    engine.running.clear()
    if engine.quick is not None:
        engine.quick.images.be_saved()  # by the parent
    engine.tiering.after_fork_child()
    engine.flushing, engine.flushed = threading.Event(), threading.Event()
    for other in list(engine.cpus):
        if other is not cpu:
            engine.cpus.discard(other)
    if cpu is not None:
        native.after_fork(cpu)
