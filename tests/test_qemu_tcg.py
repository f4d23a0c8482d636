"""QEMU's own i386 user-mode test programs (suites/qemu_tcg_i386), as that suite's index says."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.debian import locked
from tests.running import ANY, SLOW, STRATEGIES, SUITES, cache, jitemu, run, work_directory
from translator import features

HOME = SUITES / "qemu_tcg_i386"
INDEX = HOME / "index.json"
ROWS = json.loads(INDEX.read_text()) if INDEX.exists() else []
# They are compiled for insns that only some hosts allow, and use them without asking.
LATER = {"sha512-sse": "sse4_1", "test-i386-pcmpistri": "sse4_2"}
# What else is right: glibc chooses its fmaf by CPUID, and one that has no FMA returns another of
# two NaN operands. This is what the reference CPU prints under
# GLIBC_TUNABLES=glibc.cpu.hwcaps=-FMA,-AVX2.
WITHOUT_FMA = {"float_madds": "3404c54e5d57af70ec1c3b499af44afec6b90752870529520687bbf8e2f7a274"}
TIMEOUT = 300


def parameters() -> list[Any]:
    """Return (row, strategy) pairs."""
    found = []
    for row in ROWS:
        for strategy in STRATEGIES:
            marks: list[Any] = [] if strategy == ANY else [*SLOW]
            if (needed := LATER.get(row["name"])) and needed not in features.GUEST:
                marks += [pytest.mark.skip(reason=f"this host has no {needed}")]
            found.append(pytest.param(row, strategy, id=f"{row['name']}-{strategy}", marks=marks))
    return found


@pytest.fixture(scope="session")
def programs() -> Path:
    """Return the directory of the unpacked programs."""
    archive = HOME / "bin.tar.xz"
    if not archive.exists():
        pytest.skip(f"{archive} is missing (set JITEMU_SUITES)")
    target = cache() / "qemu_tcg_i386"
    with locked(cache() / "qemu_tcg_i386.lock"):
        if not target.exists():
            partial = target.with_suffix(".tmp")
            shutil.rmtree(partial, ignore_errors=True)
            with tarfile.open(archive) as tar:
                tar.extractall(partial, filter="data")
            partial.rename(target)
    return target / "bin"


def test_suite_is_there() -> None:
    """Say so loudly where the suite is missing."""
    if not ROWS:
        pytest.skip(f"{INDEX} is missing (set JITEMU_SUITES)")


@pytest.mark.parametrize(("row", "strategy"), parameters())
def test_program(row: dict[str, Any], strategy: str, programs: Path) -> None:
    """The program ends and prints as on hardware."""
    with work_directory({}) as work:
        command = [*jitemu(strategy), str(programs / row["name"])]
        got = run(command, work=work, timeout=TIMEOUT)
    assert got.status == row["rc"], (got.stdout + got.stderr)[-2000:].decode(errors="replace")
    if row["compare"] == "rc+stdout":
        right = {row["stdout_sha256"], WITHOUT_FMA.get(row["name"])}
        assert hashlib.sha256(got.stdout).hexdigest() in right
