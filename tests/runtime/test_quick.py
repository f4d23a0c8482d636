"""The compiled translator makes exactly the host code that the Python one makes."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from runtime import native
from runtime.blocktable import Block
from runtime.dispatch import Engine
from runtime.flagrecovery import Recipes
from runtime.memory import Memory
from tests.building import build
from tests.test_guests import GUESTS
from translator.decode import Truncated, scan_fields
from translator.mode import CONTEXT_SHIFT, USER, Mode, Model, Segments, context_number
from translator.planner import FetchFault, Plan
from translator.quick import layout, scan
from translator.quick.write import RECIPE_FLAG

CODE = 0x10000


class Made(NamedTuple):
    """All that a block consists of."""

    code: bytes
    faults: bytes
    links: list[tuple[int, int, int]]
    pages: set[int]
    checked: int
    fpu: int | None


class Bench:
    """An engine whose translators work on the same code."""

    def __init__(self, code: bytes) -> None:
        self.mem = Memory()
        size = (len(code) + 0xFFF) & -0x1000
        self.mem.map(CODE, size, 3, fixed=True)
        self.mem.write(CODE, code)
        self.mem.protect(CODE, size, 5)
        self.engine = Engine(self.mem, "stencil")

    def close(self) -> None:
        self.mem.close()

    def blocks(self, places: list[tuple[int, int]], *, is_quick: bool) -> list[Made | str]:
        """Translate all places into an empty arena."""
        engine = self.engine
        quick = engine.quick
        assert quick is not None
        engine.cache.clear()
        engine.recipes.clear()
        found: list[Made | str] = []
        for location, fpu in places:
            rows = native.arena.fault_count
            try:
                if is_quick:
                    block = quick.install(location, fpu)
                    while block is None and self._compile(location, fpu):
                        block = quick.install(location, fpu)
                else:
                    engine.quick = None
                    block = engine._install(location, fpu)
            except FetchFault:
                block = None
            finally:
                engine.quick = quick
            found.append("none" if block is None else self.made(block, rows))
        return found

    def _compile(self, location: int, fpu: int) -> bool:
        """Compile what a block lacks; False if there is nothing, and quick just cannot do it."""
        strategy = self.engine.strategy
        assert strategy is not None
        try:
            plan = self.engine.code.plan(location, fpu)
        except FetchFault:
            return False
        if strategy.is_prepared(plan):
            return False
        strategy.prepare([plan])
        return True

    def made(self, block: Block, rows: int) -> Made:
        arena = native.arena
        end = 12 * native.arena.fault_count
        links = block.links
        return Made(
            bytes(arena.code[block.offset : block.offset + block.size]),
            bytes(arena.fault_area[12 * rows : end]),
            [(link.site, link.stub, link.target) for link in links],
            set(block.pages),
            block.checked,
            block.fpu,
        )


@pytest.fixture(autouse=True)
def same_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the Python translator number recipes as the compiled one does."""

    def name(self: Recipes, plan: Plan) -> None:
        if plan.recipe >= 0:
            plan.recipe_id = RECIPE_FLAG | len(self.items)
            self.items.append(plan.items[plan.recipe])

    monkeypatch.setattr(Recipes, "name", name)


def compare(code: bytes, places: list[tuple[int, int]]) -> int:
    """Translate in both ways; return how many blocks both made."""
    bench = Bench(code)
    try:
        quick = bench.blocks(places, is_quick=True)
        usable = [p for p, made in zip(places, quick, strict=True) if made != "none"]
        quick = bench.blocks(usable, is_quick=True)
        slow = bench.blocks(usable, is_quick=False)
        for place, one, other in zip(usable, quick, slow, strict=True):
            assert one == other, f"{place[0] - CODE:#x}"
        numbered = [(shape, slots[:6]) for shape, slots in bench.engine.recipes.items]
        bench.blocks(usable, is_quick=True)
        for index, (shape, slots) in enumerate(numbered):
            named = bench.engine.recipes.quick(RECIPE_FLAG | index)
            assert named is not None
            assert (named[0], named[1][:6]) == (shape, slots)
        assert bench.engine.recipes.quick(RECIPE_FLAG | len(numbered)) is None
        return len(usable)
    finally:
        bench.close()


def places(rng: random.Random, size: int, count: int) -> Iterator[tuple[int, int]]:
    for at in rng.sample(range(size), count):
        yield CODE + at, rng.choice((0, 0, 0x4F0, 0xFF, 0x7C1, 0x500, 0x31F))


def text(name: str) -> bytes:
    """Return the file of a guest program, headers and all."""
    return build(next(path for path in GUESTS if path.stem == name)).read_bytes()


@pytest.mark.parametrize("name", ["x87", "flags"])
def test_programs(name: str) -> None:
    code = text(name)[:0x60000]
    rng = random.Random(3)
    assert compare(code, list(places(rng, len(code), 500))) > 350


def test_random_bytes() -> None:
    rng = random.Random(4)
    code = bytearray(rng.randbytes(0x8000))
    for at in range(0, len(code), 3):  # more of what is common
        code[at] = rng.choice(
            b"\x89\x8b\x83\x01\x39\x74\x75\xeb\xe8\x0f\x66\xd8\xdd\xc3\x85\xc1\xf3\xa4"
        )
    assert compare(bytes(code), list(places(rng, len(code), 500))) > 300


def test_absent_pages() -> None:
    """Look-ahead into an absent page knows nothing, and blocks end before it: no need of Python."""
    code = bytearray(b"\x90" * 0x1000)
    code[:9] = b"\x83\xc0\x01\x0f\x84\xf7\x0f\x00\x00"  # add eax, 1; jz to the page behind
    code[-5:] = b"\x83\xc0\x01\x05\x01"  # add eax, 1; an insn that goes on there
    found = [(CODE, 0), (CODE + 0xFFB, 0), (CODE + 0xFFE, 0)]
    assert compare(bytes(code), found) == 2


def test_absent_for_one_block() -> None:
    """What could not be read is asked for again: nobody says when it can be."""
    page = bytes((0x40,)) * 0x1000  # inc eax
    bench = Bench(page)
    try:
        (before,) = bench.blocks([(CODE + 0xFFF, 0)], is_quick=True)
        bench.mem.map(CODE + 0x1000, 0x1000, 3, fixed=True)
        bench.mem.write(CODE + 0x1000, page)
        bench.mem.protect(CODE + 0x1000, 0x1000, 5)
        (after,) = bench.blocks([(CODE + 0xFFF, 0)], is_quick=True)
        assert isinstance(before, Made)
        assert isinstance(after, Made)
        assert len(after.code) > len(before.code)
    finally:
        bench.close()


REAL = Segments.REAL
SEGMENTED = {
    "real": Mode(False, False, REAL, protected=False, cpl=0, system=True),
    "real 386": Mode(False, False, REAL, protected=False, cpl=0, model=Model.I386, system=True),
    "vm86": Mode(False, False, REAL, vm86=True, system=True),
    "16 bits": Mode(False, False, Segments.CHECKED, system=True),
    "32 bits": Mode(segments=Segments.CHECKED, cpl=0, model=Model.PENTIUM, system=True),
    "mixed": Mode(False, True, Segments.CHECKED, cpl=1, system=True),
}


@pytest.mark.parametrize("name", SEGMENTED)
def test_segments(name: str) -> None:
    """Code that counts from the base of CS, to its limit."""
    mode = SEGMENTED[name]
    rng = random.Random(6)
    code = bytearray(rng.randbytes(0x10000))
    for at in range(0, len(code), 2):  # more of what is common
        code[at] = rng.choice(
            b"\x89\x8b\x83\x01\x39\x74\x75\xeb\xe8\x0f\x66\x67\xd8\xdd\xc3\x85\xc1\xf3\xa4"
            b"\x50\x58\xb8\xa1\xa3\x26\x2e\x06\xe2\x40\x4a\xff\xf7\xc8\x05\x3d\x72\xaa\xad"
        )
    base = CODE if mode.is_real else CODE + 0x123
    limit = 0xFFFF if mode.is_real else 0xE678
    number = context_number(mode, base >> 4, base, limit)
    offsets = [*rng.sample(range(limit + 1), 400), *range(limit - 12, limit + 1), 0xFF0, 0xFFD]
    stacks = (0, 0, 0x4F0, 0xFF)
    found = [(at | number << CONTEXT_SHIFT, rng.choice(stacks)) for at in offsets]
    assert compare(bytes(code), found) > 250


def scanned(code: bytes, size: int, mode: Mode) -> tuple[bytes, int, int, int, int] | str:
    """Run scan.scan as Python, over real memory."""
    buffer = bytearray(code + bytes(32))
    forms = bytearray(scan.form_table(mode.model))
    context = bytearray(layout.CONTEXT_SIZE)
    struct.pack_into("<Q", context, layout.FORMS, native.address_of(forms))
    number = context_number(mode, 0, 0, 0xFFFFFFFF, 7 if mode.system else 0)
    struct.pack_into("<Q", context, layout.SYSTEM, number)
    address = native.address_of(buffer)
    status = scan.scan(native.address_of(context), address, address + size)
    if status:
        return "truncated" if status == scan.TRUNCATED else "strange"
    low, high, *rest = struct.unpack_from("<QQqqqq", context, layout.KEY_LOW)
    key = (low.to_bytes(8, "little") + high.to_bytes(8, "little"))[: high >> 56]
    return (key, *rest)


MODES = [USER, Mode(cpl=0, system=True), Mode(system=True)]
MODES += [*SEGMENTED.values()]
MODES += [Mode(system=True, model=model) for model in Model if model > Model.I286]


@pytest.mark.parametrize("mode", MODES)
def test_scan(mode: Mode) -> None:
    """Also as plain Python: keys, lengths and numbers of random insns."""
    rng = random.Random(5)
    found_keys = 0
    for _ in range(1000):
        prefixes = bytes(
            rng.choices(b"\x66\x67\xf2\xf3\xf0\x2e\x64\x26\x3e", k=rng.choice((0, 0, 1, 3)))
        )
        opcode = rng.choice((b"", b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a", b"\xc3", b"\x0f\x22"))
        code = prefixes + opcode + rng.randbytes(16)
        code = code[: rng.choice((24, 24, 7, 3, 1))]
        try:
            expected: tuple[bytes, int, int, int, int] | str = scan_fields(code, 0, mode)
        except (Truncated, IndexError):
            expected = "truncated"
        found = scanned(code, len(code), mode)
        if found != "strange":
            assert found == expected, code.hex()
            found_keys += found != "truncated"
    assert found_keys > 500
