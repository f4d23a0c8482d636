"""A command of jitemu in a process of its own -> what it did; the programs that it runs."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.building import build
from tests.running import LAUNCH, Outcome, host_environment, run, work_directory

FRONT = Path(__file__).parent / "front"
BAD = Path(__file__).parent / "bad"
GUESTS = Path(__file__).parent / "guests"
COMMAND = [sys.executable, "-c", LAUNCH]


def program(name: str, folder: Path = FRONT) -> str:
    return str(build(folder / f"{name}.c"))


def start(*words: str, stdin: bytes = b"", timeout: float = 60, **env: str) -> Outcome:
    """Run a command of jitemu in an empty directory."""
    with work_directory({}) as work:
        variables = {**host_environment(), **env}
        return run([*COMMAND, *words], stdin=stdin, work=work, env=variables, timeout=timeout)


def assert_refused(got: Outcome, status: int, *parts: str) -> None:
    text = got.stderr.decode()
    assert got.status == status, text
    assert len(text.splitlines()) == 1, text
    assert text.startswith("jitemu: "), text
    for part in parts:
        assert part in text
