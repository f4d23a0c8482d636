"""Services called with random registers and memory: whatever they do, they do not raise.

The functions are called as the stubs call them, in a process of this test; the drive is a
directory of its own.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ANY, PRELUDE, SLOW, jitemu, run, work_directory

_RUN = """
import os, random, sys, tempfile
from runtime.personalities.dos import programs
from runtime.personalities.dos.console import EndOfInput
from runtime.personalities.dos.options import DosOptions
from runtime.personalities.dos.sectors import access
from runtime.personalities.dos.system import Dos
from translator.faults import GuestFault

seed, count, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.chdir(folder)
with open("A.COM", "wb") as file:
    file.write(bytes(16))
dos = Dos("A.COM", [], DosOptions())
machine, kernel = dos.machine, dos.kernel
call, cpu = machine.bios.call, machine.processor.cpu
draw = random.Random(seed)
names = [b"A.COM", b"NEW.TXT", b"*.*", b"C:\\\\SUB\\\\X", b"..\\\\..\\\\Y", b"CON", b"Z:Q", b"SUB"]
names += [b"a long name.text", b"SUB/b ? *.c", b"c:\\\\...", b"\\xff.\\x01", b"x" * 259]
start = cpu.cs
services = {
    0x21: kernel.serve,
    0x33: dos.mouse._serve,
    0x67: dos.ems._serve,
    0x43: dos.xms._serve,
    0x25: lambda call: access(kernel, call, writes=False),
}
long = bytes.fromhex("0d393a3b4143474e4f56606ca0a1a6a7a8a9")  # AL of functions 71xxh
words = (0, 1, 2, 5, 0x80, 0x100, 0x200, 0xFFFF, 0x7FFF, start)
for number in range(count):
    vector = draw.choice(list(services) + [0x21] * 4)
    for index in range(8):
        cpu.r32[index] = draw.choice((draw.randrange(1 << 32), draw.choice(words)))
    for name in ("ds", "es"):
        setattr(call, name, draw.choice((start, 0, 0xB800, 0xFFFF, draw.randrange(1 << 16))))
    call.ss, call.sp = 0x9000, 0x1000
    call.ah = draw.randrange(0x74 if vector == 0x21 else 0x100)
    if vector == 0x67:
        call.ah = draw.randrange(0x40, 0x60)
    elif vector == 0x43:
        call.ah = draw.choice((*range(0x13), 0x88, 0x89, 0x8E, 0x8F))
    elif vector == 0x33:
        call.ax = draw.randrange(0x30)
    call.al = draw.choice((0, 1, 2, 3, draw.randrange(256)))
    if vector == 0x21 and draw.random() < 0.25:
        call.ah, call.al = 0x71, draw.choice(long)
    if draw.random() < 0.7:
        call.ds, call.dx, call.si = 0x8000, 0x100, 0x100
        kernel.memory.write(0x80100, draw.choice(names) + b"\\0" + draw.randbytes(40))
    call.has_frame = True
    what = f"INT {vector:02X}h AX={call.ax:04X} BX={call.bx:04X} CX={call.cx:04X} DX={call.dx:04X}"
    try:
        services[vector](call)
    except (programs.ProgramEnd, EndOfInput, GuestFault):
        pass
    except Exception:
        print(number, what, file=sys.stderr)
        raise
    if kernel.psp != start and draw.random() < 0.1:
        kernel.psp = start
print("done")
os._exit(0)
"""


def campaign(seed: int, count: int, folder: Path) -> None:
    """Make calls; fail with the first that raises."""
    command = [sys.executable, "-c", PRELUDE + _RUN, str(seed), str(count), str(folder)]
    with (folder / "out").open("wb") as out:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, check=False
        )
    assert not done.returncode, done.stderr.decode()[-2000:]
    assert (folder / "out").read_bytes().endswith(b"done\n")


@pytest.mark.parametrize("seed", range(2))
def test_random_calls(seed: int, tmp_path: Path) -> None:
    """A few thousand calls."""
    campaign(seed, 3000, tmp_path)


@pytest.mark.parametrize("seed", [pytest.param(random.Random(0).randrange(1 << 30), marks=SLOW)])
def test_many_random_calls(seed: int, tmp_path: Path) -> None:
    """Many of them."""
    campaign(seed, 300_000, tmp_path)


# Enters protected mode as a 32-bit client; what follows is at 100h + its size.
_ENTER = bytes.fromhex(
    "bc0020 b44a bb0004 cd21"  # mov sp, 2000h; shrink to 400h paragraphs
    "b88716 cd2f 893e2701 8c062901"  # where to enter: to the pointer below
    "b80100 ff1e2701 7305 b8024ccd21 eb04"  # call far; jc: exit
)
_FUNCTIONS = (
    *(0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 0x100, 0x101, 0x102, 0x200, 0x201, 0x202, 0x203),
    *(0x204, 0x205, 0x300, 0x301, 0x303, 0x304, 0x305, 0x306, 0x400, 0x500, 0x501, 0x502, 0x503),
    *(0x600, 0x604, 0x702, 0x800, 0x900, 0x901, 0x902, 0xE00, 0xE01),
)


def client(seed: int) -> bytes:
    """Return a DPMI client that calls functions with random registers, then ends with 5."""
    draw = random.Random(seed)
    code = bytearray(_ENTER)
    code += bytes(4)
    for _ in range(60):
        values = [draw.choice(_FUNCTIONS)] + [
            draw.choice((draw.randrange(1 << 32), draw.randrange(1 << 16), 1, 0x87, 0x8F, 0x100))
            for _ in range(5)
        ]
        for opcode, value in zip((0xB8, 0xB9, 0xBA, 0xBB, 0xBE, 0xBF), values, strict=True):
            code += bytes((0x66, opcode)) + value.to_bytes(4, "little")
        code += b"\xcd\x31"
    return bytes(code) + bytes.fromhex("b8054ccd21")


@pytest.mark.parametrize("seed", range(3))
def test_random_dpmi_client(seed: int) -> None:
    """The client ends by itself, or by what it did; nothing of it is ours."""
    with work_directory({"client.com": client(seed)}) as work:
        command = [*jitemu(ANY, "--timeout", "5"), "client.com"]
        got = run(command, work=work, timeout=60)
    assert got.status is not None
    assert got.status >= 0
    assert got.status != 125, got.stderr
    assert b"internal error" not in got.stderr
    assert b"Traceback" not in got.stderr
