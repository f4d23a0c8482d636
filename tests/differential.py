"""Random insns and sequences, executed by this CPU and by a tier; every difference is a bug.

    python -m tests.differential --cases 1000000 --seed 1 --tier stencil --jobs 2

prints one line a failing case, which `--replay LINE` runs again; status 1 if any failed.
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
from collections.abc import Iterator
from random import Random
from typing import NamedTuple, Protocol

import numpy as np

from tests import compare
from tests.generate import undefined
from tests.generate.encode import encode
from tests.generate.sequence import sequence
from tests.generate.state import ECX, State, prepare
from tests.machine import TIMEOUT_SIGNAL, Bare
from tests.native import layout
from tests.native.host import Native
from translator.opcodes import ROWS, Row

SLOT = 64
SEQUENCE_SLOT = 256
STATES = 4  # start states that share one piece of code
# What two CPUs need not agree on: time, identity, the kernel.
UNTESTABLE = {"rdtsc", "cpuid", "sysenter", "rdpmc", "verr", "verw", "lar", "lsl"}


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


class Batch(NamedTuple):
    """A code image and the cases over it."""

    code: bytes
    items: list[Item]
    cases: np.ndarray


def testable_rows() -> list[Row]:
    """Return the rows of the opcode tables that two CPUs agree on."""
    return [row for row in ROWS if row.mnemonic not in UNTESTABLE]


def single(rng: Random, row: Row, at: int) -> list[Item]:
    """Return one insn of a row, with several start states."""
    insn = encode(rng, row)
    eip = layout.CODE + at
    items = []
    for _ in range(STATES):
        state = prepare(rng, insn, eip)
        mask = undefined.undefined_after(insn, 0, state.regs[ECX])
        items.append(Item(row.mnemonic, insn.code, at, state, mask))
    return items


def several(rng: Random, at: int) -> list[Item]:
    """Return one sequence, with several start states that differ in registers and flags."""
    code, state, mask = sequence(rng, layout.CODE + at)
    return [Item("sequence", code, at, state, mask)]


def build(items: list[Item]) -> Batch:
    """Lay the code of some items out in one image."""
    image = bytearray([layout.HALT]) * layout.CODE_SIZE
    for item in items:
        image[item.at : item.at + len(item.code)] = item.code
    end = max(item.at + len(item.code) for item in items) + SLOT
    cases = np.concatenate([item.state.record() for item in items])
    return Batch(bytes(image[:end]), items, cases)


def batches(rng: Random, total: int, share: float = 0.3) -> Iterator[Batch]:
    """Yield batches of *total* cases together: every row in turn, and a share of sequences."""
    rows = testable_rows()
    order: list[Row] = []
    made = 0
    while made < total:
        items: list[Item] = []
        is_sequence = rng.random() < share
        slot = SEQUENCE_SLOT if is_sequence else SLOT
        for at in range(slot, layout.CODE_SIZE - slot, slot):
            if len(items) + STATES > min(layout.MAX_CASES, total - made + STATES):
                break
            if is_sequence:
                items += several(rng, at)
                continue
            if not order:
                order = rows.copy()
                rng.shuffle(order)
            items += single(rng, order.pop(), at + rng.randrange(16))
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


def check_batch(native: Machine, tier: Machine, batch: Batch) -> list[tuple[Item, list[str]]]:
    """Return the items that differ; each was confirmed alone."""
    want = native.run(batch.code, batch.cases).copy()
    got = tier.run(batch.code, batch.cases)
    failed = []
    for number, item in enumerate(batch.items):
        ignored = ignored_memory(item)
        if want[number]["signal"] == TIMEOUT_SIGNAL and got[number]["signal"] == TIMEOUT_SIGNAL:
            continue  # a jump backwards: neither ends
        if not compare.differences(got[number], want[number], item.undefined, ignored):
            continue
        problems = check_alone(native, tier, item)
        failed.append((item, problems or ["differs in its batch, not alone"]))
    return failed


def check_alone(native: Machine, tier: Machine, item: Item) -> list[str]:
    """Run one item by itself and return what differs."""
    code = bytes([layout.HALT]) * item.at + item.code + bytes([layout.HALT]) * SLOT
    cases = item.state.record()
    want = native.run(code, cases)[0]
    got = tier.run(code, cases)[0]
    return compare.differences(got, want, item.undefined, ignored_memory(item))


def show(item: Item, problems: list[str]) -> str:
    """Return a failure to read: the insn, the differences, the line to replay."""
    regs = " ".join(f"{n}={v:x}" for n, v in zip(compare.REGISTERS, item.state.regs, strict=True))
    return (
        f"{item.name} {item.code.hex(' ')} at {item.state.eip:08x}: {'; '.join(problems[:6])}\n"
        f"    {regs} eflags={item.state.eflags:x}\n    {line_of(item)}"
    )


def campaign(tier: str, cases: int, seed: int, shown: int = 30, progress: bool = False) -> int:
    """Run *cases* random cases; print failures; return their number."""
    machine: Machine = Bare(tier) if tier != "native" else Native()
    failures: Counter[str] = Counter()
    done, start = 0, time.monotonic()
    with Native() as native:
        for batch in batches(Random(seed), cases):
            for item, problems in check_batch(native, machine, batch):
                failures[item.name] += 1
                if sum(failures.values()) <= shown:
                    print(show(item, problems), flush=True)
            done += len(batch.items)
            if progress and sys.stderr.isatty():
                rate = done / (time.monotonic() - start)
                text = f"\r{done:,} of {cases:,} cases, {rate:,.0f}/s, {failures.total()} differ"
                print(text, end="", file=sys.stderr, flush=True)
    seconds = time.monotonic() - start
    print(
        f"tier {tier}, seed {seed}: {done:,} cases over {len(testable_rows())} rows in "
        f"{seconds:.1f} s, {failures.total()} differ {dict(failures.most_common(40)) or ''}",
        flush=True,
    )
    return failures.total()


def replay(line: str, tier: str) -> int:
    """Run one failing case again; return 1 if it still differs."""
    fields = json.loads(line)
    record = np.frombuffer(zlib.decompress(base64.b85decode(fields["case"])), dtype=layout.CASE)
    code = bytes.fromhex(fields["code"])
    at = int(record["eip"][0]) - layout.CODE
    image = bytes([layout.HALT]) * at + code + bytes([layout.HALT]) * SLOT
    with Native() as native:
        want = native.run(image, record).copy()
    got = Bare(tier).run(image, record)
    state = State(Random(0), int(record["eip"][0]))
    state.ignored = [(a, b) for a, b in fields["ignored"]]
    item = Item(fields["name"], code, at, state, fields["undefined"])
    problems = compare.differences(got[0], want[0], item.undefined, ignored_memory(item))
    print("\n".join(problems) or "no difference")
    return int(bool(problems))


def main() -> int:
    """Run the campaign that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=100_000, help="number of cases (100,000)")
    parser.add_argument("--seed", type=int, default=1, help="first random seed (1)")
    parser.add_argument("--tier", default="stencil", help="interp, stencil, block or native")
    parser.add_argument("--jobs", type=int, default=1, help="parallel processes (1)")
    parser.add_argument("--replay", metavar="LINE", help="run the case of a failure's last line")
    options = parser.parse_args()
    if options.replay:
        return replay(options.replay, options.tier)
    if options.jobs == 1:
        failed = campaign(options.tier, options.cases, options.seed, progress=True)
        return int(failed > 0)
    # Fresh interpreters: a fork would share the parent's code arena.
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        share = options.cases // options.jobs
        work = [(options.tier, share, options.seed + n) for n in range(options.jobs)]
        return int(sum(pool.starmap(campaign, work)) > 0)


if __name__ == "__main__":
    sys.exit(main())
