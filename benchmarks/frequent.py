"""What programs need -> translator/frequent.txt, the stencils that `jitemu cache build` compiles.

    python -m benchmarks.frequent SYSROOT translator/frequent.txt [STATIC-PROGRAM...]
    python -m benchmarks.frequent --boot "-fda dos.img --script FILE" ... translator/frequent.txt

The second form adds to the list what machines need, by the options of `jitemu boot`.
In the list are all stencils that some runs of usual programs need, and those that occur often in
their code and that of their libraries.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import shlex
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from jitemu import Process, boot, image
from translator import frequent
from translator.ahead import Walk
from translator.planner import Plan, fuses
from translator.tiers.services import SERVICES
from translator.tiers.stencil import Request
from translator.tiers.store import STORE

RUNS = (
    ("/usr/bin/python3", "-c", "pass"),
    ("/usr/bin/bash", "-c", "for i in 1 2 3; do echo $i; done; x=$(echo hi)"),
    ("/usr/bin/perl", "-e", 'print 6*7, "\\n"; my %h = (a => 1); print sort keys %h'),
    ("/usr/bin/ls", "-l", "/"),
)
CODE = ("sqlite3", "openssl", "xz", "bzip2", "sort", "awk", "grep", "sed", "tar", "gzip")
AGAIN = 3  # runs of each: hashes and addresses differ, and with them the paths taken
FILES, TIMES = 2, 20  # in so many files, and so often, a stencil must occur


def of_plan(plan: Plan) -> list[Request]:
    """Return the stencils of a block."""
    found = []
    items, index = plan.items, 0
    while index < len(items):
        shape, live = items[index][0], plan.live[index]
        keys: tuple[bytes, ...] = (shape.key,)
        if index + 1 < len(items) and fuses(shape, jump := items[index + 1][0]):
            keys = (shape.key, jump.key)
            index += 1
        found.append(Request(keys, live & shape.writes))
        index += 1
    return found


def of_run(sysroot: Path, words: tuple[str, ...]) -> set[tuple[tuple[bytes, ...], int]]:
    """Run a program; return what was translated."""
    with Process(words[0], words[1:], sysroot=sysroot, capture=True) as guest:
        guest.run()
    return {(request.keys, request.live) for request in STORE.known}


def of_boot(words: list[str]) -> set[tuple[tuple[bytes, ...], int]]:
    """Boot a machine until it or its script ends; return what was translated."""
    with contextlib.suppress(SystemExit):
        boot.boot(words)
    return {(request.keys, request.live) for request in STORE.known}


def write(path: Path, wanted: Collection[Request]) -> None:
    """Write the list, and that of models beside it."""
    path.write_text(frequent.text(wanted), "ascii")
    path.with_name(frequent.MODELS.name).write_text(frequent.models_text(wanted), "ascii")


def main() -> None:
    """Write the list."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boot", action="append", metavar="OPTIONS", help="of a machine")
    parser.add_argument("sysroot", type=Path, nargs="?")
    parser.add_argument("list", type=Path)
    parser.add_argument("programs", nargs="*", help="run as well, without arguments")
    given = parser.parse_args()
    if given.boot:
        wanted = set(frequent.requests())
        for options in given.boot:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = pool.apply(of_boot, (shlex.split(options),))
            wanted |= {Request(*request) for request in found}
        write(given.list, wanted)
        print(f"{len(wanted)} stencils")
        return
    if given.sysroot is None:
        parser.error("a sysroot is needed")
    wanted = {Request((name,), 0) for name in SERVICES}
    runs = [(str(given.sysroot) + words[0], *words[1:]) for words in RUNS]
    for words in [*runs, *((program,) for program in given.programs)] * AGAIN:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            wanted |= {Request(*r) for r in pool.apply(of_run, (given.sysroot, words))}
    times: Counter[Request] = Counter()
    files: Counter[Request] = Counter()
    seen: set[tuple[int, int]] = set()
    for name in (*(words[0] for words in RUNS), *(f"/usr/bin/{name}" for name in CODE)):
        path = image.program(given.sysroot, name)
        for code in image.closure(given.sysroot, path) if path is not None else ():
            if (mark := (code.size, len(code.entries))) in seen:
                continue
            seen.add(mark)
            here = Counter(r for plan in Walk(code.fetch).run(code.entries) for r in of_plan(plan))
            times += here
            files.update(here.keys())
    wanted |= {r for r, count in times.items() if count >= TIMES and files[r] >= FILES}
    write(given.list, wanted)
    print(f"{len(wanted)} stencils")


if __name__ == "__main__":
    main()
