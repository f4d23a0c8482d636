"""A command -> one Sample: how long it took, by every clock, and what it printed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_STEADY = re.compile(rb"^steady_ns (\d+)\n?", re.M)
_SHOWN = 200  # bytes of output that an error message quotes


class Sample(NamedTuple):
    """One run of a process with all its children; seconds and bytes."""

    wall: float
    user: float
    system: float
    steady: float | None  # what the guest says its second half took on its own thread
    max_rss: int  # of its largest process
    status: int | None  # exit status, negative for a signal; None if it was over the limit
    digest: str  # of stdout
    stdout: str  # its beginning
    stderr: str  # its end, without the guest's own measurement

    @property
    def cpu(self) -> float:
        """Processor seconds: all threads and children, user and system."""
        return self.user + self.system


def execute(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    limit: float,
) -> Sample:
    """Run a command in *folder* for at most *limit* seconds.

    Output goes to files, so that no reader competes for the processor. Raises OSError if the
    command cannot be started.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        is_late = threading.Event()
        timer = threading.Timer(limit, _kill, (process.pid, is_late))
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _kill(process.pid, is_late)
            raise
        finally:
            timer.cancel()
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        digest = hashlib.file_digest(out, "sha256").hexdigest()
        out.seek(0)
        beginning = out.read(_SHOWN)
        err.seek(0)
        text = err.read()
    found = _STEADY.search(text)
    return Sample(
        wall=wall,
        user=usage.ru_utime,
        system=usage.ru_stime,
        steady=int(found[1]) / 1e9 if found else None,
        max_rss=usage.ru_maxrss << 10,
        status=None if is_late.is_set() else process.returncode,
        digest=digest,
        stdout=beginning.decode(errors="replace"),
        stderr=_STEADY.sub(b"", text)[-_SHOWN:].decode(errors="replace").strip(),
    )


def _kill(pid: int, is_late: threading.Event) -> None:
    is_late.set()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
