"""Debian's kernel and an initramfs of busybox, as the shared suite linux_boot describes them."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from jitemu.sysroot import SysrootError, apt, unpack, write_apt_config
from tests.debian import cache_root, locked

KERNEL = "linux-image-6.1.0-50-686"
BUSYBOX = "busybox-static"
APPEND = "console=ttyS0 panic=-1 noapic nolapic"
MEMORY = 128 << 20
_DIRECTORY, _FILE = 0o040755, 0o100755


def packages(name: str, *wanted: str) -> Path:
    """Return a directory of the cache with unpacked i386 packages; SysrootError without a net."""
    place = cache_root() / name
    with locked(cache_root() / f"{name}.lock"):
        if place.exists():
            return place
        with tempfile.TemporaryDirectory(dir=cache_root()) as temporary:
            state = Path(temporary)
            config = write_apt_config(state)
            # A mirror that is out of step is no reason to give up: what is missing shows below.
            with contextlib.suppress(SysrootError):
                apt(config, "update")
            root = state / "root"
            root.mkdir()
            done = subprocess.run(
                ["apt-get", "-q", "download", *wanted],
                cwd=state,
                env={**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"},
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            if done.returncode:
                raise SysrootError(f"apt-get download failed: {done.stderr.strip()[-200:]}")
            for archive in state.glob("*.deb"):
                unpack(archive, root)
            root.rename(place)
    return place


def boot_files() -> tuple[Path, Path]:
    """Return the kernel and busybox."""
    place = packages("boot-linux", KERNEL, BUSYBOX)
    return next(place.glob("boot/vmlinuz-*")), place / "bin/busybox"


def cpio(entries: list[tuple[str, int, bytes]]) -> bytes:
    """Return a newc archive (cpio(5)) of names, modes and contents."""
    data = b""
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        words = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % word for word in words)
        for part in (head + name.encode() + b"\0", content):
            data += part + bytes(-len(part) % 4)
    return data


def initramfs(init: bytes, busybox: bytes) -> bytes:
    """Return a compressed initramfs that runs a script."""
    directories = [(name, _DIRECTORY, b"") for name in ("bin", "proc", "sys", "dev")]
    files = [("init", _FILE, init), ("bin/busybox", _FILE, busybox)]
    return gzip.compress(cpio(directories + files), 6, mtime=0)


def has_tools() -> bool:
    """Whether packages can be fetched here."""
    return all(map(shutil.which, ("apt-get", "dpkg-deb", "tar")))


def qemu(*options: str, timeout: float = 120) -> bytes:
    """Run the same under QEMU and return the serial output."""
    command = ["qemu-system-i386", "-accel", "tcg", "-display", "none", "-serial", "stdio"]
    done = subprocess.run([*command, *options], capture_output=True, timeout=timeout, check=False)
    return done.stdout
