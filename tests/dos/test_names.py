"""Long names (functions 71xxh): what a program sees of the host's names, and the host of its."""

from __future__ import annotations

import os
import time

from tests.dos.test_services import HERE, assemble
from tests.running import ANY, jitemu, run, work_directory

_WHEN = time.mktime((2001, 9, 9, 1, 46, 40, 0, 0, -1))


def test_names_in_other_cases_or_too_long() -> None:
    """A program opens the host's files by their names in capitals, or by short ones."""
    files = {"lower.txt": b"1", "a long name.text": b"2", "Mixed.Case.txt": b"3", "ünï.txt": b"4"}
    with work_directory(files) as work:
        program = assemble("open", work)
        names = ["LOWER.TXT", "ALONGN~1.TEX", "MIXEDC~1.TXT", "A Long Name.TEXT", "mixed.case.TXT"]
        shown = [run([*jitemu(ANY), program.name, name], work=work).stdout for name in names]
    assert shown == [b"1", b"2", b"3", b"2", b"3"]


def test_long_names() -> None:
    """Files with long names are made, found in any case, renamed and deleted; dates are kept."""
    with work_directory({}) as work:
        program = assemble("long", work)
        for name in ("readme.txt", "README.TXT", "README12.TXT", "aux.txt", "a:b.txt", "grün.txt"):
            (work / name).write_bytes(b"")
            os.utime(work / name, (_WHEN, _WHEN))
        got = run([*jitemu(ANY), program.name], work=work)
        assert (
            got.stdout.decode("cp437").replace("\r", "")
            == (HERE / "expected" / "long.txt").read_text()
        ), got.stderr
        assert {path.name for path in work.iterdir()} == {
            program.name, "readme.txt", "README.TXT", "README12.TXT", "README12345.TXT",
            "aux.txt", "a:b.txt", "grün.txt",
        }  # fmt: skip
