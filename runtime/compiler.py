"""Compiles regions in a process of its own, while the guest runs on; see translator/worker.py."""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import translator
from runtime import native
from runtime.counting import peak_memory
from runtime.host import Sys, syscall

_WCLONE = 0x80000000  # wait for a child without an exit signal, bits/waitflags.h
_PATIENCE = 120_000  # milliseconds for one region
_START = "import sys; sys.path[:] = {!r}; from {} import main; main()"
# (number of the job, plain stencil and seconds; or a message why there is none)
Done = Callable[[int, Any], None]


class Descriptors(Protocol):
    """Where the emulator's own descriptors go, so that the guest does not meet them."""

    def reserve(self, fd: int) -> int:
        """Move a descriptor; return its new number."""

    def release(self, fd: int) -> None:
        """Close a reserved descriptor."""


class PlainDescriptors:
    """For engines without a guest that has descriptors."""

    def reserve(self, fd: int) -> int:
        """Leave it where it is."""
        return fd

    def release(self, fd: int) -> None:
        """Close it."""
        os.close(fd)


class _Pipes(NamedTuple):
    """Descriptors of a compiling process: to read from it and to write to it; its own three."""

    mine: tuple[int, int]
    theirs: tuple[int, int, int]


class Compiler:
    """Takes regions as plain values, in order, and calls back from a thread of its own.

    The process starts with the first job and ends with this one.  Where it cannot be started or
    dies, the jobs fail and the guest stays with what it has.
    """

    def __init__(
        self, done: Done, is_wanted: Callable[[int], bool], descriptors: Descriptors
    ) -> None:
        """Take what to call with results, and what says whether a job still matters."""
        self.done, self.is_wanted, self.descriptors = done, is_wanted, descriptors
        self.jobs: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None
        self.ready: _Pipes | None = None
        self.ends: tuple[int, int] | None = None
        self.worker = 0  # its process id
        self.peak = 0  # bytes of memory that it had at most, once it has ended

    def prepare(self) -> None:
        """Make the descriptors now, as no guest code runs: it could use them till they are moved.

        What the compiling process sends is executed, so a guest must never write there.
        """
        with contextlib.suppress(OSError):  # too few are allowed: nothing will be compiled
            self.ready = self._pipes()

    def submit(self, number: int, described: Any) -> None:
        """Compile a region some time."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._serve, name="compiler", daemon=True)
            with signals_blocked():  # they are for the guest's own threads
                self.thread.start()
        self.jobs.put((number, described))

    def abandon(self) -> None:
        """Forget everything: in a forked child, whose parent keeps the process."""
        ends, self.ends = self.ends, None
        ready, self.ready = self.ready, None
        for end in (*(ends or ()), *(ready.mine + ready.theirs if ready is not None else ())):
            self.descriptors.release(end)

    def close(self) -> None:
        """End the process, and the thread once it has nothing to wait for."""
        self.jobs.put(None)
        if self.thread is None:
            self.abandon()
        if self.worker:
            self.peak = peak_memory(self.worker)
            with contextlib.suppress(OSError):
                os.kill(self.worker, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until nothing of it is left, after `close`."""
        if self.thread is not None:
            self.thread.join(_PATIENCE / 1000)

    def _serve(self) -> None:
        try:
            self._work()
        finally:
            self.abandon()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            number, described = job
            if not self.is_wanted(number):
                continue
            try:
                result = self._ask(described)
            except (OSError, EOFError, ValueError, TypeError) as error:
                self.abandon()
                result = f"no compiler: {error or type(error).__name__}"
            self.done(number, result)

    def _ask(self, described: Any) -> Any:
        from translator import worker

        if self.ends is None:
            if self.ready is None:
                raise OSError("it has ended, or there were too few descriptors")
            self.ends = self._start(self.ready)
            self.worker = worker.receive(self.ends[0])
        reader, writer = self.ends
        worker.send(writer, described)
        waiting = select.poll()
        waiting.register(reader, select.POLLIN)
        if not waiting.poll(_PATIENCE):
            os.kill(self.worker, signal.SIGKILL)
            raise OSError("it takes too long")
        return worker.receive(reader)

    def _pipes(self) -> _Pipes:
        to_worker, from_worker = os.pipe(), os.pipe()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        reserve = self.descriptors.reserve
        theirs = reserve(to_worker[0]), reserve(from_worker[1]), reserve(null)
        return _Pipes((reserve(from_worker[0]), reserve(to_worker[1])), theirs)

    def _start(self, pipes: _Pipes) -> tuple[int, int]:
        """Start the process; return where to read from it and where to write to it."""
        self.ready = None
        release = self.descriptors.release
        try:
            spawn("translator.worker", [], ("PATH", "HOME"), pipes.theirs)
        except OSError:
            for fd in pipes.mine:
                release(fd)
            raise
        finally:
            for fd in pipes.theirs:
                release(fd)
        return pipes.mine


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Leave signals to other threads.

    By the raw call: the C library's would unblock its own two signals, which the guest may use.
    """
    saved = ctypes.create_string_buffer(8)
    syscall(Sys.RT_SIGPROCMASK, signal.SIG_BLOCK, b"\xff" * 8, ctypes.addressof(saved), 8)
    try:
        yield
    finally:
        syscall(Sys.RT_SIGPROCMASK, signal.SIG_SETMASK, ctypes.addressof(saved), 0, 8)


def spawn(
    module: str, arguments: list[str], names: Iterable[str], fds: tuple[int, int, int]
) -> None:
    """Let `main` of a module of ours run in a process that is no child. OSError.

    It gets the variables of the environment that *names* says, and three descriptors as its own.
    """
    # What an editable installation imports is not always in sys.path.
    paths = [str(Path(translator.__file__).parents[1]), *sys.path]
    argv = [sys.executable, "-I", "-S", "-c", _START.format(paths, module), *arguments]
    env = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    pid = native.spawn(sys.executable.encode(), _strings(argv), _strings(env), *fds)
    if pid < 0:
        raise OSError(-pid, os.strerror(-pid))
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, _WCLONE - (1 << 32))


def _strings(values: list[str]) -> Any:
    encoded = [os.fsencode(value) for value in values]
    return (ctypes.c_char_p * (len(encoded) + 1))(*encoded, None)
