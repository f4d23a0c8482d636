"""Compiled support code, stencils and regions of earlier runs, and what this run adds to them.

A cache that is damaged, foreign or cannot be written only costs time; see store/.
"""

from __future__ import annotations

import re
import time
from _blake2 import blake2b  # hashlib would load OpenSSL
from collections.abc import Iterable
from typing import Any, NamedTuple

from runtime.store import disk, version
from runtime.store.library import Library
from runtime.store.pack import Item
from translator import frequent
from translator.quick.layout import facts
from translator.shape import shape_of
from translator.tiers import family
from translator.tiers.services import SERVICES
from translator.tiers.stencil import Request
from translator.tiers.store import MODELS, REGIONS, STORE, Shelf, plain, restore

SAVE_EVERY = 2048  # fresh items after which they are saved although the guest still runs
SAVE_AFTER = 5.0  # seconds after which even a few are
_TRIES, _PAUSE = 20, 0.01  # at the end of a run, where another process is writing
_LETTERS = str.maketrans("0123456789", "ghijklmnop")  # names of packs have no digits
_IMAGE = "image"  # with which the kinds of programs' packs begin
_SUPPORT_KEY = b"support".ljust(16, b"\0")

STENCIL_PACKS, MODEL_PACKS, REGION_PACKS, SHAPE_PACKS = KINDS = tuple(
    Library(kind) for kind in ("stencils", "models", "regions", "shapes")
)
_facts: dict[bytes, Item] = {}  # of shapes, not saved yet
_last_save = time.monotonic()


def request_key(request: Request) -> bytes:
    """Return the name of a stencil on disk."""
    keys = request.keys
    text = bytes((request.live, len(keys), *map(len, keys))) + b"".join(keys)
    return blake2b(text, digest_size=16).digest()


def support_code() -> tuple[Any, ...]:
    """Return the native support routines, linked: (code, symbols, relocations, faults)."""
    library = Library("support")
    found = library.find(_SUPPORT_KEY)
    if found is None:
        found = _build_support()
        library.save({_SUPPORT_KEY: Item(found, 0)})
    return tuple(found)


def compiled_parts() -> tuple[Any, ...]:
    """Return the modules whose FUNCTIONS are compiled; version.py has to know their files."""
    # The devices import native, which imports this in turn if it is not there yet.
    from runtime import native, nativeclock  # noqa: F401
    from runtime.devices import counter, vgaplanes, vgaregisters
    from translator.quick import accesses, blocks, natives, paging, proceed, spaces, system

    machine = (proceed, paging, spaces, system, natives, blocks, accesses)
    return (*machine, nativeclock, vgaplanes, vgaregisters, counter)


def _build_support() -> tuple[Any, ...]:
    parts = compiled_parts()
    from runtime import nativecode
    from translator.quick import compiler
    from translator.tiers import backend, elf

    functions = [function for part in parts for function in part.FUNCTIONS]
    public = {name for part in parts for name in part.PUBLIC}
    text = nativecode.text() + compiler.module(functions, public)
    obj = elf.parse(backend.compile_object(text, reloc="pic"))
    (section,) = obj.sections.values()
    return (
        section.code,
        {name: offset for name, (_, offset, _) in obj.symbols.items()},
        [(r.offset, r.symbol, r.addend) for r in section.relocs],
        [(f.access, f.recovery, f.pc_value) for f in section.faults],
    )


def attach() -> None:
    """Let stencils and regions be looked up on disk from now on."""
    if STORE.source is None:
        find_stencil = STENCIL_PACKS.find
        STORE.source = lambda request: find_stencil(request_key(request))
        MODELS.source, REGIONS.source = MODEL_PACKS.find, REGION_PACKS.find


def find_facts(shape: bytes) -> tuple[int, ...] | None:
    """Return what was saved of a shape: facts that lifting it would take longer to find out."""
    found: tuple[int, ...] | None = SHAPE_PACKS.find(_shape_name(shape))
    return found


def keep_facts(shape: bytes, facts: tuple[int, ...]) -> None:
    """Save facts with the next stencils."""
    _facts[_shape_name(shape)] = Item(facts, 0)


def _shape_name(key: bytes) -> bytes:
    return key.ljust(15, b"\0") + bytes([len(key)])


def images(program: bytes) -> Library:
    """Return the library of what runtime/images.py keeps for a program: packs of its own."""
    digest = blake2b(program, digest_size=4).hexdigest()
    return Library(_IMAGE + digest.translate(_LETTERS))


def library(kind: str) -> Library | None:
    """Return the library of a kind that another installation may have the use of, if it is one."""
    for known in KINDS:
        if kind == known.kind:
            return known
    return Library(kind) if is_image(kind) else None


def is_image(kind: str) -> bool:
    """Whether a kind is that of a program's images; see `images`."""
    return re.fullmatch(_IMAGE + "[a-p]{8}", kind) is not None


def libraries() -> list[Library]:
    """Return what is kept on disk for this version, but for its own support code."""
    mine = version.current().folder
    kinds = {file.name.partition("-")[0] for file in disk.survey() if file.folder == mine}
    return [found for kind in sorted(kinds) if (found := library(kind)) is not None]


def save_some() -> None:
    """Save what was compiled if that has become much, or some time has passed."""
    global _last_save
    count = len(STORE.fresh) + len(REGIONS.fresh)
    if count >= SAVE_EVERY or (count and time.monotonic() - _last_save > SAVE_AFTER):
        _last_save = time.monotonic()
        _save()


def save() -> None:
    """Save what was compiled, at the end of a run."""
    for _ in range(_TRIES):
        if _save():
            return
        time.sleep(_PAUSE)


def _save() -> bool:
    # All, whether or not the first had to be put off.
    facts = not _facts or SHAPE_PACKS.save(dict(_facts))
    if facts:
        _facts.clear()
    stencils = _save_shelf(STORE, STENCIL_PACKS, request_key)
    models = _save_shelf(MODELS, MODEL_PACKS, bytes)
    return _save_shelf(REGIONS, REGION_PACKS, bytes) and stencils and models and facts


def _save_shelf(shelf: Shelf[Any], packs: Library, key: Any) -> bool:
    fresh = shelf.take_fresh()
    if packs.save({key(name): Item(plain(stencil), n) for name, (stencil, n) in fresh.items()}):
        return True
    with shelf.lock:
        shelf.fresh = {**fresh, **shelf.fresh}
    return False


class Compiled(NamedTuple):
    """What a worker process compiled, as plain values."""

    stencils: list[tuple[Request, tuple[Any, ...]]]
    models: list[tuple[bytes, tuple[Any, ...], int]]


def compiled(requests: list[Request]) -> Compiled:
    """Compile stencils, in a worker process."""
    made = family.make(requests, MODELS)
    models = MODELS.take_fresh().items()
    return Compiled(
        [(request, plain(stencil)) for request, stencil in zip(requests, made, strict=True)],
        [(name, plain(model), insns) for name, (model, insns) in models],
    )


def adopt(batch: Compiled) -> None:
    """Take over what a worker process compiled."""
    for name, value, insns in batch.models:
        MODELS.add(name, restore(value), insns)
    for request, value in batch.stencils:
        STORE.add(Request(*request), restore(value), len(request[0]))


def build(requests: list[Request], batches: Iterable[Compiled]) -> int:
    """Put stencils and the support code where the installation keeps them. OSError if it cannot."""
    made: dict[bytes, Item] = {}
    models: dict[bytes, Item] = {}
    for batch in batches:
        models |= {name: Item(value, insns) for name, value, insns in batch.models}
        for request, value in batch.stencils:
            made[request_key(Request(*request))] = Item(value, len(request[0]))
    STENCIL_PACKS.build(made)
    # The whole list is there: nobody has to build it by and by.
    chunks = (chunk for kind in (True, False) for chunk in frequent.chunks(is_machine=kind))
    MODEL_PACKS.build(models | {chunk.name: Item(1, 0) for chunk in chunks})
    keys = {key for request in requests for key in request.keys if key not in SERVICES}
    SHAPE_PACKS.build({_shape_name(key): Item(facts(shape_of(key)), 0) for key in keys})
    Library("support").build({_SUPPORT_KEY: Item(_build_support(), 0)})
    return len(made)


def before_fork() -> None:
    """Hold what must not be half done in the child."""
    for shelf in (STORE, MODELS, REGIONS):
        shelf.lock.acquire()


def after_fork(*, is_child: bool) -> None:
    """Let go; what is not saved yet is the parent's to save."""
    for shelf in (REGIONS, MODELS, STORE):
        shelf.lock.release()
        if is_child:
            shelf.take_fresh()
    if is_child:
        _facts.clear()
