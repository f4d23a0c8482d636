"""Linux's own driver of the display adapter sets a mode; what is drawn there is on the screen."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest

from jitemu.machine import Machine
from jitemu.sysroot import SysrootError
from tests.boot import linux
from tests.boot.test_linux_devices import depends

pytestmark = [
    pytest.mark.slow,
    pytest.mark.particular,
    pytest.mark.skipif(not linux.has_tools(), reason="apt-get, dpkg-deb or tar is not there"),
]
WIDTH, HEIGHT, TIMES = 1024, 768, 48  # the pattern is 16 lines
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
{modules}
for i in $(/bin/busybox seq {times}); do /bin/busybox cat /pattern; done > /dev/fb0
/bin/busybox sleep 1
/bin/busybox echo DRAWN
/bin/busybox sleep 1000
"""


def in_order(folder: Path, name: str) -> list[Path]:
    """Return the files of a module and of those that it needs, in the order to load them."""
    wanted = name.replace("-", "_")
    path = next(p for p in folder.rglob("*.ko") if p.stem.replace("-", "_") == wanted)
    found: list[Path] = []
    for other in depends(path):
        found += [p for p in in_order(folder, other) if p not in found]
    return [*found, path]


def test_bochs_drm(tmp_path: Path) -> None:
    """PCI, the Bochs interface, the framebuffer: 3 MiB of noise are seen as they were written."""
    try:
        kernel, busybox = linux.boot_files()
    except SysrootError as error:
        pytest.skip(str(error))
    modules = in_order(kernel.parents[1] / "lib/modules", "bochs")
    load = "\n".join(f"/bin/busybox insmod /{path.name}" for path in modules)
    pattern = random.Random(5).randbytes(WIDTH * 4 * HEIGHT // TIMES)
    files = {
        "init": INIT.format(modules=load, times=TIMES).encode(),
        "bin/busybox": busybox.read_bytes(),
        "pattern": pattern,
        **{path.name: path.read_bytes() for path in modules},
    }
    entries = [(name, 0o040755, b"") for name in ("bin", "dev")]
    entries += [(name, 0o100755, data) for name, data in files.items()]
    initrd = tmp_path / "initrd"
    initrd.write_bytes(linux.cpio(entries))
    append = f"{linux.APPEND} vt.global_cursor_default=0"
    noise = np.frombuffer(pattern * TIMES, np.uint8).reshape(HEIGHT, WIDTH, 4)[..., 2::-1]
    with Machine(kernel=kernel, initrd=initrd, append=append) as machine:
        machine.serial[0].wait("DRAWN", 240)
        end = time.monotonic() + 30
        while not np.array_equal(machine.screen.ndarray, noise):
            assert time.monotonic() < end
            machine.run(0.5)
