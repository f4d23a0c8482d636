"""The Python interface, when it stops: exact budgets, time limits, interrupts, resuming."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Iterator

import pytest

from tests.commands import BAD, FRONT, program
from tests.running import ALL, ANY, PRELUDE, STRATEGIES, host_environment, run

from jitemu import Process  # isort: skip

pytestmark = pytest.mark.usefixtures("untouched")
FAST = ("stencil", "block") if STRATEGIES == ALL else STRATEGIES


# ---- budgets ----


def states(strategy: str, budgets: list[int]) -> Iterator[tuple[int, dict[str, int]]]:
    """Yield how many insns ran and the registers after each slice, then the exit status."""
    with Process(program("mix"), strategy=strategy, env={}) as guest:
        done = 0
        for budget in budgets:
            result = guest.run(budget=budget)
            done += result.insns
            if result.is_over:
                yield done, {"status": result.exit_status or 0}
                return
            assert result.reason == "budget"
            assert result.insns == budget
            yield done, dict(guest.regs)


@pytest.fixture(scope="module")
def reference() -> dict[int, dict[str, int]]:
    """Return the registers after every insn of the program, by the interp tier."""
    return dict(states("interp", [1] * 100_000))


@pytest.mark.parametrize("strategy", FAST)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 16, 17, 40, 63, 64, 65, 1000])
def test_budget_is_exact(strategy: str, step: int, reference: dict[int, dict[str, int]]) -> None:
    """After any number of insns, every strategy has the registers and flags of interp."""
    if strategy == "block" and step < 16:
        pytest.skip("nothing but interp runs in so small slices")
    seen = 0
    for done, registers in states(strategy, [step] * (len(reference) // step + 1)):
        assert registers == reference[done], f"after {done} insns"
        seen = done
    assert seen == max(reference)


@pytest.mark.parametrize("offset", range(0, 400, 13))
def test_one_slice_then_the_rest(offset: int, reference: dict[int, dict[str, int]]) -> None:
    """A program stopped at any place ends as it would have."""
    total = max(reference)
    found = list(states(ANY, [offset, total]))
    if offset:
        assert found[0][1] == reference[offset]
    assert found[-1] == (total, reference[total])


def test_interp_counts_in_larger_slices(reference: dict[int, dict[str, int]]) -> None:
    for done, registers in states("interp", [997] * 100):
        assert registers == reference[done]


def test_budget_of_zero() -> None:
    """Nothing runs."""
    with Process(program("mix")) as guest:
        before = dict(guest.regs)
        assert (guest.run(budget=0).reason, guest.run(budget=0).insns) == ("budget", 0)
        assert dict(guest.regs) == before
        assert guest.statistics.insns == 0


@pytest.mark.parametrize("budget", [3, 1000, 200_000, 3_000_001])
def test_budget_of_threads(budget: int) -> None:
    """Threads use it up together, and go on together."""
    with Process(program("workers"), capture=True) as guest:
        total = 0
        for _ in range(5):
            result = guest.run(budget=budget, timeout=60)
            assert (result.reason, result.insns) == ("budget", budget)
            total += budget
        assert guest.statistics.insns == total


def test_statistics() -> None:
    """Counts grow from slice to slice."""
    with Process(program("echo"), capture=True, stdin=b"") as guest:
        guest.run(budget=5000)
        first = guest.statistics
        guest.run()
        last = guest.statistics
    assert first.insns == 5000
    assert last.insns > 5000
    assert last.blocks > first.blocks > 5  # a region counts as one
    in_regions = last.regions.insns if last.regions is not None else 0
    assert last.insns_translated + in_regions > last.blocks
    assert last.exits["syscall"] > 3
    assert min(last.start_seconds, last.translate_seconds) > 0
    assert last.run_seconds >= 0  # a difference of clocks: 0 for a run of a few milliseconds


# ---- time ----


@pytest.mark.parametrize("name", ["spin", "catch", "workers"])
def test_timeout(name: str) -> None:
    """Computing or waiting, the call returns in time, and the guest goes on afterwards."""
    path = program(name, BAD if name == "spin" else FRONT)
    with Process(path, capture=True) as guest:
        for _ in range(3):
            begun = time.monotonic()
            assert guest.run(timeout=0.2).reason == "timeout"
            assert 0.15 < time.monotonic() - begun < 3


LATE = """{prelude}
import sys, time
from jitemu import Process
with Process({path!r}, capture=True) as guest:
    start = guest._linux.run
    guest._linux.run = lambda: (time.sleep(0.2), start())[1]
    print(*(guest.run(timeout=t).reason for t in (0.05, 0.05, 0, 0)))
"""


@pytest.mark.parametrize("name", ["spin", "workers"])
def test_timeout_before_the_guest_runs(name: str) -> None:
    """A busy host may take longer than the timeout to come so far; the request is not lost."""
    path = program(name, BAD if name == "spin" else FRONT)
    script = LATE.format(prelude=PRELUDE, path=str(path))
    got = run([sys.executable, "-c", script], env=host_environment(), timeout=30)
    assert (got.stdout, got.stderr) == (b"timeout timeout timeout timeout\n", b"")


def test_timeout_with_many_descriptors() -> None:
    """More than 1024 open files are no trouble."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[1], 4096), limits[1]))
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(1100):
                stack.callback(os.close, os.dup(0))
            with Process(program("spin", BAD), capture=True) as guest:
                assert guest.run(timeout=0.2).reason == "timeout"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


SCRIPT = """
{prelude}
import os, signal, sys, threading, time
from jitemu import Process
with Process({path!r}, capture=True) as guest:
    for n in range(2):
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        begun = time.monotonic()
        try:
            guest.run()
            print("?")
        except KeyboardInterrupt:
            print("interrupt", time.monotonic() - begun < 3)
    print(guest.run(timeout=0.2).reason)
"""


def test_interrupt() -> None:
    """Ctrl-C raises KeyboardInterrupt, the guest can go on."""
    script = SCRIPT.format(prelude=PRELUDE, path=str(program("spin", BAD)))
    got = run([sys.executable, "-c", script], env=host_environment())
    assert (got.stdout, got.stderr) == (b"interrupt True\ninterrupt True\ntimeout\n", b"")


def test_interrupt_that_the_guest_handles() -> None:
    """Its own handler runs; KeyboardInterrupt comes only when it has none."""
    script = SCRIPT.format(prelude=PRELUDE, path=str(program("catch")))
    ready = "while b'ready' not in (guest.run(timeout=0.05).stdout or b''): pass"
    for old, new in (
        ("    for n in range(2)", f"    {ready}\n    for n in range(1)"),
        ('print("?")', "pass"),
        ("guest.run()", "r = guest.run(timeout=1); print(r.reason, r.stdout)"),
    ):
        script = script.replace(old, new)
    got = run([sys.executable, "-c", script], env=host_environment())
    assert got.stdout.startswith(b"timeout b'ready\\ncaught\\n'\n"), got
