"""A command, its input and its files -> what it did: status, output, files left, seconds."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests import debian, forced

REPOSITORY = Path(__file__).resolve().parent.parent
SUITES = Path(os.environ.get("JITEMU_SUITES", REPOSITORY.parent / "shared" / "suites"))
# `pytest --strategy` narrows them; ANY is meant where any would do, and by default tests.
ALL = ("interp", "stencil", "block", "region", "tiered")
STRATEGIES = (forced.strategy,) if forced.strategy else ALL
ANY = forced.strategy or "stencil"
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "HOME": "/", "PATH": "/usr/bin:/bin"}
# What a Python process of its own starts with.
PRELUDE = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); {forced.source()}"
LAUNCH = f"{PRELUDE}from jitemu.__main__ import main; sys.exit(main())"
PLACEHOLDER = b"@WORK@"
# Marks of what the default run leaves out; it may take longer than a default test.
SLOW = (pytest.mark.slow, pytest.mark.timeout(1800))
# Starting the C library takes the block strategy ten seconds.
WITH_LIBC = (
    STRATEGIES if forced.strategy else ("interp", "stencil", pytest.param("block", marks=SLOW))
)


class Outcome(NamedTuple):
    """What a run did; *status* is negative for a death by signal, None for no end in time."""

    status: int | None
    stdout: bytes
    stderr: bytes
    files: dict[str, str]
    seconds: float


def digest_tree(work: Path) -> dict[str, str]:
    """Return path -> short digest of every file below *work*."""
    found = {}
    for path in sorted(work.rglob("*")):
        name = str(path.relative_to(work))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return found


def jitemu(strategy: str, *options: str) -> list[str]:
    """Return the command before the guest's PROGRAM and ARGS."""
    hidden = ("-U", "XDG_CACHE_HOME", "-U", "JITEMU_DEBUG")
    return [sys.executable, "-c", LAUNCH, "run", "--strategy", strategy, *hidden, *options]


def host_environment() -> dict[str, str]:
    """Return the environment of an emulated run: the guest's, and where the emulator caches."""
    # The guest's HOME is not the user's, but what was compiled once should be found again.
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return {**ENVIRONMENT, "XDG_CACHE_HOME": cache}


@contextmanager
def work_directory(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Make a working directory with *files* below /tmp; remove it afterwards."""
    work = Path(tempfile.mkdtemp(prefix="jitemu-case-", dir="/tmp"))
    try:
        for name, content in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def run(
    command: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    work: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Outcome:
    """Run *command* to its end; the working directory's name is replaced in what it printed."""
    start = time.monotonic()
    with subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=work,
        env=dict(env) if env is not None else host_environment(),
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(stdin, timeout * forced.patience())
            status: int | None = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            status = None
    seconds = time.monotonic() - start
    if work is not None:
        name = os.fsencode(work)
        stdout, stderr = stdout.replace(name, PLACEHOLDER), stderr.replace(name, PLACEHOLDER)
    return Outcome(status, stdout, stderr, digest_tree(work) if work else {}, seconds)


def difference(got: Outcome, want: Outcome) -> str:
    """Return what differs between two outcomes, short enough to read; empty if nothing does."""
    lines = []
    if got.status != want.status:
        lines.append(f"status {got.status}, expected {want.status}")
    for name in ("stdout", "stderr"):
        mine, theirs = getattr(got, name), getattr(want, name)
        if mine != theirs:
            at = next(
                (i for i, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]),
                -1,
            )
            at = min(len(mine), len(theirs)) if at < 0 else at
            begin = max(0, mine.rfind(b"\n", 0, at) - 80)
            lines.append(f"{name} differs at byte {at} of {len(mine)}/{len(theirs)}:")
            lines.append(f"  got      {mine[begin : at + 160]!r}")
            lines.append(f"  expected {theirs[begin : at + 160]!r}")
    if got.files != want.files:
        names = sorted(
            n for n in got.files.keys() | want.files.keys() if got.files.get(n) != want.files.get(n)
        )
        lines.append(f"files differ: {', '.join(names[:8])}")
    if lines and got.stderr != want.stderr and b"Traceback" in got.stderr:
        lines.append(got.stderr[-1500:].decode(errors="replace"))
    return "\n".join(lines)


def cache() -> Path:
    """Return the tests' own cache directory."""
    return debian.cache_root()
