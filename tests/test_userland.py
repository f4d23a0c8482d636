"""Ordinary Debian programs with outputs recorded elsewhere (suites/i386_userland)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.running import ANY, SLOW, STRATEGIES, SUITES, jitemu, run, work_directory

FILE = SUITES / "i386_userland" / "cases.jsonl"
ROWS = [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []
QUICK = {"echo", "factor", "dash", "sed"}


def parameters() -> list[Any]:
    """Return (row, strategy) pairs; short programs under stencil are the default tests."""
    found = []
    for number, row in enumerate(ROWS):
        words = [Path(row["path"]).name, *row["argv"][1:2]]
        for strategy in STRATEGIES:
            is_quick = strategy == ANY and QUICK & {words[0], words[-1]}
            marks = () if is_quick else SLOW
            identity = f"{number}-{'-'.join(words)[:24]}-{strategy}"
            found.append(pytest.param(row, strategy, id=identity, marks=marks))
    return found


def test_suite_is_there() -> None:
    """Say so loudly where the suite is missing."""
    if not ROWS:
        pytest.skip(f"{FILE} is missing (set JITEMU_SUITES)")


@pytest.mark.parametrize(("row", "strategy"), parameters())
def test_case(row: dict[str, Any], strategy: str, sysroot: Path) -> None:
    """The program prints, leaves and returns what was recorded."""
    program = sysroot / row["path"].lstrip("/")
    files = {name: text.encode() for name, text in row["files"].items()}
    with work_directory(files) as work:
        command = [*jitemu(strategy, "-L", str(sysroot), "-0", row["argv"][0]), str(program)]
        stdin = row["stdin"].encode()
        got = run([*command, *row["argv"][1:]], stdin=stdin, work=work, timeout=300)
        for name, digest in (row.get("files_out_sha256") or {}).items():
            assert hashlib.sha256((work / name).read_bytes()).hexdigest() == digest
    assert got.status == row["rc"], got.stderr[-2000:].decode(errors="replace")
    assert got.stderr.decode(errors="replace") == row.get("stderr", "")
    if "stdout" in row:
        assert got.stdout.decode(errors="replace") == row["stdout"]
    assert len(got.stdout) == row["stdout_len"]
    assert hashlib.sha256(got.stdout).hexdigest() == row["stdout_sha256"]
