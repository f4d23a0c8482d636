"""GRUB's rescue images with both BIOSes: from diskette, hard disk and CD, and a Linux by it.

GRUB calls INT 10h, 13h, 15h and 16h from protected mode, by way of real mode, for everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jitemu.sysroot import SysrootError
from runtime.devices.cdrom import CdRom
from runtime.disks.opening import open_disk
from runtime.machines.pc import Pc, PcConfig
from runtime.machines.storage import Drives
from runtime.screen.screen import Screen
from tests.boot import linux
from tests.boot.test_images import NEEDS_SEABIOS, with_seabios
from tests.running import SUITES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
MENU, PROMPT, PATIENCE = "GNU GRUB", "grub>", 600
CHUNK = 8  # keys that are typed before they must be seen: the keyboard's buffer holds 15


def images() -> Path:
    """Return the directory of the rescue images; skip without them."""
    if not linux.has_tools():
        pytest.skip("apt-get, dpkg-deb and tar fetch GRUB; some of them are missing")
    try:
        return linux.packages("boot-grub", "grub-rescue-pc") / "usr/lib/grub-rescue"
    except SysrootError as error:
        pytest.skip(f"cannot fetch packages: {error}")


class Started:
    """A PC with a loader on its screen."""

    def __init__(self, pc: Pc) -> None:
        self.pc, self.screen = pc, Screen(pc.display.vga.frame)

    def run(self, seconds: float) -> bool:
        return self.pc.run(timeout=seconds) == "timeout"

    def wait(self, text: str) -> str:
        return self.screen.wait_text(text, PATIENCE, self.run)

    def enter(self, command: str) -> None:
        """Type a command behind GRUB's prompt; each part has to appear before the next."""
        shown = PROMPT + " "
        for start in range(0, len(command), CHUNK):
            part = command[start : start + CHUNK]
            self.pc.ps2.keyboard.type(part)
            shown += part
            self.wait(shown[-60:].rstrip())
        self.pc.ps2.keyboard.type("\n")


@contextmanager
def started(
    drives: Drives, boot: str, sent: bytearray, firmware: str = "built-in"
) -> Iterator[Started]:
    config = PcConfig(128 << 20, drives=drives, boot=boot, serial=[sent.extend])
    pc = Pc(with_seabios(config) if firmware == "seabios" else config)
    try:
        yield Started(pc)
    finally:
        pc.close()


@pytest.mark.parametrize("kind", ["floppy", "usb", "cdrom"])
@pytest.mark.parametrize("firmware", ["built-in", pytest.param("seabios", marks=NEEDS_SEABIOS)])
def test_rescue_images(kind: str, firmware: str) -> None:
    """The menu appears; the command line tells of the drives."""
    suffix = "iso" if kind == "cdrom" else "img"
    disk = open_disk(str(images() / f"grub-rescue-{kind}.{suffix}"))
    drives, boot = {
        "floppy": (Drives([disk]), "a"),
        "usb": (Drives([], [disk]), "c"),
        "cdrom": (Drives([], [None, None, CdRom(disk)]), "d"),
    }[kind]
    with started(drives, boot, bytearray(), firmware) as machine:
        machine.wait(MENU)
        machine.pc.ps2.keyboard.type("c")
        machine.wait(PROMPT)
        machine.enter("ls")
        machine.wait({"floppy": "(fd0)", "usb": "(hd0)", "cdrom": "(cd)"}[kind])


def test_linux(tmp_path: Path) -> None:
    """GRUB loads Debian's kernel and an initramfs from a disk (a cpio archive, which it reads)."""
    suite = SUITES / "linux_boot"
    if not suite.is_dir():
        pytest.skip(f"{suite} is not there")
    cd = open_disk(str(images() / "grub-rescue-cdrom.iso"))
    try:
        kernel, busybox = linux.boot_files()
    except SysrootError as error:
        pytest.skip(f"cannot fetch packages: {error}")
    initrd = linux.initramfs((suite / "init.sh").read_bytes(), busybox.read_bytes())
    files = [("vmlinuz", 0o100644, kernel.read_bytes()), ("initrd", 0o100644, initrd)]
    image = tmp_path / "disk.img"
    image.write_bytes(linux.cpio(files).ljust(16 << 20, b"\0"))
    drives, sent = Drives([], [open_disk(str(image), "raw"), None, CdRom(cd)]), bytearray()
    with started(drives, "d", sent) as machine:
        machine.wait(MENU)
        machine.pc.ps2.keyboard.type("c")
        machine.wait(PROMPT)
        machine.enter("insmod newc")
        machine.run(2)
        machine.enter(f"linux (hd0)/vmlinuz {linux.APPEND}")
        machine.run(3)
        machine.enter("initrd (hd0)/initrd")
        machine.run(3)
        machine.enter("boot")
        assert machine.pc.run(timeout=PATIENCE) == "power off"
    for line in (suite / "expected_tail.txt").read_text().splitlines():
        if not line.startswith("model name"):
            assert line.encode() in sent
