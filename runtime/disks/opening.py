"""Image files -> disks: which format, who may write, what keeps the changes.

A guest owns what it writes, so its words are not trusted: bytes that look like qcow2 in a file that
is not called so might be a raw disk's first sector, made to name a host file as its backing file.
Such files are refused until the user says which format they have. An image that somebody sent may
name any file of the host as what is behind it: only files beside it, or below, are opened unasked.
"""

from __future__ import annotations

import os
import tempfile
from typing import Literal, NamedTuple

from runtime.disks import qcow2_header
from runtime.disks.disk import SECTOR, Disk, DiskError
from runtime.disks.files import open_image, read_at, size_of
from runtime.disks.qcow2 import Qcow2
from runtime.disks.raw import Raw

FORMATS = ("raw", "qcow2")
_CALLED_QCOW2 = (".qcow2", ".qcow", ".qc2", ".overlay")
# What else images begin with (at an offset), which is no disk's first sector.
_FOREIGN = {
    "VMDK": (0, (b"KDMV", b"COWD", b"# Disk DescriptorFile")),
    "VDI": (0x40, (b"\x7f\x10\xda\xbe",)),
    "VHD": (0, (b"conectix",)),
    "VHDX": (0, (b"vhdxfile",)),
    "QED": (0, (b"QED\0",)),
}
_PACKED = {
    "gzip": b"\x1f\x8b\x08",
    "xz": b"\xfd7zXZ\0",
    "zstd": b"\x28\xb5\x2f\xfd",
    "bzip2": b"BZh",
    "zip": b"PK\3\4",
}
_DEPTH = 16  # images behind one another
Access = Literal["read", "snapshot", "write"]


def open_disk(
    path: str,
    form: str | None = None,
    access: Access = "snapshot",
    overlay: str | None = None,
    *,
    trusts: bool = False,
) -> Disk:
    """Open an image; DiskError says in one line why that cannot be done.

    *access*: "read" refuses writes, "snapshot" keeps them in a temporary file that goes with the
    disk, "write" writes the image itself. *overlay* names a qcow2 file that keeps all writes; it is
    made if it does not exist, and goes on from where it was if it does. *form* is "raw" or "qcow2";
    None: as the file is called and begins. *trusts*: backing files may be anywhere.
    """
    trust = Trust(trusts, path)
    if overlay is not None:
        return _open_overlay(path, form, overlay, trust)
    if access == "write":
        return _open(path, form, trust, write=True)
    base = _open(path, form, trust, write=False)
    return base if access == "read" else _over(base, path)


class Trust(NamedTuple):
    """Which files an image may have behind it."""

    all_files: bool
    given: str  # by the user

    def check(self, path: str, behind: str) -> None:
        """DiskError unless *behind* was given, or is in the image's folder or below."""
        home, real = os.path.dirname(os.path.realpath(path)), os.path.realpath(behind)
        is_beside = os.path.commonpath([home, real]) == home
        if not (self.all_files or is_beside or real == os.path.realpath(self.given)):
            raise DiskError(
                f"{path}: its backing file {behind} is not in its folder: trust it with backing=on"
            )


def _over(base: Disk, path: str) -> Disk:
    """Lay a temporary file that nobody else can name over a disk."""
    try:
        fd = _temporary()
        qcow2_header.create(fd, base.sectors * SECTOR)
    except OSError as error:
        raise DiskError(f"{path}: no temporary file for changes: {error.strerror}") from None
    return Qcow2(fd, qcow2_header.parse(fd, path), base, write=True)


def _temporary() -> int:
    fd, name = tempfile.mkstemp(prefix="jitemu-disk-")
    os.unlink(name)
    return fd


def _open_overlay(path: str, form: str | None, overlay: str, trust: Trust) -> Disk:
    """Open or make the file that keeps the changes to an image."""
    if not os.path.lexists(overlay):
        base = _open(path, form, trust, write=False)
        size = base.sectors * SECTOR
        kind = "qcow2" if isinstance(base, Qcow2) else "raw"
        base.close()
        _create_whole(overlay, size, os.path.realpath(path), kind)
    disk = _open(overlay, "qcow2", trust, write=True)
    behind = _backing_path(overlay)
    if behind is None or not os.path.samefile(behind, path):
        disk.close()
        raise DiskError(f"{overlay}: holds changes to {behind}, not to {path}")
    return disk


def _backing_path(overlay: str) -> str | None:
    fd = os.open(overlay, os.O_RDONLY | os.O_CLOEXEC)
    try:
        name = qcow2_header.parse(fd, overlay).backing
    finally:
        os.close(fd)
    return None if name is None else os.path.join(os.path.dirname(overlay), name)


def create_image(path: str, size: int, form: str = "qcow2") -> None:
    """Make an empty image of *size* bytes; DiskError if the file exists or cannot be made."""
    if size <= 0 or size % SECTOR:
        raise DiskError(f"{path}: a disk's size is a multiple of {SECTOR} bytes")
    if os.path.lexists(path):
        raise DiskError(f"{path}: exists already")
    if form == "qcow2":
        _create_whole(path, size, None, None)
        return
    try:
        with open(path, "xb") as file:
            file.truncate(size)
    except OSError as error:
        raise DiskError(f"{path}: {error.strerror}") from None


def _create_whole(path: str, size: int, backing: str | None, form: str | None) -> None:
    """Make a qcow2 file that appears under its name when it is whole."""
    folder = os.path.dirname(path) or "."
    name = None
    try:
        fd, name = tempfile.mkstemp(prefix=".jitemu-", dir=folder)
        try:
            qcow2_header.create(fd, size, backing, form)
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(fd, 0o666 & ~mask)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.link(name, path)
    except OSError as error:
        raise DiskError(f"{path}: {error.strerror}") from None
    finally:
        if name is not None:
            os.unlink(name)


def _open(path: str, form: str | None, trust: Trust, *, write: bool, depth: int = 0) -> Disk:
    if form is not None and form not in FORMATS:
        raise DiskError(f"{path}: unknown image format {form!r}; known are {', '.join(FORMATS)}")
    if depth > _DEPTH:
        raise DiskError(f"{path}: more than {_DEPTH} images behind one another")
    fd = open_image(path, write=write)
    try:
        if (form or _format_of(fd, path)) == "qcow2":
            return _open_qcow2(fd, path, trust, write=write, depth=depth)
        if not size_of(fd):
            raise DiskError(f"{path}: the image is empty")
        return Raw(fd, write=write)
    except OSError as error:
        os.close(fd)
        raise DiskError(f"{path}: {error.strerror}") from None
    except BaseException:
        os.close(fd)
        raise


def _format_of(fd: int, path: str) -> str:
    is_called = path.lower().endswith(_CALLED_QCOW2)
    looks = read_at(fd, 0, 4) == qcow2_header.MAGIC
    if looks and not is_called:
        raise DiskError(f"{path}: begins like a qcow2 image; say format=qcow2 or format=raw")
    if not is_called:
        _check_known(read_at(fd, 0, SECTOR), path)
    return "qcow2" if is_called else "raw"


def _check_known(first: bytes, path: str) -> None:
    """DiskError for what would be a disk of garbage if it were read as raw."""
    for name, (offset, magics) in _FOREIGN.items():
        if first.startswith(magics, offset):
            raise DiskError(
                f"{path}: begins like a {name} image, which is not known here: "
                "qemu-img convert -O qcow2 makes one that is; else say format=raw"
            )
    for name, magic in _PACKED.items():
        if first.startswith(magic):
            raise DiskError(f"{path}: begins like a {name} file: unpack it; else say format=raw")


def _open_qcow2(fd: int, path: str, trust: Trust, *, write: bool, depth: int) -> Disk:
    header = qcow2_header.parse(fd, path)
    if write and header.is_damaged:
        raise DiskError(f"{path}: was not closed properly; repair it: qemu-img check -r all {path}")
    backing: Disk | None = None
    if header.backing is not None:
        if header.backing.startswith("json:") or "://" in header.backing:
            raise DiskError(f"{path}: its backing file is not a file: {header.backing}")
        behind = os.path.join(os.path.dirname(path), header.backing)
        trust.check(path, behind)
        backing = _open(behind, header.backing_format, trust, write=False, depth=depth + 1)
    try:
        return Qcow2(fd, header, backing, write=write)
    except OSError as error:
        if backing is not None:
            backing.close()
        raise DiskError(f"{path}: {error.strerror}") from None
