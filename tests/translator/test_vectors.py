"""Every row of VECTORS: what Python evaluates is what the compiled LLVM text computes."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import pytest

from translator.semantics.sse_int import LANEWISE
from translator.vectors import VECTORS

ROUNDS = 200
SLOT = 16  # bytes of an argument
EXTREMES = (0, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0x7FFFFFFF, 0x80000000)


class Case(NamedTuple):
    """One use of a row: widths of the arguments, immediates."""

    name: str
    lane: int
    width: int
    arguments: tuple[int, ...]
    immediates: tuple[Any, ...] = ()

    @property
    def symbol(self) -> str:
        """Return a name that no other case has."""
        return f"case{abs(hash(self))}"


def _cases() -> list[Case]:
    cases = []
    for width in (64, 128):
        for name, lane in sorted(set(LANEWISE.values())):
            cases.append(Case(name, lane, width, (width, width)))
        for lane in (8, 16, 32):
            cases.append(Case("abs", lane, width, (width,)))
            cases.append(Case("signs", lane, 32, (width,), (width,)))
        for lane in (16, 32, 64):
            for name in ("shl", "lshr", *(["ashr"] if lane < 64 else [])):
                cases += [Case(name, lane, width, (width,), (n,)) for n in (0, 1, lane - 1)]
                cases.append(Case(name + "by", lane, width, (width, 64)))
        cases.append(Case("insert", 16, width, (width, 16), (width // 16 - 1,)))
        for lane in (8, 16, 32, 64):
            count = width // lane
            mask = tuple(random.Random(lane).randrange(2 * count) for _ in range(count))
            cases.append(Case("shuffle", lane, width, (width, width), (mask,)))
    cases += [Case("widen", lane, 128, (lane,)) for lane in (16, 32, 64)]
    for lane in (8, 32, 64):
        cases.append(Case("blend", lane, 128, (128, 128, 128)))
        for source in (n for n in (8, 16, 32) if n < lane):
            cases.append(Case("extend", lane, 128, (128,), (source,)))
    cases.append(Case("insert", 8, 128, (128, 8), (9,)))
    cases.append(Case("ashr", 64, 128, (128,), (32,)))
    cases.append(Case("signs", 64, 32, (128,), (128,)))
    return cases


CASES = _cases()


def _source(case: Case) -> str:
    lines: list[str] = []

    def t(line: str) -> str:
        lines.append(f"  %v{len(lines)} = {line}")
        return f"%v{len(lines) - 1}"

    names = []
    for i, width in enumerate(case.arguments):
        pointer = t(f"getelementptr i8, ptr %in, i64 {SLOT * i}")
        names.append(t(f"load i{width}, ptr {pointer}, align 16"))
    res = VECTORS[case.name].lower(t, case.lane, case.width, *names, *case.immediates)
    body = "\n".join(lines)
    return (
        f"define void @{case.symbol}(ptr %in, ptr %out) {{\n{body}\n"
        f"  store i{case.width} {res}, ptr %out, align 16\n  ret void\n}}\n"
    )


@pytest.fixture(scope="module")
def compiled() -> Any:
    """Compile every case; return the engine."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly("".join(_source(case) for case in CASES))
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=2)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine


def _number(rng: random.Random, width: int, lane: int) -> int:
    """Return random bits, or lanes at the ends of their ranges."""
    if rng.random() < 0.5:
        return rng.getrandbits(width)
    size = min(lane, 32, width)
    parts = [rng.choice(EXTREMES) & ((1 << size) - 1) for _ in range(0, width, size)]
    return sum(part << i * size for i, part in enumerate(parts))


def _call(function: Callable[..., None], case: Case, arguments: tuple[int, ...]) -> int:
    given = ctypes.create_string_buffer(3 * SLOT + SLOT)
    out = ctypes.create_string_buffer(2 * SLOT)
    address, result = ((ctypes.addressof(x) + 15) & ~15 for x in (given, out))
    for i, number in enumerate(arguments):
        ctypes.memmove(address + SLOT * i, number.to_bytes(SLOT, "little"), SLOT)
    function(address, result)
    return int.from_bytes(ctypes.string_at(result, case.width // 8), "little")


@pytest.mark.parametrize(
    "case", CASES, ids=lambda c: f"{c.name}-{c.lane}-{c.width}-{c.immediates}".replace(" ", "")
)
def test_lowering_agrees(case: Case, compiled: Any) -> None:
    """Python and LLVM agree on random and on extreme lanes."""
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
    function = kind(compiled.get_function_address(case.symbol))
    rng = random.Random(1)
    for _ in range(ROUNDS):
        arguments = tuple(_number(rng, width, case.lane) for width in case.arguments)
        if case.name.endswith("by"):
            # Counts near the lane width are the interesting ones.
            arguments = (arguments[0], rng.choice((arguments[1], rng.randrange(2 * case.lane))))
        want = VECTORS[case.name].evaluate(case.lane, case.width, *arguments, *case.immediates)
        assert _call(function, case, arguments) == want, [hex(a) for a in arguments]


def test_every_row_is_tested() -> None:
    """No row is without a case."""
    assert {case.name for case in CASES} == set(VECTORS)
