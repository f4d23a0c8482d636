"""The stencils that most programs need: frequent.txt, a list that installing compiles ahead.

A line is the shape keys of a stencil in hexadecimal, joined by `+`, or the name of a service; then
the masks of live flags that it is needed for, a digit each.  `benchmarks/frequent.py` makes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from translator.tiers.services import SERVICES
from translator.tiers.stencil import Request

PATH = Path(__file__).with_suffix(".txt")


def requests() -> list[Request]:
    """Read the list."""
    found = []
    for line in PATH.read_text("ascii").splitlines():
        names, masks = line.split()
        keys = tuple(n.encode() if n[0] == "!" else bytes.fromhex(n) for n in names.split("+"))
        found += [Request(keys, int(mask, 16)) for mask in masks]
    return found


def text(wanted: Iterable[Request]) -> str:
    """Return the text of a list."""
    masks: dict[tuple[bytes, ...], set[int]] = {}
    for request in wanted:
        masks.setdefault(request.keys, set()).add(request.live)
    lines = []
    for keys in sorted(masks):
        names = (key.decode() if key in SERVICES else key.hex() for key in keys)
        lines.append(f"{'+'.join(names)} {''.join(f'{mask:x}' for mask in sorted(masks[keys]))}\n")
    return "".join(lines)
