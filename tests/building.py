"""C sources of the tests -> static i386 programs in the cache, built once."""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.debian import cache_root, locked

FLAGS = ("-m32", "-static", "-O2", "-w")


def build(source: Path, *extra: str) -> Path:
    """Return the program of a C file, with the flags of its `// build:` line."""
    text = source.read_text()
    match = re.search(r"^// build: (.*)$", text, re.M)
    own = shlex.split(match[1]) if match else []
    compiled = [flag for flag in own if not flag.startswith("-l")]
    linked = [flag for flag in own if flag.startswith("-l")]
    flags = [*FLAGS, *compiled, *extra]
    headers = "".join(path.read_text() for path in sorted(source.parent.glob("*.h")))
    key = hashlib.sha256(f"{text}{headers}{flags}".encode()).hexdigest()[:12]
    home = cache_root() / "guests"
    home.mkdir(exist_ok=True)
    target = home / f"{source.stem}-{key}"
    with locked(home / "lock"):
        if target.exists():
            return target
        partial = target.with_suffix(".tmp")
        command = ["gcc", *flags, "-o", str(partial), str(source), *linked]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("gcc is not installed")
        if done.returncode:
            if any(hint in done.stderr for hint in ("cannot find", "No such file", "incompatible")):
                pytest.skip("gcc -m32 -static fails: install gcc-multilib (Debian, Ubuntu)")
            pytest.fail(f"{source.name} does not compile:\n{done.stderr[:2000]}")
        partial.rename(target)
    return target


def runs_natively(program: Path) -> bool:
    """Whether this machine starts i386 programs."""
    try:
        subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return False
    return True
