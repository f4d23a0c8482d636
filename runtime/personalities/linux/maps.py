"""The text of /proc/self/maps, from the guest's regions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.personalities.linux.vfs import Vfs


def maps_text(vfs: Vfs) -> bytes:
    """Return a line for each region of the guest's memory."""
    if vfs.process is None:
        return b""
    lines = []
    for region in vfs.process.mem.regions():
        prot = region.prot
        flags = "".join(c if prot & bit else "-" for c, bit in (("r", 1), ("w", 2), ("x", 4)))
        flags += "s" if region.shared else "p"
        dev, ino = region.key or (0, 0)
        device = f"{os.major(dev):02x}:{os.minor(dev):02x}"
        line = f"{region.start:08x}-{region.end:08x} {flags} {region.offset:08x} {device} {ino}"
        name = region.name
        if not name and region.shared and not dev:
            name = "/dev/zero (deleted)"
        lines.append(f"{line:<49}{name}\n" if name else line + " \n")
    return "".join(lines).encode(errors="surrogateescape")
