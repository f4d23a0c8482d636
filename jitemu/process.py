"""The Python interface: a program in, its results, registers and memory out."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple

from jitemu.descriptors import Capture, Descriptors, Stream
from jitemu.memory import ProcessMemory
from jitemu.regs import Registers
from jitemu.statistics import Statistics, Times, collect
from jitemu.watch import Watch
from runtime.personalities.linux import Linux
from runtime.personalities.linux.ending import End
from runtime.personalities.linux.options import LinuxOptions
from translator import DEFAULT_STRATEGY
from translator.strategies import STRATEGIES
from translator.tiers import hostdis

_LONGEST_INSN = 15
_unfinished: Process | None = None  # all guests share one arena of host code


class Instruction(NamedTuple):
    """One disassembled guest insn."""

    address: int
    code: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """Why `Process.run` returned."""

    reason: str  # "exit", "signal", "budget" or "timeout"; after the latter two run may go on
    exit_status: int | None  # 0 to 255, if the guest exited
    signal: int | None  # the signal that killed it
    insns: int  # executed by this call
    note: str  # one line about a death by fault, or ""
    stdout: bytes | None  # what was captured since the start; None without capture=True
    stderr: bytes | None

    @property
    def is_over(self) -> bool:
        """Whether the guest has ended."""
        return self.reason in ("exit", "signal")

    @property
    def returncode(self) -> int | None:
        """The status as `subprocess` gives it: negative for a signal, None while it goes on."""
        return -self.signal if self.signal is not None else self.exit_status


class Process:
    r"""A Linux i386 guest process inside this Python process.

    Only one may be unfinished at a time: finish or `close` it before making the next. Everything
    but `memory` and `regs` must be used by the host thread that made it. The guest runs in this
    very process: what it does to the umask, its limits or its process group remains, it sees none
    of this process's descriptors but 0, 1, 2 and *pass_fds*, and while it runs other Python
    threads that use 0, 1 and 2 use the guest's.

    >>> with Process("tests/hello", capture=True) as guest:
    ...     result = guest.run()
    >>> result.exit_status, result.stdout
    (0, b'hello\n')
    """

    def __init__(
        self,
        program: str | os.PathLike[str],
        args: Sequence[str] = (),
        *,
        sysroot: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        argv0: str | None = None,
        strategy: str = DEFAULT_STRATEGY,
        region_threshold: int | None = None,
        mounts: Sequence[str] = (),
        host_fs: bool = False,
        net: str = "off",
        memory: int | None = None,
        stack_size: int = 8 << 20,
        release: str = "6.1.0",
        strace: bool = False,
        stdin: bytes | Stream | None = None,
        stdout: Stream | None = None,
        stderr: Stream | None = None,
        capture: bool = False,
        pass_fds: Sequence[int] = (),
        code_cache: int | None = None,
    ) -> None:
        """Load a program.

        The settings are those of `jitemu run`: *sysroot* is -L, *env* the whole environment (None:
        this process's), *region_threshold* counts insns, *mounts* are texts HOST[:GUEST][:ro|rw],
        *net* is "off" or "host", *memory* and *stack_size* count bytes. *stdin* may be bytes; the
        streams may be descriptors or files; *capture* keeps what the guest writes to stdout and
        stderr for the Result. *code_cache* is how many bytes of host code are kept before all of it
        is dropped (1 MiB to 255 MiB).

        Raises LoadError (an OSError) if the program cannot be run, ValueError for bad settings,
        RuntimeError while another Process is unfinished.
        """
        global _unfinished
        if _unfinished is not None:
            raise RuntimeError("another Process is unfinished: close() it first")
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy {strategy!r}: choose from {', '.join(sorted(STRATEGIES))}")
        if net not in ("off", "host"):
            raise ValueError(f"net {net!r}: choose off or host")
        if sysroot is not None and not os.path.isdir(sysroot):
            raise ValueError(f"sysroot {os.fspath(sysroot)}: no such directory")
        options = LinuxOptions(
            sysroot=None if sysroot is None else os.fspath(sysroot),
            mounts=tuple(mounts),
            host_fs=host_fs,
            net=net,
            env=None if env is None else tuple(f"{k}={v}" for k, v in env.items()),
            argv0=argv0,
            stack_size=stack_size,
            strace=strace,
            quiet=True,
            memory_limit=memory,
            release=release,
        )
        begun = time.perf_counter()
        path = os.fspath(program)
        self._linux = Linux(path, [path, *args], options, strategy)
        if region_threshold is not None:
            self._linux.process.engine.tiering.set_threshold(region_threshold)
        _unfinished = self
        process = self._linux.process
        if code_cache is not None:
            process.engine.cache.set_size(code_cache)
        process.signals.give_back_host()
        self._times = Times(time.perf_counter() - begun)
        self._thread = threading.get_ident()
        self._end: End | None = None
        self._is_closed = False
        fds = process.vfs.fds
        source = Capture(fds, "stdin", stdin) if isinstance(stdin, bytes) else stdin
        self._captured = [
            Capture(fds, name) if capture and given is None else None
            for name, given in (("stdout", stdout), ("stderr", stderr))
        ]
        targets = [c or given for c, given in zip(self._captured, (stdout, stderr), strict=True)]
        self._descriptors = Descriptors(fds, [source, *targets], pass_fds)
        if isinstance(source, Capture):
            source.release()
        self.regs = Registers(self._linux.cpu)  # of the first thread
        self.memory = ProcessMemory(process.mem)

    def run(self, budget: int | None = None, timeout: float | None = None) -> Result:
        """Run until the guest ends, executed *budget* insns, or *timeout* seconds have passed.

        The budget is exact; each iteration of a repeated string insn counts. After "budget" or
        "timeout" registers and memory may be read and changed, and run called again. Ctrl-C pauses
        the guest and raises KeyboardInterrupt, unless the guest handles SIGINT itself.
        """
        self._check_usable()
        if self._end is not None:
            raise ValueError("the guest has ended")
        if min(budget or 0, timeout or 0) < 0:
            raise ValueError("budget and timeout must not be negative")
        process = self._linux.process
        process.budget.set(budget)
        before = process.budget.executed()
        process.pause_reason = None  # the last slice's; the watch may ask for a pause at once
        watch = Watch(process, timeout)
        self._flush()
        self._descriptors.enter()
        try:
            with self._times, watch:
                assert process.leader is not None
                process.signals.take_host(process.leader.mask, watch.kept)
                try:
                    self._end = self._linux.run()
                finally:
                    process.signals.give_back_host()
        finally:
            self._descriptors.leave()
            if self._end is not None:
                self._finish()
        watch.raise_interrupt()
        return self._result(process.budget.executed() - before)

    def _flush(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()

    def _result(self, insns: int) -> Result:
        end = self._end
        captured = [c.content() if c is not None else None for c in self._captured]
        if end is None:
            reason = self._linux.process.pause_reason or "budget"
            return Result(reason, None, None, insns, "", *captured)
        if end.signal:
            return Result("signal", None, end.signal, insns, end.note, *captured)
        return Result("exit", end.status, None, insns, end.note, *captured)

    @property
    def statistics(self) -> Statistics:
        """Counts and times of the whole run so far."""
        return collect(self._linux, self._times)

    @property
    def missing(self) -> dict[str, int]:
        """What the guest asked for in vain, with counts: unknown system calls and requests."""
        report = self._linux.process.report
        return {**report.unknown_calls(), **report.unsupported_requests()}

    def disassemble(self, address: int | None = None, count: int = 10) -> list[Instruction]:
        """Return up to *count* insns from *address* (None: eip) on, fewer where memory ends."""
        self._check_usable()
        start = self.regs.eip if address is None else address
        mem = self._linux.process.mem
        size = 0
        while size < count * _LONGEST_INSN and mem.prot_at((start + size) & 0xFFFFFFFF):
            size = (start + size | 0xFFF) + 1 - start
        code = self.memory.read(start, min(size, count * _LONGEST_INSN)) if size else b""
        found = [Instruction(*line) for line in hostdis.lines(code, start, 32)]
        return found[:count]

    def close(self) -> None:
        """End the guest if it has not ended, and give everything back to the host."""
        if self._is_closed:
            return
        if self._end is None:
            self._check_usable()
            self._descriptors.enter()
            try:
                self._end = self._linux.stop(End(signal=9))
            finally:
                self._descriptors.leave()
                self._finish()
        self._is_closed = True
        for captured in self._captured:
            if captured is not None:
                captured.release()
        self.memory.release()

    def _finish(self) -> None:
        global _unfinished
        if _unfinished is self:
            _unfinished = None
        self._linux.process.engine.tiering.wait()
        self._descriptors.close()

    def _check_usable(self) -> None:
        if self._is_closed:
            raise ValueError("the process is closed")
        if threading.get_ident() != self._thread:
            raise RuntimeError("a Process belongs to the host thread that made it")

    def __enter__(self) -> Process:
        """Use the process in a `with` statement, which closes it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Name the program and say where it is."""
        state = "ended" if self._end is not None else f"at {self.regs.eip:#010x}"
        return f"<Process {self._linux.process.exe!r} {state}>"
