"""The command line, to see what goes on: traces, logs, statistics, dumps, failures of its own."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests import forced
from tests.commands import BAD, COMMAND, assert_refused, program, start
from tests.running import (
    ANY,
    PRELUDE,
    REPOSITORY,
    STRATEGIES,
    WITH_LIBC,
    host_environment,
    jitemu,
    run,
    work_directory,
)

# ---- looking at it ----


def test_strace_lines() -> None:
    """Lines are `PID name(arguments) = result`; the guest's own output stays apart."""
    got = start("run", "-strace", program("echo"), stdin=b"abc")
    lines = got.stderr.decode().splitlines()
    for line in lines[:-1]:
        assert re.fullmatch(
            r"\d+ \w+\(.*\) = (-?\d+|0x[0-9a-f]+|-1 errno=\d+ \(.*\))( \".*\"(\.\.\.)?)?", line
        ), line
    assert any(re.fullmatch(r'\d+ read\(0,0x[0-9a-f]+,256\) = 3 "abc"', line) for line in lines)
    assert any(re.fullmatch(r'\d+ write\(1,"abc",3\) = 3', line) for line in lines)
    assert re.fullmatch(r"\d+ exit_group\(0\)", lines[-1])
    assert got.stdout.endswith(b"abc")


def test_strace_into_a_file() -> None:
    """-D takes the lines; -d strace is the same; %d is the process."""
    with work_directory({}) as work:
        got = run([*jitemu(ANY, "-d", "strace", "-D", "log.%d"), program("echo")], work=work)
        (log,) = work.glob("log.*")
        text = log.read_text()
    assert got.stderr == b""
    assert re.fullmatch(r"log\.\d+", log.name)
    assert re.search(r"^\d+ exit_group\(0\)$", text, re.M)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_log_items(strategy: str) -> None:
    """Each item writes its part of every block."""
    items = "in_asm,op,op_opt,out_asm,int,exits"
    with work_directory({}) as work:
        command = [*jitemu(strategy, "-d", items, "-D", "log"), program("mix")]
        status = run(command, work=work).status
        text = (work / "log").read_text()
    assert status == run([*jitemu(strategy), program("mix")]).status
    assert re.search(r"^0x[0-9a-f]{8}  f3 a4 +rep movsb", text, re.M)
    assert "= getreg" in text
    assert "---- syscall" in text
    if strategy != "interp":
        for mark in ("IN:", "OP:", "OP_OPT:", "define ghccc void", "OUT: "):
            assert mark in text


def test_log_of_a_fault() -> None:
    """-d int shows the exception and the registers."""
    got = start("run", "-d", "int", program("crash", BAD), "null")
    assert re.search(rb"^---- #PF error=0x6 address=0x00000000 eip=\w{8} eax=", got.stderr, re.M)


STATISTICS = (
    "strategy", "insns", "insns interpreted", "blocks", "insns translated", "invalidations",
    "start seconds", "elapsed seconds", "translate seconds", "compile seconds", "run seconds",
    "native seconds", "interp seconds", "python seconds", "exits", "host code", "host memory",
)  # fmt: skip


@pytest.mark.parametrize("strategy", WITH_LIBC)
def test_statistics(strategy: str) -> None:
    """One line per number, on stderr, in this order."""
    got = run([*jitemu(strategy, "--stats"), program("echo")])
    head, *lines = got.stderr.decode().splitlines()
    assert head == "jitemu: statistics:"
    names = [line[2:23].strip() for line in lines]
    assert tuple(name for name in names if name != "regions") == STATISTICS
    assert ("regions" in names) == (strategy in ("region", "tiered"))
    numbers = {line[2:23].strip(): line[23:] for line in lines}
    assert numbers["strategy"] == strategy
    assert int(numbers["insns"]) > 1000
    if strategy != "interp":
        assert "syscall" in numbers["exits"]
        each = re.search(r" ([\d.]+) for each insn translated", numbers["host code"])
        assert each is not None
        assert 5 < float(each[1]) < 200
    split = sum(float(numbers[f"{name} seconds"]) for name in ("native", "interp", "python"))
    assert split == pytest.approx(float(numbers["run seconds"]), abs=0.003)
    assert re.fullmatch(
        r"[\d.]+ MB at most; now guest [\d.]+, host code [\d.]+, fault table [\d.]+, rest [\d.]+"
        r"(; compiling process [\d.]+)?",
        numbers["host memory"],
    )


def test_regions_of_a_process_that_forks() -> None:
    """The child has a compiling process of its own, and leaves the parent's alone."""
    native = run([program("fork_hot")], env=host_environment())
    options = ("--strategy", "tiered", "--region-threshold", "200000", "--stats")
    got = start("run", *options, program("fork_hot"))
    assert got.stdout == native.stdout
    found = re.search(rb"regions +(\d+) formed:.* (\d+) failed", got.stderr)
    assert found is not None, got.stderr
    assert int(found[1]) >= 2
    assert int(found[2]) == 0


# As an editable installation does it: what is imported is not in sys.path.
EDITABLE = """
import sys
from importlib.machinery import PathFinder
class Finder:
    def find_spec(name, path=None, target=None):
        if name in ("jitemu", "runtime", "translator"):
            return PathFinder.find_spec(name, [{root!r}])
sys.meta_path.append(Finder)
from jitemu.__main__ import main
sys.exit(main())
"""


def test_regions_of_an_editable_installation(tmp_path: Path) -> None:
    """The compiling process finds what the others found."""
    env = {**host_environment(), "XDG_CACHE_HOME": str(tmp_path)}
    code = EDITABLE.format(root=str(REPOSITORY))
    options = ("--strategy", "tiered", "--region-threshold", "200000", "--stats")
    command = [sys.executable, "-I", "-c", code, "run", *options, program("fork_hot")]
    got = run(command, env=env, work=tmp_path)
    assert got.status == 0, got.stderr
    found = re.search(rb"regions +\d+ formed: (\d+) compiled.* (\d+) failed", got.stderr)
    assert found is not None, got.stderr
    assert int(found[1]) >= 1
    assert int(found[2]) == 0


def test_strategy_of_these_tests() -> None:
    """What `pytest --strategy` and `--region-threshold` ask for reaches guests in processes."""
    text = start("run", "--stats", program("echo")).stderr.decode()
    assert re.search(rf"^  strategy +{forced.strategy or 'tiered'}$", text, re.M), text
    if forced.region_threshold is not None and forced.region_threshold <= 1000:
        regions = re.search(r"^  regions +(\d+) formed", text, re.M)
        assert regions, text
        assert int(regions[1]) >= 1


def test_statistics_when_stderr_is_closed() -> None:
    """The guest may close or redirect its descriptors: ours are others."""
    got = run([*jitemu(ANY, "--stats"), program("descriptors")])
    assert b"statistics:" in got.stderr
    assert got.stdout == b"0 1 2 \n"
    assert got.status == 1  # /dev/null got descriptor 0, /dev/zero 1


@pytest.mark.parametrize("option", ["--stats", "-strace", "-d in_asm,int", "--report"])
def test_full_disk(option: str) -> None:
    """What cannot be written is left out: the guest goes on to its own end."""
    command = shlex.join([*jitemu(ANY), *option.split(), program("echo"), "3"])
    got = run(["bash", "-c", f"{command} 2>/dev/full"])
    assert got.status == 3
    assert b"argv[1]=3\n" in got.stdout
    if option != "--stats":
        got = start("run", "-D", "/dev/full", *option.split(), program("echo"), "3")
        assert got.status == 3
        assert b"argv[1]=3\n" in got.stdout
        if option == "-d in_asm,int":
            assert got.stderr == b"jitemu: /dev/full: No space left on device: the log ends here\n"


def test_report() -> None:
    """--report lists what was missing."""
    got = start("run", "--report", program("echo"))
    assert got.stderr.startswith(b"jitemu: system call report:\n")


# ---- dump and cache ----


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("stage", ["decode", "ir", "opt", "host"])
def test_dump(stage: str, strategy: str) -> None:
    """Every stage of every strategy shows a whole function."""
    where = f"{program('mix')}@collatz"
    got = start("dump", "--stage", stage, "--strategy", strategy, "--function", where)
    text = got.stdout.decode()
    assert (got.status, got.stderr) == (0, b"")
    assert text.startswith("block 0x")
    sign = {
        "decode": "ret", "ir": "= setreg", "opt": "define ghccc", "host": "; may fault",
    }[stage]  # fmt: skip
    if strategy == "interp" and stage in ("opt", "host"):
        sign = "def run(cpu"
    assert sign in text


def test_dump_places() -> None:
    """An address, a symbol with an offset, the entry point; what is not there is said."""
    path = program("mix")
    whole = start("dump", path).stdout.decode()
    entry = whole.splitlines()[1].split()[0]
    assert start("dump", f"{path}@{entry}").stdout.decode() == whole
    assert start("dump", f"{path}@_start").stdout.decode() == whole
    several = start("dump", "--blocks", "4", f"{path}@_start+0").stdout.decode()
    assert several.count("block 0x") == 4
    assert_refused(start("dump", f"{path}@nosuch"), 2, "nosuch")
    assert_refused(start("dump", f"{path}@0x10"), 2, "0x00000010")
    assert_refused(start("dump", "/nosuch"), 127, "/nosuch")
    assert_refused(start("dump", __file__), 126, "not an ELF")
    with work_directory({}) as work:
        os.mkfifo(work / "pipe")
        assert_refused(start("dump", str(work / "pipe")), 126, "not a regular file")


def test_cache() -> None:
    """`info` counts what a run has left, `clear` removes it; other files stay."""
    with work_directory({"cache/keep": b"mine"}) as work:
        env = {**host_environment(), "JITEMU_CACHE": str(work / "cache"), "JITEMU_BUILT": "/none"}
        assert run([*jitemu(ANY), program("mix")], env=env).status is not None
        shown = run([*COMMAND, "cache", "info"], env=env).stdout.decode()
        assert str(work / "cache") in shown
        assert re.search(r"^stencils +[1-9]\d* ", shown, re.M)
        assert b"removed" in run([*COMMAND, "cache", "clear"], env=env).stdout
        left = os.listdir(work / "cache")
        again = run([*COMMAND, "cache", "info"], env=env).stdout.decode()
    assert left == ["keep"]
    assert re.search(r"^stencils +0 ", again, re.M)


# ---- failures of our own ----


@pytest.mark.parametrize("debug", ["", "1"])
def test_internal_error(debug: str) -> None:
    """One line and 125; JITEMU_DEBUG shows where."""
    script = (
        f"{PRELUDE}import jitemu.options as o; "
        "o.parse = lambda words: 1 // 0; from jitemu.cli import main; sys.exit(main())"
    )
    env = {**host_environment(), **({"JITEMU_DEBUG": "1"} if debug else {})}
    got = run([sys.executable, "-c", script, "run", "x"], env=env)
    if debug:
        assert b"Traceback" in got.stderr
    else:
        assert_refused(got, 125, "ZeroDivisionError", "JITEMU_DEBUG=1")
