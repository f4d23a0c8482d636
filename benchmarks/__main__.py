"""The command line: which suite, which peers, how often; tables on stdout, an exit status."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from benchmarks import bare, embed, figures, machine, peers, plot, results, suites
from benchmarks.progress import progress
from benchmarks.race import Row, WrongResultError, run_row
from benchmarks.table import Look, table
from benchmarks.workload import Settings, UnavailableError

DESCRIPTION = """\
Measure jitemu against native execution and qemu-i386, over guest programs whose results are
checked. All peers run in turn, several rounds; ratios are taken within a round. Prints Markdown.
"""
EPILOG = """\
suites:
  cpu    kernels (steady state and whole process) and Debian programs (whole process)
  start  the time that short programs take, with a warm and a cold cache
  embed  the Python interface: starting, slices, memory, system calls, translation

examples:
  jitemu bench                                   the table of the README
  jitemu bench --scale 0.1 --rounds 1 crc fib    a quick look at two kernels
  jitemu bench --strategy all --cache warm --cache cold --json all.json --plot all.svg

exit status: 0; 1 if a result is wrong or something cannot be measured; 2 for wrong usage
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"jitemu: bench: {message} (see jitemu bench --help)\n")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rounds")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """Build the parser."""
    made = _Parser(
        prog="jitemu bench",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("names", nargs="*", metavar="NAME", help="workloads or groups of them (default: all)")
    add("--suite", choices=(*suites.SUITES, "embed"), default="cpu", help="what to measure (cpu)")
    add("--list", action="store_true", help="list the suite's workloads")
    add(
        "--strategy",
        action="append",
        metavar="NAME",
        help="a strategy of jitemu, or `all`; may be repeated (default: the default, and stencil)",
    )
    add(
        "--cache",
        action="append",
        choices=peers.CACHE_STATES,
        help="state of jitemu's cache; may be repeated (cpu: warm; start: warm and cold)",
    )
    add("--no-qemu", action="store_true", help="leave qemu-i386 out")
    add("--rounds", type=_count, default=3, metavar="N", help="measured rounds (3)")
    add("--scale", type=_positive, default=1.0, metavar="X", help="how much work (1)")
    add(
        "--limit",
        type=_positive,
        default=600.0,
        metavar="SECONDS",
        help="give up a run after this time (600)",
    )
    add(
        "--clock",
        choices=("cpu", "wall"),
        default="cpu",
        help="what whole processes are compared by: processor time with all threads and children, "
        "or the clock (cpu)",
    )
    add(
        "-L", "--sysroot", type=Path, metavar="DIR", help="i386 sysroot (default: made when needed)"
    )
    add("--json", type=Path, metavar="FILE", help="write every sample to FILE")
    add("--plot", type=Path, metavar="FILE", help="draw the ratios to FILE, .svg or .png")
    return made  # fmt: skip


def _strategies(found: argparse.Namespace) -> list[str]:
    known = peers.strategies()
    wanted = found.strategy or [peers.default_strategy(), "stencil"]
    names = known if "all" in wanted else list(dict.fromkeys(wanted))
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"unknown strategy {unknown[0]!r}: choose from {', '.join(known)} or all")
    return names


def _choose_peers(found: argparse.Namespace, states: list[str], folder: Path) -> list[peers.Peer]:
    ours = peers.choose(_strategies(found), states, folder)
    others: list[peers.Peer] = []
    for make in (lambda: peers.native(folder), *(() if found.no_qemu else (peers.qemu,))):
        try:
            others.append(make())
        except UnavailableError as error:
            print(f"Left out: {error}.\n")
    return [*others, *ours]


def _report(
    found: argparse.Namespace, suite: suites.Suite, rows: list[Row], names: list[str]
) -> None:
    """Print the tables; draw the plot of the first."""
    baseline = next((name for name in suite.baselines if name in names), None)
    what = "time" if suite.by_time else "speed"
    note = f"; in parentheses: {what}, {baseline} = 1" if baseline else ""
    steady = [row for row in rows if any(s.steady for c in row.cells.values() for s in c.samples)]
    tables = []
    if steady:
        look = Look(names, figures.steady, baseline, suite.by_time)
        tables.append(("Steady state: processor seconds of the second half", steady, look))
    clocks = {"cpu": "processor seconds, all threads and children", "wall": "seconds by the clock"}
    look = Look(names, figures.CLOCKS[found.clock], baseline, suite.by_time)
    tables.append((f"Whole process: {clocks[found.clock]}", rows, look))
    print("\n\n".join(f"{title}{note}.\n\n{table(some, look)}" for title, some, look in tables))
    if found.plot:
        plot.plot(found.plot, *tables[0])


def _processes(
    found: argparse.Namespace,
    suite: suites.Suite,
    settings: Settings,
    save: Callable[[dict[str, Any]], None],
) -> None:
    """Run a suite of whole processes; print and save what it shows, also if it ends early."""
    workloads = suites.select(suite, found.names)
    states = found.cache or list(suite.cache_states)
    chosen = _choose_peers(found, states, settings.folder)
    rows: list[Row] = []
    try:
        with progress(len(workloads) * (found.rounds + 1) * len(chosen)) as step:
            for workload in workloads:
                rows.append(run_row(workload, chosen, settings, found.rounds, step))
                save(results.of_rows(rows))
    finally:
        if rows:
            _report(found, suite, rows, [peer.name for peer in chosen])
    if not any(cell.samples for row in rows for cell in row.cells.values()):
        raise UnavailableError("nothing could be measured")


def _embed(
    found: argparse.Namespace, settings: Settings, save: Callable[[dict[str, Any]], None]
) -> None:
    """Measure the Python interface; print and save it."""
    if found.names or found.plot:
        raise ValueError("the suite embed is measured as a whole, and has no plot")
    names = _strategies(found)
    with progress((len(names) + 1) * (found.rounds + 1)) as step:
        measured = embed.run(names, settings, found.rounds, step)
    print(embed.table(measured), flush=True)
    print("\nBare code, behind the unicorn package's interface (seconds of the calling thread):\n")
    with embed.cache(settings.folder):
        compared = bare.compare(found.rounds)
    print(bare.table(compared), flush=True)
    save(results.of_measurements(measured) | {"bare": bare.plain(compared)})


def measure(found: argparse.Namespace, folder: Path) -> None:
    """Run a suite; print and save what it shows."""
    if found.plot:
        plot.check(found.plot)
    settings = Settings(folder, found.scale, found.limit, found.sysroot)
    before = peers.sources()
    about = {
        "machine": machine.describe(),
        "arguments": {"suite": found.suite, "rounds": found.rounds, "scale": found.scale},
    }

    def save(rows: dict[str, Any]) -> None:
        if found.json:
            results.save(found.json, {"schema": results.SCHEMA, **about, **rows})

    if found.suite == "embed":
        _embed(found, settings, save)
    else:
        _processes(found, suites.SUITES[found.suite], settings, save)
    if peers.sources() != before:
        note = "jitemu's sources changed during the run: its caches were not warm"
        print(f"jitemu: bench: {note}", file=sys.stderr)


def _list(found: argparse.Namespace) -> None:
    if found.suite == "embed":
        print("\n".join(one.name for one in embed.measurements().values()))
        return
    for workload in suites.select(suites.SUITES[found.suite], found.names):
        print(f"{workload.name:<14} {workload.group:<10} {workload.what}")


def main(words: list[str] | None = None) -> int:
    """Run what the command line asks for."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever reads may stop early
    found = parser().parse_args(words)
    try:
        if found.list:
            _list(found)
            return 0
        with tempfile.TemporaryDirectory(prefix="jitemu-bench-") as name:
            measure(found, Path(name))
    except ValueError as error:
        print(f"jitemu: bench: {error}", file=sys.stderr)
        return 2
    except (WrongResultError, UnavailableError, OSError) as error:
        print(f"jitemu: bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
