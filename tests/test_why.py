"""`jitemu why`: what it says of guests whose trouble is known; the guest is left alone."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.building import build
from tests.running import LAUNCH, Outcome, host_environment, jitemu, run, work_directory

pytestmark = pytest.mark.particular

FRONT = Path(__file__).parent / "front"


def why(strategy: str, *words: str, **env: str) -> Outcome:
    with work_directory({}) as work:
        command = [sys.executable, "-c", LAUNCH, "why", "--strategy", strategy, *words]
        return run(command, work=work, env={**host_environment(), **env}, timeout=100)


def report(strategy: str, name: str, *words: str, **env: str) -> dict[str, Any]:
    """Run a guest of the folder; return what was found."""
    got = why(strategy, "--json", str(build(FRONT / f"{name}.c")), *words, **env)
    assert got.status in (0, 3), got.stderr
    found: dict[str, Any] = json.loads(got.stderr)
    assert found["strategy"] == strategy
    check(found)
    return found


def check(found: dict[str, Any]) -> None:
    """What must hold of every report."""
    for name in ("share_of_samples", "share_of_insns", "share_of_time"):
        assert 0 <= sum(entry[name] for entry in found["entries"]) < 1.001
    for entry in found["entries"]:
        assert entry["advice"]
        assert entry["insns"] > 0
        if entry["tier"] != "interp":
            assert entry["ir_ops"] >= entry["insns"] > 0
            assert entry["samples"] > 0
            assert entry["host_bytes"] > entry["insns"]
        assert int(entry["code"][0].split()[0], 16) == entry["address"]
    assert len(found["entries"]) <= 10


def of(found: dict[str, Any], function: str) -> dict[str, Any]:
    """Return the hottest entry of a function."""
    named = [e for e in found["entries"] if re.match(rf"{function}(\+| |$)", e["name"])]
    assert named, [entry["name"] for entry in found["entries"]]
    return dict(named[0])


@pytest.mark.parametrize("strategy", ["stencil", "block", "region"])
def test_shares(strategy: str) -> None:
    """Loops of known length have their share of the executed insns; a second run agrees."""
    rounds = 4_000_000
    found = report(strategy, "hot", str(rounds))
    share = {"hot_loop": 0.0, "warm_loop": 0.0, "main": 0.0}
    for entry in found["entries"]:
        name = entry["name"].partition("+")[0].partition(" ")[0]
        if name in share:
            share[name] += entry["share_of_insns"]
            assert entry["tier"] == strategy.replace("region", entry["tier"])
    total = found["statistics"]["insns"]
    if strategy == "region":  # main's region may hold both
        assert sum(share.values()) > 0.9
        inside = found["statistics"]["regions"]["inside"]
        assert inside > 0.9
        return
    # Each loop is one block: insns per round from the entry itself.
    for name, times in (("hot_loop", rounds), ("warm_loop", rounds // 8)):
        entry = of(found, name)
        assert share[name] == pytest.approx(entry["insns"] * times / total, rel=0.1)
        assert entry["executions"] == pytest.approx(times, rel=0.1)
    assert "--strategy tiered" in of(found, "hot_loop")["advice"]


def test_regions_that_pay() -> None:
    """Under the tiered strategy the loop becomes a region, and nothing is to be said of it."""
    found = report("tiered", "hot", "300000000")
    entry = of(found, "hot_loop")
    assert entry["tier"] == "region"
    assert re.search("nothing forces it out|compiled late", entry["advice"])
    regions = found["statistics"]["regions"]
    assert regions["formed"] >= 1
    assert regions["compiled"] + regions["cached"] >= 1
    assert regions["inside"] > 0.1


def test_too_short_for_a_region(tmp_path: Path) -> None:
    """What has not become hot is named as such, with how far it came."""
    # No run before had a region there, which would be taken again much earlier.
    found = report("tiered", "hot", "20000", XDG_CACHE_HOME=str(tmp_path))
    entry = of(found, "hot_loop")
    assert entry["tier"] == "stencil"
    assert re.search(r"not compiled yet: about [\d,]+ of the 600,000 insns", entry["advice"])


def test_too_short_for_the_compiler(tmp_path: Path) -> None:
    """A region that was under way when the guest ended is named as such."""
    path = str(build(FRONT / "hot.c"))
    env = {**host_environment(), "XDG_CACHE_HOME": str(tmp_path)}
    # A cache with stencils, so that nothing is compiled behind the loop, but without regions.
    assert run([*jitemu("stencil"), path, "200000"], env=env).status == 0
    words = ["why", "--json", "--strategy", "tiered", path, "200000"]
    got = run([sys.executable, "-c", LAUNCH, *words], env=env)
    found = json.loads(got.stderr)
    check(found)
    entry = of(found, "hot_loop")
    assert entry["advice"] == "its region was still being compiled: the run was too short"
    assert found["statistics"]["regions"]["formed"] >= 1


def test_insn_of_the_interp_tier() -> None:
    """The insn that forces host code out is named, with its address and count."""
    found = report("stencil", "slow", "rare", "20000")
    entry = next(e for e in found["entries"] if e["exits"].get("interp"))
    assert entry["name"].startswith("rare+")
    assert entry["exits"]["interp"] == 20000
    match = re.fullmatch(
        r"left 20,000 times for the interp tier at (0x\w+): insn `cpuid`", entry["advice"]
    )
    assert match, entry["advice"]
    assert entry["address"] < int(match[1], 16) < entry["address"] + 40
    assert found["statistics"]["insns_interpreted"] >= 20000
    assert found["statistics"]["interp_seconds"] > 0


def test_system_calls() -> None:
    """They are counted by name, where they are made, and their share of the time is given."""
    found = report("stencil", "slow", "calls", "30000")
    assert found["system_calls"]["counts"]["getppid"] == 30000
    assert any(
        re.match(r"System calls dominate: \d+% of the time in Python \(getppid 30,000, ", line)
        for line in found["advice"]
    )
    assert any(re.match("makes 30,000 system calls at ", e["advice"]) for e in found["entries"])


def test_code_that_changes() -> None:
    """Code that is written before each call is dropped each time; that is said."""
    found = report("stencil", "slow", "written", "6000")
    entry = next(e for e in found["entries"] if e["exits"].get("stale"))
    dropped = entry["dropped"]
    assert min(dropped["written"], dropped["stale"]) > 1000
    assert 5900 < dropped["written"] + dropped["stale"] < 6000 + 100
    assert re.match(
        r"the block was dropped \d,\d\d\d times because its page was written to", entry["advice"]
    )
    assert entry["name"] == f"{entry['address']:#010x}"  # no symbol there, and no file


@pytest.mark.parametrize("strategy", ["stencil", "tiered"])
def test_data_beside_code(strategy: str) -> None:
    """A page with code that is written all the time checks its bytes; that is said."""
    found = report(strategy, "slow", "beside", "60000000")
    entry = found["entries"][0]
    assert entry["share_of_insns"] > 0.5  # two insns of a loop of three
    assert entry["tier"] == "stencil"
    assert entry["advice"].startswith("self-modifying page: checks its bytes at every entry")
    assert sum(e["exits"].get("fault", 0) for e in found["entries"]) < 100


def test_hot_code_whose_page_is_written() -> None:
    """A hot loop that is dropped again and again is found, with the reason."""
    found = report("tiered", "slow", "dropped", "1000000")
    entry = found["entries"][0]
    assert entry["share_of_insns"] > 0.9
    assert sum(entry["dropped"].values()) >= 290
    assert "its page was written to" in entry["advice"]


def test_interp() -> None:
    """There, every insn is counted."""
    found = report("interp", "hot", "10000")
    entry = of(found, "hot_loop")
    assert entry["executions"] == 10000
    total = found["statistics"]["insns"]
    assert entry["share_of_insns"] == pytest.approx(entry["insns"] * 10000 / total, abs=0.01)


def test_text_and_output() -> None:
    """The guest's streams and status are its own; the report goes to stderr or to a file."""
    path = str(build(FRONT / "slow.c"))
    got = why("stencil", path, "calls", "20000")
    assert (got.status, got.stdout) == (3, b"20000\n")
    text = got.stderr.decode()
    assert re.search(r"^ 1\. 0x[0-9a-f]{8}  calls\+0x\w+ \(slow-\w+\)  \[stencil\]$", text, re.M)
    assert re.search(r"^    => makes 20,000 system calls at 0x", text, re.M)
    with work_directory({}) as work:
        command = [sys.executable, "-c", LAUNCH, "why", "--output", "found", path, "calls", "20000"]
        got = run(command, work=work)
        assert (got.status, got.stdout, got.stderr) == (3, b"20000\n", b"")
        assert "makes 20,000 system calls" in (work / "found").read_text()


def test_program_that_is_replaced() -> None:
    """After execve the report is about the new program, and says so."""
    got = why("stencil", str(build(FRONT / "exec.c")), str(build(FRONT / "hot.c")), "1000000")
    text = got.stderr.decode()
    assert "The guest executed 1 other programs" in text
    assert "hot_loop" in text


def test_wrong_words() -> None:
    """One line each."""
    path = str(build(FRONT / "hot.c"))
    for words, part in (
        (("--output", "/nowhere/x", path), "No such file"),
        (("-d", "in_asm", path), "jitemu run"),
        ((), "PROGRAM is missing"),
    ):
        got = why("stencil", *words)
        (line,) = got.stderr.decode().splitlines()
        assert line.startswith("jitemu: ")
        assert part in line
        assert got.status == 2


def test_death_and_limits() -> None:
    """The report comes whatever ends the guest."""
    crash = str(build(Path(__file__).parent / "bad" / "crash.c"))
    got = why("stencil", crash, "null")
    assert got.status is not None
    assert got.status < 0
    assert b"strategy stencil" in got.stderr
    spin = str(build(Path(__file__).parent / "bad" / "spin.c"))
    got = why("stencil", "--budget", "5e6", spin)
    assert got.status == 124
    assert b" 1. 0x" in got.stderr
    got = why("stencil", "--timeout", "1.5", spin)
    assert got.status == 124
    assert b" 1. 0x" in got.stderr


def test_code_cache_size() -> None:
    """--code-cache bounds host code: all is dropped for room, and the results are the same."""
    path = build(FRONT / "endless.c")
    for mode in ("ring", "map", "page", "shapes"):
        native = run([path, mode, "4000"])
        got = run([*jitemu("stencil", "--code-cache", "1M", "--stats"), path, mode, "4000"])
        assert (got.status, got.stdout) == (0, native.stdout), mode
        match = re.search(rb"; (\d+) in use, dropped (\d+) times", got.stderr)
        assert match
        assert int(match[1]) < 1 << 20
        assert int(match[2]) >= 3 or mode == "page"
