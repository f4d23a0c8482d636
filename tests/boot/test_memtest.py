"""memtest86+ from its CD image (El Torito), started by both BIOSes: a pass without errors."""

from __future__ import annotations

import pytest

from jitemu.sysroot import SysrootError
from runtime.devices.cdrom import CdRom
from runtime.disks.opening import open_disk
from runtime.machines.pc import Pc, PcConfig
from runtime.machines.storage import Drives
from runtime.screen.screen import Screen
from tests.boot import linux
from tests.boot.test_images import NEEDS_SEABIOS, with_seabios

PATIENCE = 900


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("firmware", ["built-in", pytest.param("seabios", marks=NEEDS_SEABIOS)])
def test_one_pass(firmware: str) -> None:
    """All tests of a pass over 16 MiB: what is written is read again, whatever tier does it."""
    if not linux.has_tools():
        pytest.skip("apt-get, dpkg-deb and tar fetch memtest86+; some of them are missing")
    try:
        place = linux.packages("boot-memtest", "memtest86+") / "usr/lib/memtest86+"
    except SysrootError as error:
        pytest.skip(f"cannot fetch packages: {error}")
    cd = CdRom(open_disk(str(place / "memtest86+ia32.iso")))
    config = PcConfig(16 << 20, drives=Drives([], [None, None, cd]), boot="d")
    pc = Pc(with_seabios(config) if firmware == "seabios" else config)
    try:
        screen = Screen(pc.display.vga.frame)
        screen.wait_text(
            "Pass:  1", PATIENCE, lambda seconds: pc.run(timeout=1 + seconds) == "timeout"
        )
        assert "Errors: 0" in screen.text
    finally:
        pc.close()
