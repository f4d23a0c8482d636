"""Boot loaders that are kernels or menus themselves: iPXE by network, MEMDISK, SYSLINUX's menus."""

from __future__ import annotations

import functools
import gzip
import http.server
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitemu import Machine
from jitemu.sysroot import SysrootError
from tests.boot import linux
from tests.boot.test_images import FREEDOS, IMAGES
from tests.running import SUITES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600), pytest.mark.particular]
SECONDS = 900
MENU = """UI menu.c32
MENU TITLE Choose well
LABEL linux
 MENU LABEL Linux
 KERNEL vmlinuz
 APPEND initrd=initrd.gz console=ttyS0 panic=-1
LABEL memory
 MENU LABEL Memory
 COM32 meminfo.c32
"""


@pytest.fixture(scope="module")
def place() -> Path:
    """Return where the loaders are unpacked."""
    if not linux.has_tools():
        pytest.skip("apt-get, dpkg-deb and tar fetch boot loaders; some of them are missing")
    try:
        return linux.packages("boot-loaders", "ipxe", "syslinux", "syslinux-common")
    except SysrootError as error:
        pytest.skip(f"cannot fetch packages: {error}")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a kernel and an initramfs, of names of 8.3."""
    suite = SUITES / "linux_boot"
    if not suite.exists():
        pytest.skip(f"{suite} is missing (set JITEMU_SUITES)")
    try:
        kernel, busybox = linux.boot_files()
    except SysrootError as error:
        pytest.skip(f"cannot fetch the kernel: {error}")
    folder = tmp_path_factory.mktemp("system")
    shutil.copy(kernel, folder / "vmlinuz")
    init = (suite / "init.sh").read_bytes()
    (folder / "initrd.gz").write_bytes(linux.initramfs(init, busybox.read_bytes()))
    return folder


def check_linux(machine: Machine) -> None:
    """Linux says all that the suite expects, and switches the machine off."""
    assert machine.run(timeout=SECONDS).reason == "power off"
    output = machine.serial[0].output.decode(errors="replace").replace("\r", "")
    said = "\n".join(line for line in output.splitlines() if not line.startswith("["))
    wanted = (SUITES / "linux_boot" / "expected_tail.txt").read_text()
    wanted = re.sub(r"(model name\t: ).*", r"\g<1>jitemu virtual CPU", wanted)
    assert wanted.strip() in said


@pytest.fixture
def server(system: Path) -> Iterator[int]:
    """Serve the folder on the host; yield the port."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=system)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made.server_port
        made.shutdown()
        thread.join()


def test_ipxe_boots_linux_over_the_network(place: Path, system: Path, server: int) -> None:
    """Its image is started at its setup code; its driver talks virtio 1.0; entropy is IRQ 8's."""
    with Machine(kernel=place / "boot/ipxe.lkrn", nic="user", reboot=False) as machine:
        machine.wait_text("Ctrl-B", SECONDS)
        machine.press("ctrl-b")

        def enter(command: str, answer: str) -> None:
            machine.wait_text("iPXE>", SECONDS)
            for start in range(0, len(command), 8):  # a BIOS keeps 15 keys
                machine.type(command[start : start + 8])
                machine.wait_text(command[: start + 8].strip()[-40:], SECONDS)
            machine.type("\n")
            # It draws a dot now and then while it waits, and tells the rest by numbers.
            end = time.monotonic() + SECONDS
            while not re.search(answer + r"\.\.\.+ ok", machine.screen.text):
                assert time.monotonic() < end, machine.screen.text
                machine.run(0.2)

        enter("dhcp", r"\)")
        where = f"http://10.0.2.2:{server}"
        enter(f"initrd {where}/initrd.gz", r"initrd\.gz")
        enter(f"kernel {where}/vmlinuz {linux.APPEND}", "vmlinuz[^.]*")
        machine.type("boot\n")
        check_linux(machine)


def test_memdisk_boots_a_diskette_from_memory(place: Path, tmp_path: Path) -> None:
    """It hooks INT 13h and E820h, and FreeDOS asks its first question."""
    packed = IMAGES / f"{FREEDOS}.img.gz"
    if not packed.exists():
        pytest.skip(f"{packed} is not there")
    image = tmp_path / "fd.img"
    image.write_bytes(gzip.decompress(packed.read_bytes()))
    with Machine(kernel=place / "usr/lib/syslinux/memdisk", initrd=image) as machine:
        machine.wait_text("proceed", SECONDS)
        machine.type("n\n")
        machine.wait_text("A:\\>", SECONDS)
        machine.type("ver\n")
        assert "FreeCom version" in machine.wait_text("FreeCom", SECONDS)


@pytest.fixture(scope="module")
def disk(place: Path, system: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a hard disk that SYSLINUX was installed on."""
    if not shutil.which("mformat"):
        pytest.skip("mtools make the disk; they are missing")
    folder = tmp_path_factory.mktemp("disk")
    image, config = folder / "disk.img", folder / "syslinux.cfg"
    config.write_text(MENU)
    with image.open("wb") as file:
        file.truncate(40 << 20)
    modules = place / "usr/lib/syslinux/modules/bios"
    names = ("menu.c32", "libutil.c32", "meminfo.c32")
    files = [modules / name for name in names] + [system / "vmlinuz", system / "initrd.gz", config]
    for command in (
        ["mformat", "-i", image, "-T", "81920", "-h", "16", "-s", "63", "-F", "::"],
        [place / "usr/bin/syslinux", "--install", image],
        ["mcopy", "-i", image, *files, "::"],
    ):
        subprocess.run(command, check=True, timeout=60, env={"PATH": "/usr/bin:/bin"})
    return image


def test_syslinux_menus(disk: Path) -> None:
    """Keys move the bar; a module asks the BIOS for memory; Linux starts from the disk."""
    with Machine(hda=disk, boot="c", reboot=False) as machine:
        machine.wait_text("Memory", SECONDS)
        machine.press("down")
        machine.press("enter")
        machine.wait_text("INT 15 88:", SECONDS)
    with Machine(hda=disk, boot="c", reboot=False) as machine:
        machine.wait_text("Memory", SECONDS)
        machine.press("enter")
        check_linux(machine)
