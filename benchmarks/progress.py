"""How far a run is, on a terminal; silent in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.race import Progress


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """Yield a function to call before each of *total* steps, with what it is."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from tqdm import tqdm

    with tqdm(total=total, leave=False, unit="run", dynamic_ncols=True) as bar:
        begun = False

        def step(text: str) -> None:
            nonlocal begun
            bar.update(int(begun))
            bar.set_description(text)
            begun = True

        yield step
