"""Stencils of patterns: one is compiled for each pattern, the model; the others are made of it."""

from __future__ import annotations

from _blake2 import blake2b  # hashlib would load OpenSSL
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from translator.shape import shape_of
from translator.tiers import renaming, stencil
from translator.tiers.pattern import EAX, FIXED, Pattern, pattern
from translator.tiers.services import SERVICES
from translator.tiers.stencil import Job, Request, Stencil

# As an address without an index, EAX takes a longer form than others: then it is no other.
_WAYS = (FIXED, (EAX, *FIXED))


class Models(Protocol):
    """Where models are kept, by their names."""

    def find(self, key: bytes, /) -> Stencil | None:
        """Return one that exists."""

    def add(self, key: bytes, stencil: Stencil, insns: int, /) -> None:
        """Keep a new one."""


class Sample(NamedTuple):
    """A request that stands for all of one of its patterns."""

    request: Request
    way: int  # the number of the pattern among those of the request

    def pattern(self) -> Pattern | None:
        """Return the pattern; None if there is none."""
        return next(islice(patterns(self.request), self.way, None), None)


def name(wanted: Pattern) -> bytes:
    """Return the name of a pattern's model on disk."""
    return blake2b(repr((wanted.key, wanted.fixed)).encode(), digest_size=16).digest()


def patterns(request: Request) -> Iterator[Pattern]:
    """Yield the patterns that a request may be made of, the most common first."""
    if request.keys[0] in SERVICES:
        return
    shapes = [shape_of(key) for key in request.keys]
    for fixed in _WAYS:
        found = pattern(shapes, request.live, fixed)
        if found is not None:
            yield found


def batches(requests: Iterable[Request], size: int) -> Iterator[list[Request]]:
    """Divide requests so that a pattern is in one batch only, and *size* patterns are in each."""
    families: dict[object, list[Request]] = {}
    for request in requests:
        found = next(patterns(request), None)
        families.setdefault(request if found is None else found.key, []).append(request)
    groups = list(families.values())
    for at in range(0, len(groups), size):
        yield [request for group in groups[at : at + size] for request in group]


def sample_of(request: Request, models: Models) -> Sample | None:
    """Return which of a request's patterns its stencil is made of; None if that is not known."""
    for way, wanted in enumerate(patterns(request)):
        model = models.find(name(wanted))
        if model is None:
            return None
        if renamed(model, wanted) is not None:
            return Sample(request, way)
    return None


def derived(request: Request, models: Models) -> Stencil | None:
    """Return a stencil that needs no compilation, as the model of its pattern exists."""
    for wanted in patterns(request):
        model = models.find(name(wanted))
        found = None if model is None else renamed(model, wanted)
        if model is None or found is not None:
            return found
    return None


def make(
    requests: Sequence[Request], models: Models, others: Iterable[Sample] = ()
) -> list[Stencil]:
    """Return the stencils of some requests; what must be compiled is, in few batches.

    With the first, the models of *others* are compiled: a large batch costs little more.
    """
    made: dict[Request, Stencil] = {}
    ways = {request: list(patterns(request)) for request in requests}
    for _ in range(len(_WAYS) + 1):
        jobs: dict[bytes | Request, tuple[Job, Pattern | None]] = {}
        for request, left in ways.items():
            while request not in made and left:
                key = name(left[0])
                model = models.find(key)
                if model is None:
                    jobs.setdefault(key, (Job(request, left[0].places()), left[0]))
                    break
                found = renamed(model, left[0])
                if found is not None:
                    made[request] = found
                else:
                    left.pop(0)
            if request not in made and not left:
                jobs[request] = Job(request), None
        if not jobs:
            break
        for other, job_of in _models_missing(others, models).items():
            jobs.setdefault(other, job_of)
        others = ()
        batch = stencil.build([job for job, _ in jobs.values()])
        for (key_, (job, of)), new in zip(jobs.items(), batch, strict=True):
            if of is None:
                made[job.request] = new
            else:
                assert isinstance(key_, bytes)
                models.add(key_, as_model(new, of), len(job.request.keys))
    return [made[request] for request in requests]


def make_models(samples: Iterable[Sample], models: Models) -> None:
    """Compile the models of some patterns, as far as they are missing."""
    jobs = _models_missing(samples, models)
    batch = stencil.build([job for job, _ in jobs.values()])
    for (key, (wanted, of)), new in zip(jobs.items(), batch, strict=True):
        models.add(key, as_model(new, of), len(wanted.request.keys))


def _models_missing(samples: Iterable[Sample], models: Models) -> dict[bytes, tuple[Job, Pattern]]:
    jobs = {}
    for sample in samples:
        wanted = sample.pattern()
        if wanted is not None and models.find(key := name(wanted)) is None:
            jobs[key] = Job(sample.request, wanted.places()), wanted
    return jobs


def as_model(new: Stencil, wanted: Pattern) -> Stencil:
    """Note in the stencil of a pattern where it names guest registers."""
    found = renaming.fields(new.code, wanted.fixed)
    cold = renaming.fields(new.cold, wanted.fixed)
    if found is None or cold is None:
        return new
    size = len(new.code)
    found += [f._replace(low=f.low + size, high=f.high + size) for f in cold]
    return new._replace(fields=tuple(found))


def renamed(model: Stencil, wanted: Pattern) -> Stencil | None:
    """Return a model's stencil for the registers of another; None if it cannot have them."""
    if model.fields is None:
        return None
    code = renaming.rename(model.code + model.cold, model.fields, wanted.actual())
    if code is None:
        return None
    size = len(model.code)
    return model._replace(code=code[:size], cold=code[size:], fields=None)
