"""Who runs the guests: the host itself, qemu-i386, and jitemu with each strategy and cache state.

The state of jitemu's cache is part of a peer. ``warm``: everything that earlier runs compiled is
there. ``cold``: an empty directory for each run. ``stencils``: what the strategy `stencil` leaves
after one run of the same program, so that only the regions have to be compiled.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.elf import program
from benchmarks.sample import Sample, execute
from benchmarks.workload import Settings, Task, UnavailableError

CHECKOUT = Path(__file__).parent.parent
CACHE_STATES = ("warm", "stencils", "cold")
_LIBRARIES = "lib/i386-linux-gnu:usr/lib/i386-linux-gnu"
_LOADER = "lib/ld-linux.so.2"


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to run a guest program."""

    name: str

    def command(self, task: Task) -> list[str]:
        """Return the command for a task."""
        raise NotImplementedError

    def environment(self, task: Task) -> dict[str, str]:
        """Return the environment of the command: nothing of the caller's, to be repeatable."""
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": "/", **dict(task.environment)}

    def run(self, task: Task, settings: Settings) -> Sample:
        """Run the task once."""
        return execute(self.command(task), settings.folder, self.environment(task), settings.limit)

    def warm(self, task: Task, settings: Settings) -> Sample:
        """Run the task once, unmeasured, so that caches are filled."""
        return self.run(task, settings)


class Native(Peer):
    """The host's own processor."""

    def command(self, task: Task) -> list[str]:
        """Start a program of a sysroot by the sysroot's own dynamic loader."""
        if task.sysroot is None:
            return [task.program, *task.args]
        root = task.sysroot
        libraries = ":".join(str(root / path) for path in _LIBRARIES.split(":"))
        loader = [str(root / _LOADER), "--library-path", libraries]
        return [*loader, "--argv0", task.program, f"{root}{task.program}", *task.args]

    def environment(self, task: Task) -> dict[str, str]:
        """Tell programs that know where they are installed where that is on the host."""
        found = Peer.environment(self, task)
        return found | {"PYTHONHOME": f"{task.sysroot}/usr"} if task.sysroot else found


class Qemu(Peer):
    """qemu's user mode, translating by TCG."""

    def command(self, task: Task) -> list[str]:
        """Give it the sysroot by -L; the program itself is a path of the host."""
        if task.sysroot is None:
            return ["qemu-i386", task.program, *task.args]
        own = ["-L", str(task.sysroot), "-0", task.program]
        return ["qemu-i386", *own, f"{task.sysroot}{task.program}", *task.args]

    environment = Native.environment


@dataclass(frozen=True, slots=True)
class Jitemu(Peer):
    """This checkout, with a strategy and a state of the cache."""

    strategy: str
    cache_state: str
    cache: Path  # the directory of the warm cache

    def command(self, task: Task) -> list[str]:
        """Start it as `jitemu run` does."""
        own = [sys.executable, "-m", "jitemu", "run", "--strategy", self.strategy]
        where = ["-L", str(task.sysroot)] if task.sysroot else []
        return [*own, *where, task.program, *task.args]

    def environment(self, task: Task) -> dict[str, str]:
        """Add where the checkout and its cache are."""
        own = {"PYTHONPATH": str(CHECKOUT), "JITEMU_CACHE": str(self.cache)}
        return {**Peer.environment(self, task), **own}

    def run(self, task: Task, settings: Settings) -> Sample:
        """Run in the warm cache, or in a directory of the wanted state that is thrown away."""
        if self.cache_state == "warm":
            return Peer.run(self, task, settings)
        with self._directory(settings) as empty:
            if self.cache_state == "stencils":
                self._prepared(task, settings, empty)
            mine = Jitemu(self.name, self.strategy, "warm", empty)
            return Peer.run(mine, task, settings)

    def warm(self, task: Task, settings: Settings) -> Sample:
        """Fill the warm cache, or the one that `stencils` copies."""
        if self.cache_state == "warm":
            # Twice: what the first run compiles, the second may put together differently.
            Peer.run(self, task, settings)
        return self.run(task, settings)

    def _prepared(self, task: Task, settings: Settings, target: Path) -> None:
        """Copy what the stencil strategy leaves into an empty directory."""
        source = self.cache.parent / f"stencils-{Path(task.program).name}"
        if not source.exists():
            source.mkdir(mode=0o700)
            Peer.run(Jitemu("stencil", "stencil", "warm", source), task, settings)
        shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copy2)

    @contextmanager
    def _directory(self, settings: Settings) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.cache.parent, prefix="cold-") as name:
            yield Path(name)


def strategies() -> list[str]:
    """Return the names of all strategies."""
    from translator.strategies import STRATEGIES

    return list(STRATEGIES)


def default_strategy() -> str:
    """Return the strategy that `jitemu run` takes."""
    from jitemu.options import parser

    return str(parser().get_default("strategy"))


def choose(strategy_names: list[str], states: list[str], folder: Path) -> list[Peer]:
    """Return jitemu's peers for strategies and cache states; the warm one has the plain name."""
    cache = folder / "cache"
    cache.mkdir(mode=0o700, exist_ok=True)
    found: list[Peer] = []
    for strategy in strategy_names:
        for state in states:
            name = strategy if state == "warm" else f"{strategy}, {state}"
            found.append(Jitemu(name, strategy, state, cache))
    return found


def native(folder: Path) -> Peer:
    """Return the host as a peer; UnavailableError if it does not run i386 programs."""
    probe = folder / "probe"
    probe.write_bytes(program(bytes.fromhex("b801000000 31db cd80")))  # exit(0)
    probe.chmod(0o700)
    try:
        status = subprocess.run([probe], check=False).returncode
    except OSError as error:
        raise UnavailableError(f"this host runs no i386 programs ({error.strerror})") from None
    if status:
        raise UnavailableError(f"this host runs no i386 programs (a probe ended with {status})")
    return Native("native")


def qemu() -> Peer:
    """Return qemu-i386 as a peer; UnavailableError if it is not installed."""
    if not shutil.which("qemu-i386"):
        raise UnavailableError("qemu-i386 is not installed (Debian: qemu-user)")
    return Qemu("qemu-i386")


def sources() -> str:
    """Name the state of jitemu's sources, on which its caches depend."""
    digest = hashlib.sha256()
    for package in ("jitemu", "runtime", "translator"):
        for path in sorted((CHECKOUT / package).rglob("*.py")):
            status = path.stat()
            digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
