"""Words of -virtfs, -nic, -device and -virtioconsole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jitemu.bootoptions import parse
from jitemu.machine import Machine
from jitemu.options import UsageError
from jitemu.paravirtual import network, share
from runtime.devices.pci import STATUS
from runtime.machines.paravirtual import Forward, Network, Share
from tests.boot.test_multiboot import kernel


def test_words() -> None:
    first = "local,path=/a,,b,mount_tag=x,security_model=none,readonly=on"
    words = ["-virtfs", first, "-virtfs", "local,path=c,mount_tag=y"]
    found = parse([*words, "-nic", "user,model=virtio", "-device", "virtio-rng-pci"])
    assert found.shares == [Share("/a,b", "x", True), Share("c", "y")]
    assert (found.network, found.has_entropy, found.debug_exit) == (Network(), True, None)
    assert parse([]).network is None
    assert network("none") is None
    assert parse(["-virtioconsole", "stdio"]).console == "stdio"


@pytest.mark.parametrize(
    "text",
    ["proxy,path=a", "local", "local,path=a", "local,path=a,path=b", "local,path=a,mount_tag=b,x=y",
     "local,path=a,mount_tag=b,readonly=maybe"],
)  # fmt: skip
def test_bad_shares(text: str) -> None:
    with pytest.raises(ValueError, match="local"):
        share(text)
    with pytest.raises(UsageError):
        parse(["-virtfs", text])


@pytest.mark.parametrize(
    "text",
    [
        "tap", "user,model=e1000", "none,x", "user,restrict=on", "user,mac=1:2", "user,hostfwd=x",
        "user,mac=01:00:00:00:00:00", "user,hostfwd=udp::1-:1", "user,hostfwd=tcp::0-:1",
        "user,hostfwd=tcp::70000-:1", "user,hostfwd=tcp:host.name:1-:1",
    ],
)  # fmt: skip
def test_bad_networks(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text.partition(",")[2] or text)):
        network(text)
    with pytest.raises(UsageError):
        parse(["-nic", text])


def test_ways_into_the_guest() -> None:
    found = Network(
        [Forward("127.0.0.1", 2222, "10.0.2.15", 22), Forward("0.0.0.0", 80, "10.0.2.9", 8080)],
        bytes.fromhex("020304050607"),
    )
    keys = "user,mac=02:03:04:05:06:07,hostfwd=tcp::2222-:22,hostfwd=tcp:0.0.0.0:80-10.0.2.9:8080"
    assert network(keys) == found
    for words in (
        ["-nic", keys],
        ["-netdev", keys.replace("mac=02:03:04:05:06:07", "id=n"),
         "-device", "virtio-net-pci,netdev=n,mac=02:03:04:05:06:07"],
        ["-net", keys.replace("mac=02:03:04:05:06:07,", ""),
         "-net", "nic,model=virtio,macaddr=02:03:04:05:06:07"],
    ):  # fmt: skip
        assert parse(words).network == found


def test_machine(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(kernel("cli\n hlt"))
    share_words = f"local,path={tmp_path},mount_tag=here"
    with Machine(kernel=path, memory=4 << 20, virtfs=[share_words], nic="user", entropy=True) as pc:
        found = {f.get(2, 2) for f in pc.pc.pci.functions.values() if f.get(0, 2) == 0x1AF4}
        assert found == {0x1005, 0x1009, 0x1000}
        assert all(f.get(STATUS, 2) for f in pc.pc.pci.functions.values() if f.get(0, 2) == 0x1AF4)
        pc.run(timeout=0.2)
    bad = f"local,path={tmp_path / 'none'},mount_tag=x"
    with pytest.raises(FileNotFoundError):
        Machine(kernel=path, memory=4 << 20, virtfs=[bad])


def test_change(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(kernel("cli\n hlt"))
    for name, size in (("a", 1440), ("b", 720), ("big", 4096)):
        (tmp_path / name).write_bytes(bytes(size << 10))
    with Machine(kernel=path, memory=4 << 20, fda=tmp_path / "a", cdrom=tmp_path / "b") as pc:
        floppy = pc.pc.storage.floppies[0]
        assert floppy.geometry.total == 2880
        pc.change("fda", tmp_path / "b")
        assert floppy.geometry.total == 1440
        with pytest.raises(ValueError, match="more than a diskette"):
            pc.change("fda", tmp_path / "big")
        pc.change("fda", None)
        assert floppy.disk is None
        pc.change("cdrom", f"{tmp_path / 'big'},format=raw")
        assert pc.pc.storage.cds[0].sectors == 2048
        with pytest.raises(ValueError, match="no drive 'fdb'; there are fda, cdrom"):
            pc.change("fdb", None)
