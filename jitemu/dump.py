"""`jitemu dump`: a place in a program file -> what the translator makes of the code there."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jitemu.complain import complain
from jitemu.config import USAGE_STATUS
from jitemu.options import Parser, UsageError

if TYPE_CHECKING:
    from runtime.loaders.elf import Elf
    from translator.planner import Plan
    from translator.strategies import Strategy

STAGES = ("decode", "ir", "opt", "host")
_LONGEST_FUNCTION = 1 << 16
_MOST_BLOCKS = 4096

EPILOG = """\
stages:
  decode  the guest's insns with their bytes
  ir      the IR of each insn: the definition that every tier shares
  opt     the LLVM IR that host code is made from: of each stencil, or (block) after the passes
  host    host code with its holes, before a block is placed; the Python code for interp

WHERE is an address (0x8049000), a symbol (main) or a symbol and an offset (main+0x10); without it
the program's entry point is shown. Addresses are those in the file.

examples:
  jitemu dump ./hello                                  the block at the entry point
  jitemu dump --function ./hello@main                  the whole function
  jitemu dump --stage ir ./hello@0x8049570             what its insns mean
  jitemu dump --stage host --blocks 3 ./hello@main+8   host code of three blocks
"""


class Image:
    """The loadable contents of a program file, by guest address."""

    def __init__(self, path: str) -> None:
        from runtime.loaders import elf

        self.path = path
        # A pipe is refused as well, rather than waited for.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.elf: Elf = elf.parse(fd, path)
            self._parts = [
                (segment.address, os.pread(fd, segment.file_size, segment.offset))
                for segment in self.elf.segments
            ]
        finally:
            os.close(fd)

    def fetch(self, address: int, size: int) -> bytes:
        """Return up to *size* bytes from *address*, fewer where the segment ends."""
        for start, data in self._parts:
            if 0 <= address - start < len(data):
                return data[address - start : address - start + size]
        return b""

    def symbol(self, name: str) -> tuple[int, int]:
        """Return address and size of a symbol."""
        from elftools.elf.elffile import ELFFile
        from elftools.elf.sections import SymbolTableSection

        with open(self.path, "rb") as file:
            for section in ELFFile(file).iter_sections():
                if not isinstance(section, SymbolTableSection):
                    continue
                for symbol in section.get_symbol_by_name(name) or ():
                    if symbol["st_shndx"] != "SHN_UNDEF":
                        return symbol["st_value"], symbol["st_size"]
        raise UsageError(f"{self.path}: no symbol {name!r}")


class Place(NamedTuple):
    """Where to start, and how far a function reaches."""

    address: int
    end: int


def dump(words: Sequence[str]) -> int:
    """Show one stage for some blocks of a program."""
    from runtime.loaders.elf import LoadError
    from translator.strategies import STRATEGIES

    made = Parser(
        prog="jitemu dump",
        description="Show what the translator makes of a program's code.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("file", metavar="FILE[@WHERE]", help="an i386 program or library")
    add("--stage", choices=STAGES, default="decode", help="what to show (decode)")
    add("--strategy", choices=sorted(STRATEGIES), default="stencil", help="for opt and host")
    add("--blocks", type=int, default=1, metavar="N", help="follow the code for N blocks (1)")
    add("--function", action="store_true", help="follow it through the whole function")
    try:
        found = made.parse_args(words)
        if found.blocks < 1:
            raise UsageError("--blocks: at least 1")
        image, place = _locate(found.file)
        make = STRATEGIES[found.strategy]
        strategy = make() if make is not None else None
        limit = _MOST_BLOCKS if found.function else found.blocks
        for plan in _plans(image, place, strategy, limit, inside=found.function):
            _show(image, plan, found.stage, strategy)
    except UsageError as error:
        complain(f"dump: {error}")
        return USAGE_STATUS
    except LoadError as error:
        complain(f"{error}")
        return error.status
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:
            raise
        complain(f"{error.filename}: {error.strerror}")
        return 127 if isinstance(error, FileNotFoundError) else 126
    print(end="", flush=True)
    _save()
    return 0


def _save() -> None:
    """Keep the stencils that were compiled for this."""
    from runtime import codestore

    codestore.save()


def _locate(text: str) -> tuple[Image, Place]:
    path, sign, where = text.rpartition("@")
    if not sign or os.path.exists(text):
        image = Image(text)
        return image, Place(image.elf.entry, image.elf.entry + _LONGEST_FUNCTION)
    image = Image(path)
    try:
        address = int(where, 0)
    except ValueError:
        name, _, offset = where.partition("+")
        start, size = image.symbol(name)
        try:
            address = start + int(offset or "0", 0)
        except ValueError:
            raise UsageError(f"{where}: {offset!r} is no offset") from None
        return image, Place(address, start + (size or _LONGEST_FUNCTION))
    return image, Place(address, address + _LONGEST_FUNCTION)


def _plans(
    image: Image, place: Place, strategy: Strategy | None, limit: int, *, inside: bool
) -> Iterator[Plan]:
    """Yield the plans of the first blocks from a place on, in the order of their addresses."""
    from translator.planner import WINDOW, FetchFault, Options, Peek, form, look

    def peek(address: int) -> Peek:
        return look(address, image.fetch)

    recovers = strategy is not None and strategy.recovers_flags
    options = Options(recovers=recovers)
    todo, seen = [place.address], {place.address}
    plans: list[Plan] = []
    while todo and len(plans) < limit:
        address = todo.pop(0)
        try:
            plan = form(address, image.fetch(address, WINDOW), options, peek)
        except FetchFault:
            if not plans:
                raise UsageError(f"{address:#010x} is not in the file") from None
            continue
        plans.append(plan)
        for target in _following(plan, inside):
            is_near = place.address <= target < place.end
            if target not in seen and (is_near or not inside):
                seen.add(target)
                todo.append(target)
    yield from sorted(plans, key=lambda plan: plan.pc)


def _following(plan: Plan, inside: bool) -> list[int]:
    """Return where a block goes to; with *inside*, a call goes to what stands behind it."""
    if inside and plan.items and plan.items[-1][0].insn.mnemonic == "call":
        return [plan.end]
    return plan.successors()


def _show(image: Image, plan: Plan, stage: str, strategy: Strategy | None) -> None:
    from jitemu import stages

    code = image.fetch(plan.pc, plan.end - plan.pc)
    print(f"block {plan.pc:#010x}: {len(plan.items)} insns, {plan.end - plan.pc} bytes")
    lines = {
        "decode": lambda: stages.decode(plan, code),
        "ir": lambda: stages.ir(plan, code),
        "opt": lambda: stages.llvm(plan, strategy),
        "host": lambda: stages.host(plan, code, strategy),
    }[stage]()
    for text in lines:
        print(text)
    print()
