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
    assert frequent.models_text(frequent.sections()) == frequent.MODELS.read_text("ascii")
    sample = random.Random(1).sample(wanted, 40)
    made = stencil.build([stencil.Job(request) for request in sample])
    # Some compile to nothing: nops, and comparisons whose flags are dead.
    assert len(made) == 40
    assert sum(bool(one.code) for one in made) > 30


def test_models_stand_for_others() -> None:
    """Each has a pattern of its own; those of the last section stand for several of the list."""
    wanted, sections = frequent.requests(), frequent.sections()
    models = frequent.models()
    names = [family.name(sample.pattern()) for sample in models]
    assert len(set(names)) == len(names) > 1000
    assert all(len(part) > 100 for part in sections)
    sample = random.Random(3).sample(sections[-1], 60)
    rest = set(wanted).difference(one.request for one in sample)
    others = {pattern.key for request in rest for pattern in family.patterns(request)}
    assert all(one.pattern().key in others for one in sample)


def test_chunks() -> None:
    """All models are in a chunk of their mode; machines and programs begin with the same."""
    machines, programs = (frequent.chunks(is_machine=kind) for kind in (True, False))
    chunks = {chunk.name: chunk for chunk in (*machines, *programs)}.values()
    assert sorted(s for chunk in chunks for s in chunk.samples) == sorted(frequent.models())
    assert all(frequent.mode_of(s.request) == c.mode for c in chunks for s in c.samples)
    assert len({c.name for c in machines}) == len(machines)
    both = sum(chunk in programs for chunk in machines)
    assert machines[:both] == programs[:both]
    assert 10 < both < min(len(machines), len(programs))
