"""Programs in assembly, one for each family of services, print what they get.

`expected/` is what FreeDOS 1.3 printed under QEMU (dirs, fcb, files, memory, rest, system), or
DOSBox 0.74 (ansi, ems, exec, raw, resident, timer, twins), but for what `DIFFERENCES` says; bank,
cpm, dpmi, sectors, upper, vesa and xms are by the manuals, as DOSBox ignores locks and both fail at
the call of CP/M programs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.personalities.dos import handlers
from runtime.personalities.dos.table import SERVICES
from tests.running import ANY, REPOSITORY, Outcome, jitemu, run, work_directory

HERE = Path(__file__).parent
ASSEMBLER = shutil.which("nasm")
OTHERS = (0x18, 0x1D, 0x1E, 0x20, 0x61, 0x6B, 0x4F)  # in a list of rest.asm, a loop of dirs.asm
# Lines of the referee -> ours, and why.
DIFFERENCES = {
    "ansi": {  # CON is a stream of text as well, for terminals
        "": "\x1b[2J\x1b[1;31mred\x1b[0mplain\x1b[3;5Hat35\x1b[44;33mcol\x1b[K\x1b[s\x1b[40m"
        "\x1b[6;1H\ttab\x1b[uback\x1b[2A^\x1b[5Bv\x1b[10D<\x1b[C>\x1b[0;7mrev\x1b[5mx"
    },
    "dirs": {
        "B:\\SUB1\\A???????.TXT": "C:\\SUB1\\A???????.TXT",  # the drive it ran from
        "drive=0001 ": "drive=0002 ",
    },
    "exec": {
        "again 002A": "again 0000",  # 4Dh tells a code once
        "child tail=0078 fcb=0000 has a parent": "child tail=0078 fcb=0046 has a parent",
    },
    "files": {"0000": "0002"},  # MS-DOS's function 59h tells the last error, not the last call's
    "resident": {
        "overlay 4B03": "overlay 0000",  # AX is not kept
        "its word=5A5A ": "its word=5A5A *",  # INT 29h goes to CON, which is a stream as well
    },
    "rest": {
        # A fixed disk; drives have no parameter blocks, as network drives have none.
        "medium=00F0 sector=0200 sector=0200 parameters=0000 none=00FF ": (
            "medium=00F8 sector=0200 sector=0200 parameters=00FF none=00FF "
        ),
        "has a name=0001 lock=0001 ": "has a name=0001 lock=5C00 ",  # SHARE is there
        "version=0007 swappable has a name=0000 redirected E0001": (
            "version=0005 swappable has a name=0000 redirected E0001"
        ),
        "lead bytes=0000 no FAT32=0018 ": "lead bytes=0000 no FAT32=0000 ",
    },
    "system": {
        "capital=0045 capital=0041 ": "capital=0090 capital=0061 ",  # MS-DOS maps 80h to FFh only
        "prn=8080 ": "prn=0084 ",  # NUL serves as printer
        "removable E000F": "removable 0001",  # FreeDOS had no drive C:
        "output status 0000": "output status 00FF",  # MS-DOS answers so for files, too
    },
    "raw": {  # DOSBox checks no limits
        "ticks faults=0000 seen=5678 =1234 ": "ticks faults=0001 seen=5678 =1234 "
    },
    "ems": {"bad handle=008B ": "bad handle=0083 "},  # DOSBox looks at the page first
}


def assemble(name: str, folder: Path) -> Path:
    """Assemble asm/NAME.asm to a .COM file; skip without nasm."""
    if ASSEMBLER is None:
        pytest.skip("nasm is missing")
    target = folder / f"{name.upper()}.COM"
    source = HERE / "asm" / f"{name}.asm"
    command = [ASSEMBLER, "-f", "bin", "-I", f"{HERE / 'asm'}/", "-o", target, source]
    subprocess.run(command, check=True)
    return target


def execute(name: str, *words: str, stdin: bytes = b"", options: tuple[str, ...] = ()) -> Outcome:
    """Run a test program in a directory of its own, which is C:."""
    with work_directory({}) as work:
        program = assemble(name, work)
        return run([*jitemu(ANY, *options), program.name, *words], stdin=stdin, work=work)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("ansi", 0),
        ("bank", 0),
        ("cpm", 0),
        ("dirs", 0),
        ("dpmi", 9),
        ("ems", 0),
        ("exec", 5),
        ("fcb", 0),
        ("files", 7),
        ("memory", 0),
        ("raw", 0),
        ("resident", 0),
        ("rest", 0),
        ("sectors", 0),
        ("system", 0),
        ("timer", 0),
        ("twins", 0),
        ("upper", 0),
        ("vesa", 0),
        ("xms", 0),
    ],
)
def test_program(name: str, status: int) -> None:
    """The program prints what DOS prints."""
    got = execute(name)
    lines = (HERE / "expected" / f"{name}.txt").read_text().splitlines()
    wanted = [DIFFERENCES.get(name, {}).get(line, line) for line in lines]
    found = got.stdout.decode("cp437").replace("\r\n", "\n").splitlines()
    if name == "dirs":  # entries come in another order: DOS's is that of their creation
        found, wanted = sorted(found), sorted(wanted)
    assert found == wanted, got.stderr
    assert got.status == status


def test_long_command_line() -> None:
    """What does not fit into the PSP is in the environment, where 4DOS puts it."""
    # mov ds, [2Ch]; xor dx, dx; mov cx, 400; mov bx, 1; mov ah, 40h; int 21h; mov ah, 4Ch; int 21h
    code = bytes.fromhex("8e1e2c00 31d2 b99001 bb0100 b440 cd21 b44c cd21")
    words = [f"word{n}" for n in range(30)]
    with work_directory({"env.com": code}) as work:
        got = run([*jitemu(ANY), "env.com", *words], work=work)
        assert b"CMDLINE=C:\\ENV.COM " + " ".join(words).encode() + b"\0" in got.stdout
        assert b"CMDLINE" not in run([*jitemu(ANY), "env.com", *words[:5]], work=work).stdout


def test_every_service_is_asked_for() -> None:
    """Each function of INT 21h is called by one of the programs."""
    source = "".join(path.read_text().lower() for path in (HERE / "asm").glob("*.asm"))
    loads = re.findall(
        r"\bmov (a[xh]), (\d[0-9a-f]*)h?\b(?:(?!\bint |\bmov a[xh]).)*\bint 21h", source, re.DOTALL
    )
    called = {int(value, 16) >> (8 if register == "ax" else 0) for register, value in loads}
    called |= {int(value, 16) >> 8 for value in re.findall(r"\bdos (\d[0-9a-f]*)h", source)}
    called |= {int(value, 16) for value in re.findall(r"\b(?:call21|path) (\d[0-9a-f]*)h", source)}
    called |= set(OTHERS)
    handlers.load()
    assert not {f"{n:02X}h {SERVICES[n].__name__}" for n in SERVICES.keys() - called}


def test_narrow_dpmi_client() -> None:
    """A 16-bit client finds the same, in frames of its size."""
    got = execute("dpmi", "16")
    wanted = (HERE / "expected" / "dpmi.txt").read_text()
    assert got.stdout.decode().replace("\r", "") == wanted, got.stderr
    assert got.status == 9


def test_trace() -> None:
    """-strace prints what is asked of DOS, and its answers."""
    got = execute("files", options=("-strace",))
    text = got.stderr.decode()
    for line in (
        "create(3C00 bx=0000 cx=0000 dx=0941 'TEST.DAT') = 0005",
        "'MISSING.DAT') = error 2",
        "exit(4C07",
    ):
        assert line in text


def test_sources_are_there() -> None:
    """Each program has its expected output."""
    sources = {path.stem for path in (REPOSITORY / "tests" / "dos" / "asm").glob("*.asm")}
    assert {path.stem for path in (HERE / "expected").glob("*.txt")} <= sources
