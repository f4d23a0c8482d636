"""The list of stencils that installing compiles: well-formed, and all of them still compile."""

from __future__ import annotations

import random

from translator import frequent
from translator.tiers import stencil


def test_the_list() -> None:
    """It is what `text` writes, without repetitions, and a sample of it compiles."""
    wanted = frequent.requests()
    assert len(set(wanted)) == len(wanted) > 5000
    assert frequent.text(wanted) == frequent.PATH.read_text("ascii")
    assert frequent.models_text(wanted) == frequent.MODELS.read_text("ascii")
    sample = random.Random(1).sample(wanted, 40)
    made = stencil.build([stencil.Job(request) for request in sample])
    # Some compile to nothing: nops, and comparisons whose flags are dead.
    assert len(made) == 40
    assert sum(bool(one.code) for one in made) > 30
