"""Workloads and peers -> Cells of samples: every peer once a round, results compared.

Interleaving makes ratios robust: what disturbs the machine disturbs neighbours in time alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.peers import Peer
from benchmarks.sample import Sample
from benchmarks.workload import Settings, Task, UnavailableError, Workload

Progress = Callable[[str], None]


class WrongResultError(Exception):
    """A peer printed something else than the reference, or failed; the message says which."""


@dataclass(slots=True)
class Cell:
    """The samples of one workload under one peer, one a round; or why there are none."""

    samples: list[Sample] = field(default_factory=list)
    skipped: str = ""


@dataclass(slots=True)
class Row:
    """A workload's cells, by peer."""

    workload: Workload
    cells: dict[str, Cell]
    skipped: str = ""


def _check(workload: Workload, peer: Peer, task: Task, got: Sample, reference: Sample) -> None:
    """Raise unless a run ended well and printed what the first peer printed."""
    where = f"{workload.name} under {peer.name}"
    if got.status:
        ended = f"signal {-got.status}" if got.status < 0 else f"exit status {got.status}"
        raise WrongResultError(f"{where}: {ended}: {got.stderr or got.stdout or 'no message'}")
    if got.digest != reference.digest:
        raise WrongResultError(
            f"{where}: wrong result: {got.stdout.strip()!r}, expected {reference.stdout.strip()!r}"
        )
    if task.has_steady and got.steady is None:
        raise WrongResultError(f"{where}: the guest did not print its own time")


def run_row(
    workload: Workload, peers: Sequence[Peer], settings: Settings, rounds: int, progress: Progress
) -> Row:
    """Measure a workload under all peers. The first peer's result is the reference.

    A peer that exceeds the limit is left out of the rest; WrongResultError ends it all.
    """
    cells = {peer.name: Cell() for peer in peers}
    try:
        task = workload.prepare(settings)
    except UnavailableError as error:
        return Row(workload, cells, str(error))
    reference: Sample | None = None
    for number in range(rounds + 1):  # the first one is not measured: it fills the caches
        for peer in peers:
            cell = cells[peer.name]
            if cell.skipped:
                continue
            progress(f"{workload.name}, {peer.name}")
            got = peer.run(task, settings) if number else peer.warm(task, settings)
            if got.status is None:
                cell.skipped = f"over {settings.limit:g} s"
                cell.samples.clear()
                continue
            reference = reference or got
            _check(workload, peer, task, got, reference)
            if number:
                cell.samples.append(got)
    return Row(workload, cells)
