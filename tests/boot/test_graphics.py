"""Pictures of each kind of video mode, drawn by a boot sector, are those of QEMU with SeaBIOS.

The built-in BIOS has other fonts, so that its text modes cannot be compared.  QEMU widens
colours of 6 bits in another way, and doubles the dots and lines that a real adapter
doubles.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from jitemu.machine import Machine
from runtime.screen.render import render

SEABIOS = Path("/usr/share/seabios")
SOURCE = Path(__file__).with_name("modes.asm")
MODES, TEXT_MODES = 14, 2  # those of text come last
TOLERANCE = 4  # of 255

pytestmark = [
    pytest.mark.slow,
    pytest.mark.particular,
    pytest.mark.skipif(not shutil.which("nasm"), reason="nasm is not there"),
    pytest.mark.skipif(not shutil.which("qemu-system-i386"), reason="QEMU is not there"),
    pytest.mark.skipif(not SEABIOS.is_dir(), reason="package seabios is not there"),
]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Assemble the diskette."""
    path = tmp_path_factory.mktemp("modes") / "modes.img"
    subprocess.run(["nasm", "-f", "bin", "-o", path, SOURCE], check=True)
    path.write_bytes(path.read_bytes().ljust(1440 << 10, b"\0"))
    return path


def read_ppm(path: Path) -> np.ndarray:
    """Return the pixels of a PPM file as QEMU writes them."""
    data = path.read_bytes()
    width, height = map(int, data.split(None, 4)[1:3])
    return np.frombuffer(data[-width * height * 3 :], np.uint8).reshape(height, width, 3)


@pytest.fixture(scope="module")
def expected(image: Path) -> list[np.ndarray]:
    """Return what QEMU shows, mode by mode."""
    log = image.with_name("log")
    command = ["qemu-system-i386", "-display", "none", "-vga", "std", "-net", "none"]
    command += ["-drive", f"file={image},format=raw,if=floppy", "-boot", "a", "-monitor", "stdio"]
    found = []
    with subprocess.Popen(
        [*command, "-debugcon", f"file:{log}"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as qemu:
        assert qemu.stdin is not None
        try:
            for number in range(MODES):
                end = time.monotonic() + 60
                while not log.exists() or log.read_bytes().count(b"!") <= number:
                    assert time.monotonic() < end
                    time.sleep(0.05)
                time.sleep(0.2)
                dump = image.with_name(f"{number}.ppm")
                qemu.stdin.write(f"screendump {dump}\nsendkey a\n".encode())
                qemu.stdin.flush()
                while not dump.exists():
                    assert time.monotonic() < end
                    time.sleep(0.05)
                time.sleep(0.2)
                found.append(read_ppm(dump))
        finally:
            qemu.kill()
    return found


def under_jitemu(image: Path, bios: Path | None) -> list[np.ndarray]:
    """Return what this machine shows, mode by mode."""
    found: list[np.ndarray] = []
    with Machine(fda=f"{image},format=raw", bios=bios, boot="a") as machine:
        pc = machine.pc

        def told(port: int, value: int, size: int) -> None:
            if value == ord("!"):
                found.append(render(pc.display.vga.frame()))
                pc.ps2.keyboard.press("a", 0.02)

        pc.bus.map_ports(0xE9, 1, lambda port, size: 0xE9, told, owner="test")
        machine.run(120, until=lambda: len(found) == MODES)
    return found


@pytest.mark.parametrize("firmware", ["built-in", "seabios"])
def test_pictures_are_those_of_qemu(image: Path, expected: list[np.ndarray], firmware: str) -> None:
    """CGA, planar, split, 256 colours, unchained, Bochs modes of 8 to 32 bits, and text."""
    bios = SEABIOS / "bios-256k.bin" if firmware == "seabios" else None
    found = under_jitemu(image, bios)
    assert len(expected) == len(found) == MODES
    compared = MODES if bios is not None else MODES - TEXT_MODES
    for number, (theirs, ours) in enumerate(zip(expected, found, strict=True)):
        height, width, _ = theirs.shape
        assert height % ours.shape[0] == width % ours.shape[1] == 0
        ours = np.repeat(np.repeat(ours, height // ours.shape[0], 0), width // ours.shape[1], 1)
        differs = np.abs(ours.astype(int) - theirs).max(axis=2) > TOLERANCE
        assert number >= compared or not differs.any(), f"mode {number}: {differs.sum()} pixels"
        assert len(np.unique(theirs.reshape(-1, 3), axis=0)) > 1
