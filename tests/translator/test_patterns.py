"""Stencils made of a pattern's model: the model's insns with other registers, and few models."""

from __future__ import annotations

import random
import re

import pytest

from translator import frequent
from translator.tiers import family, hostdis, renaming
from translator.tiers.pattern import EAX, ESP
from translator.tiers.stencil import Request, Stencil
from translator.tiers.store import Shelf

MOV, ADD = 0x8B, 0x01
NAMES = {3: "rbx ebx bx bl", 6: "rsi esi si sil", 7: "rdi edi di dil"}
NAMES |= {n: f"r{n} r{n}d r{n}w r{n}b" for n in (8, 9, 12, 14, 15)}
PLACES = {name: (n, i) for n, names in NAMES.items() for i, name in enumerate(names.split())}


def shelf() -> Shelf[bytes]:
    return Shelf[bytes](1 << 14)


def text(stencil: Stencil) -> list[str]:
    return [insn for _, _, insn in hostdis.lines(stencil.code + stencil.cold, 0)]


def with_registers(insn: str, actual: list[int]) -> str:
    """Say an insn with the registers that stand for its own."""

    def other(match: re.Match[str]) -> str:
        number, width = PLACES[match[0]]
        return NAMES[renaming.HOST[actual[renaming.HOST.index(number)]]].split()[width]

    return re.sub(rf"\b({'|'.join(PLACES)})\b", other, insn)


def test_renamed_insns_are_the_models() -> None:
    """Whatever the registers are, disassembly shows them and no other change."""
    wanted = random.Random(2).sample(frequent.requests(), 500)
    models = shelf()
    made = family.make(wanted, models)
    assert len(models.known) < 0.9 * len(wanted)
    seen = set()
    for request, stencil in zip(wanted, made, strict=True):
        for pattern in family.patterns(request):
            model = models.find(family.name(pattern))
            if model is None or model.fields is None or len(model.code) != len(stencil.code):
                continue  # its place was taken by another: see test_eax_as_an_address
            actual = pattern.actual()
            if text(stencil) == [with_registers(insn, actual) for insn in text(model)]:
                seen.add(request)
                assert stencil._replace(code=b"", cold=b"") == model._replace(
                    code=b"", cold=b"", fields=None
                )
    without = [r for r in wanted if not list(family.patterns(r))]
    assert len(seen) >= len(wanted) - len(without) - 5


@pytest.mark.parametrize("live", [0, 15])
def test_one_model_serves_all_registers(live: int) -> None:
    """All of `add r, r` are two models, with one register and with two; ESP has its own."""
    models = shelf()
    keys = [bytes((ADD, 0xC0 | a << 3 | b)) for a in range(8) for b in range(8)]
    made = family.make([Request((key,), live) for key in keys], models)
    assert len(models.known) == 5
    assert len({stencil.code for stencil in made}) == 64


def test_eax_as_an_address() -> None:
    """Its host register needs a byte more there, for which the model has no room."""
    models = shelf()
    requests = [Request((bytes((MOV, 0x80 | a << 3 | b)),), 0) for a in (1, 2) for b in (0, 3)]
    made = family.make(requests, models)
    assert len(models.known) == 2
    assert ["r12d" in " ".join(text(stencil)) for stencil in made] == [True, False] * 2
    assert len(made[0].code) == len(made[1].code) + 1


def test_what_has_no_pattern() -> None:
    """Repeated string insns have host registers of their own, services are no insns."""
    requests = [Request((b"\xf3\xa4",), 0), Request((b"!budget",), 0), Request((b"\x60",), 0)]
    models = shelf()
    made = family.make(requests, models)
    assert not models.known
    assert all(stencil.code for stencil in made)


def test_fields_are_told_from_other_bytes() -> None:
    """What looks like a register but is an opcode, an immediate or an XMM register stays."""
    code = bytes.fromhex(
        "4d8d3407"  # lea r14, [r15 + rax]
        "66490f6ef6"  # movq xmm6, r14
        "660f6ff6"  # movdqa xmm6, xmm6
        "41b80e0e0e0e"  # mov r8d, 0x0e0e0e0e
        "65418b06"  # mov eax, gs:[r14]
        "c4c2f9f7ce"  # shlx rcx, r14, rax
        "c442b1f7c6"  # shlx r8, r14, r9
        "490fc8"  # bswap r8
    )
    found = renaming.fields(code, (ESP,))
    assert found is not None
    others = {2: 1, 5: 3, 6: 4, 7: 5, 1: 2, 3: 6, 4: 7, 0: 0}
    actual = [others[register] for register in range(8)]
    changed = renaming.rename(code, found, actual)
    assert changed is not None
    before = [insn for _, _, insn in hostdis.lines(code, 0)]
    after = [insn for _, _, insn in hostdis.lines(changed, 0)]
    assert after == [with_registers(insn, actual) for insn in before]
    assert renaming.rename(code, found, [EAX if r == 2 else r for r in range(8)]) is None


@pytest.mark.parametrize("code", ["0fa2", "f3a4", "4889df", "8afb", "e800000000"])
def test_what_cannot_be_renamed(code: str) -> None:
    """Registers that no model is in, named or not: cpuid, movs, rbx, bh, a call."""
    assert renaming.fields(bytes.fromhex(code), ()) is None
