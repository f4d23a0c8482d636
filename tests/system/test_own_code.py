"""Loops that overwrite themselves, in pages that stay writable: regions see all their stores."""

from __future__ import annotations

import random
import struct

import pytest

from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from translator.state import Exit

pytestmark = pytest.mark.particular
SEGMENT, DATA = 0x100, 0xC00  # of the code; the offset of data in the same page
MOST = 3  # regions of one run, the others of its blocks are stencils
ABOVE = 0xFFFF  # a segment whose end is, with line 20 held at 0, the beginning of memory
CS, ES = 1, 0


class Program:
    """A loop: sums of immediates, and stores to data and to these immediates."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.code = bytearray()
        self.places: list[int] = []  # of words that sums add
        self.stores: list[tuple[int, int, int]] = []  # place of an address, what is added, size
        self.emit("bc000f")  # mov sp, 0F00h
        self.emit("bd", rng.randrange(20, 200))  # mov bp, count
        start = len(self.code)
        for _ in range(rng.randrange(3, 12)):
            rng.choice((self.sum, self.sum, self.store, self.string, self.stack, self.x87))()
        self.emit("4d75fdf4" if len(self.code) > start + 100 else "4d")
        if self.code[-1] == 0x4D:
            self.code += b"\x75" + struct.pack("b", start - len(self.code) - 2) + b"\xf4"
        else:  # dec bp; jz out; jmp start; out: hlt
            self.code[-3:] = b"\x74\x03\xe9" + struct.pack("<h", start - len(self.code) - 2)
            self.code += b"\xf4"
        for at, more, size in self.stores:
            words = self.places and rng.random() < 0.4
            target = rng.choice(self.places) if words else DATA + rng.randrange(64)
            target += rng.choice((0, 1)) if size == 1 else 0
            struct.pack_into("<H", self.code, at, target + more)

    def emit(self, code: str, word: int | None = None) -> int:
        """Add bytes, and a word; return where that is."""
        self.code += bytes.fromhex(code)
        if word is not None:
            self.code += struct.pack("<H", word)
        return len(self.code) - 2

    def sum(self) -> None:
        # add ax, n; xor bx, n; adc dx, n
        opcode = self.rng.choice(("05", "81f3", "81d2"))
        self.places.append(self.emit(opcode, self.rng.getrandbits(16)))

    def store(self) -> None:
        # inc byte [n]; mov [n], al; add [n], bx; mov [n], dx; xchg [n], ax
        code, size = self.rng.choice(
            (("fe06", 1), ("a2", 1), ("011e", 2), ("8916", 2), ("8706", 2))
        )
        self.stores.append((self.emit(code, 0), 0, size))

    def string(self) -> None:
        # mov di, n, or its place in the segment above; stosb or stosw, once or twice
        size = self.rng.choice((1, 2))
        above = SEGMENT * 16 + 0x10
        if self.rng.random() < 0.5:
            self.stores.append((self.emit("bf", 0), above, size))
            self.emit("aa" if size == 1 else "ab")
        else:
            self.stores.append((self.emit("b90200bf", 0), above, 2))
            self.emit("f3aa")

    def stack(self) -> None:
        # mov sp, n; push ax, or call the next insn; mov sp, 0F00h
        self.stores.append((self.emit("bc", 0), 2, 2))
        self.emit("50" if self.rng.random() < 0.5 else "e80000")
        self.emit("bc000f")

    def x87(self) -> None:
        # fild word [n]; fistp word [n]
        self.stores.append((self.emit("df06", 0), 0, 2))
        self.stores.append((self.emit("df1e", 0), 0, 2))


def run(code: bytes, strategy: str) -> tuple[Processor, list[int], bytes]:
    """Run a program; return its processor, registers and the page."""
    physical = Physical(2 << 20)
    linear = Linear(physical)
    processor = Processor(linear, strategy)
    processor.set_a20(enabled=False)
    engine = processor.engine
    engine.tiering.thresholds.x87_share = 0  # in the host's registers, wherever that can be
    engine.code.open_pages.add(SEGMENT >> 8)
    engine.code.count_change = lambda page, cpu, blocks: False  # type: ignore[method-assign]
    at_once, counts = engine.tiering.at_once, engine.tiering.counts
    engine.tiering.at_once = lambda *place: (  # type: ignore[method-assign]
        at_once(*place) if counts.formed < MOST else None
    )
    physical.write(SEGMENT << 4, code)
    for index in range(4):
        processor.set_real_segment(index, SEGMENT)
    processor.set_real_segment(ES, ABOVE)
    processor.cpu.eip, processor.cpu.budget = 0, 1_000_000
    assert processor.run().kind == "halt"
    registers = [int(r) for r in processor.cpu.r32[:8]]
    return processor, registers, bytes(physical.view[SEGMENT << 4 : (SEGMENT << 4) + 0x1000])


@pytest.mark.parametrize("seed", range(12))
def test_a_loop_overwrites_itself(seed: int) -> None:
    """Registers and memory end as the interp tier leaves them; regions were entered and left."""
    program = Program(random.Random(seed))
    _, registers, memory = run(bytes(program.code), "interp")
    processor, *found = run(bytes(program.code), "region")
    assert found == [registers, memory]
    assert processor.engine.tiering.counts.formed


def test_each_change_is_seen() -> None:
    """A loop that counts in its own immediate leaves its region each time round."""
    # mov cx, 100; loop: add ax, n (n = 1); inc word [n]; dec cx; jnz loop; hlt
    code = bytes.fromhex("b96400 050100 ff060400 49 75f6 f4".replace(" ", ""))
    processor, registers, _ = run(code, "region")
    assert registers[0] == 100 * 101 // 2
    assert processor.engine.statistics.exits[Exit.STALE] == 98  # not in the first two
