"""What programs need -> translator/frequent.txt, the stencils that `jitemu cache build` compiles.

    python -m benchmarks.frequent SYSROOT translator/frequent.txt [STATIC-PROGRAM...]
    python -m benchmarks.frequent --boot "-fda dos.img --script FILE" ... translator/frequent.txt
    python -m benchmarks.frequent --order [--boot OPTIONS]... SYSROOT translator/frequent.txt

The second form adds to the list what machines need, by the options of `jitemu boot`; the third
writes models.txt: what such machines and some programs need, in that order, and what many share.
In the list are all stencils that some runs of usual programs need, and those that occur often in
their code and that of their libraries.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from jitemu import Process, boot, image
from translator import frequent
from translator.ahead import Walk
from translator.planner import Plan, fuses
from translator.tiers import family
from translator.tiers.family import Sample
from translator.tiers.services import SERVICES
from translator.tiers.stencil import Request
from translator.tiers.store import MODELS, STORE

RUNS = (
    ("/usr/bin/python3", "-c", "pass"),
    ("/usr/bin/bash", "-c", "for i in 1 2 3; do echo $i; done; x=$(echo hi)"),
    ("/usr/bin/perl", "-e", 'print 6*7, "\\n"; my %h = (a => 1); print sort keys %h'),
    ("/usr/bin/ls", "-l", "/"),
)
CODE = ("sqlite3", "openssl", "xz", "bzip2", "sort", "awk", "grep", "sed", "tar", "gzip")
AGAIN = 3  # runs of each: hashes and addresses differ, and with them the paths taken
FILES, TIMES = 2, 20  # in so many files, and so often, a stencil must occur


Needed = tuple[tuple[bytes, ...], int, int]  # keys and flags of a request, and its way or -1


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


def of_run(sysroot: Path, words: tuple[str, ...]) -> list[Needed]:
    """Run a program; return what was translated, in order."""
    with Process(words[0], words[1:], sysroot=sysroot, capture=True) as guest:
        guest.run()
    return needed()


def of_boot(words: list[str]) -> list[Needed]:
    """Boot a machine until it or its script ends; return what was translated, in order."""
    with contextlib.suppress(SystemExit):
        boot.boot(words)
    return needed()


def needed() -> list[Needed]:
    """Return what this process needed, in order."""
    found = []
    for request in STORE.known:
        sample = family.sample_of(request, MODELS)
        found.append((request.keys, request.live, -1 if sample is None else sample.way))
    return found


def apart(function: Callable[..., list[Needed]], *arguments: Any) -> list[Needed]:
    """Call one of these in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def write(path: Path, wanted: Collection[Request]) -> None:
    """Write the list."""
    path.write_text(frequent.text(wanted), "ascii")
    print(f"{len(wanted)} stencils")


def samples(runs: Iterable[Iterable[Needed]]) -> dict[bytes, Sample]:
    """Return a sample of each pattern of several runs; what one of them has early is early."""
    found: dict[bytes, Sample] = {}
    for step in zip_longest(*runs):
        for keys, live, way in (row for row in step if row is not None and row[2] >= 0):
            for tried in range(way + 1):
                sample = Sample(Request(keys, live), tried)
                if (pattern := sample.pattern()) is not None:
                    found.setdefault(family.name(pattern), sample)
    return found


def write_models(machines: dict[bytes, Sample], programs: dict[bytes, Sample]) -> None:
    """Write the list of models: what these need, and what several of the whole list are made of."""
    families: dict[bytes, list[Request]] = {}
    for request in sorted(frequent.requests()):
        for pattern in islice(family.patterns(request), 1):
            families.setdefault(family.name(pattern), []).append(request)
    early = machines.keys() | programs.keys()
    shared = [m for name, m in families.items() if len(m) > 1 and name not in early]
    shared.sort(key=lambda members: (-len(members), members))
    parts = [
        [sample for name, sample in machines.items() if name in programs],
        [sample for name, sample in machines.items() if name not in programs],
        [sample for name, sample in programs.items() if name not in machines],
        [Sample(members[0], 0) for members in shared],
    ]
    frequent.MODELS.write_text(frequent.models_text(parts), "ascii")
    print(f"{' + '.join(str(len(part)) for part in parts)} patterns")


def main() -> None:
    """Write the list."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boot", action="append", metavar="OPTIONS", help="of a machine")
    parser.add_argument("--order", action="store_true", help="see above")
    parser.add_argument("sysroot", type=Path, nargs="?")
    parser.add_argument("list", type=Path)
    parser.add_argument("programs", nargs="*", help="run as well, without arguments")
    given = parser.parse_args()
    boots = [apart(of_boot, shlex.split(options)) for options in given.boot or ()]
    if boots and not given.order:
        found = {Request(keys, live) for boot in boots for keys, live, _ in boot}
        write(given.list, {*frequent.requests(), *found})
        return
    if given.sysroot is None:
        parser.error("a sysroot is needed")
    runs: list[tuple[str, ...]] = [(str(given.sysroot) + words[0], *words[1:]) for words in RUNS]
    runs += [(program,) for program in given.programs]
    if given.order:
        ran = [apart(of_run, given.sysroot, words) for words in runs]
        write_models(samples(boots), samples(ran))
        return
    wanted = {Request((name,), 0) for name in SERVICES}
    for words in runs * AGAIN:
        rows = apart(of_run, given.sysroot, words)
        wanted.update(Request(keys, live) for keys, live, _ in rows)
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


if __name__ == "__main__":
    main()
