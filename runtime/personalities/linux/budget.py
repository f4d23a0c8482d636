"""The insns that the threads of a process may still execute, together, and how many they did.

Each thread counts down its own Cpu's budget; what it cannot use goes back to the pool. When one
runs out the process pauses, and `spread` deals out what the others have left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.cpu import UNLIMITED

if TYPE_CHECKING:
    from runtime.cpu import Cpu
    from runtime.personalities.linux.process import Process
    from runtime.personalities.linux.threads import Thread

_FEW = 64  # insns per thread; fewer are not worth dealing out


class Budget:
    """A process's budget; exact, whatever threads it has. A forked child has its thread's share."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._pool = 0  # left by threads that ended
        self._granted = 0  # to all threads since the start
        self.is_limited = False

    def _cpus(self) -> list[Cpu]:
        return [t.cpu for t in self._process.threads.values()]

    def _left(self) -> int:
        return self._pool + sum(cpu.budget for cpu in self._cpus())

    def left(self) -> int | None:
        """Return how many insns the process may still execute; None for no limit."""
        return max(0, self._left()) if self.is_limited else None

    def executed(self) -> int:
        """Return how many insns the process executed so far."""
        return self._granted - self._left()

    def add(self, cpu: Cpu) -> None:
        """Count a process's first thread."""
        self._granted += cpu.budget

    def set(self, insns: int | None) -> None:
        """Allow so many more insns from now on, or any number. No guest thread may be running."""
        done = self.executed()
        self.is_limited = insns is not None
        cpus = self._cpus()
        if insns is None:
            for cpu in cpus:
                cpu.budget = UNLIMITED
            self._pool = 0
        else:
            for cpu in cpus:
                cpu.budget = 0
            self._pool = insns
            self._deal(cpus)
        self._granted = done + self._left()

    def share(self, parent: Cpu, child: Cpu) -> None:
        """Give a new thread half of what its maker has; the maker's host thread calls this."""
        if not self.is_limited:
            self._granted += child.budget
            return
        half = parent.budget // 2
        child.budget = half
        parent.budget -= half

    def retire(self, cpu: Cpu) -> None:
        """Take back what an ended thread has left."""
        self._pool += cpu.budget
        if self.is_limited:  # else a thread that ends late must not seem to have used up its own
            cpu.budget = 0

    def after_fork(self, t: Thread) -> None:
        """Count the forking thread alone, from now on."""
        self._pool = 0
        self._granted = t.cpu.budget

    def spread(self, hungry: Thread | None) -> bool:
        """Deal out again what is left; False if that is nothing. No guest thread may be running."""
        cpus = self._cpus()
        if not self.is_limited or (total := self._left()) <= 0:
            return False
        for cpu in cpus:
            cpu.budget = 0
        self._pool = total
        self._deal([hungry.cpu] if hungry is not None and total < _FEW * len(cpus) else cpus)
        return True

    def _deal(self, cpus: list[Cpu]) -> None:
        if not cpus:
            return
        each, more = divmod(self._pool, len(cpus))
        for index, cpu in enumerate(cpus):
            cpu.budget = each + (index < more)
        self._pool = 0
