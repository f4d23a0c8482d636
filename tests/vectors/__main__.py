"""Run captured vectors: python -m tests.vectors SUITE --tier TIER [--jobs N] [FILE...]

With --state, a campaign that was interrupted goes on where it was when it is started again.
Status 0 if nothing differs, 1 if something does or it was interrupted, 2 for a suite or file that
is not there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from tests.vectors.campaign import ALL, Report, files_of, run_work

SHOWN = 3

Work = tuple[str, str, str, int]  # suite, file, tier, step


def _known(state: Path | None) -> dict[Work, Report]:
    """Return what earlier runs found out; ValueError if the file is something else."""
    if state is None or not state.exists():
        return {}
    try:
        lines = [json.loads(line) for line in state.read_text().splitlines()]
        return {(w[0], w[1], w[2], w[3]): Report(*report) for w, report in lines}
    except (TypeError, IndexError, UnicodeDecodeError) as problem:
        raise ValueError(problem) from problem


def _note(state: Path, work: Work, report: Report) -> None:
    """Add what a file gave, at once: an interrupt loses the files under way only."""
    with state.open("a") as lines:
        lines.write(json.dumps([work, report]) + "\n")


def _reports(work: list[Work], jobs: int) -> Iterator[Report]:
    """Run everything in this process or in several."""
    if jobs == 1:
        yield from map(run_work, work)
        return
    # Fresh interpreters: a fork would share the parent's code arena.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for done in as_completed([pool.submit(run_work, item) for item in work]):
            yield done.result()


def main() -> int:
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.vectors",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("suite", choices=ALL)
    parser.add_argument("files", nargs="*", help="files of the suite, such as F7.6 (all)")
    parser.add_argument("--tier", default="stencil", help="a strategy (stencil)")
    parser.add_argument("--jobs", type=int, default=1, help="parallel processes (1)")
    parser.add_argument("--step", type=int, default=1, help="every how manieth vector (1)")
    parser.add_argument("--shown", type=int, default=SHOWN, help=f"failures of a file ({SHOWN})")
    parser.add_argument("--state", type=Path, help="where to note files that are done")
    options = parser.parse_intermixed_args()
    there = files_of(options.suite)
    if missing := set(options.files) - set(there) or (not there and {options.suite}):
        print(f"tests.vectors: not there: {' '.join(sorted(missing))}", file=sys.stderr)
        return 2
    files = options.files or there
    try:
        known = _known(options.state)
    except (OSError, ValueError) as problem:
        print(f"tests.vectors: {options.state}: {problem}", file=sys.stderr)
        return 2
    start = time.monotonic()
    work = {file: (options.suite, file, options.tier, options.step) for file in files}
    reports = [known[item] for item in work.values() if item in known]
    todo = [item for item in work.values() if item not in known]
    for report in tqdm(_reports(todo, options.jobs), total=len(todo), unit="file", disable=None):
        reports.append(report)
        if options.state is not None:
            _note(options.state, work[report.file], report)
        for text in report.failed[: options.shown]:
            tqdm.write(text, file=sys.stdout)
    failed = Counter({r.file: len(r.failed) for r in reports if r.failed})
    total, excluded = sum(r.vectors for r in reports), sum(r.excluded for r in reports)
    for file, number in failed.most_common():
        print(f"{file}: {number} differ")
    print(
        f"{options.suite}, tier {options.tier}: {total:,} vectors, {failed.total():,} differ, "
        f"{excluded} excluded, {time.monotonic() - start:.0f} s"
    )
    return int(failed.total() > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("tests.vectors: interrupted")
