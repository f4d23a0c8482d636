"""benchmarks/boot.py: reads what was said, counts every process, refuses what did not boot."""

from __future__ import annotations

import os
import sys

import pytest

from benchmarks import boot

pytestmark = pytest.mark.particular

SAID = "[    0.1] a kernel\r\nINIT-START\r\nmodel name\t: any\r\n[    0.2] more\r\nSUM 1\r\n"
BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
# Its child goes on when it has ended.
ORPHAN = f"import os\nif not os.fork():\n    exec({BURN!r})\n"


def test_what_the_script_said() -> None:
    assert boot.tail(SAID) == ["INIT-START", "SUM 1"]


def test_no_shell_is_an_error() -> None:
    with pytest.raises(boot.BootError, match="no shell"):
        boot.tail("[    0.1] Kernel panic")


def test_orphans_count() -> None:
    taken, output = boot.execute([sys.executable, "-c", ORPHAN], os.environ, 60)
    assert taken.cpu > 0.3
    assert not output


def test_failures_are_errors() -> None:
    with pytest.raises(boot.BootError, match="exploded"):
        boot.execute([sys.executable, "-c", "raise SystemExit('exploded')"], os.environ, 60)


def test_ratios_are_within_a_round(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [boot.Taken(2, 4), boot.Taken(8, 8)], [boot.Taken(1, 1), boot.Taken(4, 4)]
    boot.report({"qemu": runs[1], "warm": runs[0]})
    line = capsys.readouterr().out.splitlines()[2]
    assert line.split() == ["warm", "5.00s", "2.00", "6.00s", "3.00"]
