"""benchmarks.inside: what it makes of a machine's serial port."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import inside
from benchmarks.workload import Task

BUSY = "x = 0\nfor i in range(400_000): x += i\n"


def machine(*lines: str) -> list[str]:
    """Return the command of a machine that prints lines; "work" takes processor time."""
    parts = [BUSY if line == "work" else f"print({line!r}, flush=True)\n" for line in lines]
    return [sys.executable, "-c", "".join(parts)]


def test_a_kernel() -> None:
    """Both clocks, and the result alone; time before the second half does not count."""
    lines = (
        "[ 1.0] mce",
        "BEGIN crc",
        "work",
        "half",
        "work",
        "steady_ns 5000000",
        "77",
        "END crc 0",
    )
    found = inside.boot(machine(*lines), 60)
    assert list(found) == ["crc"]
    assert (found["crc"].output, found["crc"].steady.guest) == ("77", 0.005)
    idle = inside.boot(machine(*lines[:4], *lines[5:]), 60)["crc"].steady.host
    assert 0 <= idle < found["crc"].steady.host < 20


@pytest.mark.parametrize(
    "lines",
    [
        ("no init found",),
        ("BEGIN crc", "half", "steady_ns 5", "Segmentation fault", "END crc 139"),
        ("BEGIN crc", "77", "END crc 0"),
    ],
)
def test_a_machine_that_fails(lines: tuple[str, ...]) -> None:
    """It says so, with what the machine said last."""
    with pytest.raises(inside.GuestError):
        inside.boot(machine(*lines), 60)


def test_an_initramfs(tmp_path: Path) -> None:
    """It has each program once, and runs each kernel with its argument."""
    import gzip

    from benchmarks.kernels import KERNELS

    (tmp_path / "prog").write_bytes(b"ELF" * 100)
    (tmp_path / "busybox").write_bytes(b"busy")
    chosen = [
        inside.Chosen(kernel, Task(str(tmp_path / "prog"), (str(n),)), "")
        for n, kernel in enumerate(KERNELS[:2])
    ]
    data = gzip.decompress(inside.initramfs(tmp_path / "busybox", chosen))
    assert data.count(b"ELF" * 100) == 1
    for n, kernel in enumerate(KERNELS[:2]):
        assert f"BEGIN {kernel.name}; /k/prog {n} mark; echo END".encode() in data
