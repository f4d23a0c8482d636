"""A program of DJGPP's kind: Free Pascal for go32v2, with its start-up code and stub.

Debian has the compiler (ppc386 knows this target), binutils for DJGPP, and the source of the
run-time library. Compiler and assembler are i386 Linux programs, and run under jitemu, too.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import urllib.request
from pathlib import Path

import pytest

from jitemu.sysroot import SysrootError
from tests.boot import linux
from tests.commands import COMMAND
from tests.debian import cache_root, locked, sysroot
from tests.dos.test_services import HERE
from tests.running import ANY, host_environment, jitemu, run, work_directory

SOURCE = "http://deb.debian.org/debian/pool/main/f/fpc/fpc_3.2.2+dfsg.orig.tar.xz"
SHA256 = "8534a754b643779919be78b396b386982f924c0c57a0b837609d1124313b123f"
_LIBRARY = "fpcsrc/rtl/"
_PARTS = ("go32v2", "i386", "inc", "objpas", "charmaps")
_STARTUP = {"v2prt0.as": "prt0.o", "exceptn.as": "exceptn.o", "fpu.as": "fpu.o"}
_UNITS = ("system", "sysutils", "dos", "go32", "dpmiexcp")
_SAID = """\
by real mode
child <one> <two>
list 100000
big 2546416
read 499 of 500
found a long file name.data 2000
divided
violated
divided again
root 1.414213562373
between 257 2
code 42
"""


def _library(place: Path) -> None:
    """Unpack the run-time library's source, as far as it is needed."""
    with urllib.request.urlopen(SOURCE, timeout=120) as answer:
        data = answer.read()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise OSError("the source of Free Pascal is not what it was")
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:xz") as archive:
        for member in archive:
            _, found, name = member.name.partition(_LIBRARY)
            if found and member.isfile() and name.split("/")[0] in _PARTS:
                target = place / name
                target.parent.mkdir(parents=True, exist_ok=True)
                stream = archive.extractfile(member)
                assert stream is not None
                target.write_bytes(stream.read())


def _emulated(*words: str | Path, work: Path, root: Path | None = None) -> None:
    """Run an i386 Linux program under jitemu; all of the host's files are its own to use."""
    options = [] if root is None else ["-L", str(root)]
    command = [*COMMAND, "run", "--host-fs", *options, *map(str, words)]
    subprocess.run(
        command, cwd=work, env=host_environment(), check=True, capture_output=True, timeout=900
    )


@pytest.fixture(scope="module")
def pascal() -> tuple[Path, list[str]]:
    """Return the compiler, and its options for programs; builds the run-time library once."""
    if not linux.has_tools():
        pytest.skip("apt-get, dpkg-deb and tar fetch a compiler; some of them are missing")
    place = cache_root() / "dos-pascal-library"
    try:
        compiler = linux.packages("dos-pascal", "fp-compiler-3.2.2")
        with locked(cache_root() / "dos-pascal-library.lock"):
            if not (place / "done").exists():
                shutil.rmtree(place, ignore_errors=True)
                _library(place)
                (place / "done").touch()
        root = sysroot(["binutils-djgpp"])
    except (SysrootError, OSError) as error:
        pytest.skip(f"cannot fetch Free Pascal: {error}")
    ppc386 = next(compiler.glob("usr/lib/*/fpc/3.2.2/ppc386"))
    units, go32v2 = place / "units", place / "go32v2"
    options = ["-n", "-Tgo32v2", "-O2", "-vw-", f"-Fu{units}", f"-Fl{units}"]
    with locked(cache_root() / "dos-pascal-library.lock"):
        if not (units / "done").exists():
            units.mkdir(exist_ok=True)
            for name, target in _STARTUP.items():
                assembler = root / "usr/bin/i586-pc-msdosdjgpp-as"
                _emulated(assembler, "-o", units / target, name, work=go32v2, root=root)
            paths = [f"-FU{units}", *(f"-Fi../{p}" for p in ("inc", "i386", "objpas"))]
            paths += [f"-Fu../{p}" for p in ("inc", "i386", "objpas", "objpas/sysutils")]
            paths += ["-Fi../objpas/sysutils"]
            for name in _UNITS:
                more = ["-Us", "-Sg"] if name == "system" else []
                _emulated(ppc386, *options, *paths, *more, f"{name}.pp", work=go32v2)
            (units / "done").touch()
    return ppc386, options


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_client(pascal: tuple[Path, list[str]]) -> None:
    """Memory, long names, exceptions, the coprocessor, real mode, and a client within a client."""
    ppc386, options = pascal
    with work_directory({}) as work:
        shutil.copy(HERE / "pascal" / "client.pas", work)
        _emulated(ppc386, *options, "client.pas", work=work)
        # A stub of DJGPP's, and the COFF image behind it.
        assert (work / "client.exe").read_bytes()[2048:2050] == b"\x4c\x01"
        os.chmod(work / "client.exe", 0o644)
        got = run([*jitemu(ANY), "client.exe", "one"], work=work, timeout=300)
    assert got.stdout.decode().replace("\r", "") == _SAID, got.stderr
    assert got.status == 7
