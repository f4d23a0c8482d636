"""Debian's kernel from a CD: SeaBIOS or the built-in BIOS, El Torito, ISOLINUX, ATAPI."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from jitemu import Machine
from jitemu.sysroot import SysrootError
from tests.boot import linux
from tests.running import SUITES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.particular]
SECONDS = 900
SUITE = SUITES / "linux_boot"
CONFIG = f"""default linux
prompt 0
label linux
  kernel /vmlinuz
  append initrd=/initrd.gz {linux.APPEND}
"""


@pytest.fixture(scope="module")
def packages() -> Path:
    """Return a directory with firmware and boot loader."""
    pytest.importorskip("pycdlib", reason="pycdlib is not installed: no CD can be made")
    if not SUITE.exists():
        pytest.skip(f"{SUITE} is missing (set JITEMU_SUITES)")
    if not linux.has_tools():
        pytest.skip("apt-get or dpkg-deb is missing: no kernel to boot")
    try:
        return linux.packages("boot-cd", "seabios", "isolinux", "syslinux-common")
    except SysrootError as error:
        pytest.skip(f"cannot fetch the boot loader: {error}")


@pytest.fixture(scope="module")
def disc(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a bootable CD."""
    import pycdlib

    kernel, busybox = linux.boot_files()
    init = (SUITE / "init.sh").read_bytes()
    files = {
        "/VMLINUZ.;1": kernel.read_bytes(),
        "/INITRD.GZ;1": linux.initramfs(init, busybox.read_bytes()),
        "/ISOLINUX/ISOLINUX.CFG;1": CONFIG.encode(),
        "/ISOLINUX/ISOLINUX.BIN;1": (packages / "usr/lib/ISOLINUX/isolinux.bin").read_bytes(),
        "/ISOLINUX/LDLINUX.C32;1": next(
            packages.glob("usr/lib/syslinux/modules/bios/ldlinux.c32")
        ).read_bytes(),
    }
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, rock_ridge="1.09")
    iso.add_directory("/ISOLINUX", rr_name="isolinux")
    for path, data in files.items():
        name = path.rpartition("/")[2].lower().partition(";")[0].rstrip(".")
        iso.add_fp(BytesIO(data), len(data), path, rr_name=name)
    iso.add_eltorito("/ISOLINUX/ISOLINUX.BIN;1", boot_load_size=4, boot_info_table=True)
    path = tmp_path_factory.mktemp("cd") / "linux.iso"
    iso.write(str(path))
    iso.close()
    return path


@pytest.mark.parametrize("firmware", ["seabios", "built-in"])
def test_linux_from_a_cd(packages: Path, disc: Path, firmware: str) -> None:
    bios = packages / "usr/share/seabios/bios-256k.bin" if firmware == "seabios" else None
    with Machine(cdrom=disc, bios=bios, boot="d", memory=linux.MEMORY, reboot=False) as machine:
        assert machine.run(timeout=SECONDS).reason == "power off"
        output = machine.serial[0].output.decode().replace("\r", "")
        tail = (SUITE / "expected_tail.txt").read_text().splitlines()
        for line in tail:
            if not line.startswith("model name"):
                assert line in output.splitlines()
