"""The stencils that most programs need: frequent.txt, which `jitemu cache build` compiles.

A line is the shape keys of a stencil in hexadecimal, joined by `+`, or the name of a service; then
the masks of live flags that it is needed for, a digit each.  models.txt has one of them for each
pattern (tiers/pattern.py).  `benchmarks/frequent.py` makes both.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from translator.tiers import family
from translator.tiers.services import SERVICES
from translator.tiers.stencil import Request

PATH = Path(__file__).with_suffix(".txt")
MODELS = PATH.with_name("models.txt")


def requests() -> list[Request]:
    """Read the list."""
    return _read(PATH)


def models() -> list[Request]:
    """Read which of them stand for all of the same pattern, the most common patterns first."""
    return _read(MODELS)


def _read(path: Path) -> list[Request]:
    found = []
    for line in path.read_text("ascii").splitlines():
        names, masks = line.split()
        keys = tuple(n.encode() if n[0] == "!" else bytes.fromhex(n) for n in names.split("+"))
        found += [Request(keys, int(mask, 16)) for mask in masks]
    return found


def text(wanted: Iterable[Request]) -> str:
    """Return the text of a list."""
    masks: dict[tuple[bytes, ...], set[int]] = {}
    for request in wanted:
        masks.setdefault(request.keys, set()).add(request.live)
    return "".join(_line(keys, masks[keys]) for keys in sorted(masks))


def models_text(wanted: Iterable[Request]) -> str:
    """Return the text of the list of models for a list: of patterns that occur again."""
    families: dict[object, list[Request]] = {}
    for request in sorted(wanted):
        for pattern in islice(family.patterns(request), 1):
            families.setdefault(pattern.key, []).append(request)
    shared = [members for members in families.values() if len(members) > 1]
    ordered = sorted(shared, key=lambda members: (-len(members), members))
    return "".join(_line(members[0].keys, {members[0].live}) for members in ordered)


def _line(keys: tuple[bytes, ...], masks: Iterable[int]) -> str:
    names = (key.decode() if key in SERVICES else key.hex() for key in keys)
    return f"{'+'.join(names)} {''.join(f'{mask:x}' for mask in sorted(masks))}\n"
