"""Words of -hda, -fda, -cdrom and -drive -> opened images, in the drives of a machine.

An image is never written unless asked: changes go to a temporary file, or to an overlay. The keys
are those of QEMU's -drive.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runtime.devices.cdrom import CdRom
from runtime.disks.disk import Disk, DiskError
from runtime.disks.opening import FORMATS, Access, open_disk
from runtime.machines.storage import Drives

_KEYS = frozenset(
    {"file", "if", "index", "bus", "unit", "media", "format", "snapshot", "readonly"}
    | {"overlay", "backing"}
)
# Keys of QEMU's that change nothing that a guest could see.
_IGNORED = frozenset(
    {"id", "cache", "aio", "discard", "detect-zeroes", "werror", "rerror", "serial"}
    | {"l2-cache-size", "cache-clean-interval", "copy-on-read"}
)
# What QEMU takes for other things than files.
_ELSEWHERE = re.compile("(fat|nbd|https?|ftps?|ssh|iscsi|rbd|nfs|gluster|json|driver|blkdebug):")
_SWITCHES = {"on": True, "off": False}
_PLACES = {"ide": 4, "floppy": 2, "virtio": 16}


@dataclass
class DriveSpec:
    """One drive, as it was asked for."""

    interface: str  # "ide", "floppy" or "virtio"
    index: int | None  # None: the next that is free
    path: str | None  # None: an empty drive
    is_cd: bool = False
    form: str | None = None
    access: Access = "snapshot"
    overlay: str | None = None
    trusts: bool = False  # backing files outside the image's folder


def keys_of(text: str, first: str, *, is_keys: bool = False) -> dict[str, str]:
    """Take apart "a=b,c=d"; what has no sign in front is *first*. ",," stands for a comma.

    Unless it *is_keys* only, the first part may be a path with a sign.
    """
    found: dict[str, str] = {}
    for number, part in enumerate(text.replace(",,", "\0").split(",")):
        name, sign, value = part.replace("\0", ",").partition("=")
        if number == 0 and name not in _KEYS | _IGNORED and not (sign and is_keys):
            name, sign, value = first, "=", part.replace("\0", ",")
        if not sign or name in found:
            raise ValueError(f"{text!r}: expected key=value after each comma")
        found[name] = value
    return found


def parse(
    text: str,
    *,
    interface: str = "ide",
    index: int | None = None,
    media: str = "disk",
    is_keys: bool = False,
) -> DriveSpec:
    """Read "FILE[,key=value...]"; ValueError says what is wrong."""
    found = keys_of(text, "file", is_keys=is_keys)
    keys = {key: value for key, value in found.items() if key not in _IGNORED}
    if unknown := keys.keys() - _KEYS:
        names = ", ".join(sorted(_KEYS))
        raise ValueError(f"{text!r}: there is no {', '.join(sorted(unknown))}=; there are {names}")
    interface = keys.get("if", interface)
    if interface == "none":
        raise ValueError(f"{text!r}: if=none needs id= and a -device with drive=")
    if interface not in _PLACES:
        raise ValueError(f"{text!r}: if={interface}: choose {', '.join(_PLACES)}")
    media = keys.get("media", media)
    if media not in ("disk", "cdrom"):
        raise ValueError(f"{text!r}: media={media}: choose disk or cdrom")
    form = keys.get("format")
    if form is not None and form not in FORMATS:
        raise ValueError(f"{text!r}: format={form}: choose {' or '.join(FORMATS)}")
    if "index" in keys:
        if not keys["index"].isdecimal() or int(keys["index"]) >= _PLACES[interface]:
            raise ValueError(f"{text!r}: index={keys['index']}: 0 to {_PLACES[interface] - 1}")
        index = int(keys["index"])
    if "bus" in keys or "unit" in keys:
        index = _place(keys, interface, text)
    is_snapshot, is_read_only = (_switch(keys, name, text) for name in ("snapshot", "readonly"))
    overlay = keys.get("overlay")
    if overlay is not None and (is_read_only or is_snapshot is not None):
        raise ValueError(f"{text!r}: overlay= stands alone: it keeps all that is written")
    access: Access = "snapshot"
    if is_read_only or media == "cdrom":
        access = "read"
    elif is_snapshot is False:
        access = "write"
    path = keys.get("file") or None
    if path is not None and not os.path.exists(path) and (what := _ELSEWHERE.match(path)):
        raise ValueError(f"{path}: images are files; {what[1]}: is not offered")
    trusts = bool(_switch(keys, "backing", text))
    return DriveSpec(interface, index, path, media == "cdrom", form, access, overlay, trusts)


def _place(keys: Mapping[str, str], interface: str, text: str) -> int:
    """Return the index that bus= and unit= mean."""
    bus, unit = keys.get("bus", "0"), keys.get("unit", "0")
    per_bus = 2 if interface == "ide" else _PLACES[interface]
    if not bus.isdecimal() or not unit.isdecimal() or int(unit) >= per_bus or "index" in keys:
        raise ValueError(f"{text!r}: expected bus=N,unit=N, or index=N")
    index = per_bus * int(bus) + int(unit)
    if index >= _PLACES[interface]:
        raise ValueError(f"{text!r}: there is no bus={bus},unit={unit}")
    return index


def _switch(keys: Mapping[str, str], name: str, text: str) -> bool | None:
    value = keys.get(name)
    if value is None:
        return None
    if value not in _SWITCHES:
        raise ValueError(f"{text!r}: {name}={value}: choose on or off")
    return _SWITCHES[value]


def open_all(specs: Iterable[DriveSpec]) -> tuple[Drives, list[Disk]]:
    """Open what is to be in the drives; also return the virtio disks. ValueError, DiskError."""
    rows: dict[str, list[Disk | CdRom | None]] = {
        "ide": [None] * 4,
        "floppy": [None, None],
        "virtio": [],
    }
    taken: dict[str, set[int]] = {name: set() for name in rows}
    opened: list[Disk] = []
    try:
        for spec in sorted(specs, key=lambda spec: spec.index is None):
            row = rows[spec.interface]
            free = (i for i in range(_PLACES[spec.interface]) if i not in taken[spec.interface])
            index = next(free, None) if spec.index is None else spec.index
            if index is None or index in taken[spec.interface]:
                place = "all places are" if spec.index is None else f"place {spec.index} is"
                raise ValueError(f"{spec.path}: {place} taken at {spec.interface}")
            taken[spec.interface].add(index)
            disk = None
            if spec.path is not None:
                disk = open_disk(
                    spec.path, spec.form, spec.access, spec.overlay, trusts=spec.trusts
                )
                opened.append(disk)
            row.extend([None] * (index + 1 - len(row)))
            row[index] = CdRom(disk) if spec.is_cd else disk
    except BaseException:
        for disk in opened:
            with contextlib.suppress(OSError, DiskError):
                disk.close()
        raise
    floppies = [disk for disk in rows["floppy"] if not isinstance(disk, CdRom)]
    if 1 not in taken["floppy"]:
        floppies = floppies[:1]
    virtio = [disk for disk in rows["virtio"] if disk is not None and not isinstance(disk, CdRom)]
    return Drives(floppies=floppies, ide=rows["ide"]), virtio
