"""The example that draws under DOS, from the command line, with a script that takes its picture."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.running import REPOSITORY

pytestmark = [
    pytest.mark.particular,
    pytest.mark.skipif(not shutil.which("nasm"), reason="nasm is not there"),
]
SCRIPT = "sleep 2\nscreenshot picture.png\npress esc\nsleep 30\n"
WIDTH, HEIGHT = 320, 200


def read_png(path: Path) -> np.ndarray:
    """Return the pixels of a file that runtime/screen/png.py wrote: unfiltered, in one chunk."""
    data = path.read_bytes()
    at = data.index(b"IDAT")
    size = int.from_bytes(data[at - 4 : at], "big")
    lines = np.frombuffer(zlib.decompress(data[at + 4 : at + 4 + size]), np.uint8)
    return lines.reshape(HEIGHT, 1 + 3 * WIDTH)[:, 1:].reshape(HEIGHT, WIDTH, 3)


def iterations(row: int, column: int) -> int:
    """Return how soon a point leaves the circle of radius 2; 200: not."""
    c, z = complex(column * 0.0125 - 2.5, row * 0.0125 - 1.25), 0j
    for count in range(200):
        if abs(z) >= 2:
            return count
        z = z * z + c
    return 200


def test_mandelbrot(tmp_path: Path) -> None:
    """Each point has the colour of its number of iterations; a key ends the program."""
    program = tmp_path / "mandel.com"
    source = REPOSITORY / "examples" / "mandel.asm"
    subprocess.run(["nasm", "-f", "bin", "-o", program, source], check=True)
    (tmp_path / "script").write_text(SCRIPT)
    command = [sys.executable, "-m", "jitemu", "run", "--display", "none", "--script", "script"]
    done = subprocess.run(
        [*command, str(program)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pixels = read_png(tmp_path / "picture.png")
    assert not pixels[100, 200].any()  # the origin belongs to the set
    colours: dict[int, set[tuple[int, ...]]] = {}
    for row in range(0, HEIGHT, 10):
        for column in range(0, WIDTH, 10):
            colours.setdefault(iterations(row, column), set()).add(tuple(pixels[row, column]))
    assert len(colours) > 5
    # Beyond, the program's constants of 24 bits make a difference.
    assert all(len(found) == 1 for count, found in colours.items() if count < 20)
