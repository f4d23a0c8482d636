"""The list of stencils that `jitemu cache build` compiles: well-formed, and all still compile."""

from __future__ import annotations

import random

from translator import frequent
from translator.tiers import family, stencil


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


def test_models_stand_for_others() -> None:
    """Each has a pattern of its own, which another stencil of the list shares."""
    wanted, models = frequent.requests(), frequent.models()
    sample = random.Random(3).sample(models, 60)
    keys = [next(family.patterns(request)).key for request in models]
    assert len(set(keys)) == len(keys) > 1000
    rest = set(wanted).difference(sample)
    others = {pattern.key for request in rest for pattern in family.patterns(request)}
    assert all(next(family.patterns(request)).key in others for request in sample)
