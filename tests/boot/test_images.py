"""Floppy images boot with both BIOSes, and their screens are those recorded under QEMU.

The recorded screens begin with what SeaBIOS says; they are compared from the first line on that the
image's own software wrote, as far as both have scrolled.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.disks.opening import open_disk
from runtime.machines.pc import Pc, PcConfig
from runtime.machines.storage import Drives
from runtime.screen.screen import Screen
from tests.running import SUITES

IMAGES = SUITES / "boot"
ELKS, FREEDOS = "elks-0.6.0-fd1440", "freedos13-floppy-720k"
PATIENCE, CHUNK = 240, 8
SEABIOS = Path("/usr/share/seabios")
NEEDS_SEABIOS = pytest.mark.skipif(not SEABIOS.is_dir(), reason="package seabios is not there")
# Of the end of memory SeaBIOS keeps 128 KiB, the built-in BIOS 64 KiB for ACPI tables.
MEMORY = ("Extended (XMS)", "Total memory")


def screens(name: str) -> list[list[str]]:
    """Return the recorded screens as lines; skip without the suite."""
    try:
        text = (IMAGES / f"{name}.screens.txt").read_text()
    except OSError:
        pytest.skip(f"{IMAGES} is not there")
    return [lines_of(screen.removeprefix("\n")) for screen in text.split("\f")]


def lines_of(text: str) -> list[str]:
    """Return the lines without those that are empty at the end."""
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


class Booted:
    """A PC with a diskette."""

    def __init__(self, pc: Pc) -> None:
        self.pc, self.screen = pc, Screen(pc.display.vga.frame)

    def run(self, seconds: float) -> bool:
        return self.pc.run(timeout=seconds) == "timeout"

    def wait(self, text: str) -> list[str]:
        return lines_of(self.screen.wait_text(text, PATIENCE, self.run))

    def type(self, text: str) -> None:
        self.pc.ps2.keyboard.type(text)

    def enter(self, prompt: str, command: str) -> None:
        """Type a command; each part has to be seen before the next: guests keep few keys."""
        shown = prompt
        for start in range(0, len(command), CHUNK):
            part = command[start : start + CHUNK]
            self.type(part)
            shown += part
            self.wait(shown.rstrip())
        self.type("\n")

    def settle(self, prompt: str) -> list[str]:
        """Return the screen once it ends with a prompt and does not change any more."""
        before: list[str] = []
        for _ in range(PATIENCE):
            self.run(0.5)
            now = lines_of(self.screen.text)
            if now == before and now[-1] == prompt:
                return now
            before = now
        raise TimeoutError(before)


def with_seabios(config: PcConfig) -> PcConfig:
    """Let a machine start with SeaBIOS and its video BIOS."""
    config.bios = (SEABIOS / "bios-256k.bin").read_bytes()
    config.vgabios = (SEABIOS / "vgabios-stdvga.bin").read_bytes()
    return config


@contextmanager
def booted(name: str, home: Path, firmware: str) -> Iterator[Booted]:
    """Boot an image."""
    image = home / "floppy.img"
    image.write_bytes(gzip.decompress((IMAGES / f"{name}.img.gz").read_bytes()))
    disk = open_disk(str(image))
    config = PcConfig(memory=64 << 20, drives=Drives(floppies=[disk]), boot="a")
    pc = Pc(with_seabios(config) if firmware == "seabios" else config)
    try:
        yield Booted(pc)
    finally:
        pc.close()


def check(found: list[str], recorded: list[str], first: str) -> None:
    """Compare two screens from the image's first line on, or, if it has scrolled away, all."""
    start = next((i for i, line in enumerate(recorded) if line.startswith(first)), 0)
    expected = [line for line in recorded[start:] if not line.startswith(MEMORY)]
    assert expected
    assert [line for line in found if not line.startswith(MEMORY)][-len(expected) :] == expected


@pytest.mark.parametrize(
    "firmware",
    ["built-in", pytest.param("seabios", marks=[pytest.mark.slow, NEEDS_SEABIOS])],
)
def test_elks(tmp_path: Path, firmware: str) -> None:
    """A 16-bit Unix: its console is INT 10h and INT 16h, its disk INT 13h."""
    recorded = screens(ELKS)
    with booted(ELKS, tmp_path, firmware) as machine:
        machine.wait("VFS: Mounted root")
        check(machine.settle("#"), recorded[0], "ELKS..")
        machine.enter("# ", "uname -a")
        machine.wait("ibmpc i8086")
        check(machine.settle("#"), recorded[1], "ELKS..")
        machine.enter("# ", "ls /bin")
        check(machine.settle("#"), recorded[2], "ELKS..")
        machine.enter("# ", "echo 1 2 3  wc")
        machine.wait("\n1 2 3 wc")
        check(machine.settle("#"), recorded[3], "ELKS..")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("firmware", ["built-in", pytest.param("seabios", marks=NEEDS_SEABIOS)])
def test_freedos(tmp_path: Path, firmware: str) -> None:
    """DOS, its own device drivers, batch files, file system and memory manager."""
    recorded = screens(FREEDOS)
    with booted(FREEDOS, tmp_path, firmware) as machine:
        machine.wait("Select from Menu")
        machine.type("\n")
        machine.wait("Do you want to proceed")
        machine.type("n\n")
        machine.wait("A:\\>")
        check(machine.settle("A:\\>"), recorded[2], "FreeCom")
        for index, (command, shown) in enumerate(
            (("ver", "\nFreeCom"), ("dir \\freedos\\bin /w", "bytes free"), ("mem", "Largest"))
        ):
            machine.enter("A:\\>", command)
            machine.wait(shown)
            check(machine.settle("A:\\>"), recorded[3 + index], "FreeCom")
