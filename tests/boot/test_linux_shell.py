"""A shell in Debian's kernel: what is typed at serial port, console and keyboard is answered.

Disks of both kinds, share, network and clock are used by what is typed; what they hold afterwards
is compared outside. Under the built-in BIOS and SeaBIOS, with the kernel given by -kernel.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from jitemu import Machine
from jitemu.sysroot import SysrootError
from runtime.disks.opening import open_disk
from runtime.machines.paravirtual import Paravirtual
from runtime.machines.pc import Pc, PcConfig
from runtime.screen.screen import Screen
from tests.boot import linux
from tests.boot.test_images import SEABIOS
from tests.boot.test_linux_devices import image, initramfs, md5, scribbled, web_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400), pytest.mark.particular]
SECONDS = 900
MODULES = ["ata_piix", "sd_mod", "virtio_pci", "virtio_blk", "virtio_console", "9pnet_virtio", "9p"]
# Shells on the serial port, the console and the screen.
SHELLS = """
mkdir -p /mnt /run
echo 1 > /proc/sys/kernel/printk
for t in TERMINALS; do
  setsid sh -c "while :; do PS1='$t# ' sh -i </dev/$t >/dev/$t 2>&1; done" &
done
while :; do sleep 1000; done
"""
FIRMWARES = ["built-in", "seabios"]


def started(tmp_path: Path, terminals: str, modules: list[str]) -> tuple[Path, Path]:
    """Return the kernel and an initramfs with shells; skip where they cannot be had."""
    if not linux.has_tools():
        pytest.skip("apt-get or dpkg-deb is missing: no kernel to boot")
    try:
        kernel, _ = linux.boot_files()
    except SysrootError as error:
        pytest.skip(f"cannot fetch the kernel: {error}")
    initrd = tmp_path / "initrd"
    initrd.write_bytes(initramfs(SHELLS.replace("TERMINALS", terminals), modules, {}))
    return kernel, initrd


def bios_of(firmware: str) -> Path | None:
    if firmware == "built-in":
        return None
    if not SEABIOS.is_dir():
        pytest.skip("package seabios is not there")
    return SEABIOS / "bios-256k.bin"


class Shell:
    """The shell behind the serial port."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.serial[0].wait("ttyS0# ", SECONDS)

    def ask(self, command: str) -> str:
        """Type a command, and return what it prints."""
        port = self.machine.serial[0]
        before = len(port.output)
        port.write(f"echo be''gin; {command}; echo do''ne $?\n".encode())  # which is echoed
        ended = self.machine.run(SECONDS, until=lambda: b"\ndone" in port.output[before:])
        self.machine.run(SECONDS, until=lambda: b"ttyS0# " in port.output[-20:])
        said = port.output[before:].decode().replace("\r", "")
        assert ended.reason == "until", said[-300:]
        found = re.search(r"\nbegin\n(.*?)done (\d+)\n", said, re.DOTALL)
        assert found is not None, said
        assert found[2] == "0", said
        return found[1].strip()


@pytest.mark.parametrize("firmware", FIRMWARES)
def test_what_is_typed_uses_all_devices(tmp_path: Path, firmware: str) -> None:
    bios = bios_of(firmware)
    kernel, initrd = started(tmp_path, "ttyS0", [*MODULES, "virtio_net"])
    ide, virtual = image(tmp_path / "ide", 5000), image(tmp_path / "virtual", 7000)
    shared, web = tmp_path / "shared", tmp_path / "web"
    shared.mkdir()
    web.mkdir()
    big, page = image(shared / "big", 1500), image(web / "page", 900)
    overlays = [tmp_path / "ide.qcow2", tmp_path / "virtual.qcow2"]
    with (
        web_server(web) as port,
        Machine(
            kernel=kernel,
            initrd=initrd,
            append=f"{linux.APPEND} quiet",
            bios=bios,
            hda=f"{tmp_path / 'ide'},format=raw,overlay={overlays[0]}",
            drive=[f"file={tmp_path / 'virtual'},if=virtio,format=raw,overlay={overlays[1]}"],
            virtfs=[f"local,path={shared},mount_tag=host"],
            nic="user",
            reboot=False,
        ) as machine,
    ):
        ask = Shell(machine).ask
        assert ask("echo $((6*7))") == "42"
        for name, data in (("sda", ide), ("vda", virtual)):
            assert ask(f"md5sum < /dev/{name}") == f"{md5(data)}  -"
            ask(f"dd if=/dev/zero bs=1k count=300 2>/dev/null | tr '\\0' x > /run/{name}")
            ask(f"dd if=/run/{name} of=/dev/{name} bs=1k seek=1001 2>/dev/null; sync")
            ask("echo 3 > /proc/sys/vm/drop_caches")
            assert ask(f"md5sum < /dev/{name}") == f"{md5(scribbled(data))}  -"
        ask("mount -t 9p -o trans=virtio,version=9p2000.L host /mnt")
        assert ask("md5sum < /mnt/big") == f"{md5(big)}  -"
        ask("tr a-z A-Z < /mnt/big > /mnt/upper; umount /mnt")
        ask("ifconfig eth0 10.0.2.15 up && route add default gw 10.0.2.2")
        assert ask(f"wget -q -O - http://10.0.2.2:{port}/page | md5sum") == f"{md5(page)}  -"
        source = ask("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
        assert source == "kvm-clock"
        assert abs(int(ask("date +%s")) - time.time()) < 5
        begun = time.monotonic()
        up = re.findall(r"[\d.]+", ask("cat /proc/uptime; sleep 3; cat /proc/uptime"))
        assert 2.9 < float(up[2]) - float(up[0]) <= time.monotonic() - begun + 0.1
        machine.serial[0].write(b"poweroff -f\n")
        assert machine.run(SECONDS).reason == "power off"
    assert (shared / "upper").read_bytes() == big.upper()
    for name, data, overlay in zip(("ide", "virtual"), (ide, virtual), overlays, strict=True):
        assert (tmp_path / name).read_bytes() == data
        disk = open_disk(str(tmp_path / name), "raw", overlay=str(overlay))
        assert disk.read(0, disk.sectors) == scribbled(data)
        disk.close()


def test_keyboard_and_virtio_console(tmp_path: Path) -> None:
    """The keyboard's shell is on the screen; the console's answers on the console."""
    kernel, initrd = started(tmp_path, "hvc0 tty1", ["virtio_pci", "virtio_console"])
    said = bytearray()
    config = PcConfig(
        kernel=kernel.read_bytes(),
        initrd=initrd.read_bytes(),
        append="quiet panic=-1",
        memory=linux.MEMORY,
        paravirtual=Paravirtual(console=said.extend),
        reboots=False,
    )
    pc = Pc(config)
    try:
        screen = Screen(pc.display.vga.frame)

        def run(seconds: float) -> bool:
            return pc.run(timeout=seconds) == "timeout"

        screen.wait_text("tty1#", SECONDS, run)
        pc.ps2.keyboard.type("echo $((11*11)) 'A|b'\n")
        screen.wait_text("\n121 A|b\n", SECONDS, run)
        pc.ps2.keyboard.type("tr -s ' ' '\\n' < /dev/vcs1 | grep -c '^121$'\n")
        screen.wait_text("\n1\n", SECONDS, run)  # the screen as the guest sees it
        console = pc.paravirtual.console
        assert console is not None
        assert pc.run(SECONDS, lambda: b"hvc0# " in said) == "until"
        pc.loop.post(lambda: console.feed(b"echo $((12*12)); poweroff -f\n"))
        assert pc.run(SECONDS) == "power off"
        assert b"\r\n144\r\n" in said
    finally:
        pc.close()
