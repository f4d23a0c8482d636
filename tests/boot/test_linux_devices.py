"""Debian's kernel drives disks, share, network, console and random bytes with its own drivers.

Checksums are taken inside the guest and compared with those of the host's files. The same scripts
say the same under QEMU, but for versions and names of devices.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from jitemu.sysroot import SysrootError
from runtime.devices.cdrom import CdRom
from runtime.disks.opening import open_disk
from runtime.machines.paravirtual import Forward, Network, Paravirtual, Share
from runtime.machines.pc import Pc, PcConfig
from runtime.machines.storage import Drives
from tests.boot import linux
from translator.mode import Model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.particular]
SECONDS = 1500
KIB = 1024

BEGIN = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for m in $(cat /order); do insmod /mod/$m.ko $(cat /opt/$m 2>/dev/null) || echo "no $m"; done
sleep 1
check() { echo "$1 $(blockdev --getsize64 /dev/$1) $(dd if=/dev/$1 bs=64k 2>/dev/null | md5sum)"; }
scribble() {
  dd if=/dev/zero bs=1k count=300 2>/dev/null | tr '\\0' x > /x
  dd if=/x of=/dev/$1 bs=1k seek=1001 2>/dev/null
  sync
  echo 3 > /proc/sys/vm/drop_caches
  check $1
}
"""
END = "echo THE-END\npoweroff -f\n"
IDE = """
check sda; check sr0; check fd0; scribble sda; scribble fd0
"""
VIRTUAL = """
check vda; scribble vda; cat /sys/block/vda/serial; echo
echo "random $(dd if=/dev/hwrng bs=64 count=4 2>/dev/null | wc -c)"
echo "to the console" > /dev/hvc0
mkdir -p /mnt
mount -t 9p -o trans=virtio,version=9p2000.L host /mnt
md5sum /mnt/big
cp /mnt/big /mnt/copy
mkdir /mnt/dir
echo hello > /mnt/dir/file
mv /mnt/dir/file /mnt/dir/renamed
ln -s ../../secret /mnt/dir/link
echo "link $(readlink /mnt/dir/link)"
cat /mnt/dir/link /mnt/../secret /mnt/out 2>&1
chmod 600 /mnt/dir/renamed
i=0; while [ $i -lt 50 ]; do echo $i > /mnt/dir/f$i; i=$((i+1)); done
echo "files $(ls /mnt/dir | wc -l)"
rm /mnt/dir/f*
umount /mnt
ifconfig eth0 up
udhcpc -i eth0 -n -q -s /lease 2>&1 | grep lease:
ping -c 1 10.0.2.2 | grep received
wget -q -O - http://10.0.2.2:PORT/big | md5sum
echo welcome | nc -l -p 22 | md5sum
"""
LEASE = b"""#!/bin/busybox sh
[ "$1" = bound ] && echo "lease: $ip $router $dns" && ifconfig $interface $ip netmask $subnet
exit 0
"""


def depends(module: Path) -> list[str]:
    """Return the modules that one needs."""
    raw = module.read_bytes()
    at = raw.index(b"depends=") + 8
    return [name for name in raw[at : raw.index(b"\0", at)].decode().split(",") if name]


def initramfs(script: str, modules: list[str], options: dict[str, str]) -> bytes:
    """Return an initramfs that loads modules, in order and with options, and runs a script."""
    kernel, busybox = linux.boot_files()
    found = {
        path.stem.replace("-", "_"): path
        for path in (kernel.parents[1] / "lib/modules").rglob("*.ko")
    }
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for other in depends(found[name]):
                visit(other.replace("-", "_"))
            order.append(name)

    for name in modules:
        visit(name)
    entries = [(name, 0o040755, b"") for name in ("bin", "proc", "sys", "dev", "mod", "opt", "etc")]
    entries += [
        ("init", 0o100755, (BEGIN + script + END).encode()),
        ("lease", 0o100755, LEASE),
        ("order", 0o100644, "\n".join(order).encode()),
        ("bin/busybox", 0o100755, busybox.read_bytes()),
        *((f"opt/{name}", 0o100644, text.encode()) for name, text in options.items()),
        *((f"mod/{name}.ko", 0o100644, found[name].read_bytes()) for name in order),
    ]
    return gzip.compress(linux.cpio(entries), 6, mtime=0)


def said(config: PcConfig) -> list[str]:
    """Run a machine to its end; return what its init printed."""
    printed = bytearray()
    config.serial = [printed.extend]
    pc = Pc(config)
    try:
        reason = pc.run(timeout=SECONDS)
    finally:
        pc.close()
    text = printed.decode(errors="replace").replace("\r", "")
    assert reason == "power off", text[-2000:]
    return [line for line in text.splitlines() if not line.startswith("[")]


def booting(script: str, modules: list[str], **options: str) -> PcConfig:
    """Return a machine that boots; skip where the kernel cannot be had."""
    if not linux.has_tools():
        pytest.skip("apt-get or dpkg-deb is missing: no kernel to boot")
    try:
        kernel, _ = linux.boot_files()
    except SysrootError as error:
        pytest.skip(f"cannot fetch the kernel: {error}")
    return PcConfig(
        kernel=kernel.read_bytes(),
        initrd=initramfs(script, modules, options),
        append=linux.APPEND,
        memory=linux.MEMORY,
        model=Model.PENTIUM3,
        clock="icount",
        reboots=False,
    )


def image(path: Path, kib: int) -> bytes:
    data = random.Random(kib).randbytes(kib * KIB)
    path.write_bytes(data)
    return data


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def scribbled(data: bytes) -> bytes:
    return data[: 1001 * KIB] + b"x" * (300 * KIB) + data[1301 * KIB :]


def test_ide_and_diskette(tmp_path: Path) -> None:
    config = booting(IDE, ["ata_piix", "sd_mod", "sr_mod", "floppy"])
    disk, cd, diskette = (
        image(tmp_path / name, kib) for name, kib in (("hd", 9000), ("cd", 3000), ("fd", 1440))
    )
    hd, iso, fd = (open_disk(str(tmp_path / name)) for name in ("hd", "cd", "fd"))
    config.drives = Drives([fd], [hd, None, CdRom(iso)])
    lines = said(config)
    assert lines[-6:] == [
        f"sda {len(disk)} {md5(disk)}  -",
        f"sr0 {len(cd)} {md5(cd)}  -",
        f"fd0 {len(diskette)} {md5(diskette)}  -",
        f"sda {len(disk)} {md5(scribbled(disk))}  -",
        f"fd0 {len(diskette)} {md5(scribbled(diskette))}  -",
        "THE-END",
    ]
    assert (tmp_path / "hd").read_bytes() == disk
    assert (tmp_path / "fd").read_bytes() == diskette


def test_firmware_configuration() -> None:
    """Linux finds fw_cfg by ACPI, and reads files of it by DMA."""
    config = booting(
        "cd /sys/firmware/qemu_fw_cfg; cat rev; md5sum $(cat /files)\n", ["qemu_fw_cfg"]
    )
    data = random.Random(7).randbytes(100_000)
    config.firmware_files = {"opt/org.example/data": data, "opt/empty": b""}
    names = "by_name/opt/org.example/data/raw by_name/opt/empty/raw by_name/etc/e820/size"
    config.initrd += gzip.compress(linux.cpio([("files", 0o100644, names.encode())]))
    found = said(config)[-5:]
    assert found == [
        "3",
        f"{md5(data)}  by_name/opt/org.example/data/raw",
        f"{md5(b'')}  by_name/opt/empty/raw",
        f"{md5(b'20' + bytes([10]))}  by_name/etc/e820/size",
        "THE-END",
    ]


@contextmanager
def web_server(folder: Path) -> Iterator[int]:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def visitor(data: bytes) -> Iterator[tuple[int, bytearray]]:
    """Call a port of this host until somebody is there; send data; keep what was answered."""
    host = "127.0.0.1"
    with socket.create_server((host, 0)) as free:
        port = int(free.getsockname()[1])
    answer = bytearray()
    is_over = threading.Event()

    def call() -> None:
        while not answer and not is_over.wait(0.1):
            with (
                contextlib.suppress(OSError),
                socket.create_connection((host, port)) as peer,
            ):
                peer.settimeout(SECONDS)
                peer.sendall(data)
                peer.shutdown(socket.SHUT_WR)
                while more := peer.recv(4096):
                    answer.extend(more)

    thread = threading.Thread(target=call)
    thread.start()
    yield port, answer
    is_over.set()
    thread.join()


@pytest.mark.parametrize("legacy", [0, 1])
def test_paravirtual_devices(tmp_path: Path, legacy: int) -> None:
    """The driver uses memory, or ports as drivers before virtio 1.0 do."""
    shared, web = tmp_path / "shared", tmp_path / "web"
    shared.mkdir()
    web.mkdir()
    (tmp_path / "secret").write_text("secret")
    (shared / "out").symlink_to("../secret")
    disk, big = image(tmp_path / "vd", 9000), image(shared / "big", 3000)
    page = image(web / "big", 2000)
    console = bytearray()
    overlay = tmp_path / "vd.overlay"
    with web_server(web) as port, visitor(page[:500_000]) as (way_in, answer):
        names = ["virtio_pci", "virtio_blk", "virtio_console", "virtio_rng", "9pnet_virtio", "9p"]
        config = booting(
            VIRTUAL.replace("PORT", str(port)),
            [*names, "virtio_net"],
            virtio_pci=f"force_legacy={legacy}",
        )
        config.paravirtual = Paravirtual(
            [open_disk(str(tmp_path / "vd"), overlay=str(overlay))],
            console.extend,
            os.urandom,
            [Share(str(shared), "host")],
            network=Network([Forward("127.0.0.1", way_in, "10.0.2.15", 22)]),
        )
        lines = said(config)
    text = "\n".join(lines)
    assert (
        f"vda {len(disk)} {md5(disk)}  -\nvda {len(disk)} {md5(scribbled(disk))}  -\nJV00001"
        in text
    )
    assert "random 256\n" in text
    assert console.replace(b"\r", b"") == b"to the console\n"
    assert f"{md5(big)}  /mnt/big\nlink ../../secret\n" in text
    assert "secret\n" not in text.replace("link ../../secret\n", "")
    assert "files 52\n" in text
    assert (shared / "copy").read_bytes() == big
    assert sorted(p.name for p in (shared / "dir").iterdir()) == ["link", "renamed"]
    assert (shared / "dir" / "renamed").read_text() == "hello\n"
    assert (shared / "dir" / "renamed").stat().st_mode & 0o777 == 0o600
    assert "lease: 10.0.2.15 10.0.2.2 10.0.2.3\n" in text
    assert "1 packets received" in text
    assert f"{md5(page)}  -\n{md5(page[:500_000])}  -\nTHE-END" in text
    assert answer == b"welcome\n"
    assert (tmp_path / "vd").read_bytes() == disk
    disk_again = open_disk(str(tmp_path / "vd"), overlay=str(overlay))
    assert disk_again.read(0, disk_again.sectors) == scribbled(disk)
    disk_again.close()
