"""Which insns the processors that can be chosen have, and what they say of themselves."""

from __future__ import annotations

import pytest

from translator import cpuid
from translator.decode import decode
from translator.mode import Mode, Model
from translator.opcodes import LATER, ROWS, Row, first_processors, parse, table_of

ORDER = (Model.I386, Model.I486, Model.PENTIUM, Model.PENTIUM3, Model.MAX)
# Insn -> mnemonic and first processor (Intel SDM vol. 3, 23.15 and the processors' data sheets).
FIRST = {
    "0fb6c0": ("movzx", Model.I386),
    "0fa4c201": ("shld", Model.I386),
    "d9fe": ("fsin", Model.I386),
    "0fc8": ("bswap", Model.I486),
    "0fb1d1": ("cmpxchg", Model.I486),
    "0fc1d1": ("xadd", Model.I486),
    "0f09": ("wbinvd", Model.I486),
    "0f0138": ("invlpg", Model.I486),
    "0fa2": ("cpuid", Model.PENTIUM),
    "0f31": ("rdtsc", Model.PENTIUM),
    "0fc708": ("cmpxchg8b", Model.PENTIUM),
    "0f32": ("rdmsr", Model.PENTIUM),
    "0f44c1": ("cmove", Model.PENTIUM3),
    "dbf1": ("fcomi", Model.PENTIUM3),
    "dac1": ("fcmovb", Model.PENTIUM3),
    "0fefc0": ("pxor", Model.PENTIUM3),
    "0fae00": ("fxsave", Model.PENTIUM3),
    "0f58c1": ("addps", Model.PENTIUM3),
    "f30f58c1": ("addss", Model.PENTIUM3),
    "0fd4c1": ("paddq", Model.MAX),
    "660f58c1": ("addpd", Model.MAX),
    "f20f58c1": ("addsd", Model.MAX),
    "660fefc0": ("pxor", Model.MAX),
    "f20f12c1": ("movddup", Model.MAX),
    "0f3800c1": ("pshufb", Model.MAX),
    "df08": ("fisttp", Model.MAX),
    "f30fb8c1": ("popcnt", Model.MAX),
}


def _mode(model: Model) -> Mode:
    return Mode(cpl=0, model=model, system=True)


@pytest.mark.parametrize("model", ORDER, ids=lambda m: m.name.lower())
@pytest.mark.parametrize("code", FIRST)
def test_first(code: str, model: Model) -> None:
    """An insn is undefined on all processors before its first."""
    name, first = FIRST[code]
    has = ORDER.index(first) <= ORDER.index(model)
    assert decode(bytes.fromhex(code), 0, _mode(model)).mnemonic == (name if has else "ud")


def test_every_row_has_a_first_processor() -> None:
    """Extensions of later processors have none of the others; every other row is named."""
    later = {parse(line) for text in LATER.values() for line in _lines(text)}
    for row in ROWS:
        assert (row in first_processors()) != (row in later)
    counts = [sum(map(len, table_of(model).values())) for model in ORDER]
    assert counts == sorted(set(counts))


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and line[0] != "#"]


@pytest.mark.parametrize("model", [Model.I8086, Model.I286])
def test_old_processors_have_no_later_opcodes(model: Model) -> None:
    """No two-byte opcodes of the 80386, no FS and GS, no operand sizes."""
    mode = Mode(code32=False, stack32=False, protected=False, cpl=0, model=model, system=True)
    rows: list[Row] = [row for rows in table_of(model).values() for row in rows]
    assert not any({"fs", "gs"} & set(row.operands) for row in rows)
    assert decode(bytes.fromhex("660fb6c0"), 0, mode).mnemonic != "movzx"


@pytest.mark.parametrize("length", [10, 11, 15, 16])
@pytest.mark.parametrize("model", [Model.I286, Model.I386, Model.MAX], ids=lambda m: m.name)
def test_length(model: Model, length: int) -> None:
    """Ten bytes are the most on an 80286, fifteen later."""
    mode = Mode(code32=False, stack32=False, protected=False, cpl=0, model=model, system=True)
    insn = decode(b"\x3e" * (length - 1) + b"\x90" + bytes(4), 0, mode)
    assert insn.mnemonic == ("nop" if length <= mode.max_length else "toolong")


def test_the_8086_takes_any_number_of_prefixes() -> None:
    """Nothing limits an insn there, but that it shall end."""
    mode = Mode(code32=False, stack32=False, protected=False, cpl=0, model=Model.I8086, system=True)
    assert decode(b"\x3e" * 60 + b"\x90", 0, mode).length == 61


def test_cpuid() -> None:
    """What a model says of itself is what it has."""
    for model, names in ((Model.PENTIUM, ("mmx", "sse")), (Model.PENTIUM3, ("sse2",))):
        top, *_ = cpuid.leaf(0, 0, model)
        signature, _, ecx, edx = cpuid.leaf(1, 0, model)
        assert (top, ecx) == (1, 0)
        assert signature >> 8 & 15 == {Model.PENTIUM: 5, Model.PENTIUM3: 6}[model]
        assert not any(edx >> cpuid.FEATURES_EDX[name] & 1 for name in names)
        assert edx & 1
    assert cpuid.leaf(1, 0, Model.PENTIUM3)[3] >> cpuid.FEATURES_EDX["sse"] & 1
