"""The guest's /sys: just what tells programs how many processors there are."""

from __future__ import annotations

import os

from runtime.personalities.linux.virtual import Dir, File


def _processors() -> bytes:
    count = os.cpu_count() or 1
    return b"0\n" if count == 1 else b"0-%d\n" % (count - 1)


def root() -> Dir:
    """Make the tree."""
    cpu = Dir({name: File(_processors) for name in (b"online", b"possible", b"present")})
    return Dir({b"devices": Dir({b"system": Dir({b"cpu": cpu})})})
