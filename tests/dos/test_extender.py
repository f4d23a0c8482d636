"""DOS/4GW with a program by Watcom C, from a package on npm: a client of DPMI, and without it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.debian import cache_root, locked
from tests.running import ANY, LAUNCH, jitemu, run, work_directory

PACKAGE, PLACE = "js-dos@6.22.60", "package/programms/bin/"
FILES = ("DOS4GW.EXE", "dhry_2.exe")
# Hides the DPMI host, so that the extender goes to protected mode by itself.
_RAW = """
import runtime.personalities.dos.dpmi.host as module
begin = module.Host.__init__
def without(self, dos, pool):
    begin(self, dos, pool)
    del dos.multiplex[0x1687]
module.Host.__init__ = without
"""


@pytest.fixture(scope="module")
def programs() -> dict[str, bytes]:
    """Return the extender and the program; skip where npm cannot fetch them."""
    if shutil.which("npm") is None:
        pytest.skip("npm is missing: it fetches DOS/4GW")
    place: Path = cache_root() / "dos-extender"
    with locked(cache_root() / "dos-extender.lock"):
        if not all((place / name).exists() for name in FILES):
            place.mkdir(exist_ok=True)
            command = ["npm", "pack", "--silent", PACKAGE]
            done = subprocess.run(
                command, cwd=place, capture_output=True, text=True, timeout=300, check=False
            )
            if done.returncode:
                pytest.skip(f"cannot fetch {PACKAGE}: {done.stderr.strip()[-200:]}")
            archive = place / done.stdout.split()[-1]
            with tarfile.open(archive) as package:
                for name in FILES:
                    stream = package.extractfile(PLACE + name)
                    assert stream is not None
                    (place / name).write_bytes(stream.read())
            archive.unlink()
    return {name: (place / name).read_bytes() for name in FILES}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("is_raw", [False, True], ids=["dpmi", "raw"])
def test_dhrystone(programs: dict[str, bytes], *, is_raw: bool) -> None:
    """The benchmark finds all its values as they should be."""
    command = jitemu(ANY)
    if is_raw:
        hidden = LAUNCH.replace("from jitemu", f"exec({_RAW!r}); from jitemu", 1)
        assert hidden != LAUNCH
        command = [sys.executable, "-c", hidden, *command[command.index("run") :]]
    with work_directory(programs) as work:
        got = run([*command, "dhry_2.exe"], stdin=b"\n", work=work, timeout=900)
    text = got.stdout.decode("cp437")
    assert got.status == 0, got.stderr
    assert b"DOS/4GW Protected Mode Run-time" in got.stderr
    assert text.count("O.K.") == 20
    assert "Dhrystones per Second" in text
    assert b"jitemu" not in got.stderr
