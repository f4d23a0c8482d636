"""When code becomes a region (tiering.py)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Thresholds:
    """When code becomes a region; counts are executed guest insns."""

    hot: int = 600_000  # run around one place until it becomes a region; 0: at once
    settled: int = 2  # times that this is doubled where earlier runs had no region: once for each
    observed: int = 50_000  # for which computed jumps are looked at, before it is formed
    first_slice: int = 100_000  # between samples
    last_slice: int = 4_000_000  # when most runs in regions; four times that when all does
    max_insns: int = 600  # of one region
    at_once: int = 64  # insns of one that is compiled before it runs
    long_insns: int = 2400  # of a loop of long blocks that is longer than that
    waiting: int = 4  # regions that are compiled at a time
    # The part of a loop's insns that works on the x87 stack from which the guest's x87 registers
    # are in the host's (see tiers/hostx87.py); 0: always.
    x87_share: float = 0.15
