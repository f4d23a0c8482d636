"""Images that were made to do harm: they cost bounded memory and time, and reach no other file."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from runtime.disks import qcow2
from runtime.disks.disk import SECTOR, DiskError
from runtime.disks.opening import create_image, open_disk
from tests.runtime.disks.test_disk_images import contents, needs_qemu_img, qemu_img, scribble

MIB, GIB = 1 << 20, 1 << 30
_L1_AT, _REFCOUNTS_AT = 40, 48  # in the header
_ODD = (0, 1, 1 << 55, 1 << 63, 1 << 62 | 12345, (1 << 64) - 1)


def number(data: bytes | bytearray, at: int) -> int:
    return int(struct.unpack_from(">Q", data, at)[0])


@needs_qemu_img
def test_few_tables_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clusters of 512 bytes have a table for each 32 KiB; what was forgotten is read again."""
    monkeypatch.setattr(qcow2, "_TABLES_MAX", 3 * 512)
    path, model = tmp_path / "a.qcow2", bytearray(4 * MIB)
    qemu_img("create", "-q", "-f", "qcow2", "-o", "cluster_size=512", path, 4 * MIB)
    disk = open_disk(str(path), access="write")
    assert isinstance(disk, qcow2.Qcow2)
    scribble(disk, model, 5)
    assert len(disk._l2) <= 3
    assert contents(disk) == model
    disk.close()
    qemu_img("check", path)
    assert contents(open_disk(str(path))) == model


def test_an_image_of_one_table_for_all(tmp_path: Path) -> None:
    """A small file with a large disk whose tables are all the same one."""
    path = tmp_path / "a.qcow2"
    create_image(str(path), 2048 * GIB)
    disk = open_disk(str(path), access="write")
    disk.write(0, b"x" * SECTOR)
    disk.close()
    data = bytearray(path.read_bytes())
    at = number(data, _L1_AT)
    data[at : at + 8 * 4096] = data[at : at + 8] * 4096
    path.write_bytes(data)
    disk = open_disk(str(path), access="read")
    assert isinstance(disk, qcow2.Qcow2)
    for index in range(4096):
        assert disk.read(index * (GIB // 2 // SECTOR), 1) == b"x" * SECTOR
    assert len(disk._l2) * 65536 <= 64 * MIB
    disk.close()


def damage(image: bytes, draw: random.Random) -> bytes:
    """Change the header and the tables, often so that they refer to one another."""
    data = bytearray(image)
    cluster = 1 << int(struct.unpack_from(">I", data, 20)[0])
    l1, counts = number(data, _L1_AT), number(data, _REFCOUNTS_AT)
    l2, block = number(data, l1) & (1 << 56) - 512, number(data, counts)
    tables = (l1, l2, counts, block)
    for _ in range(draw.randrange(1, 6)):
        at = draw.choice((draw.randrange(112), *(t + 8 * draw.randrange(16) for t in tables)))
        odd = draw.choice((*_ODD, cluster, *tables, *(t | 1 << 63 for t in tables)))
        size = draw.choice((1, 4, 8))
        data[at : at + size] = struct.pack(">Q", odd)[-size:]
    return bytes(data[: len(image) if draw.random() < 0.9 else draw.randrange(len(image))])


def campaign(folder: Path, seeds: range) -> dict[str, int]:
    """Open, read and write damaged images; return how often what came of it."""
    behind = folder / "behind.raw"
    behind.write_bytes(random.Random(1).randbytes(MIB))
    images = []
    for number, options in enumerate(("compat=1.1", "cluster_size=512", "compat=0.10")):
        path = folder / f"{number}.qcow2"
        qemu_img("create", "-q", "-f", "qcow2", "-o", options, path, 4 * MIB)
        disk = open_disk(str(path), access="write")
        scribble(disk, bytearray(4 * MIB), number, 5)
        disk.close()
        images.append(path.read_bytes())
    packed, over = folder / "packed.qcow2", folder / "over.qcow2"
    qemu_img("convert", "-c", "-O", "qcow2", behind, packed)
    qemu_img("create", "-q", "-f", "qcow2", "-b", "behind.raw", "-F", "raw", over)
    images += [packed.read_bytes(), over.read_bytes()]
    count = {"refused": 0, "failed": 0, "good": 0}
    for seed in seeds:
        draw, path = random.Random(seed), folder / "damaged.qcow2"
        path.write_bytes(damage(draw.choice(images), draw))
        try:
            disk = open_disk(str(path), "qcow2", draw.choice(("read", "snapshot", "write")))
        except DiskError:
            count["refused"] += 1
            continue
        result = "good"
        for _ in range(8):
            first = draw.choice((0, draw.randrange(8192), max(0, disk.sectors - 3)))
            size = min(draw.choice((1, 8, 256)), max(0, disk.sectors - first))
            try:
                assert len(disk.read(first, size)) == size * SECTOR
                if not disk.is_read_only:
                    disk.write(first, draw.randbytes(size * SECTOR))
            except OSError:
                result = "failed"
        disk.close()
        count[result] += 1
    assert behind.read_bytes() == random.Random(1).randbytes(MIB)
    return count


@needs_qemu_img
def test_damaged_images(tmp_path: Path) -> None:
    assert min(campaign(tmp_path, range(200)).values()) > 1


@needs_qemu_img
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_damaged_images(tmp_path: Path) -> None:
    campaign(tmp_path, range(1000, 6000))
