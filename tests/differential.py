"""Random insns and sequences, executed by this CPU and by a tier; every difference is a bug.

    python -m tests.differential --cases 1000000 --seed 1 --tier stencil --jobs 2

prints one line a failing case, which `--replay LINE` runs again, then what was exercised, and last
the numbers of cases, mismatches and skipped cases; status 1 if any failed.
"""

from __future__ import annotations

import argparse
import base64
import json
import multiprocessing
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from tests import compare
from tests.generate import undefined
from tests.generate.coverage import Coverage
from tests.generate.encode import Encoded, encode
from tests.generate.forms import Form, forms
from tests.generate.sequence import sequence
from tests.generate.state import ECX, State, prepare
from tests.machine import TIMEOUT_SIGNAL, Bare
from tests.native import layout
from tests.native.host import Native
from translator.opcodes import ROWS, Row

SLOT = 64
SEQUENCE_SLOT = 256
STATES = 8  # start states that share one insn; a sequence has half as many
PAGE_FAULT, PROTECTION = 14, 13
WIDEST = 16  # bytes of an access
T = TypeVar("T")
# What two CPUs need not agree on: time, identity, the kernel.
UNTESTABLE = {"rdtsc", "cpuid", "sysenter", "rdpmc"}


class Machine(Protocol):
    """What runs cases: tests.native.host.Native or tests.machine.Bare."""

    def run(self, code: bytes, cases: np.ndarray) -> np.ndarray:
        """Run cases over one code image."""


class Item(NamedTuple):
    """One case and what its comparison must know."""

    name: str
    code: bytes
    at: int  # offset of the code in the image
    state: State
    undefined: int
    insn: Encoded | None = None
    form: Form | None = None


class Batch(NamedTuple):
    """A code image and the cases over it."""

    code: bytes
    items: list[Item]
    cases: np.ndarray


def testable_rows() -> list[Row]:
    """Return the rows of the opcode tables that two CPUs agree on."""
    return [row for row in ROWS if row.mnemonic not in UNTESTABLE]


def single(
    rng: Random, row: Row, at: int, form: Form | None = None, states: int = STATES
) -> list[Item]:
    """Return one insn of a row or form, with several start states."""
    insn = encode(rng, row, form)
    eip = layout.CODE + at
    items = []
    for _ in range(states):
        state = prepare(rng, insn, eip)
        mask = undefined.undefined_after(insn, 0, state.regs[ECX])
        items.append(Item(row.mnemonic, insn.code, at, state, mask, insn, form))
    return items


def several(rng: Random, at: int, states: int) -> list[Item]:
    """Return one sequence, with several start states that differ in registers and flags."""
    code, starts, mask = sequence(rng, layout.CODE + at, states)
    return [Item("sequence", code, at, state, mask) for state in starts]


def build(items: list[Item]) -> Batch:
    """Lay the code of some items out in one image."""
    image = bytearray([layout.HALT]) * layout.CODE_SIZE
    for item in items:
        image[item.at : item.at + len(item.code)] = item.code
    end = max(item.at + len(item.code) for item in items) + SLOT
    cases = np.concatenate([item.state.record() for item in items])
    return Batch(bytes(image[:end]), items, cases)


def endless(rng: Random, things: Sequence[T]) -> Iterator[T]:
    """Yield every thing once, then every thing again, each time in another order."""
    while True:
        order = list(things)
        rng.shuffle(order)
        yield from order


def batches(rng: Random, total: int, states: int = STATES, share: float = 0.2) -> Iterator[Batch]:
    """Yield batches of *total* cases in all: a share of sequences, else forms and rows in turn."""
    rows = testable_rows()
    row_order, form_order = endless(rng, rows), endless(rng, forms(rows))
    made = drawn = 0
    while made < total:
        items: list[Item] = []
        is_sequence = rng.random() < share
        slot = SEQUENCE_SLOT if is_sequence else SLOT
        by_form = rng.random() < 0.5 and drawn >= len(rows)
        limit = min(layout.MAX_CASES, max(total - made, states))
        for at in range(slot, layout.CODE_SIZE - slot, slot):
            if len(items) + states > limit:
                break
            if is_sequence:
                items += several(rng, at, states // 2)
                continue
            form = next(form_order) if by_form else None
            row = form.row if form else next(row_order)
            drawn += form is None
            items += single(rng, row, at + rng.randrange(16), form, states)
        made += len(items)
        yield build(items)


def ignored_memory(item: Item) -> np.ndarray | None:
    """Return the bytes of memory that are not compared, None for all are."""
    if not item.state.ignored:
        return None
    mask = np.zeros((len(layout.REGIONS), layout.REGION_SIZE), dtype=bool)
    for address, size in item.state.ignored:
        for region, base in enumerate(layout.REGIONS):
            begin = max(address - base, 0)
            mask[region, begin : max(address + size - base, 0)] = True
    return mask


def line_of(item: Item) -> str:
    """Return a failing case as one line of text."""
    record = zlib.compress(item.state.record().tobytes(), 9)
    fields = {
        "name": item.name,
        "code": item.code.hex(),
        "undefined": item.undefined,
        "ignored": item.state.ignored,
        "case": base64.b85encode(record).decode(),
    }
    return json.dumps(fields)


def leaves_map(result: np.void) -> bool:
    """Whether a case reached for the executor's own pages, which the tier does not have."""
    return bool(
        result["vector"] == PAGE_FAULT and layout.OWN_BEGIN <= result["cr2"] < layout.OWN_END
    )


def passes_limit(got: np.void, want: np.void) -> bool:
    """Whether an offset in FS or GS wraps at 4 GiB: beyond the limit, which tiers do not check."""
    if got["vector"] != PAGE_FAULT or want["vector"] != PROTECTION:
        return False
    bases = layout.SEGMENT_BASES.values()
    return any(base - WIDEST <= int(got["cr2"]) < base for base in bases)


class Outcome(NamedTuple):
    """Of a batch: items that differ and how, each tried alone too; the number left out."""

    failed: list[tuple[Item, list[str]]]
    skipped: int


def check_batch(
    native: Machine, tier: Machine, batch: Batch, coverage: Coverage | None = None
) -> Outcome:
    """Run a batch on both machines; skip cases that reach what the tier or the child lacks.

    These are the native executor's own pages and the limits of segments.
    """
    results = tier.run(batch.code, batch.cases)
    chosen = [n for n in range(len(batch.items)) if not leaves_map(results[n])]
    wanted = native.run(batch.code, batch.cases[chosen]).copy()
    failed, limited = [], 0
    for number, want in zip(chosen, wanted, strict=True):
        item, got = batch.items[number], results[number]
        ignored = ignored_memory(item)
        if coverage is not None and item.insn is not None:
            coverage.note(item.insn, item.form, item.state, want)
        if want["signal"] == TIMEOUT_SIGNAL and got["signal"] == TIMEOUT_SIGNAL:
            continue  # a jump backwards: neither ends
        problems = compare.differences(got, want, item.undefined, ignored)
        if problems and passes_limit(got, want):
            limited += 1
        elif problems:
            # A busy host may end a native case by its clock.
            failed.append((item, [] if want["signal"] == TIMEOUT_SIGNAL else problems))
    confirmed = []
    for item, problems in failed:
        alone = check_alone(native, tier, item)
        if alone or problems:
            confirmed.append((item, alone or [f"only in its batch: {'; '.join(problems)}"]))
    return Outcome(confirmed, len(batch.items) - len(chosen) + limited)


def check_alone(native: Machine, tier: Machine, item: Item) -> list[str]:
    """Run one item by itself and return what differs."""
    code = bytes([layout.HALT]) * item.at + item.code + bytes([layout.HALT]) * SLOT
    cases = item.state.record()
    got = tier.run(code, cases)[0]
    if leaves_map(got):
        return []
    want = native.run(code, cases)[0]
    return compare.differences(got, want, item.undefined, ignored_memory(item))


def show(item: Item, problems: list[str]) -> str:
    """Return a failure to read: the insn, the differences, the line to replay."""
    regs = " ".join(f"{n}={v:x}" for n, v in zip(compare.REGISTERS, item.state.regs, strict=True))
    return (
        f"{item.name} {item.code.hex(' ')} at {item.state.eip:08x}: {'; '.join(problems[:6])}\n"
        f"    {regs} eflags={item.state.eflags:x}\n    {line_of(item)}"
    )


class Report(NamedTuple):
    """What a campaign found."""

    cases: int
    mismatches: Counter[str]
    skipped: int
    coverage: Coverage

    def __str__(self) -> str:
        """Return what was exercised, then the numbers in one line."""
        names = f" {dict(self.mismatches.most_common(40))}" if self.mismatches else ""
        numbers = f"{self.cases:,} cases, {self.mismatches.total():,} mismatches"
        rest = f"{self.skipped:,} skipped (they reach the executor's own pages or a segment limit)"
        return "\n".join([*self.coverage.lines(), f"{numbers}, {rest}{names}"])


def campaign(
    tier: str, cases: int, seed: int, states: int = STATES, shown: int = 3, progress: bool = False
) -> Report:
    """Run *cases* random cases; print the first failures of each mnemonic at once."""
    machine: Machine = Bare(tier) if tier != "native" else Native()
    mismatches: Counter[str] = Counter()
    coverage = Coverage(testable_rows())
    done, skipped, start = 0, 0, time.monotonic()
    with Native() as native:
        for batch in batches(Random(seed), cases, states):
            outcome = check_batch(native, machine, batch, coverage)
            for item, problems in outcome.failed:
                mismatches[item.name] += 1
                if mismatches[item.name] <= shown:
                    print(show(item, problems), flush=True)
            done += len(batch.items) - outcome.skipped
            skipped += outcome.skipped
            if progress and sys.stderr.isatty():
                rate = done / (time.monotonic() - start)
                text = f"\r{done:,} of {cases:,} cases, {rate:,.0f}/s, {mismatches.total()} differ"
                print(text, end="", file=sys.stderr, flush=True)
    return Report(done, mismatches, skipped, coverage)


def total(reports: list[Report]) -> Report:
    """Add up what several jobs report."""
    coverage = Coverage(testable_rows())
    mismatches: Counter[str] = Counter()
    for report in reports:
        coverage += report.coverage
        mismatches += report.mismatches
    cases, skipped = sum(r.cases for r in reports), sum(r.skipped for r in reports)
    return Report(cases, mismatches, skipped, coverage)


def replay(line: str, native: Machine, tier: Machine) -> list[str]:
    """Run one failing case again; return what still differs."""
    fields = json.loads(line)
    record = np.frombuffer(zlib.decompress(base64.b85decode(fields["case"])), dtype=layout.CASE)
    code = bytes.fromhex(fields["code"])
    at = int(record["eip"][0]) - layout.CODE
    image = bytes([layout.HALT]) * at + code + bytes([layout.HALT]) * SLOT
    got, want = tier.run(image, record), native.run(image, record)
    state = State(Random(0), int(record["eip"][0]))
    state.ignored = [(a, b) for a, b in fields["ignored"]]
    item = Item(fields["name"], code, at, state, fields["undefined"])
    return compare.differences(got[0], want[0], item.undefined, ignored_memory(item))


def main() -> int:
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=100_000, help="number of cases (100,000)")
    parser.add_argument("--seed", type=int, default=1, help="first random seed (1)")
    parser.add_argument("--tier", default="stencil", help="a strategy, or native (stencil)")
    parser.add_argument("--jobs", type=int, default=1, help="parallel processes (1)")
    text = f"start states of one insn ({STATES}); more are faster: translating takes most time"
    parser.add_argument("--states", type=int, default=STATES, help=text)
    parser.add_argument("--replay", metavar="LINE", help="run the case of a failure's last line")
    options = parser.parse_args()
    if options.replay:
        with Native() as native:
            problems = replay(options.replay, native, Bare(options.tier))
        print("\n".join(problems) or "no difference")
        return int(bool(problems))
    start = time.monotonic()
    if options.jobs == 1:
        report = campaign(options.tier, options.cases, options.seed, options.states, progress=True)
    else:
        # Fresh interpreters: a fork would share the parent's code arena.
        with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
            share = options.cases // options.jobs
            seeds = range(options.seed, options.seed + options.jobs)
            work = [(options.tier, share, seed, options.states) for seed in seeds]
            report = total(pool.starmap(campaign, work))
    seconds = time.monotonic() - start
    print(
        f"tier {options.tier}, seed {options.seed}, {seconds:.0f} s", report, sep="\n", flush=True
    )
    return int(report.mismatches.total() > 0)


if __name__ == "__main__":
    sys.exit(main())
