"""A Linux process without translated code: its engine plays the steps that a test wrote down."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from runtime import native
from runtime.cpu import Cpu
from runtime.memory import Memory
from runtime.personalities.linux import LinuxOptions, handlers
from runtime.personalities.linux.process import Process
from runtime.personalities.linux.threads import Thread
from runtime.personalities.linux.vfs import Vfs

STACK = 0x50000000
STACK_SIZE = 0x20000
DATA = 0x60000000


class Exit(NamedTuple):
    """The exit of the engine, as the dispatcher reports it."""

    kind: str
    vector: int = 0
    address: int = 0
    error: int = 0
    info: int = 0


Step = Callable[[Cpu], Exit]


class FakeEngine:
    """Runs one step of a script per `run`."""

    def __init__(self) -> None:
        self.script: Iterator[Step] = iter(())

    def run(self, cpu: Cpu) -> Exit:
        """Leave at once if a stop is asked for, else do the next step."""
        if cpu.stop_requested:
            return Exit("stop")
        return next(self.script)(cpu)

    def flush(self) -> None:
        """Do nothing: there is no code."""

    def begin(self, program: bytes) -> None:
        """Do nothing, either."""

    def after_fork(self, *, is_child: bool) -> None:
        """Do nothing: there are no locks."""

    before_fork = close = flush


def call(number: int, *args: int) -> Step:
    """Return the step that makes a system call."""

    def step(cpu: Cpu) -> Exit:
        cpu.eax = number
        for name, value in zip(("ebx", "ecx", "edx", "esi", "edi", "ebp"), args, strict=False):
            setattr(cpu, name, value)
        cpu.eip += 2
        return Exit("syscall")

    return step


def note(results: list[int], step: Step) -> Step:
    """Return *step* preceded by noting EAX: the result of the step before."""

    def noting(cpu: Cpu) -> Exit:
        results.append(cpu.eax)
        return step(cpu)

    return noting


@contextmanager
def guest(**settings: object) -> Iterator[Thread]:
    """Yield the leader of a fresh process, with a stack, a data page and host signals as before."""
    handlers.load()
    mem = Memory()
    options = LinuxOptions(**settings)  # type: ignore[arg-type]
    process = Process(options, mem, FakeEngine(), Vfs(options))  # type: ignore[arg-type]
    mem.map(STACK, STACK_SIZE, 3, fixed=True)
    mem.map(DATA, 0x4000, 3, fixed=True)
    cpu = Cpu(mem)
    cpu.esp = STACK + STACK_SIZE - 0x1000
    cpu.eip = 0x08048000
    leader = process.start_leader(cpu)
    try:
        yield leader
    finally:
        native.unbind(cpu)
        process.signals.give_back_host()
        process.vfs.close()
        for fd in list(process.vfs.fds.reserved):
            process.vfs.fds.release(fd)
        mem.close()


def play(t: Thread, *steps: Step) -> list[int]:
    """Run *steps* on the thread; return EAX after each."""
    results: list[int] = []

    def stop(cpu: Cpu) -> Exit:
        t.paused = True
        return Exit("stop")

    noted = [steps[0], *(note(results, step) for step in steps[1:]), note(results, stop)]
    t.process.engine.script = iter(noted)  # type: ignore[attr-defined]
    t.paused = False
    t.run()
    t.paused = False
    return results


def perform(t: Thread, number: int, *args: int) -> int:
    """Make one system call; return its result as a signed number."""
    result = (play(t, call(number, *args)) or [0])[0]  # nothing comes after the end
    return result - (1 << 32) if result >> 31 else result


PID = os.getpid()
