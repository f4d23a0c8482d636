"""The command line: options, exit statuses, limits, signals; each run is a process."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from tests.commands import BAD, COMMAND, FRONT, assert_refused, program, start
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

# ---- options ----


def test_arguments_and_streams() -> None:
    """Everything behind PROGRAM is the guest's, options and -- included."""
    path = program("echo")
    words = ["3", "-L", "x", "--", "--help", "-strace"]
    got = start("run", path, *words, stdin=b"input\n")
    lines = got.stdout.decode().splitlines()
    assert lines[: len(words) + 1] == [f"argv[{i}]={w}" for i, w in enumerate([path, *words])]
    assert lines[-1] == "input"
    assert (got.status, got.stderr) == (3, b"")


@pytest.mark.parametrize("style", ["short", "joined", "long", "equals"])
def test_option_names(style: str) -> None:
    """Short options are qemu-user's; each has a long form, both take = or the next word."""
    path = program("echo")
    values = [
        ("-E", "--env", "ADDED=a=b"), ("-E", "--env", "EMPTY="), ("-U", "--unset-env", "INHERITED"),
        ("-0", "--argv0", "-other"), ("-r", "--uname-release", "9.8.7"),
        ("-s", "--stack-size", "1M"),
    ]  # fmt: skip
    forms = {
        "short": lambda s, n, v: [s, v],
        "joined": lambda s, n, v: [s + v],
        "long": lambda s, n, v: [n, v],
        "equals": lambda s, n, v: [f"{n}={v}"],
    }
    words = [word for row in values for word in forms[style](*row)]
    got = start("run", *words, "--", path, INHERITED="yes")
    text = got.stdout.decode()
    assert got.status == 0, got.stderr
    assert "argv[0]=-other\n" in text
    assert "ADDED=a=b\nEMPTY=\nINHERITED=(unset)\n9.8.7 i686\n" in text


def test_environment_is_inherited_and_ordered() -> None:
    """The caller's variables are there; a later -E or -U wins."""
    path = program("echo")
    got = start(
        "run", "-U", "ADDED", "-E", "ADDED=2", "-E", "EMPTY=x", "-U", "EMPTY", path, INHERITED="7"
    )
    assert b"ADDED=2\nEMPTY=(unset)\nINHERITED=7\n" in got.stdout


USAGE = {
    "no command": ([], "a command is missing"),
    "unknown command": (["walk"], "walk"),
    "no program": (["run"], "PROGRAM"),
    "unknown option": (["run", "--nosuch", "x"], "--nosuch"),
    "abbreviation": (["run", "--strat", "interp", "x"], "--strat"),
    "missing value": (["run", "-L"], "-L"),
    "strategy": (["run", "--strategy", "nosuch", "x"], "stencil"),
    "sysroot": (["run", "-L", "/nosuch", "x"], "/nosuch"),
    "env": (["run", "-E", "NAME", "x"], "VAR=VALUE"),
    "unset": (["run", "-U", "A=B", "x"], "VAR"),
    "size": (["run", "--memory", "lots", "x"], "lots"),
    "negative": (["run", "--memory", "-5", "x"], "memory"),
    "seconds": (["run", "--timeout", "0", "x"], "seconds"),
    "budget": (["run", "--budget", "1.5", "x"], "insns"),
    "mount": (["run", "--mount", "/nosuch", "x"], "/nosuch"),
    "mount mode": (["run", "--mount", "a:b:c:d", "x"], "HOST"),
    "log item": (["run", "-d", "in_asm,nosuch", "x"], "-d help"),
    "log file": (["run", "-d", "in_asm", "-D", "/nosuch/log", "PROGRAM"], "/nosuch/log"),
    "net": (["run", "--net", "maybe", "x"], "host"),
    "dump": (["dump"], "FILE"),
    "stage": (["dump", "--stage", "nosuch", "x"], "decode"),
    "cache": (["cache", "burn"], "clear"),
}


@pytest.mark.parametrize("name", USAGE)
def test_usage_error(name: str) -> None:
    """One line that says what is wrong, status 2."""
    words, part = USAGE[name]
    got = start(*(program("echo") if word == "PROGRAM" else word for word in words))
    assert_refused(got, 2, part)


def test_help_and_version() -> None:
    """Help goes to stdout; `python -m jitemu` is the same command."""
    version = re.search(r'__version__ = "(.*)"', (REPOSITORY / "jitemu/__init__.py").read_text())
    assert version
    for command in (COMMAND, [sys.executable, "-m", "jitemu"]):
        env = {**host_environment(), "PYTHONPATH": str(REPOSITORY)}
        got = run([*command, "--version"], env=env)
        assert got.stdout.decode() == f"jitemu {version[1]}\n"
    assert b"examples:" in start("--help").stdout
    for command in ("run", "dump", "cache"):
        got = start(command, "--help")
        assert (got.status, got.stderr) == (0, b"")
        assert f"usage: jitemu {command}".encode() in got.stdout
        assert command == "cache" or b"\nexamples:\n" in got.stdout
    assert b"in_asm" in start("run", "-d", "help").stdout


def test_help_into_a_closed_pipe() -> None:
    """Nobody reads: no traceback."""
    command = " ".join(
        [sys.executable, "-m", "jitemu", "dump", "--function", program("echo") + "@main"]
    )
    script = f"cd {REPOSITORY}; {command} --stage ir | head -1"
    got = run(["bash", "-c", script], timeout=60)
    assert got.stderr == b""


def test_closed_streams() -> None:
    """Without stderr nothing is said, least of all to stdout; a full disk is no internal error."""
    got = run(["bash", "-c", f"{shlex.join([*COMMAND, 'run', '/nosuch'])} 2>&-"])
    assert (got.status, got.stdout) == (127, b"")
    got = run(["bash", "-c", f"{shlex.join([*COMMAND, '--version'])} >/dev/full"])
    assert_refused(got, 125, "No space left")
    words = shlex.join([*COMMAND, "dump", program("echo")])
    assert_refused(run(["bash", "-c", f"{words} >/dev/full"]), 125, "No space left")
    assert run(["bash", "-c", f"{words} >&-"]).stderr == b""
    for closed in ("0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"):
        path = program("descriptors")
        mine = run(["bash", "-c", f"{shlex.join([*jitemu(ANY), path])} {closed}"])
        native = run(["bash", "-c", f"{path} {closed}"])
        assert mine.stdout == native.stdout
        assert mine.status == native.status


def test_left_over_files() -> None:
    """A killed run's private directory is removed by a later one, a living run's is not."""
    with work_directory({"tmp/jitemu-run-0/tmp/file": b"old"}) as work:
        env = {**host_environment(), "TMPDIR": str(work / "tmp")}
        command = [*jitemu(ANY), program("spin", BAD)]
        with subprocess.Popen(command, env=env, stdout=subprocess.PIPE) as alive:
            assert alive.stdout is not None
            alive.stdout.readline()
            for path in (work / "tmp").iterdir():
                os.utime(path, (1, 1))
            run([*jitemu(ANY), program("echo")], env=env)
            left = [path.name for path in (work / "tmp").iterdir()]
            alive.kill()
    assert len(left) == 1
    assert left != ["jitemu-run-0"]


# ---- the end of the guest ----


@pytest.mark.parametrize("strategy", WITH_LIBC)
@pytest.mark.parametrize("status", [0, 1, 77, 255])
def test_exit_status(strategy: str, status: int) -> None:
    """The guest's status is passed on."""
    got = run([*jitemu(strategy), program("echo"), str(status)])
    assert (got.status, got.stderr) == (status, b"")


def test_statuses_of_programs_that_do_not_start() -> None:
    """127 for what is not there, 126 for what cannot run; the line names the file."""
    with work_directory({"text": b"words\n", "closed": b"#!/bin/sh\n"}) as work:
        (work / "text").chmod(0o755)
        (work / "closed").chmod(0o644)
        for name, status in (("nosuch", 127), ("text", 126), ("closed", 126), ("/", 126)):
            target = name if name == "/" else f"./{name}"
            assert_refused(run([*jitemu(ANY), target], work=work), status, name)


@pytest.mark.parametrize("how", ["null", "abort", "divide", "ud2", "stack"])
def test_death_by_signal(how: str) -> None:
    """The host process dies by the guest's signal; with --stats the counts come all the same."""
    got = run([*jitemu(ANY, "--stats"), program("crash", BAD), how])
    names = {"abort": "SIGABRT", "divide": "SIGFPE", "ud2": "SIGILL"}
    assert got.status == -signal.Signals[names.get(how, "SIGSEGV")]
    assert b"statistics:" in got.stderr


# ---- limits ----


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_budget(strategy: str) -> None:
    """A guest that needs more is stopped, status 124, one line; one that needs less is not."""
    path = program("mix")
    got = run([*jitemu(strategy, "--budget", "500", "--stats"), path])
    assert got.status == 124
    assert b"500 insns" in got.stderr.splitlines()[0]
    assert re.search(rb"^  insns +500$", got.stderr, re.M)
    whole = run([*jitemu(strategy, "--budget", "1e6", "--stats"), path])
    assert whole.status == run([*jitemu("interp"), path]).status
    needed = re.search(rb"^  insns +(\d+)$", whole.stderr, re.M)
    assert needed
    exact = int(needed[1])
    assert run([*jitemu(strategy, "--budget", str(exact)), path]).status == whole.status
    assert run([*jitemu(strategy, "--budget", str(exact - 1)), path]).status == 124


def test_budget_of_threads() -> None:
    """Threads share one budget."""
    got = run([*jitemu(ANY, "--budget", "20e6", "--stats"), program("workers")], timeout=60)
    assert got.status == 124, got.stderr
    assert re.search(rb"^  insns +20000000$", got.stderr, re.M), got.stderr


def test_budget_of_children() -> None:
    """A forked child has what its parent has left; both end."""
    command = [*jitemu(ANY, "--budget", "5e6"), program("workers"), "fork"]
    got = run(command, timeout=60)
    assert got.status == 124
    assert sorted(re.sub(rb"\d+", b"N", line) for line in got.stderr.splitlines()) == [
        b"jitemu: child process N used up its budget",
        b"jitemu: the budget of N insns is used up (--budget)",
    ]


@pytest.mark.parametrize("guest", ["spin", "workers", "catch"])
def test_timeout(guest: str) -> None:
    """Computing, with threads or waiting: the time limit ends it, status 124."""
    path = program(guest, BAD if guest == "spin" else FRONT)
    got = run([*jitemu(ANY, "--timeout", "0.5"), path], timeout=30)
    assert_refused(got, 124, "0.5 s")
    assert got.seconds < 15


def test_memory_limit() -> None:
    """The stack counts; what to change is said."""
    assert_refused(start("run", "--memory", "4M", program("echo")), 126, "--memory")
    assert start("run", "--memory", "4M", "-s", "256K", program("echo")).status == 0


# ---- signals from outside ----


def test_interrupt_of_a_handler() -> None:
    """A guest that handles SIGINT gets it; afterwards it kills at once."""
    command = [*jitemu(ANY), program("catch")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=host_environment()
    ) as guest:
        assert guest.stdout is not None
        assert guest.stderr is not None
        assert guest.stdout.readline() == b"ready\n"
        for _ in range(3):
            guest.send_signal(signal.SIGINT)
            assert guest.stdout.readline() == b"caught\n"
        assert guest.stdout.readline() == b"ready\n"
        begun = time.monotonic()
        guest.send_signal(signal.SIGINT)
        assert guest.wait(20) == -signal.SIGINT
        assert time.monotonic() - begun < 3
        assert guest.stderr.read() == b""


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_interrupt_of_the_start(delay: float) -> None:
    """Ctrl-C before the guest runs: death by SIGINT, no traceback."""
    script = (
        f"{PRELUDE}import jitemu.cli as cli; "
        f"print('up', flush=True); sys.exit(cli.main(['run', {program('spin', BAD)!r}]))"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=host_environment()
    ) as guest:
        assert guest.stdout is not None
        assert guest.stderr is not None
        assert guest.stdout.readline() == b"up\n"  # what Python does before is its own business
        time.sleep(delay)
        guest.send_signal(signal.SIGINT)
        status = guest.wait(20)
        text = guest.stderr.read()
    assert status == -signal.SIGINT
    assert b"jitemu" not in text or b"Traceback" not in text
