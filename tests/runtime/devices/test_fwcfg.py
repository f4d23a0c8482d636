"""fw_cfg as firmware and Linux read it: by ports, by blocks, by DMA; and what makes no sense."""

from __future__ import annotations

import struct

import pytest

from runtime.devices.fwcfg import FirmwareConfiguration
from tests.runtime.devices.bare import Board

FILES = {"opt/b": b"second", "etc/a": bytes(range(256)) * 20}


class Rig(Board):
    def __init__(self) -> None:
        super().__init__()
        self.device = FirmwareConfiguration(self.bus, {0x0F: b"\1\0"}, FILES)

    def select(self, key: int) -> None:
        self.write(0x510, key, size=2)

    def bytes(self, count: int) -> bytes:
        return bytes(self.read(0x511) for _ in range(count))

    def directory(self) -> dict[str, tuple[int, int]]:
        """Return size and selector of each file."""
        self.select(0x19)
        (count,) = struct.unpack(">I", self.bytes(4))
        rows = [struct.unpack(">IHH56s", self.bytes(64)) for _ in range(count)]
        return {name.rstrip(b"\0").decode(): (size, key) for size, key, _, name in rows}

    def dma(self, control: int, size: int, address: int, at: int = 0x1000) -> int:
        """Ask by DMA; return what the control word became."""
        self.physical.write(at, struct.pack(">IIQ", control, size, address))
        self.write(0x514, 0, size=4)
        self.write(0x518, int.from_bytes(at.to_bytes(4, "big"), "little"), size=4)
        return int.from_bytes(self.physical.read(at, 4), "big")


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_items_and_files(rig: Rig) -> None:
    assert rig.bytes(6) == b"QEMU\0\0"
    rig.select(1)
    assert rig.bytes(4) == b"\3\0\0\0"
    rig.select(0x0F)
    assert rig.bytes(3) == b"\1\0\0"
    found = rig.directory()
    assert {name: size for name, (size, _) in found.items()} == {"etc/a": 5120, "opt/b": 6}
    rig.select(found["opt/b"][1])
    assert rig.bytes(8) == b"second\0\0"
    rig.select(found["opt/b"][1] | 0x4000)  # to write, which does nothing
    rig.write(0x511, 1)
    assert rig.bytes(2) == b"se"
    rig.select(0x7000)
    assert rig.bytes(2) == b"\0\0"


def test_blocks(rig: Rig) -> None:
    rig.select(rig.directory()["etc/a"][1])
    assert rig.read(0x511, 2) == 0x0001
    found = rig.bus.read_stream(0x511, 1, 5117)
    assert found == FILES["etc/a"][2:5119]
    assert rig.bus.read_stream(0x511, 1, 4) == b"\xff\0\0\0"
    assert rig.bus.read_stream(0x511, 2, 4) == b""


def test_dma(rig: Rig) -> None:
    key = rig.directory()["etc/a"][1]
    assert struct.pack("<II", rig.read(0x514, 4), rig.read(0x518, 4)) == b"QEMU CFG"
    assert rig.dma(key << 16 | 8 | 2, 16, 0x4000) == 0
    assert rig.physical.read(0x4000, 17) == bytes(range(16)) + b"\0"
    assert rig.dma(4, 100, 0) == 0
    assert rig.dma(2, 4, 0x4000) == 0
    assert rig.physical.read(0x4000, 4) == bytes(range(116, 120))
    assert rig.dma(16, 4, 0x4000) == 1  # to write
    rig.physical.write(0x4000, b"x" * 6000)
    assert rig.dma(key << 16 | 8 | 2, 5124, 0x4000) == 0  # zeros behind the end
    assert rig.physical.read(0x4000, 5125) == FILES["etc/a"] + b"\0\0\0\0x"


@pytest.mark.parametrize(
    ("size", "address"),
    [(0xFFFFFFFF, 0), (16, 1 << 63), (1 << 20, (1 << 20) - 1), (16, 0xFFFFFFFFFFFFFFFF)],
)
def test_requests_without_sense(rig: Rig, size: int, address: int) -> None:
    before = rig.physical.read(0x2000, 4096)
    assert rig.dma(8 | 2, size, address) == 1
    assert rig.physical.read(0x2000, 4096) == before
    for place in (0, 0xFFFFF8, 0xFFFFFFFF):
        rig.write(0x514, 0xFFFFFFFF, size=4)
        rig.write(0x518, place, size=4)
    rig.write(0x518, 1, size=1)
    rig.write(0x510, 1, size=1)


@pytest.mark.parametrize("name", ["", "x" * 56, "ä"])
def test_bad_names(name: str) -> None:
    with pytest.raises(ValueError, match="fw_cfg"):
        FirmwareConfiguration(Board().bus, {}, {name: b""})
