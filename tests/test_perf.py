"""Files for Linux perf: what they hold, and that perf itself names guest functions by them."""

from __future__ import annotations

import re
import shlex
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.building import build
from tests.running import host_environment, jitemu, run, work_directory

pytestmark = pytest.mark.particular

HOT = Path(__file__).parent / "front" / "hot.c"
MAPS = Path("/tmp")
LINE = re.compile(r"([0-9a-f]+) ([0-9a-f]+) (.+)")


class Load(NamedTuple):
    """A JIT_CODE_LOAD record."""

    time: int
    pid: int
    address: int
    number: int
    name: str
    code: bytes


def loads(path: Path) -> list[Load]:
    """Parse a jitdump file as its specification says; complain about whatever is not so."""
    data = path.read_bytes()
    magic, version, size, machine, _, pid, started, flags = struct.unpack_from("<6IQQ", data)
    assert (magic, version, size, machine, flags) == (0x4A695444, 1, 40, 62, 0)
    assert path.name == f"jit-{pid}.dump"
    found = []
    at = size
    while at < len(data):
        kind, size, when = struct.unpack_from("<IIQ", data, at)
        assert kind == 0
        assert when >= started
        its_pid, _, vma, address, length, number = struct.unpack_from("<IIQQQQ", data, at + 16)
        end = data.index(b"\0", at + 56)
        assert its_pid == pid
        assert vma == address
        assert at + size == end + 1 + length
        code = data[end + 1 : at + size]
        found.append(Load(when, pid, address, number, data[at + 56 : end].decode(), code))
        at += size
    assert at == len(data)
    return found


@pytest.fixture
def maps() -> Iterator[set[Path]]:
    """The maps that were there before; those that come are removed."""
    before = set(MAPS.glob("perf-*.map"))
    yield before
    for path in set(MAPS.glob("perf-*.map")) - before:
        path.unlink()


def pid_of(path: Path) -> int:
    return int(path.stem.partition("-")[2])


def names_of(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    matches = [LINE.fullmatch(line) for line in lines]
    assert all(matches), lines
    return [match[3] for match in matches if match]


def written(strategy: str, maps: set[Path], *words: str) -> dict[int, tuple[list[Load], list[str]]]:
    """Run the program; return each process's dump and the names in its map."""
    with work_directory({}) as work:
        command = [*jitemu(strategy, "--jitdump", "--perf-map"), build(HOT), *words]
        got = run(command, work=work)
        assert got.status == 0, got.stderr
        parsed = {pid_of(dump): loads(dump) for dump in work.glob("jit-*.dump")}
    found = {pid_of(path): names_of(path) for path in set(MAPS.glob("perf-*.map")) - maps}
    return {pid: (parsed[pid], found[pid]) for pid in sorted(parsed)}


def test_dump_and_map(maps: set[Path]) -> None:
    """Each process writes its own; the names are the guest's, the code is what was installed."""
    found = written("stencil", maps, "20000", "fork")
    assert len(found) == 2
    functions = ("hot_loop", "warm_loop")
    (parent,) = [p for p, (dump, _) in found.items() if any("hot_loop" in d.name for d in dump)]
    (child,) = found.keys() - {parent}
    for process, function in zip((parent, child), functions, strict=True):
        dump, names = found[process]
        mine = [load.name for load in dump if load.name.startswith(functions)]
        assert mine
        assert all(
            re.fullmatch(rf"{function}(\+0x\w+)? \(hot-\w+\)", n) or process == parent for n in mine
        )
        # The map says the same, and in the child also what its parent had before.
        assert set(mine) <= set(names)
        assert any(name.startswith("_start ") for name in names)
    dump, _ = found[parent]
    numbers = [load.number for load in dump]
    assert numbers == sorted(set(numbers))
    assert any(load.name == "jitemu_leave [jitemu]" for load in dump)
    assert all(load.code for load in dump)
    assert not any("[region]" in load.name for load in dump)


def test_regions_are_marked(maps: set[Path]) -> None:
    """What holds whole loops is named by where it is entered."""
    ((dump, names),) = written("region", maps, "20000").values()
    marked = {load.name for load in dump if load.name.endswith(" (hot-") or "[region]" in load.name}
    assert any(re.fullmatch(r"\w+(\+0x\w+)? \(hot-\w+\) \[region\]", name) for name in marked)
    assert marked <= set(names)


def test_map_is_that_of_the_last_program(maps: set[Path]) -> None:
    """When all host code is dropped, the map begins anew: places in the arena are used again."""
    path = build(HOT)
    source = HOT.with_name("exec.c")
    got = run([*jitemu("stencil", "--perf-map"), build(source), path, "1000"])
    assert got.status == 0, got.stderr
    (new,) = set(MAPS.glob("perf-*.map")) - maps
    names = names_of(new)
    assert any(name.startswith("hot_loop") for name in names)
    assert not any("exec-" in name for name in names)


def test_map_that_somebody_else_made(maps: set[Path]) -> None:
    """A link at the map's name is not followed: one line, and nothing runs."""
    # The process id is not known before; a shell keeps its own when it executes jitemu.
    with work_directory({"victim": b"precious"}) as work:
        words = shlex.join(map(str, [*jitemu("stencil", "--perf-map"), build(HOT)]))
        script = f"ln -s '{work}/victim' /tmp/perf-$$.map && exec {words}"
        got = run(["/bin/sh", "-c", script], work=work)
        assert (work / "victim").read_bytes() == b"precious"
    assert got.status == 2
    assert got.stdout == b""
    (line,) = got.stderr.decode().splitlines()
    assert line.startswith("jitemu: /tmp/perf-")


@pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed")
def test_perf_names_guest_functions(maps: set[Path]) -> None:
    """Perf record and report, by the map; the same by inject, from the dump."""
    with work_directory({}) as work:
        record = ["perf", "record", "-q", "-F", "999", "-k", "1", "-e", "cpu-clock", "-o", "found"]
        command = [*jitemu("stencil", "--perf-map", "--jitdump"), build(HOT), "60000000", "fork"]
        environment = host_environment()
        done = subprocess.run(
            [*record, *map(str, command)], cwd=work, env=environment, capture_output=True
        )
        if b"not supported" in done.stderr or b"ermission" in done.stderr:
            pytest.skip("perf record does not work here")
        assert done.returncode == 0, done.stderr
        inject = ["perf", "inject", "--jit", "-i", "found", "-o", "injected"]
        subprocess.run(inject, cwd=work, env=environment, capture_output=True, check=True)
        for data in ("found", "injected"):
            report = ["perf", "report", "-i", data, "--stdio", "--sort", "pid,sym"]
            text = subprocess.run(
                report, cwd=work, env=environment, capture_output=True, text=True, check=True
            ).stdout
            rows = re.findall(r"^ +([\d.]+)% +(\d+):\S+ +\[\.\] (\w+)", text, re.M)
            share = {
                (int(pid), name): float(percent)
                for percent, pid, name in rows
                if name in ("hot_loop", "warm_loop")
            }
            processes = sorted({pid for pid, _ in share})
            assert len(processes) == 2, text[:3000]
            parent = next(pid for pid, name in share if name == "hot_loop")
            (child,) = {*processes} - {parent}
            assert share.keys() == {
                (parent, "hot_loop"),
                (parent, "warm_loop"),
                (child, "warm_loop"),
            }
