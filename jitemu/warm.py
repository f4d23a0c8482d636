"""`jitemu cache warm`: compiles ahead of time what a program will need, on all cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jitemu.complain import complain
from jitemu.options import Parser, UsageError
from translator.tiers.stencil import Request

if TYPE_CHECKING:
    from runtime.codestore import Compiled

_BATCH = 64  # patterns of stencils compiled at once; larger batches gain nothing
_STEP = 20_000  # bytes between looks at the clock


def parser() -> Parser:
    """Build the parser of what stands before PROGRAM."""
    made = Parser(
        prog="jitemu cache warm",
        usage="jitemu cache warm [-L DIR] [-j N] PROGRAM [ARGS...]",
        description="Compile ahead of time what PROGRAM and its libraries need. "
        "ARGS are ignored, so that the words of a run can be repeated.",
        epilog="example:\n  jitemu cache warm -L ~/i386 /usr/bin/perl",
        allow_abbrev=False,
    )
    made.add_argument("-L", "--sysroot", metavar="DIR", help="directory that the guest sees as /")
    made.add_argument(
        "-j", "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (all)"
    )
    made.add_argument("program", metavar="PROGRAM")
    made.add_argument("args", nargs="...", metavar="ARGS")
    return made


def warm(words: Sequence[str]) -> int:
    """Compile what a program needs; see parser."""
    from jitemu import image
    from runtime.store import place

    found = parser().parse_args(words)
    if found.jobs < 1:
        raise UsageError("-j: at least 1")
    root = Path(found.sysroot).absolute() if found.sysroot else None
    if root is not None and not root.is_dir():
        raise UsageError(f"{root}: no such directory")
    if place.base() is None:
        raise UsageError("JITEMU_CACHE=off: there is no cache to fill")
    path = image.program(root, found.program)
    if path is None:
        if os.path.lexists(found.program):
            complain(f"cache warm: {found.program}: not a file that holds a program")
            return 126
        complain(f"cache warm: {found.program}: No such file or directory")
        return 127
    try:
        codes = list(image.closure(root, path))
    except OSError as error:
        complain(f"cache warm: {error}")
        return 126
    requests = _missing(codes)
    _compile(requests, found.jobs)
    size = sum(code.size for code in codes)
    print(
        f"{len(codes)} files, {size} bytes of code: {len(requests)} stencils compiled", flush=True
    )
    return 0


def build(words: Sequence[str]) -> int:
    """Compile what most programs need into the installation."""
    from runtime import codestore
    from translator import frequent
    from translator.tiers.family import batches

    made = Parser(
        prog="jitemu cache build",
        usage="jitemu cache build [-j N]",
        description="Compile the stencils that most programs need, and keep them beside jitemu's "
        "own files, so that first runs find them. Run it once, after installing.",
        allow_abbrev=False,
    )
    made.add_argument(
        "-j", "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (all)"
    )
    jobs = max(made.parse_args(words).jobs, 1)
    models = (sample.request for sample in frequent.models())
    wanted = list(dict.fromkeys([*frequent.requests(), *models]))
    with _progress(len(wanted), "compiling", "stencils") as bar:

        def results() -> Iterator[Compiled]:
            for batch in _results(batches(wanted, _BATCH), jobs):
                bar.update(len(batch.stencils))
                yield batch

        count = codestore.build(wanted, results())
    print(f"{count} stencils compiled", flush=True)
    return 0


def _progress(total: int, what: str, unit: str) -> Any:
    """Return a progress bar, which shows nothing where no terminal is."""
    from tqdm import tqdm  # bars with a rate and an estimate that survive narrow terminals

    quiet = sys.stderr is None or not sys.stderr.isatty()
    return tqdm(total=total, desc=what, unit=unit, disable=quiet, leave=False)


def _missing(codes: Sequence[Any]) -> list[Request]:
    """Find the stencils that are not cached yet."""
    from runtime import codestore
    from translator.ahead import Walk
    from translator.strategies.stencils import body

    codestore.attach()
    found: dict[Request, None] = {}
    with _progress(sum(code.size for code in codes), "reading", "B") as bar:
        done = 0
        for code in codes:
            walk = Walk(code.fetch)
            insns = 0
            for plan in walk.run(code.entries):
                missing: list[Request] = []
                body(plan, missing)
                found.update(dict.fromkeys(missing))
                insns += len(plan.items)
                if 4 * insns > bar.n - done + _STEP:  # about 4 bytes each
                    bar.update(min(done + 4 * insns, done + code.size) - bar.n)
            done += code.size
    return list(found)


def _compile(requests: list[Request], jobs: int) -> None:
    """Compile stencils in worker processes, and save them as they come."""
    from runtime import codestore
    from translator.tiers.family import batches

    with _progress(len(requests), "compiling", "stencils") as bar:
        fresh = 0
        for batch in _results(batches(requests, _BATCH), jobs):
            codestore.adopt(batch)
            bar.update(len(batch.stencils))
            fresh += len(batch.stencils)
            if fresh >= codestore.SAVE_EVERY:
                fresh = 0
                codestore.save()
        codestore.save()


def _results(batches: Iterable[list[Request]], jobs: int) -> Iterator[Compiled]:
    """Yield what worker processes made of batches, as it comes."""
    from runtime import codestore

    pool = ProcessPoolExecutor(jobs)
    running: set[Future[Compiled]] = set()
    try:
        for batch in batches:
            running.add(pool.submit(codestore.compiled, batch))
            if len(running) < 2 * jobs:
                continue
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
