"""The harness of benchmarks/: what it measures, compares and says; no timing is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import jitemu.bench
from benchmarks import __main__ as command
from benchmarks import figures, kernels, peers, plot, programs, results, suites
from benchmarks.race import Row, WrongResultError, run_row
from benchmarks.sample import Sample, execute
from benchmarks.table import Look, table
from benchmarks.workload import Settings, Task, UnavailableError, Workload
from tests.debian import SysrootError
from tests.running import REPOSITORY

pytestmark = pytest.mark.particular


def sample(seconds: float = 1.0, digest: str = "right", status: int | None = 0) -> Sample:
    """Return a run that took *seconds* by every clock."""
    return Sample(seconds, seconds, 0.0, seconds / 2, 1 << 20, status, digest, digest, "")


@dataclass(frozen=True, slots=True)
class Fake(peers.Peer):
    """A peer whose runs are given beforehand."""

    runs: list[Sample] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def run(self, task: Task, settings: Settings) -> Sample:
        """Take the next run."""
        self.log.append(self.name)
        return self.runs.pop(0)


def workload(name: str = "work", task: Task | None = None) -> Workload:
    """Return a workload that needs no preparation."""
    return Workload(name, "group", lambda settings: task or Task("program", has_steady=True))


def race(settings: Settings, *chosen: peers.Peer, rounds: int = 2) -> Row:
    """Run a workload without progress."""
    return run_row(workload(), chosen, settings, rounds, lambda text: None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings in a scratch directory."""
    return Settings(tmp_path, scale=0.001, limit=20)


# -- one run -------------------------------------------------------------------------------------
def test_a_run_is_measured_and_its_output_kept(tmp_path: Path) -> None:
    """Children count; the guest's own time is taken out of stderr."""
    script = "echo out; echo steady_ns 1500000 >&2; echo err >&2; exit 3"
    got = execute(["sh", "-c", script], tmp_path, {}, 20)
    assert (got.status, got.stdout, got.stderr, got.steady) == (3, "out\n", "err", 0.0015)
    spin = f"{sys.executable} -c 'for i in range(3000000): pass'; true"
    got = execute(["sh", "-c", spin], tmp_path, {"PATH": "/usr/bin:/bin"}, 20)
    assert got.cpu > 0.02
    assert got.steady is None
    assert got.max_rss > 1 << 20


def test_a_run_over_the_limit_ends(tmp_path: Path) -> None:
    """The whole process group is killed, and the run has no status."""
    got = execute(["sh", "-c", "sleep 30 & sleep 30; wait"], tmp_path, {}, 0.3)
    assert got.status is None
    assert got.wall < 10


# -- races ---------------------------------------------------------------------------------------
def test_peers_take_turns_and_the_first_round_is_not_measured(settings: Settings) -> None:
    """Ratios are taken within a round, then their median."""
    log: list[str] = []
    slow = Fake("slow", [sample(t) for t in (99, 4, 8)], log)
    fast = Fake("fast", [sample(t) for t in (99, 2, 1)], log)
    row = race(settings, slow, fast)
    assert log == ["slow", "fast"] * 3
    assert figures.median(row, "slow", figures.cpu) == 6
    assert figures.ratios(row, "fast", "slow", figures.cpu) == [2, 8]
    assert figures.speed(row, "fast", "slow", figures.steady) == 5
    assert figures.mean_speed([row, row], "fast", "slow", figures.cpu) == pytest.approx(5)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (sample(digest="wrong"), "work under b: wrong result: 'wrong', expected 'right'"),
        (sample(status=7), "work under b: exit status 7: right"),
        (sample(status=-11), "work under b: signal 11: right"),
        (sample()._replace(steady=None), "work under b: the guest did not print its own time"),
    ],
)
@pytest.mark.parametrize("first", [0, 1])
def test_a_wrong_result_ends_it(settings: Settings, bad: Sample, text: str, first: int) -> None:
    """In the unmeasured round as well as later."""
    runs = [sample() for _ in range(first)]
    with pytest.raises(WrongResultError) as caught:
        race(settings, Fake("a", [sample(), sample()]), Fake("b", [*runs, bad]))
    assert str(caught.value) == text


def test_a_failing_reference_ends_it(settings: Settings) -> None:
    """The first peer must succeed, too."""
    with pytest.raises(WrongResultError, match="work under a: exit status 1"):
        race(settings, Fake("a", [sample(status=1)]), Fake("b", [sample(status=1)]))


def test_a_peer_over_the_limit_is_left_out(settings: Settings) -> None:
    """The others go on; no mean is made of what is missing."""
    late = Fake("late", [sample(status=None)])
    row = race(settings, Fake("native", [sample() for _ in range(3)]), late)
    assert row.cells["late"].skipped == "over 20 s"
    assert not late.runs
    look = Look(["native", "late"], figures.cpu, "native")
    assert "| work | 1.00 s | over 20 s |" in table([row, row], look)
    assert figures.mean_speed([row, row], "late", "native", figures.cpu) is None


# -- what is missing -----------------------------------------------------------------------------
def test_a_missing_compiler_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without gcc the row says so, in the table and in the document."""
    monkeypatch.setattr("shutil.which", lambda name: None)
    row = run_row(kernels.KERNELS[0], [Fake("a")], settings, 1, lambda text: None)
    assert row.skipped == "gcc is not installed"
    assert table([row], Look(["a"], figures.cpu, None)).endswith(
        "- crc is left out: gcc is not installed"
    )
    assert results.of_rows([row])["rows"][0]["skipped"] == "gcc is not installed"


def test_a_compiler_without_i386_is_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What gcc prints then is known; a real error in the source is not hidden."""
    monkeypatch.setattr("shutil.which", lambda name: name)

    def fail(text: str) -> None:
        done = subprocess.CompletedProcess([], 1, "", text)
        monkeypatch.setattr("subprocess.run", lambda *args, **names: done)

    fail("/usr/bin/ld: cannot find -lc")
    with pytest.raises(UnavailableError, match="gcc-multilib"):
        kernels.build("crc", settings)
    fail("crc.c:1: error: expected ';'")
    with pytest.raises(RuntimeError, match=r"crc\.c does not compile"):
        kernels.build("crc", settings)


def test_a_missing_qemu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a host that runs no i386 code."""
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UnavailableError, match="qemu-i386 is not installed"):
        peers.qemu()


def test_a_host_without_i386_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe fails to start there."""

    def refuse(*args: object, **names: object) -> None:
        raise OSError(8, "Exec format error")

    monkeypatch.setattr("subprocess.run", refuse)
    with pytest.raises(UnavailableError, match="runs no i386 programs"):
        peers.native(tmp_path)


def test_a_missing_sysroot_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is given and none, and one that cannot be made."""
    wrong = Settings(settings.folder, sysroot=settings.folder / "nowhere")
    row = run_row(programs.PROGRAMS[0], [Fake("a")], wrong, 1, lambda text: None)
    assert row.skipped.endswith("nowhere is no i386 sysroot")

    def fail(packages: Sequence[str]) -> Path:
        raise SysrootError("needs apt-get")

    monkeypatch.setattr("tests.debian.sysroot", fail)
    row = run_row(programs.PROGRAMS[0], [Fake("a")], settings, 1, lambda text: None)
    assert row.skipped == "no i386 sysroot: needs apt-get"


# -- cache states --------------------------------------------------------------------------------
def test_cache_states(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cold starts from nothing, `stencils` from what the stencil strategy left, warm from all."""
    seen: list[tuple[str, list[str]]] = []

    def run(self: peers.Peer, task: Task, settings: Settings) -> Sample:
        assert isinstance(self, peers.Jitemu)
        seen.append((self.strategy, sorted(path.name for path in self.cache.iterdir())))
        (self.cache / self.strategy).touch()
        return sample()

    monkeypatch.setattr(peers.Peer, "run", run)
    made = peers.choose(["fast"], list(peers.CACHE_STATES), settings.folder)
    assert [peer.name for peer in made] == ["fast", "fast, stencils", "fast, cold"]
    task = Task("program")
    for peer in made:
        peer.warm(task, settings)
        seen.clear()
        peer.run(task, settings)
        expected = {"fast": ["fast"], "fast, stencils": ["stencil"], "fast, cold": []}
        assert seen == [("fast", expected[peer.name])]


# -- what comes out ------------------------------------------------------------------------------
def rows() -> list[Row]:
    """Return two measured rows of one group."""
    made = []
    for name, factor in (("one", 2.0), ("two", 8.0)):
        row = Row(workload(name), {"native": race_cell(1.0), "mine": race_cell(factor)})
        made.append(row)
    return made


def race_cell(seconds: float) -> object:
    """Return a cell with two equal samples."""
    from benchmarks.race import Cell

    return Cell([sample(seconds), sample(seconds)])


def test_tables() -> None:
    """Speeds and times; means by group."""
    text = table(rows(), Look(["native", "mine"], figures.cpu, "native"))
    assert text.splitlines() == [
        "| workload | native | mine |",
        "|---|---:|---:|",
        "| one | 1.00 s | 2.00 s (0.50) |",
        "| two | 1.00 s | 8.00 s (0.12) |",
        "| *group: mean speed, native = 1* |  | **0.25** |",
    ]
    text = table(rows(), Look(["native", "mine"], figures.steady, "native", by_time=True))
    assert "| two | 500 ms | 4.00 s (8.00x) |" in text
    assert "| *group: mean time, native = 1* |  | **4.00x** |" in text


def test_the_document(tmp_path: Path) -> None:
    """It holds every sample, and reads back."""
    path = tmp_path / "found.json"
    results.save(path, {"schema": results.SCHEMA, **results.of_rows(rows())})
    found = json.loads(path.read_text())
    assert found["schema"] == results.SCHEMA
    cell = found["rows"][1]["peers"]["mine"]
    assert cell["samples"][0] == {
        "wall": 8.0, "user": 8.0, "system": 0.0, "steady": 4.0, "max_rss": 1 << 20,
    }  # fmt: skip
    assert (cell["median_cpu"], cell["median_steady"]) == (8.0, 4.0)


def test_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library and a wrong name are found before anything is measured."""
    with pytest.raises(ValueError, match=r"must end in \.svg or \.png"):
        plot.check(tmp_path / "plot.pdf")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UnavailableError, match="pip install matplotlib"):
        plot.check(tmp_path / "plot.svg")


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    """With matplotlib; both formats."""
    pytest.importorskip("matplotlib")
    look = Look(["native", "mine"], figures.cpu, "native")
    for name, magic in (("plot.svg", b"<?xml"), ("plot.png", b"\x89PNG")):
        plot.plot(tmp_path / name, "title", rows(), look)
        assert (tmp_path / name).read_bytes().startswith(magic)


# -- the command ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--strategy", "none"], "unknown strategy 'none': choose from"),
        (["none"], "unknown workload 'none' (see --list)"),
        (["--plot", "x.pdf"], "the name must end in"),
        (["--suite", "embed", "crc"], "measured as a whole"),
    ],
)
def test_wrong_usage(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line and status 2."""
    assert command.main(words) == 2
    found = capsys.readouterr().err
    assert found.startswith("jitemu: bench: ")
    assert text in found
    assert found.count("\n") == 1


@pytest.mark.parametrize("words", [["--rounds", "0"], ["--scale", "-1"], ["--suite", "all"]])
def test_wrong_values(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One line and status 2."""
    with pytest.raises(SystemExit) as caught:
        command.main(words)
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def fake_suite(monkeypatch: pytest.MonkeyPatch, *chosen: peers.Peer) -> None:
    """Let the command measure one workload under given peers."""
    suite = suites.Suite((workload(),), ("warm",), ("native",), False)
    monkeypatch.setitem(suites.SUITES, "cpu", suite)
    monkeypatch.setattr(command, "_choose_peers", lambda found, states, folder: list(chosen))


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both tables on stdout, the document in its file, nothing on stderr."""
    native, mine = (Fake(n, [sample(t)] * 2) for n, t in (("native", 1.0), ("mine", 4.0)))
    fake_suite(monkeypatch, native, mine)
    path = tmp_path / "found.json"
    assert command.main(["--rounds", "1", "--json", str(path)]) == 0
    found = capsys.readouterr()
    assert found.err == ""
    assert "| work | 500 ms | 2.00 s (0.25) |" in found.out
    assert "| work | 1.00 s | 4.00 s (0.25) |" in found.out
    assert json.loads(path.read_text())["arguments"]["rounds"] == 1


def test_the_command_with_a_wrong_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One clear line and status 1."""
    fake_suite(monkeypatch, Fake("native", [sample()]), Fake("mine", [sample(digest="no")]))
    assert command.main([]) == 1
    line = "jitemu: bench: work under mine: wrong result: 'no', expected 'right'\n"
    assert capsys.readouterr() == ("", line)


def test_what_was_measured_before_an_error_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A long run that ends early still shows its rows."""
    native = Fake("native", [sample()] * 3)
    fake_suite(monkeypatch, native, Fake("mine", [sample(), sample(), sample(status=1)]))
    suite = suites.Suite((workload("one"), workload("two")), ("warm",), ("native",), False)
    monkeypatch.setitem(suites.SUITES, "cpu", suite)
    path = tmp_path / "found.json"
    assert command.main(["--rounds", "1", "--json", str(path)]) == 1
    found = capsys.readouterr()
    assert "| one | 1.00 s | 1.00 s (1.00) |" in found.out
    assert found.err == "jitemu: bench: two under mine: exit status 1: right\n"
    assert [row["workload"] for row in json.loads(path.read_text())["rows"]] == ["one"]


def test_the_command_with_nothing_to_measure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what is missing, and that nothing remains; status 1."""
    fake_suite(monkeypatch, Fake("native"))

    def refuse(settings: Settings) -> Task:
        raise UnavailableError("no luck")

    suite = suites.Suite((Workload("work", "group", refuse),), ("warm",), (), False)
    monkeypatch.setitem(suites.SUITES, "cpu", suite)
    assert command.main([]) == 1
    found = capsys.readouterr()
    assert "- work is left out: no luck" in found.out
    assert found.err == "jitemu: bench: nothing could be measured\n"


def test_jitemu_bench_hands_over() -> None:
    """`jitemu bench` is `python -m benchmarks`."""
    words = [sys.executable, "-m", "jitemu", "bench", "--list", "x87"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "x87", "nbody-x87", "mandel-x87",
    ]  # fmt: skip


def test_jitemu_bench_without_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An installed package has no guests."""
    monkeypatch.setattr(jitemu.bench, "__file__", str(tmp_path / "jitemu" / "bench.py"))
    assert jitemu.bench.bench([]) == 1
    assert "needs the project's checkout" in capsys.readouterr().err


def test_every_workload_is_of_its_own_name() -> None:
    """Names select; they must not clash with groups, but for a kernel that is its group's first."""
    for suite in suites.SUITES.values():
        names = [one.name for one in suite.workloads]
        assert len(set(names)) == len(names)
    sources = {path.stem for path in kernels.GUESTS.glob("*.c")}
    assert sources == {*(k.name.split("-")[0] for k in kernels.KERNELS), "hello"}


@pytest.mark.parametrize("kernel", kernels.KERNELS, ids=lambda kernel: kernel.name)
def test_kernels_run_natively(kernel: Workload, settings: Settings) -> None:
    """Each does what the frame promises: a result, its own time, more work at a larger scale."""
    try:
        task, host = kernel.prepare(settings), peers.native(settings.folder)
    except UnavailableError as error:
        pytest.skip(str(error))
    got = host.run(task, settings)
    assert got.status == 0
    assert got.steady is not None
    assert got.stdout.strip()
    assert host.run(task, settings).digest == got.digest
    more = Task(task.program, ("60",))
    assert host.run(more, settings).digest != got.digest
