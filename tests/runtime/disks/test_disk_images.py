"""Raw images, qcow2 and overlays; qemu-img is the referee of the format."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.disks.disk import SECTOR, Disk, DiskError
from runtime.disks.geometry import Geometry, bios_geometry, disk_geometry, floppy_geometry
from runtime.disks.opening import create_image, open_disk

MIB = 1 << 20
needs_qemu_img = pytest.mark.skipif(
    not shutil.which("qemu-img"), reason="qemu-img is not installed"
)


def qemu_img(*words: str | Path) -> str:
    """Run qemu-img and return what it prints."""
    return subprocess.run(
        ["qemu-img", *map(str, words)], check=True, capture_output=True, text=True, timeout=60
    ).stdout


def noise(sectors: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(sectors * SECTOR)


def contents(disk: Disk) -> bytes:
    return disk.read(0, disk.sectors)


def scribble(disk: Disk, model: bytearray, seed: int, writes: int = 60) -> None:
    """Write at random and note the same in *model*; read back at random."""
    draw = random.Random(seed)
    for _ in range(writes):
        at = draw.randrange(disk.sectors)
        count = min(disk.sectors - at, draw.choice([1, 1, 3, 8, 100, 400]))
        data = draw.randbytes(count * SECTOR)
        disk.write(at, data)
        model[at * SECTOR : (at + count) * SECTOR] = data
        at = draw.randrange(disk.sectors)
        count = min(disk.sectors - at, draw.choice([1, 5, 300]))
        assert disk.read(at, count) == model[at * SECTOR : (at + count) * SECTOR]


def test_raw_is_not_written_unless_asked(tmp_path: Path) -> None:
    path, data = tmp_path / "a.img", noise(9)
    path.write_bytes(data)
    disk = open_disk(str(path), access="read")
    assert disk.sectors == 9
    assert disk.read(2, 3) == data[1024:2560]
    with pytest.raises(PermissionError):
        disk.write(0, bytes(512))
    disk.close()
    disk = open_disk(str(path))
    disk.write(1, b"x" * 512)
    disk.flush()
    assert disk.read(0, 3) == data[:512] + b"x" * 512 + data[1024:1536]
    disk.close()
    assert path.read_bytes() == data
    disk = open_disk(str(path), access="write")
    disk.write(8, b"y" * 1024)  # the second sector is behind the end
    disk.close()
    assert path.read_bytes() == data[:-512] + b"y" * 512


def test_one_writes_or_many_read(tmp_path: Path) -> None:
    path = tmp_path / "a.img"
    path.write_bytes(noise(4))
    readers = [open_disk(str(path)), open_disk(str(path), access="read")]
    with pytest.raises(DiskError, match=r"a\.img: another emulator is using this image"):
        open_disk(str(path), access="write")
    for disk in readers:
        disk.close()
    writer = open_disk(str(path), access="write")
    with pytest.raises(DiskError):
        open_disk(str(path))
    writer.close()


@needs_qemu_img
@pytest.mark.parametrize(
    "options",
    [
        "cluster_size=512",
        "cluster_size=64k",
        "cluster_size=2M",
        "compat=0.10",
        "cluster_size=4k,refcount_bits=1",
        "cluster_size=1k,refcount_bits=8",
        "refcount_bits=64,preallocation=metadata",
    ],
)
def test_writes_agree_with_qemu_img(tmp_path: Path, options: str) -> None:
    path, raw = tmp_path / "a.qcow2", tmp_path / "a.raw"
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, path, "5M")
    model = bytearray(5 * MIB)
    for seed in (1, 2):
        disk = open_disk(str(path), access="write")
        assert disk.sectors == 5 * MIB // SECTOR
        scribble(disk, model, seed)
        assert contents(disk) == model
        disk.close()
    qemu_img("check", path)
    qemu_img("convert", "-O", "raw", path, raw)
    assert raw.read_bytes() == model


@needs_qemu_img
@pytest.mark.parametrize("size", [512, 40 * MIB, 300 << 30])
def test_created_images_are_good(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.qcow2"
    create_image(str(path), size)
    qemu_img("check", path)
    disk = open_disk(str(path), access="write")
    assert disk.sectors == size // SECTOR
    disk.write(disk.sectors - 1, b"z" * 512)
    disk.close()
    qemu_img("check", path)
    assert path.stat().st_blocks * 512 < MIB
    with pytest.raises(DiskError, match="exists already"):
        create_image(str(path), size)


@needs_qemu_img
@pytest.mark.parametrize("compat", ["0.10", "1.1"])
def test_compressed_clusters_and_snapshots(tmp_path: Path, compat: str) -> None:
    raw, path = tmp_path / "a.raw", tmp_path / "a.qcow2"
    model = bytearray(b"all work and no play " * 50000 + noise(1000))[: 1900 * SECTOR]
    raw.write_bytes(model)
    qemu_img("convert", "-c", "-O", "qcow2", "-o", f"compat={compat}", raw, path)
    disk = open_disk(str(path), access="write")
    assert contents(disk) == model
    scribble(disk, model, 3, 10)
    disk.close()
    qemu_img("check", path)
    qemu_img("snapshot", "-c", "before", path)
    kept = bytes(model)
    disk = open_disk(str(path), access="write")
    scribble(disk, model, 4, 30)
    assert contents(disk) == model
    disk.close()
    qemu_img("check", path)
    qemu_img("convert", "-O", "raw", path, raw)
    assert raw.read_bytes() == model
    qemu_img("snapshot", "-a", "before", path)
    disk = open_disk(str(path), access="read")
    assert contents(disk) == kept
    disk.close()


@needs_qemu_img
def test_zero_clusters_and_backing_chain(tmp_path: Path) -> None:
    base, middle, top = (tmp_path / name for name in ("base.img", "middle.qcow2", "top.qcow2"))
    model = bytearray(noise(3000))
    base.write_bytes(model)
    qemu_img("create", "-q", "-f", "qcow2", "-b", "base.img", "-F", "raw", middle, "2M")
    qemu_img("create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", top)
    model += bytes(2 * MIB - len(model))
    subprocess.run(
        ["qemu-io", "-c", "write -z 0 256k", "-c", "write -P 7 512k 1k", str(middle)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    model[: 256 << 10] = bytes(256 << 10)
    model[512 << 10 : 513 << 10] = b"\7" * 1024
    disk = open_disk(str(top), access="write")
    assert contents(disk) == model
    before = base.read_bytes(), middle.read_bytes()
    scribble(disk, model, 5, 40)
    disk.close()
    assert (base.read_bytes(), middle.read_bytes()) == before
    qemu_img("check", top)
    disk = open_disk(str(top))
    assert contents(disk) == model
    disk.close()


def test_overlays_keep_changes(tmp_path: Path) -> None:
    base, overlay = tmp_path / "base.img", tmp_path / "mine.overlay"
    data = noise(5000)
    base.write_bytes(data)
    model = bytearray(data)
    for seed in (1, 2):
        disk = open_disk(str(base), overlay=str(overlay))
        assert contents(disk) == model
        scribble(disk, model, seed, 20)
        disk.flush()
        disk.close()
    assert base.read_bytes() == data
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base.img", "mine.overlay"]
    (tmp_path / "other.img").write_bytes(data)
    with pytest.raises(DiskError, match="holds changes to"):
        open_disk(str(tmp_path / "other.img"), overlay=str(overlay))


CHILD = """
import sys
from runtime.disks.opening import open_disk
disk = open_disk(sys.argv[1], overlay=sys.argv[2])
for number in range(1 << 30):
    at = number * 7919 % (disk.sectors - 300)
    disk.write(at, (number.to_bytes(4, "little") * 128) * (1 + number % 270))
    print(number, flush=True)
"""


@needs_qemu_img
@pytest.mark.parametrize("seed", range(3))
def test_a_killed_emulator_leaves_an_overlay_that_opens(tmp_path: Path, seed: int) -> None:
    """All that was written before the kill is there, and the image is consistent."""
    base, overlay = tmp_path / "base.img", tmp_path / "mine.qcow2"
    base.write_bytes(bytes(16 * MIB))
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(base), str(overlay)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.01, 0.3))
    os.kill(child.pid, signal.SIGKILL)
    done = int((["0", *child.stdout.read().split()])[-1])
    child.wait()
    child.stdout.close()
    result = subprocess.run(["qemu-img", "check", str(overlay)], capture_output=True, timeout=60)
    assert result.returncode in (0, 3), result.stdout  # 3: room was lost, nothing else
    model: dict[int, int] = {}
    disk = open_disk(str(base), overlay=str(overlay))
    for number in range(done + 1):
        at = number * 7919 % (disk.sectors - 300)
        for sector in range(at, at + 1 + number % 270):
            model[sector] = number
    late = (done + 1) * 7919 % (disk.sectors - 300)
    for sector, number in model.items():
        if not late <= sector < late + 271:  # the write that was cut off
            assert disk.read(sector, 1) == number.to_bytes(4, "little") * 128
    disk.write(0, b"n" * 512)
    disk.close()
    assert subprocess.run(
        ["qemu-img", "check", str(overlay)], capture_output=True, timeout=60
    ).returncode in (0, 3)


FULL = """
import resource, signal, sys
from runtime.disks.opening import open_disk
disk = open_disk(sys.argv[1], overlay=sys.argv[2])
disk.write(0, b"a" * 4096)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
failed = 0
for limit in range(400_000, 1_500_000, 7_321):  # the host's disk has room for so many bytes
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    at = 100 + limit % 20_000
    try:
        disk.write(at, b"b" * 512 * 300)
        assert disk.read(at, 300) == b"b" * 512 * 300
    except OSError:
        failed += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
disk.write(30_000, b"c" * 4096)
assert disk.read(30_000, 8) == b"c" * 4096
print(failed)
"""


@needs_qemu_img
def test_a_host_without_room(tmp_path: Path) -> None:
    """Writes fail, and what was written before stays; the image stays whole."""
    base, overlay = tmp_path / "base.img", tmp_path / "mine.qcow2"
    base.write_bytes(bytes(16 * MIB))
    words = [sys.executable, "-c", FULL, str(base), str(overlay)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    assert int(done.stdout) > 10
    result = subprocess.run(["qemu-img", "check", overlay], capture_output=True, check=False)
    assert result.returncode in (0, 3), result.stdout
    disk = open_disk(str(base), overlay=str(overlay))
    assert disk.read(0, 8) == b"a" * 4096
    assert disk.read(30_000, 8) == b"c" * 4096
    disk.close()


def test_bad_images_give_one_line(tmp_path: Path) -> None:
    def line(name: str, data: bytes | None, form: str | None = None) -> str:
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(DiskError) as caught:
            open_disk(str(path), form)
        text = str(caught.value)
        assert "\n" not in text
        assert text.startswith(str(path))
        return text

    create_image(str(tmp_path / "good.qcow2"), 40 * MIB)
    good = (tmp_path / "good.qcow2").read_bytes()
    assert "No such file" in line("none.img", None)
    assert "is empty" in line("empty.img", b"")
    assert "not a qcow2 image" in line("short.qcow2", good[:50])
    assert "not a qcow2 image" in line("noise.qcow2", noise(100))
    assert "beyond the end" in line("cut.qcow2", good[:1000])
    assert "format=qcow2 or format=raw" in line("sly.img", good)
    assert "unknown image format" in line("a.img", good, "vmdk")
    for at in range(4, 104):
        for value in (0, 1, 0x7F, 0xFF):
            broken = bytearray(good)
            broken[at] = value
            path = tmp_path / "broken.qcow2"
            path.write_bytes(broken)
            try:
                disk = open_disk(str(path), access="write")
            except DiskError:
                continue
            with contextlib.suppress(OSError):
                disk.read(0, 64)
                disk.write(5, bytes(512))
            disk.close()
    os.mkfifo(tmp_path / "pipe")
    assert "not a file" in line("pipe", None)


def test_broken_tables_are_errors_of_the_disk(tmp_path: Path) -> None:
    """Random damage to the tables shows as OSError, or as other contents."""
    path = tmp_path / "a.qcow2"
    create_image(str(path), 4 * MIB)
    disk = open_disk(str(path), access="write")
    scribble(disk, bytearray(4 * MIB), 1, 20)
    disk.close()
    good = path.read_bytes()
    draw, errors = random.Random(2), 0
    for _ in range(60):
        damaged = bytearray(good)
        for _ in range(4):
            damaged[draw.choice([1, 2, 3, 4]) * 65536 + draw.randrange(200)] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            disk = open_disk(str(path), access="write")
        except DiskError:
            errors += 1
            continue
        try:
            disk.read(0, 8000)
            disk.write(draw.randrange(8000), bytes(4096))
        except OSError:
            errors += 1
        disk.close()
    assert errors > 10


def test_a_chain_without_end(tmp_path: Path) -> None:
    """An image behind itself is refused."""
    a, b = tmp_path / "a.qcow2", tmp_path / "b.qcow2"
    create_image(str(a), MIB)
    open_disk(str(a), overlay=str(b)).close()
    a.write_bytes(b.read_bytes())  # its backing file is a.qcow2
    with pytest.raises(DiskError, match="behind one another"):
        open_disk(str(b))


FOREIGN = {"vmdk": "VMDK", "vdi": "VDI", "vhdx": "VHDX", "vpc": "VHD", "qed": "QED"}


@needs_qemu_img
@pytest.mark.parametrize("kind", FOREIGN)
def test_images_of_other_formats_are_no_raw_disks(tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / "disk.img")
    qemu_img("create", "-q", "-f", kind, path, "4M")
    with pytest.raises(DiskError, match=f"begins like a {FOREIGN[kind]} image.*qemu-img convert"):
        open_disk(path)
    open_disk(path, "raw").close()


def test_packed_images_are_named(tmp_path: Path) -> None:
    path = tmp_path / "fd.img.gz"
    path.write_bytes(gzip.compress(noise(9)))
    with pytest.raises(DiskError, match="gzip"):
        open_disk(str(path))
    open_disk(str(path), "raw").close()


def test_files_that_cannot_be_read_are_named() -> None:
    with pytest.raises(DiskError, match="/proc/self/mem: "):
        open_disk("/proc/self/mem")


def test_backing_files_elsewhere(tmp_path: Path) -> None:
    """An image that somebody sent shows no files of the host that were not given."""
    home, secret = tmp_path / "home", tmp_path / "secret"
    home.mkdir()
    secret.write_bytes(noise(8))
    open_disk(str(secret), overlay=str(home / "a.qcow2")).close()
    for access in ("read", "snapshot", "write"):
        with pytest.raises(
            DiskError, match="secret is not in its folder: trust it with backing=on"
        ):
            open_disk(str(home / "a.qcow2"), access=access)  # type: ignore[arg-type]
    (home / "link").symlink_to(secret)
    open_disk(str(home / "link"), "raw", overlay=str(home / "b.qcow2")).close()
    with pytest.raises(DiskError, match="is not in its folder"):
        open_disk(str(home / "b.qcow2"))
    disk = open_disk(str(home / "a.qcow2"), trusts=True)
    assert contents(disk) == noise(8)
    disk.close()
    disk = open_disk(str(secret), overlay=str(home / "a.qcow2"))  # given, as an argument
    assert contents(disk) == noise(8)
    disk.close()


def test_geometries(tmp_path: Path) -> None:
    assert floppy_geometry(320) == (40, 1, 8)
    assert floppy_geometry(2880) == (80, 2, 18)
    assert floppy_geometry(5760) == (80, 2, 36)
    assert floppy_geometry(3360) == (80, 2, 21)
    assert floppy_geometry(1) == (40, 1, 8)
    assert floppy_geometry(2800) == (80, 2, 18)
    with pytest.raises(ValueError, match="more than a diskette"):
        floppy_geometry(20000)
    assert Geometry(80, 2, 18).lba(79, 1, 18) == 2879
    assert Geometry(80, 2, 18).lba(0, 0, 0) is None
    path = tmp_path / "a.img"

    def disk(size: int, sector: bytes = b"") -> Disk:
        path.write_bytes(sector)
        os.truncate(path, size)
        return open_disk(str(path), access="read")

    assert disk_geometry(disk(20 * MIB)) == (40, 16, 63)
    assert disk_geometry(disk(40 << 30)) == (16383, 16, 63)
    assert bios_geometry(disk(20 * MIB)) == (40, 16, 63)
    assert bios_geometry(disk(2 << 30)) == (520, 128, 63)
    assert bios_geometry(disk(40 << 30)) == (1024, 255, 63)
    # One partition, made for 4 heads of 17 sectors: cylinders 0 to 613.
    entry = bytes([0x80, 1, 1, 0, 1, 3, 17 | 0x80, 613 & 255]) + (17).to_bytes(4, "little")
    entry += (614 * 4 * 17 - 17).to_bytes(4, "little")
    old = disk(615 * 4 * 17 * 512, bytes(446) + entry + bytes(48) + b"\x55\xaa")
    assert disk_geometry(old) == bios_geometry(old) == (615, 4, 17)


@needs_qemu_img
def test_zstd(tmp_path: Path) -> None:
    """Clusters packed with zstd are read if the package zstandard is installed."""
    pytest.importorskip("zstandard")
    raw, path = tmp_path / "a.raw", tmp_path / "a.qcow2"
    raw.write_bytes(data := b"all work and no play " * 50000 + noise(900)[:304])
    qemu_img("convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", raw, path)
    disk = open_disk(str(path))
    assert contents(disk).startswith(data)
    disk.close()
