"""Scenarios in, a bootable image out, and back: what each scenario changed.

`monitor.s` runs the image, under jitemu or anything else that is a PC.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

AREA, AREA_SIZE = 0x1000, 0x4000
GDT, LDT, IDT = 0x1000, 0x1200, 0x1800
TSS, TSS_B, TSS_16 = 0x2000, 0x2200, 0x2400
TOPS = (0x3800, 0x3A00, 0x3C00)  # stacks of rings 0 to 2 in the task state
USER_TOP, OWN_TOP = 0x4400, 0x4800  # stacks that scenarios start with: ring 3, other rings
CODE, TARGET, OTHER = 0x8000, 0x8100, 0x8200
MONITOR, STUBS, INPUT = 0x10000, 0x10200, 0x40000
SIZE = 1 << 20
# Selectors of the usual segments by ring.
CODES, DATAS = (0x08, 0x39, 0x4A, 0x1B), (0x10, 0x41, 0x52, 0x23)
SEL_TSS, SEL_LDT, SEL_B, SEL_16 = 0x28, 0x30, 0x70, 0x78
CODE16 = (0x60, 0x88, 0x90, 0x6B)  # 16-bit code, base 0
FREE = 0x80  # a descriptor for the scenario; FREE + 0x20... are more
DONE = 0x40  # int 40h ends a scenario, for every ring
_TOOL = ("gcc", "-m32", "-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,--oformat=binary")


def descriptor(base: int, limit: int, access: int, flags: int = 0) -> bytes:
    """Encode a descriptor: limit in units, access byte, flags (G D L AVL)."""
    low = limit & 0xFFFF | (base & 0xFFFF) << 16
    high = base >> 16 & 0xFF | access << 8 | (limit >> 16 & 15) << 16 | flags << 20
    return struct.pack("<II", low, high | base & 0xFF000000)


def gate(selector: int, offset: int, kind: int, dpl: int = 0, count: int = 0, p: int = 1) -> bytes:
    """Encode a gate of a type."""
    access = p << 7 | dpl << 5 | kind
    return struct.pack("<HHBBH", offset & 0xFFFF, selector, count, access, offset >> 16)


def flat(ring: int, *, is_code: bool, is_wide: bool = True) -> bytes:
    """Encode a flat segment; of 1 MiB if it is a 16-bit one, like all offsets that it can use."""
    access = 0x93 | ring << 5 | (8 if is_code else 0)
    return descriptor(0, 0xFFFFF, access, 12 if is_wide else 0)


def tss32(**fields: int) -> bytes:
    """Encode a 32-bit task state of a ring-0 task at TARGET."""
    words = {"esp0": TOPS[0], "ss0": 0x10, "esp1": TOPS[1], "ss1": 0x41, "esp2": TOPS[2]}
    words |= {"ss2": 0x52, "cr3": 0, "eip": TARGET, "eflags": 2, "eax": 0xA, "ecx": 0xC}
    words |= {"edx": 0xD, "ebx": 0xB, "esp": OWN_TOP - 0x100, "ebp": 0xBB, "esi": 0x51}
    words |= {"edi": 0xD1, "es": 0x23, "cs": 8, "ss": 0x10, "ds": 0x23, "fs": 0, "gs": 0x23}
    words |= {"ldt": SEL_LDT, "trap": 0x680000} | fields
    return struct.pack("<26I", words.get("link", 0), *list(words.values())[:25])


def tss16(**fields: int) -> bytes:
    """Encode a 16-bit task state of a ring-0 task at TARGET."""
    words = {"sp0": TOPS[0], "ss0": 0x10, "sp1": TOPS[1], "ss1": 0x41, "sp2": TOPS[2]}
    words |= {"ss2": 0x52, "ip": TARGET, "flags": 2, "ax": 0xA, "cx": 0xC, "dx": 0xD, "bx": 0xB}
    words |= {"sp": OWN_TOP - 0x100, "bp": 0xBB, "si": 0x51, "di": 0xD1, "es": 0x23, "cs": 8}
    words |= {"ss": 0x10, "ds": 0x23, "ldt": SEL_LDT} | fields
    return struct.pack("<22H", words.get("link", 0), *list(words.values())[:21])


def tables() -> bytes:
    """Return AREA as each scenario finds it."""
    area = bytearray(AREA_SIZE)

    def put(address: int, data: bytes) -> None:
        area[address - AREA : address - AREA + len(data)] = data

    for ring in range(4):
        put(GDT + (CODES[ring] & ~7), flat(ring, is_code=True))
        put(GDT + (DATAS[ring] & ~7), flat(ring, is_code=False))
        put(GDT + (CODE16[ring] & ~7), flat(ring, is_code=True, is_wide=False))
    put(GDT + SEL_TSS, descriptor(TSS, 0x8F, 0x89))
    put(GDT + SEL_LDT, descriptor(LDT, 0x1FF, 0x82))
    put(GDT + SEL_B, descriptor(TSS_B, 0x67, 0x89))
    put(GDT + SEL_16, descriptor(TSS_16, 0x2B, 0x81))
    put(TSS, tss32())
    put(TSS_B, tss32())
    put(TSS_16, tss16())
    for vector in range(256):
        dpl = 3 if vector >= DONE else 0
        put(IDT + 8 * vector, gate(8, STUBS + 16 * vector, 14, dpl))
    return bytes(area)


@dataclass
class Scenario:
    """One run: what is different in memory, and where it starts."""

    name: str
    patches: list[tuple[int, bytes]] = field(default_factory=list)
    ring: int = 0
    eip: int = CODE
    cs: int = -1
    ss: int = -1
    esp: int = -1
    eflags: int = 2
    segments: tuple[int, int, int, int] = (0, 0, 0, 0)  # of virtual-8086 mode: ES DS FS GS

    def put(self, address: int, data: bytes) -> Scenario:
        """Change memory."""
        self.patches.append((address, data))
        return self

    def describe(self, selector: int, data: bytes) -> Scenario:
        """Put a descriptor into GDT or LDT."""
        return self.put((LDT if selector & 4 else GDT) + (selector & 0xFFF8), data)

    def encode(self) -> bytes:
        """Return the record that monitor.s reads."""
        out = struct.pack("<I", len(self.patches))
        for address, data in self.patches:
            out += struct.pack("<II", address, len(data)) + data + bytes(-len(data) % 4)
        is_virtual = self.eflags & 1 << 17
        cs = self.cs if self.cs >= 0 or is_virtual else CODES[self.ring]
        ss = self.ss if self.ss >= 0 or is_virtual else DATAS[self.ring]
        top = self.esp if self.esp >= 0 else USER_TOP if self.ring == 3 else OWN_TOP
        frame = (self.eip, max(cs, 0), self.eflags, top, max(ss, 0), *self.segments)
        return out + struct.pack("<9I", *frame)


def image(scenarios: list[Scenario]) -> bytes:
    """Return what lies from INPUT on."""
    head = struct.pack("<I", len(scenarios)) + tables()
    return head + b"".join(scenario.encode() for scenario in scenarios)


@cache
def monitor() -> bytes:
    """Assemble monitor.s."""
    source = Path(__file__).with_name("monitor.s")
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "monitor"
        subprocess.run(
            [*_TOOL, f"-Wl,-Ttext={MONITOR:#x}", "-Wl,-e,start", "-o", out, source], check=True
        )
        return out.read_bytes()


def results(stream: bytes) -> Iterable[dict[int, int]]:
    """Split what was written to the port: changed dwords by address, for each scenario."""
    words = struct.unpack(f"<{len(stream) // 4}I", stream[: len(stream) & ~3])
    found: dict[int, int] = {}
    at = 0
    while at < len(words):
        if words[at] == 0xFFFFFFFF:
            yield found
            found = {}
            at += 1
        else:
            found[words[at]] = words[at + 1] if at + 1 < len(words) else 0
            at += 2
