"""What the quick benchmarks under pytest share: a scratch directory, and the peers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.workload import Settings, Task, UnavailableError, Workload

Prepare = Callable[[Workload, str], tuple[peers.Peer, Task]]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return settings for a few hundredths of a second a run."""
    return Settings(tmp_path_factory.mktemp("bench"), scale=0.03, limit=120)


@pytest.fixture(scope="session")
def prepare(settings: Settings) -> Prepare:
    """Return a function from a workload and a peer's name to both, ready; it may skip."""

    def ready(workload: Workload, name: str) -> tuple[peers.Peer, Task]:
        try:
            return _peer(name, settings), workload.prepare(settings)
        except UnavailableError as error:
            pytest.skip(str(error))

    return ready


def _peer(name: str, settings: Settings) -> peers.Peer:
    if name == "native":
        return peers.native(settings.folder)
    if name == "qemu-i386":
        return peers.qemu()
    state = "cold" if name.endswith("cold") else "warm"
    cache: Path = settings.folder / "cache"
    cache.mkdir(mode=0o700, exist_ok=True)
    return peers.Jitemu(name, peers.default_strategy(), state, cache)
