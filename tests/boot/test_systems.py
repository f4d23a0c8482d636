"""More of Debian's that starts on a PC: GNU Mach, a game, U-Boot and GRUB as firmware."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jitemu import Machine
from jitemu.sysroot import SysrootError
from tests.boot import linux
from tests.boot.test_images import NEEDS_SEABIOS, SEABIOS
from tests.running import SUITES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400), pytest.mark.particular]
SECONDS = 600
PACKAGES = ("gnumach-image-1.8-486", "grub-invaders", "u-boot-qemu", "grub-firmware-qemu")
FIRMWARES = ["built-in", pytest.param("seabios", marks=NEEDS_SEABIOS)]


@pytest.fixture(scope="module")
def place() -> Path:
    """Return where the packages are unpacked."""
    if not linux.has_tools():
        pytest.skip("apt-get, dpkg-deb and tar fetch packages; some of them are missing")
    try:
        return linux.packages("boot-systems", *PACKAGES)
    except SysrootError as error:
        pytest.skip(f"cannot fetch packages: {error}")


@pytest.mark.parametrize("firmware", FIRMWARES)
def test_mach_looks_for_its_servers(place: Path, tmp_path: Path, firmware: str) -> None:
    """It drives IDE, diskettes, serial ports, SCSI adapters that are not there, and the clock.

    Its entry point is a virtual address, and segments are not flat: addresses wrap.
    """
    kernel = tmp_path / "gnumach"
    kernel.write_bytes(gzip.decompress((place / "boot/gnumach-1.8-486.gz").read_bytes()))
    bios = SEABIOS / "bios-256k.bin" if firmware == "seabios" else None
    with Machine(kernel=kernel, append="console=com0", bios=bios, reboot=False) as machine:
        said = machine.serial[0].wait("No bootstrap code loaded", SECONDS)
        for line in (b"GNU Mach 1.8", b"ide0: BM-DMA", b"post-1991 82077", b"lpr0: at atbus"):
            assert line in said
        assert re.search(rb"RTC time is 20\d\d-\d\d-\d\d", said)


def test_a_game_is_played(place: Path) -> None:
    """It reads the keyboard controller itself: the ship goes left, and shoots."""
    with Machine(kernel=place / "boot/invaders.exec") as machine:
        machine.wait_text("-*-", SECONDS)

        def ship() -> int:
            return max(row.find("/ \\") for row in machine.screen.rows)

        before = ship()
        assert before > 0
        machine.press("left", 2)
        assert machine.run(SECONDS, until=lambda: 0 < ship() < before - 5).reason == "until"
        machine.press("space", 0.5)
        machine.wait_text("|", SECONDS)


def test_u_boot_starts_linux_from_a_disk(place: Path, tmp_path: Path) -> None:
    """A firmware of its own: no BIOS, an IDE driver, a screen by the video BIOS, ext2, zboot."""
    suite = SUITES / "linux_boot"
    if not suite.exists():
        pytest.skip(f"{suite} is missing (set JITEMU_SUITES)")
    if not shutil.which("mke2fs"):
        pytest.skip("mke2fs makes the disk; it is missing")
    kernel, busybox = linux.boot_files()
    files, image = tmp_path / "files", tmp_path / "disk.img"
    files.mkdir()
    shutil.copy(kernel, files / "vmlinuz")
    initrd = linux.initramfs((suite / "init.sh").read_bytes(), busybox.read_bytes())
    (files / "initrd").write_bytes(initrd)
    subprocess.run(["mke2fs", "-q", "-t", "ext2", "-d", files, image, "16M"], check=True)
    rom = place / "usr/lib/u-boot/qemu-x86/u-boot.rom"
    with Machine(bios=rom, hda=f"{image},format=raw", memory=128 << 20, reboot=False) as machine:
        port = machine.serial[0]
        port.wait("stop autoboot", SECONDS)
        port.write(b" ")
        port.wait("\n=> ", SECONDS)

        def enter(command: str, answer: str) -> bytes:
            before = len(port.output)
            port.write(command.encode() + b"\n")
            ended = machine.run(
                SECONDS, until=lambda: re.search(answer.encode(), port.output[before:]) is not None
            )
            assert ended.reason == "until", port.output[before:]
            return bytes(port.output[before:])

        enter("ide reset", "Capacity: 16.0 MB")
        enter("ext2ls ide 0", "vmlinuz")
        enter("ext2load ide 0 1000000 /vmlinuz", f"{kernel.stat().st_size} bytes read")
        enter("ext2load ide 0 4000000 /initrd", f"{len(initrd)} bytes read")
        enter(f"setenv bootargs {linux.APPEND}", "=> ")
        port.write(b"zboot 1000000 - 4000000 ${filesize}\n")
        port.wait("System halted", SECONDS)  # U-Boot has no ACPI tables that tell how to do more
        for line in (suite / "expected_tail.txt").read_text().splitlines():
            if not line.startswith("model name"):
                assert line.encode() in port.output


def test_grub_as_firmware(place: Path, tmp_path: Path) -> None:
    """GRUB without a BIOS sets up VGA itself; its drivers find a disk, and a file on it."""
    image = tmp_path / "disk.img"
    files = [("note", 0o100644, b"a line in a file\n")]
    image.write_bytes(linux.cpio(files).ljust(1 << 20, b"\0"))
    rom = place / "usr/share/qemu/grub.bin"
    with Machine(bios=rom, hda=f"{image},format=raw") as machine:
        machine.wait_text("GNU GRUB", SECONDS)
        machine.type("c")
        machine.wait_text("grub>", SECONDS)
        for command, answer in (("ls", "(ata0)"), ("cat (ata0)/note", "a line in a file")):
            for start in range(0, len(command), 4):
                machine.type(command[start : start + 4])
                machine.wait_text("grub> " + command[: start + 4].rstrip(), SECONDS)
            machine.type("\n")
            machine.wait_text(answer, SECONDS)
