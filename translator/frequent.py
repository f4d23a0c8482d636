"""The stencils that most programs need: frequent.txt, which `jitemu cache build` compiles.

A line is the shape keys of a stencil in hexadecimal, joined by `+`, or the name of a service; then
the masks of live flags that it is needed for, a digit each.  models.txt has a sample of each
pattern (tiers/pattern.py) that machines or programs need at their start, in that order, or that
several of the list have: behind the mask is the number of the pattern among the sample's.
`benchmarks/frequent.py` makes both.
"""

from __future__ import annotations

from _blake2 import blake2b  # hashlib would load OpenSSL
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from translator.mode import marker_of
from translator.tiers.family import Sample
from translator.tiers.services import SERVICES
from translator.tiers.stencil import Request

PATH = Path(__file__).with_suffix(".txt")
MODELS = PATH.with_name("models.txt")
_TITLES = ("machines and programs", "machines", "programs", "shared")
_MACHINES, _PROGRAMS = (0, 1), (0, 2, 3)  # sections
_CHUNK = 64  # patterns: a larger batch is no cheaper, and later there


class Chunk(NamedTuple):
    """Patterns that are compiled together."""

    name: bytes
    mode: bytes  # what tells modes apart whose insns have different host code
    samples: list[Sample]  # one of each pattern


def requests() -> list[Request]:
    """Read the list."""
    return list(_read(PATH.read_text("ascii").splitlines()))


def models() -> list[Sample]:
    """Read the samples of patterns, in the order in which they are needed."""
    return [sample for part in sections() for sample in part]


def sections() -> list[list[Sample]]:
    """Read them by who needs them first: machines and programs, only these, only those, nobody."""
    return [_samples(part) for part in _parts()]


def _samples(lines: Iterable[str]) -> list[Sample]:
    rows = (line.rpartition(" ") for line in lines)
    return [Sample(next(_read([first])), int(way)) for first, _, way in rows]


def _parts() -> list[list[str]]:
    _, *parts = MODELS.read_text("ascii").split("# ")  # what stands before the first
    return [part.splitlines()[1:] for part in parts]


def chunks(*, is_machine: bool) -> list[Chunk]:
    """Divide what machines need, or others, in that order; each chunk is for one mode."""
    found = []
    parts = _parts()
    order = _MACHINES if is_machine else _PROGRAMS
    for part in (parts[i] for i in order):
        modes: dict[bytes, list[tuple[str, Sample]]] = {}
        for line, sample in zip(part, _samples(part), strict=True):
            modes.setdefault(mode_of(sample.request), []).append((line, sample))
        for mode, members in modes.items():
            for at in range(0, len(members), _CHUNK):
                lines, samples = zip(*members[at : at + _CHUNK], strict=True)
                name = blake2b("\n".join(lines).encode(), digest_size=16, person=b"chunk").digest()
                found.append(Chunk(name, mode, list(samples)))
    return found


def mode_of(request: Request) -> bytes:
    """Return what tells modes apart whose insns have different host code."""
    return marker_of(request.keys[0])


def _read(lines: Iterable[str]) -> Iterator[Request]:
    for line in lines:
        names, masks = line.split()
        keys = tuple(n.encode() if n[0] == "!" else bytes.fromhex(n) for n in names.split("+"))
        yield from (Request(keys, int(mask, 16)) for mask in masks)


def text(wanted: Iterable[Request]) -> str:
    """Return the text of a list."""
    masks: dict[tuple[bytes, ...], set[int]] = {}
    for request in wanted:
        masks.setdefault(request.keys, set()).add(request.live)
    return "".join(f"{_line(keys, masks[keys])}\n" for keys in sorted(masks))


def models_text(parts: Iterable[Iterable[Sample]]) -> str:
    """Return the text of the list of models; see `sections`."""
    found = ""
    for title, part in zip(_TITLES, parts, strict=True):
        lines = (f"{_line(keys, {live})} {way}\n" for (keys, live), way in part)
        found += f"# {title}\n{''.join(lines)}"
    return found


def _line(keys: tuple[bytes, ...], masks: Iterable[int]) -> str:
    names = (key.decode() if key in SERVICES else key.hex() for key in keys)
    return f"{'+'.join(names)} {''.join(f'{mask:x}' for mask in sorted(masks))}"
