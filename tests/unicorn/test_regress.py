"""Unicorn's own regression tests (its source distribution, GPL-2), unmodified, under both packages.

They are fetched from PyPI and checked by digest; nothing of them is kept here.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.running import REPOSITORY

pytestmark = pytest.mark.slow
unicorn = pytest.importorskip(
    "unicorn", reason="Unicorn is the referee: pip install unicorn==2.1.4"
)

URL = (
    "https://files.pythonhosted.org/packages/b2/1b/"
    "b4248aa8422e86de690cf8e85cf8feae4c33405a097d1ebe71570bdaa6f5/unicorn-2.1.4.tar.gz"
)
SHA256 = "00567a70e323f749b419cd86bee4f9115beab7ebba32194581c090cbb7c59cff"
TESTS = "unicorn-2.1.4/src/tests/regress/"
# What needs 64-bit code or another architecture is not ours.
SCRIPTS = [
    "core_ctl",
    "emu_clear_errors",
    "emu_stop_segfault",
    "fpu_ip",
    "fpu_mem_write",
    "hook_add_crash",
    "hook_code_add_del",
    "hook_readonly_write_local",
    "invalid_write",
    "jmp_ebx_hang",
    "leaked_refs",
    "memmap",
    "memmap_segfault",
    "mov_gs_eax",
    "reg_write_sign_extension",
    "rep_hook",
    "run_across_bb",
    "test_old_ctl",
    "wrong_rip",
    "x86_eflags",
    "x86_fldt_fsqrt",
    "x86_gdt",
    "x86_ld_crash",
    "x86_self_modifying",
]
# Cases that end otherwise here: why.
DIFFERENT = {
    ("fpu_ip", "test_32"): "the CPU stores ones in what FNSTENV reserves; Unicorn zeros",
    ("fpu_mem_write", "runTest"): "FPCW is 37Fh at first, as Linux sets it; in Unicorn 0",
    ("x86_gdt", "test_gdt"): "its segment expands down, so that its offset 18h is outside of it",
}
_LINE = re.compile(r"^(\w+) \(.*?\).*?(?:\.\.\. |\n)(ok|FAIL|ERROR|skipped)", re.M)
_OTHERS = ("does not emulate 64-bit code", "emulates UC_ARCH_X86 only")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the unpacked scripts."""
    cached = Path.home() / ".cache/jitemu-tests/unicorn-2.1.4.tar.gz"
    if not cached.exists():
        try:
            with urllib.request.urlopen(URL, timeout=60) as answer:
                data = answer.read()
        except (urllib.error.URLError, OSError) as error:
            pytest.skip(f"Unicorn's source cannot be fetched: {error}")
        cached.parent.mkdir(parents=True, exist_ok=True)
        part = cached.with_suffix(f".{os.getpid()}")
        part.write_bytes(data)
        part.rename(cached)
    assert hashlib.sha256(cached.read_bytes()).hexdigest() == SHA256
    root = tmp_path_factory.mktemp("regress")
    with tarfile.open(cached) as archive:
        wanted = [m for m in archive.getmembers() if m.name.startswith(TESTS) and m.isfile()]
        archive.extractall(root, wanted, filter="data")
    return root / TESTS


def outcomes(folder: Path, script: str, *module: str) -> dict[str, str]:
    """Run a script; return each of its cases with how it ended."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *module, f"{script}.py", "-v"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{REPOSITORY}:."},
    )
    found: dict[str, str] = {}
    for name, outcome in _LINE.findall(done.stderr):
        about = done.stderr.partition(f": {name} (")[2].partition("\n=====")[0]
        is_other = any(text in about for text in _OTHERS)
        found[name] = "another architecture" if is_other else outcome
    assert found or done.returncode, done.stderr
    return found


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_end_alike(folder: Path, script: str) -> None:
    """Each case of a script passes or fails as under Unicorn, but for the list above."""
    theirs = outcomes(folder, script)
    ours = outcomes(folder, script, "-m", "jitemu.unicorn")
    assert theirs
    different = {
        name: (outcome, ours.get(name))
        for name, outcome in theirs.items()
        if ours.get(name) not in (outcome, "another architecture")
    }
    assert set(different) == {case for where, case in DIFFERENT if where == script}, different
