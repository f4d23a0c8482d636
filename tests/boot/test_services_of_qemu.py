"""BIOS services called from a boot sector answer as SeaBIOS's under QEMU do.

Left out is where both are right in their own way: fonts and tables elsewhere in ROM, statuses of
drives that are not there, what registers hold that a function does not return.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from runtime.disks.opening import open_disk
from runtime.machines.pc import Pc, PcConfig
from runtime.machines.storage import Drives

SEABIOS = Path("/usr/share/seabios/bios-256k.bin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.particular,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not shutil.which("nasm"), reason="nasm is not there"),
    pytest.mark.skipif(not shutil.which("qemu-system-i386"), reason="QEMU is not there"),
    pytest.mark.skipif(not SEABIOS.exists(), reason="package seabios is not there"),
]
BUFFER = 0x3000  # segment; BUFFER_SIZE bytes of it are compared
BUFFER_SIZE, ROW, RESULT = 512, 80, struct.Struct("<7I4H")
REGISTERS = ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "flags", "es", "ds", "sp")
CARRY, ZERO, INTERRUPTS = 1, 0x40, 0x200


class Service(NamedTuple):
    """A call: its registers, the buffer at ES:0 before, and what of the answer counts."""

    vector: int
    eax: int
    registers: dict[str, int]
    data: bytes
    what: str  # names of registers, "buffer"

    def pack(self) -> bytes:
        values = [self.registers.get(r, 0) for r in ("ebx", "ecx", "edx", "esi", "edi", "ebp")]
        head = struct.pack("<BBH7I4xHH", self.vector, 0, 0, self.eax, *values, BUFFER, BUFFER)
        return head.ljust(48, b"\0") + self.data[:32].ljust(32, b"\xaa")


ALL = "eax ebx ecx edx esi edi ebp carry es ds sp"


def call(vector: int, eax: int, what: str = ALL, data: bytes = b"", **registers: int) -> Service:
    return Service(vector, eax, registers, data, what)


def shown(address: int) -> Service:
    """Copy 400 bytes from a physical address to the buffer, by INT 15h function 87h."""
    rows = b"".join(
        struct.pack("<HHBBH", 0xFFFF, place & 0xFFFF, place >> 16, 0x93, 0)
        for place in (address, BUFFER * 16 + 64)
    )
    return call(0x15, 0x8700, "carry copied", bytes(16) + rows, ecx=200)


def text(mode: int) -> list[Service]:
    base = 0xB0000 if mode == 7 else 0xB8000
    screen = [shown(base + 400 * i) for i in range(10)]
    found = [call(0x10, mode), call(0x10, 0x0F00), call(0x10, 0x0300, "ecx edx")]
    found += [call(0x10, 0x0100, ecx=shape) for shape in (0x0607, 0x2000, 0x000F)]
    found += [call(0x10, 0x0200, edx=0x0510), call(0x10, 0x0941, ebx=0x1E, ecx=5)]
    found += [call(0x10, 0x0800), call(0x10, 0x0A42, ebx=4, ecx=2), call(0x10, 0x0800)]
    found += [call(0x10, 0x0E00 | byte, ebx=7) for byte in b"Hi\r\nxy\x08z\x07\tq"]
    for kind, data in ((0, b"hello\r\nabc"), (1, b"hello\r\nabc"), (3, b"h1e2l3l4o5")):
        registers = {"ebx": 0x2F, "ecx": 5, "edx": 0x0A03 + kind * 0x200}
        found += [call(0x10, 0x1300 | kind, data=data, **registers)]
        found += [call(0x10, 0x0300, "ecx edx")]
    found += [call(0x10, 0x0200, edx=0x1826 if mode == 1 else 0x184E)]
    found += [call(0x10, 0x0E00 | byte) for byte in b"abcd"]
    found += [call(0x10, 0x0300, "ecx edx"), *screen]
    found += [call(0x10, 0x0602, ebx=0x3000, ecx=0x0102, edx=0x0820)]
    found += [call(0x10, 0x0701, ebx=0x4000, ecx=0x0305, edx=0x0D0F)]
    found += [call(0x10, 0x0600, ebx=0x1000, ecx=0x1000, edx=0xFFFF), *screen]
    found += [call(0x10, 0x0501), call(0x10, 0x0F00), call(0x10, 0x0200, ebx=0x100, edx=0x0101)]
    found += [call(0x10, 0x0E41), call(0x10, 0x0300, "ecx edx", ebx=0x100), call(0x10, 0x0500)]
    return [*found, shown(base + (2048 if mode == 1 else 4096))]


def graphics(mode: int) -> list[Service]:
    found = [call(0x10, mode), call(0x10, 0x0F00), call(0x10, 0x1A00)]
    for x, y, color in ((0, 0, 1), (5, 7, 3), (319, 199, 2), (100, 100, 0x83), (50, 3, 255)):
        found += [call(0x10, 0x0C00 | color, ecx=x, edx=y), call(0x10, 0x0D00, ecx=x, edx=y)]
    found += [call(0x10, 0x1017, "buffer", ecx=64), call(0x10, 0x1015, ebx=3)]
    found += [call(0x10, 0x1010, ebx=3, ecx=0x0102, edx=0x3000), call(0x10, 0x1015, ebx=3)]
    return [*found, call(0x10, 0x101B, ecx=20), call(0x10, 0x1017, "buffer", ecx=64)]


def disks() -> list[Service]:
    found, good = [], "eax ebx ecx edx carry buffer"
    for drive, places in (
        (0x80, ((1, 1, 0), (1, 0x3F, 0), (3, 0x11, 15), (128, 1, 1), (1, 0x1F01, 15))),
        (
            0,
            ((1, 1, 0), (3, 0x11, 0), (19, 1, 0), (1, 0x4F12, 1), (18, 0x0501, 1), (40, 0x0A05, 1)),
        ),
    ):
        for count, place, head in places:
            for function in (2, 4):
                eax, edx = function << 8 | count, head << 8 | drive
                found += [
                    call(0x13, eax, good, ecx=place, edx=edx),
                    call(0x13, 0x0100, "eax", edx=edx),
                ]
    for count, sector in ((1, 300), (0, 300), (1, 32767), (100, 400)):
        packet = struct.pack("<BBHHHQ", 16, 0, count, 64, BUFFER, sector)
        found += [call(0x13, f << 8, good, packet, edx=0x80) for f in (0x42, 0x44, 0x47)]
    found += [call(0x13, 0x4100, "ebx ecx carry", ebx=0x55AA, edx=0x80)]
    return [*found, call(0x13, 0x0800, "edx carry", edx=0x80), call(0x13, 0x0800, "ecx edx", edx=0)]


def rest() -> list[Service]:
    found = [call(0x15, 0x2400 | function) for function in (1, 2, 0, 2, 1, 3)]
    found += [call(0x15, 0xE801, "eax ecx carry"), call(0x11, 0), call(0x12, 0)]
    found += [call(0x15, 0xE820, "eax ebx ecx carry buffer", ecx=20, edx=0x534D4150)]
    found += [call(0x15, 0xE820, "carry", ecx=19, edx=0x534D4150), call(0x15, 0xC000, "carry")]
    for key in (0x1E61, 0x48E0, 0x1C0D, 0xE00D, 0xE02F, 0x8500, 0x0F00, 0x3BF0, 0x0001):
        if key not in (0x8500, 0x3BF0):
            found += [call(0x16, 0x0500, ecx=key), call(0x16, 0x0100, "eax zero"), call(0x16, 0)]
        found += [call(0x16, 0x0500, ecx=key), call(0x16, 0x1100, "eax zero"), call(0x16, 0x1000)]
    found += [call(0x16, 0x0200), call(0x16, 0x1200), call(0x16, 0x0A00), call(0x16, 0x9200)]
    for register in (0, 8, 12):  # commands differ: QEMU's host bridge has I/O
        for device in (0, 8, 9, 0x10):
            find = {"ebx": device, "edi": register}
            found += [call(0x1A, 0xB108 + i, "eax ecx carry", **find) for i in range(3)]
    found += [call(0x1A, 0xB101, "eax ebx ecx edx carry")]
    for device, vendor, index in ((0x1237, 0x8086, 0), (0x1237, 0x8086, 1), (0x7113, 0x8086, 0)):
        find = {"ecx": device, "edx": vendor, "esi": index}
        found += [call(0x1A, 0xB102, "eax ebx carry", **find)]
    return found


def run(kind: str, services: list[Service], folder: Path) -> list[tuple[dict[str, int], bytes]]:
    """Return registers and buffer behind each call, under QEMU or this machine's own BIOS."""
    subprocess.run(
        ["nasm", "-f", "bin", "-o", folder / "a.bin", Path(__file__).with_name("services.asm")],
        check=True,
    )
    table = b"".join(service.pack() for service in services) + b"\xff"
    assert len(table) <= 120 * 512
    image = bytearray((folder / "a.bin").read_bytes() + table).ljust(16 << 20, b"\0")
    floppy = bytearray(1440 << 10)
    for data, first in ((image, 200), (floppy, 0)):
        for sector in range(first, len(data) // 512):
            struct.pack_into("<I", data, 512 * sector, sector)
    hd, fd, log = folder / "hd", folder / "fd", folder / "log"
    hd.write_bytes(image)
    fd.write_bytes(floppy)
    if kind == "qemu":
        command = ["qemu-system-i386", "-display", "none", "-m", "64", "-boot", "c", "-snapshot"]
        command += ["-drive", f"file={hd},format=raw", "-debugcon", f"file:{log}", "-net", "none"]
        command += ["-drive", f"file={fd},format=raw,if=floppy", "-device", "isa-debug-exit"]
        subprocess.run(command, check=False, timeout=100)
        said = log.read_bytes()
    else:
        sent = bytearray()
        drives = Drives([open_disk(str(fd), "raw")], [open_disk(str(hd), "raw")])
        config = PcConfig(64 << 20, drives=drives, boot="c", debug=sent.extend, debug_exit=0x501)
        pc = Pc(config)
        try:
            assert pc.run(timeout=200) == "exit"
        finally:
            pc.close()
        said = bytes(sent)
    size = RESULT.size + BUFFER_SIZE
    assert len(said) == size * len(services)
    return [
        (dict(zip(REGISTERS, RESULT.unpack_from(said, at), strict=True)), said[at + 36 : at + size])
        for at in range(0, len(said), size)
    ]


def chosen(service: Service, registers: dict[str, int], data: bytes) -> dict[str, int | bytes]:
    """Return what of an answer counts."""
    flags = registers["flags"]
    found: dict[str, int | bytes] = {**registers, "carry": flags & CARRY, "zero": flags & ZERO}
    found |= {"buffer": data, "copied": data[64:464]}
    return {name: found[name] for name in service.what.split()}


@pytest.mark.parametrize(
    "name",
    ["text 3", "text 1", "text 7", "graphics 4", "graphics 12", "graphics 13", "disks", "rest"],
)
def test_answers(name: str, tmp_path: Path) -> None:
    """What counts is the same; where it is not, the call is named."""
    kind, _, mode = name.partition(" ")
    services = {"disks": disks, "rest": rest}[kind]() if not mode else []
    if mode:
        services = {"text": text, "graphics": graphics}[kind](int(mode, 16))
    answers = [run(where, services, tmp_path) for where in ("qemu", "own")]
    for number, service in enumerate(services):
        theirs, ours = (chosen(service, *answer[number]) for answer in answers)
        wrong = {key: (theirs[key], ours[key]) for key in theirs if theirs[key] != ours[key]}
        assert not wrong, (
            f"{number}: int {service.vector:02x}, {service.eax:04x} {service.registers}"
        )
