"""Request -> pattern: insns that differ in their general registers only have one.

A stencil is compiled once for a pattern, with registers that stand for any others; renaming.py
makes the stencils of the others of it.
"""

from __future__ import annotations

from _blake2 import blake2b  # hashlib would load OpenSSL
from collections.abc import Sequence
from typing import NamedTuple

from translator.flags import Rule
from translator.ir import Op, Unit, Value
from translator.mode import USER
from translator.shape import Shape

REGISTERS = 8
EAX, EDX, ESP, EBP, ESI, EDI = 0, 2, 4, 5, 6, 7
# These stand for others: their host registers all need a prefix, which has room for any.
MODELS = (EDX, EBP, ESI, EDI)
# ESP is what it is, since much has it and its host code is shorter so.
FIXED = (ESP,)


class Pattern(NamedTuple):
    """What some insns have in common, and the registers that they have in the models' places."""

    key: object  # of patterns that are equal; bytes, numbers and nothing else
    fixed: tuple[int, ...]  # registers that are themselves
    registers: tuple[int, ...]  # of this request, in the order of the models

    def places(self) -> list[int]:
        """Return for each register of the request the one that stands for it."""
        found = {register: register for register in self.fixed}
        found |= dict(zip(self.registers, MODELS, strict=False))
        free = [r for r in range(REGISTERS) if r not in found.values()]
        return [found[r] if r in found else free.pop() for r in range(REGISTERS)]

    def actual(self) -> list[int]:
        """Return for each register what a renamed stencil has in its place."""
        found = [0] * REGISTERS
        for register, place in enumerate(self.places()):
            found[place] = register
        return found


def pattern(shapes: Sequence[Shape], live: int, fixed: tuple[int, ...] = FIXED) -> Pattern | None:
    """Return the pattern of insns, None if they can have none: more registers than models."""
    digests: list[bytes] = []
    registers: list[int] = []
    for shape in shapes:
        if shape.pattern is None:
            shape.pattern = _digest(shape.unit)
        digest, names = shape.pattern
        if not digest:
            return None
        digests.append(digest)
        registers += names
    order = list(dict.fromkeys(r for r in registers if r not in fixed))
    if len(order) > len(MODELS):
        return None
    numbers = tuple(r if r in fixed else REGISTERS + order.index(r) for r in registers)
    return Pattern((*digests, numbers, live), fixed, tuple(order))


def _digest(unit: Unit) -> tuple[bytes, tuple[int, ...]]:
    """Return a digest of all that lowering asks of a unit, without its registers; and those.

    It is empty if lowering asks for registers by other names.
    """
    if unit.repeat is not None or unit.mode.meets_devices:  # which calls what keeps registers
        return b"", ()
    numbers: dict[int, int] = {}
    parts = ["user" if unit.mode is USER else "other"]
    for v in unit.ops:
        attr: object = v.attr
        if v.op in (Op.GETREG, Op.SETREG):
            assert isinstance(attr, int)
            attr = numbers.setdefault(attr, len(numbers))
        args = " ".join(str(a.index) for a in v.args)
        parts.append(f"{v.op.name}:{v.width} {_plain(attr)} {args}")
    parts.append(_plain(unit.terminal))
    return blake2b("\n".join(parts).encode(), digest_size=16).digest(), tuple(numbers)


def _plain(attr: object) -> str:
    """Return an attribute as text that says nothing of registers."""
    if attr is None or isinstance(attr, int | str):
        return repr(attr)
    if isinstance(attr, Rule):
        return attr.name
    if isinstance(attr, Value):
        return f"%{attr.index}"
    assert isinstance(attr, tuple), attr
    return f"{type(attr).__name__}({', '.join(map(_plain, attr))})"
