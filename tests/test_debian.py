"""Unmodified Debian i386 programs under jitemu: output, status and files equal the native run.

`python -m tests.test_debian` regenerates tests/data/debian_expected.json, which is for machines
that cannot run i386 code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import debian, debian_cases, debian_programs, debian_scripts
from tests.debian_case import Case
from tests.running import (
    ALL,
    ENVIRONMENT,
    SLOW,
    STRATEGIES,
    Outcome,
    difference,
    jitemu,
    run,
    work_directory,
)
from translator import DEFAULT_STRATEGY

CASES = (*debian_cases.CASES, *debian_scripts.CASES, *debian_programs.CASES)
EXPECTED = Path(__file__).parent / "data" / "debian_expected.json"
TIMEOUT = 300.0
KEPT_BYTES = 1500


def parameters(*, more: bool) -> list[Any]:
    """Return (case, strategy) pairs: the quick ones by default, the rest marked slow."""
    rows = []
    for case in (case for case in CASES if case.more == more):
        several = ("tiered", "stencil", *(("interp", "block") if case.slow_tiers else ()))
        for strategy in several if STRATEGIES == ALL else STRATEGIES:
            is_quick = case.quick and strategy == DEFAULT_STRATEGY
            marks = () if is_quick else SLOW
            rows.append(pytest.param(case, strategy, id=f"{case.id}-{strategy}", marks=marks))
    return rows


def native(root: Path, case: Case) -> Outcome:
    """Run a case on this CPU, in the same sysroot and a like directory."""
    with work_directory(case.files) as work:
        variables = [f"{name}={value}" for name, value in guest_environment(work).items()]
        command = [*debian.native_prefix(root, work), *variables, *case.argv]
        return run(command, stdin=case.stdin, work=work, timeout=TIMEOUT)


def guest_environment(work: Path) -> dict[str, str]:
    """Return what the guest finds in its environment: its temporary files go where it may write."""
    return {**ENVIRONMENT, "TMPDIR": str(work)}


def emulated(root: Path, case: Case, strategy: str) -> Outcome:
    """Run a case under jitemu."""
    program = root / case.argv[0].lstrip("/")
    with work_directory(case.files) as work:
        options = ("-L", str(root), "-0", case.argv[0], "-E", f"TMPDIR={work}")
        command = [*jitemu(strategy, *options), str(program), *case.argv[1:]]
        return run(command, stdin=case.stdin, work=work, timeout=TIMEOUT)


def pack(data: bytes) -> dict[str, Any]:
    """Return output as JSON: itself if short, its digest if long."""
    if len(data) > KEPT_BYTES:
        return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def unpack(got: bytes, kept: dict[str, Any]) -> bytes:
    """Return the recorded output; of long ones only the digest is known, so *got* if it fits."""
    if "sha256" in kept:
        is_same = hashlib.sha256(got).hexdigest() == kept["sha256"]
        return got if is_same else f"(other output of {kept['size']} bytes)".encode()
    return kept["text"].encode() if "text" in kept else base64.b64decode(kept["base64"])


@pytest.fixture(scope="session")
def more_sysroot() -> Path:
    """Return the sysroot with further programs, which only the slow tests fetch."""
    root = debian.sysroot(debian_programs.PACKAGES)
    if problem := debian.native_problem(root):
        pytest.skip(problem)
    return root


@pytest.fixture(scope="session")
def expected_of(sysroot: Path) -> Any:
    """Return a function case, outcome -> expected outcome: of a live native run or recorded."""
    problem = debian.native_problem(sysroot)
    known: dict[str, Outcome] = {}
    if problem is None:

        def live(case: Case, got: Outcome) -> Outcome:
            if case.id not in known:
                known[case.id] = native(sysroot, case)
            return known[case.id]

        return live
    recorded = json.loads(EXPECTED.read_text())
    if recorded["versions"] != debian.versions(sysroot):
        pytest.skip(f"{problem}; and the recorded outputs are of other package versions")

    def kept(case: Case, got: Outcome) -> Outcome:
        row = recorded["cases"][case.id]
        stdout, stderr = unpack(got.stdout, row["stdout"]), unpack(got.stderr, row["stderr"])
        return Outcome(row["status"], stdout, stderr, row["files"], row["seconds"])

    return kept


@pytest.mark.parametrize(("case", "strategy"), parameters(more=False))
def test_invocation(case: Case, strategy: str, sysroot: Path, expected_of: Any) -> None:
    """The program behaves as it does natively."""
    got = emulated(sysroot, case, strategy)
    assert not difference(got, expected_of(case, got))


@pytest.mark.parametrize(("case", "strategy"), parameters(more=True))
def test_further_program(case: Case, strategy: str, more_sysroot: Path) -> None:
    """So does one that most machines do not fetch."""
    got = emulated(more_sysroot, case, strategy)
    assert not difference(got, native(more_sysroot, case))


def test_case_ids_are_unique() -> None:
    """Every case has its own id, and there are as many as the project promises."""
    assert len({case.id for case in CASES}) == len(CASES) >= 70


def record(root: Path) -> int:
    """Run every case natively twice and write the table; return how many are not deterministic."""
    table, unstable = {}, 0
    for case in (case for case in CASES if not case.more):
        first, second = native(root, case), native(root, case)
        if problem := difference(first, second):
            unstable += 1
            print(f"{case.id} is not deterministic:\n{problem}", file=sys.stderr)
        print(
            f"{case.id:24} {first.status:4} {len(first.stdout):8} bytes {first.seconds:6.2f} s",
            file=sys.stderr,
        )
        table[case.id] = {
            "status": first.status,
            "stdout": pack(first.stdout),
            "stderr": pack(first.stderr),
            "files": first.files,
            "seconds": round(first.seconds, 2),
        }
    recorded = {"versions": debian.versions(root), "cases": table}
    EXPECTED.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
    return unstable


if __name__ == "__main__":
    sys.exit(record(debian.sysroot()) > 0)
