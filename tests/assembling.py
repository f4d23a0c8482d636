"""Assembly of guests for machines -> flat binaries, by GNU as and ld."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from pathlib import Path

import pytest


@functools.cache
def assemble(source: str, origin: int = 0, bits: int = 16) -> bytes:
    """Return the code of a source in Intel syntax, as it lies at offset *origin*."""
    text = f".code{bits}\n.intel_syntax noprefix\n.globl _start\n_start:\n{source}\n"
    with tempfile.TemporaryDirectory() as home:
        made, flat = Path(home) / "a.o", Path(home) / "a.bin"
        try:
            done = subprocess.run(
                ["as", "--32", "-o", made, "-"],
                input=text,
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            pytest.skip("binutils are not installed")
        if done.returncode:
            pytest.fail(f"the guest does not assemble:\n{done.stderr[:2000]}")
        layout = f"-Ttext={origin:#x}"
        command = ["ld", "-m", "elf_i386", layout, "--oformat", "binary", "-o", flat, made]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"the guest does not link:\n{done.stderr[:2000]}")
        return flat.read_bytes()
