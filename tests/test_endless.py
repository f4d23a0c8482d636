"""Guests that generate code for ever: they go on, and the emulator's memory stays what it was."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest

from jitemu import Process
from tests import forced
from tests.building import build
from tests.running import host_environment, jitemu, work_directory

ENDLESS = Path(__file__).parent / "front" / "endless.c"
STEP = 250  # functions between two looks
SLACK = 3.0  # megabytes that may be added: Python keeps some of its pages half full
GUEST = 1 << 32  # bytes that the guest's memory takes, as much of it as is there, aligned


def memory(pid: int) -> float:
    """Return the megabytes that a process has of its own, the guest's memory left out."""
    used: list[tuple[int, int, int]] = []  # from, to, kilobytes
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, *words = line.split()
        if "-" in name:
            start, end = (int(number, 16) for number in name.split("-"))
        elif name == "Anonymous:":
            used.append((start, end, int(words[0])))
    pieces: dict[int, int] = {}  # bytes mapped in each aligned piece of address space
    for start, end, _ in used:
        while start < end:
            piece = start // GUEST
            pieces[piece] = pieces.get(piece, 0) + min(end, (piece + 1) * GUEST) - start
            start = (piece + 1) * GUEST
    (guest,) = [piece for piece, size in pieces.items() if size == GUEST]
    return sum(size for start, _, size in used if start // GUEST != guest) / 1024


def growth(strategy: str, mode: str, warm: int, functions: int) -> tuple[list[float], bytes]:
    """Run a guest; return its megabytes, from the warm-up on, after each step, and its stderr."""
    # No image of an earlier run: stencils are asked for again whenever all code was dropped. The
    # thousands of stencils of other shapes would have to be compiled first.
    environment = host_environment()
    command = [*jitemu(strategy, "--code-cache", "1M", "--stats"), build(ENDLESS)]
    words = [mode, str(warm + functions), str(STEP)]
    with (
        work_directory({}) as work,
        subprocess.Popen(
            [*map(str, command), *words],
            cwd=work,
            env=environment | ({} if mode == "shapes" else {"JITEMU_CACHE": f"{work}/cache"}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        ) as guest,
    ):
        assert guest.stdout is not None
        assert guest.stderr is not None
        found = []
        for done in range(STEP, warm + functions + 1, STEP):
            if guest.stdout.read(1) != b".":
                break
            if done >= warm:
                with contextlib.suppress(OSError, ValueError):  # it has ended
                    found.append(memory(guest.pid))
        text = guest.stderr.read()
        assert guest.wait(60) == 0, text
    return found, text


def check(strategy: str, mode: str, warm: int, functions: int, slack: float) -> bytes:
    found, text = growth(strategy, mode, warm, functions)
    assert len(found) >= functions // STEP - 1
    # Where the code cache has just been emptied less is in use: the most of each half counts.
    half = len(found) // 2
    assert max(found[half:]) < max(found[:half]) + slack, found
    return text


def line_of(text: bytes, name: str) -> str:
    (line,) = [line for line in text.decode().splitlines() if line.startswith(f"  {name:<20} ")]
    return line[23:]


@pytest.mark.particular
def test_bounded() -> None:
    """Everything was dropped several times, and nothing stayed behind."""
    text = check("stencil", "ring", 1000, 3000, SLACK)
    assert int(line_of(text, "host code").split(" dropped ")[1].split()[0]) >= 8


def test_python_interface() -> None:
    """The size is a setting there as well, and both sizes give the same result."""
    results = {}
    words = ["map", "200" if forced.strategy == "region" else "1500"]  # LLVM compiles each
    for size in (1 << 20, 8 << 20):
        with Process(build(ENDLESS), words, code_cache=size, capture=True) as guest:
            results[size] = guest.run().stdout
            memory = guest.statistics.memory
        assert memory.code <= size
        assert memory.code_written > 1 << 20
        assert (memory.resets > 0) == (size == 1 << 20)
        assert memory.peak > memory.code
        assert memory.fault_table > 0
        assert memory.parts == {}
    assert len(set(results.values())) == 1


@pytest.mark.particular
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["ring", "map", "page", "shapes"])
def test_stencils_for_long(mode: str) -> None:
    """Hundreds of thousands of blocks, however they come and go."""
    check("stencil", mode, 5000, 15_000, 2 * SLACK if mode == "shapes" else SLACK / 2)


@pytest.mark.particular
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["hot", "map"])
def test_regions_for_long(mode: str) -> None:
    """Regions under way, installed, saved and unwanted do not pile up."""
    text = check("tiered", mode, 4000, 8000, 3 * SLACK)
    formed = int(line_of(text, "regions").split()[0])
    assert formed > 500 or mode == "map"


@pytest.mark.particular
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_interp_for_long() -> None:
    """Decoded insns are kept for a while only."""
    check("interp", "shapes", 3000, 6000, 3 * SLACK)
