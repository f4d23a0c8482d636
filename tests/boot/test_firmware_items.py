"""-fw_cfg and -boot menu=on: how they are said, and what SeaBIOS makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from jitemu.bootoptions import parse
from jitemu.machine import Machine
from jitemu.options import UsageError
from runtime.machines.pc import Pc, PcConfig
from tests.boot.test_boot_disks import SEABIOS

pytestmark = pytest.mark.particular


def test_options() -> None:
    words = (
        "-fw_cfg name=opt/a,string=hello,,world -fw_cfg opt/b,file=x=y"
        " -boot menu=on,splash-time=500 -drive if=none,id=a,file=x"
        " -device ide-cd,drive=a,bootindex=0"
    )
    found = parse(words.split())
    assert found.firmware_items == [("opt/a", "string", "hello,world"), ("opt/b", "file", "x=y")]
    assert (found.boot, found.boot_menu, found.boot_wait) == ("dacn", True, 500)
    found = parse(["-boot", "once=d,menu=off"])
    assert (found.boot, found.boot_once, found.boot_menu) == ("acdn", "d", False)


@pytest.mark.parametrize(
    "words",
    ["-fw_cfg opt/a", "-fw_cfg string=a", "-fw_cfg a,string=b,file=c", "-fw_cfg a,string=b,size=3",
     "-boot menu=maybe", "-boot splash-time=x", "-boot splash-time=70000"],
)  # fmt: skip
def test_what_cannot_be(words: str) -> None:
    with pytest.raises(UsageError, match=r"expected|menu=|splash-time="):
        parse(words.split())


def test_names() -> None:
    with pytest.raises(ValueError, match="fw_cfg"):
        Pc(PcConfig(firmware_files={"x" * 60: b""}, strategy="interp"))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not SEABIOS.exists(), reason="package seabios is not there")
def test_the_menu_of_seabios(tmp_path: Path) -> None:
    """It shows a menu where it is asked to, and says what a file tells it to say."""
    config = {"etc/boot-menu-message": b"Press it now!\n\0"}
    (tmp_path / "a.img").write_bytes(bytes(1440 << 10))
    with Machine(fda=tmp_path / "a.img", bios=SEABIOS, fw_cfg=config) as machine:
        machine.pc.run(timeout=3)
        assert "Press it now!" not in machine.screen.text
    with Machine(fda=tmp_path / "a.img", bios=SEABIOS, fw_cfg=config, boot_menu=True) as machine:
        machine.wait_text("Press it now!", timeout=100)
        machine.press("esc")
        machine.wait_text("Floppy", timeout=100)
        assert "Select boot device" in machine.screen.text
