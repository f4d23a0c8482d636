"""Many processes in a booted Linux: what they print is what they print under QEMU."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from jitemu import Machine
from jitemu.sysroot import SysrootError
from tests.boot import linux
from tests.building import build

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.particular]
SECONDS = 600
FIRST = "9045050"  # the sum of the first squares
# Each line in a process of its own, or several; and all of it three times, as processes that begin
# find what others left.
SCRIPT = """#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /tmp
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
run() {
  $b seq 1 300 | $b awk '{s += $1 * $1} END {print s}'
  $b seq 1 200 | $b sort -rn | $b head -n 3 | $b tr '\\n' ' '
  echo "hello world" | $b gzip -c | $b gunzip -c | $b sha256sum
  $b ls /bin | $b wc -l
  i=0; while [ $i -lt 15 ]; do $b expr $i \\* $i; i=$((i+1)); done | $b md5sum
  i=0; while [ $i -lt 30 ]; do (i=$((i+1)); echo $i) ; i=$((i+1)); done | $b md5sum
  { for n in 1 2 3; do ($b yes $n | $b head -c 100000 | $b md5sum) & done; wait; } | $b sort
  $b find /bin /g | $b sort | $b md5sum
  $b od -A n -t x1 /bin/busybox | $b head -n 200 | $b sha1sum
  echo "2 3 + p" | $b dc; $b sed -n 2p /init; $b printf '%x %o\\n' 1234 1234
  $b sh -c 'f() { [ $1 -le 1 ] && echo 1 || echo $(($1 * $(f $(($1 - 1))))); }; f 6'
  $b dd if=/bin/busybox bs=64k count=4 2>/dev/null | $b crc32
  $b cp /bin/busybox /tmp/busybox; /tmp/busybox echo copied; /tmp/busybox cat /init | $b md5sum
  for program in /g/*; do echo $program; $program; echo $?; done
}
run 2>&1; run 2>&1; run 2>&1
echo PROCESSES-DONE
$b poweroff -f
"""
# Programs that change what is mapped, and code.
GUESTS = ("processes", "mapping", "jit_pages", "threads", "smc", "smc_edges")


def initramfs(place: Path) -> Path:
    """Return the kernel, and write the initramfs."""
    try:
        kernel, busybox = linux.boot_files()
    except SysrootError as error:
        pytest.skip(f"cannot fetch the kernel: {error}")
    sources = Path(__file__).parent.parent / "guests"
    entries = [(name, 0o040755, b"") for name in ("bin", "proc", "sys", "dev", "g")]
    programs = [("init", SCRIPT.encode()), ("bin/busybox", busybox.read_bytes())]
    programs += [(f"g/{name}", build(sources / f"{name}.c").read_bytes()) for name in GUESTS]
    entries += [(name, 0o100755, content) for name, content in programs]
    place.write_bytes(gzip.compress(linux.cpio(entries), 1, mtime=0))
    return kernel


def lines(output: str) -> list[str]:
    """Return what programs said."""
    said = output.replace("\r", "").splitlines()
    return [line for line in said if line and not line.startswith("[")]


def test_processes(tmp_path: Path) -> None:
    if not linux.has_tools() or shutil.which("qemu-system-i386") is None:
        pytest.skip("apt-get, dpkg-deb or qemu-system-i386 is missing")
    initrd = tmp_path / "initrd"
    kernel = initramfs(initrd)
    append = f"{linux.APPEND} quiet"
    words = ["-kernel", str(kernel), "-initrd", str(initrd), "-append", append, "-m", "128"]
    done = subprocess.run(
        ["qemu-system-i386", "-accel", "tcg", *words, "-nographic", "-no-reboot"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    wanted = lines(done.stdout.decode())
    wanted = wanted[wanted.index(FIRST) :]
    assert wanted[-1] == "PROCESSES-DONE"
    with Machine(
        kernel=kernel, initrd=initrd, append=append, memory=linux.MEMORY, reboot=False
    ) as machine:
        assert machine.run(timeout=SECONDS).reason == "power off"
        found = lines(machine.serial[0].output.decode())
    assert found[found.index(FIRST) :] == wanted
