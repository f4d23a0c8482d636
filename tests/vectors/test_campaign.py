"""The campaign's command: it counts, and goes on where an interrupted one was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import REPOSITORY
from tests.vectors.campaign import files_of


def campaign(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.vectors", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def suite() -> str:
    if not files_of("sst_8086"):
        pytest.skip("sst_8086 is missing (set JITEMU_SUITES)")
    return "sst_8086"


def test_state(suite: str, tmp_path: Path) -> None:
    """What is noted as done is counted and not run again, the rest is run."""
    options = ("--tier", "interp", "--step", "50", "--state", str(tmp_path / "state"))
    status, text = campaign(suite, "40", *options)
    assert status == 0
    assert "4 vectors, 0 differ" in text
    noted = (tmp_path / "state").read_text()
    (tmp_path / "state").write_text(noted.replace("4, 0, []", '1000, 0, ["made up"]'))
    status, text = campaign(suite, "40", "41", *options)
    assert status == 1
    assert "1,004 vectors, 1 differ" in text
    assert len((tmp_path / "state").read_text().splitlines()) == 2
    status, text = campaign(suite, "41", *options, "--tier", "stencil")
    assert "4 vectors, 0 differ" in text


@pytest.mark.parametrize("text", ["{", "[1, 2]", "[[1], [2]]", "\udcff"])
def test_state_of_something_else(suite: str, tmp_path: Path, text: str) -> None:
    state = tmp_path / "state"
    state.write_bytes(text.encode(errors="surrogateescape"))
    status, said = campaign(suite, "40", "--state", str(state))
    assert status == 2
    assert said.startswith(f"tests.vectors: {state}: ")
    assert state.read_bytes() == text.encode(errors="surrogateescape")


def test_file_that_is_not_there(suite: str) -> None:
    status, said = campaign(suite, "40", "no-such-file")
    assert (status, said) == (2, "tests.vectors: not there: no-such-file\n")
