"""Words of -virtfs, -nic and -device -> the paravirtual devices of a machine."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping

from runtime.machines.paravirtual import Forward, Network, Share

DEBUG_EXIT, ENTROPY = "isa-debug-exit", "virtio-rng-pci"
_SHARE_KEYS = frozenset({"path", "mount_tag", "security_model", "readonly", "id"})
MODELS = ("virtio", "virtio-net-pci", "virtio-net")  # of network cards


def share(text: str) -> Share:
    """Read -virtfs: "local,path=DIR,mount_tag=TAG[,readonly=on]"; ValueError says what is wrong.

    security_model may be said, and is always "none": files are the host user's, and links are the
    guest's own.
    """
    kind, sign, rest = text.partition(",")
    if kind != "local" or not sign:
        raise ValueError(f"{text!r}: expected local,path=DIR,mount_tag=TAG")
    keys: dict[str, str] = {}
    for part in rest.replace(",,", "\0").split(","):
        name, _, value = part.replace("\0", ",").partition("=")
        if name not in _SHARE_KEYS or name in keys:
            raise ValueError(f"{text!r}: {name}: expected path=, mount_tag=, readonly=, each once")
        keys[name] = value
    if not keys.get("path") or not keys.get("mount_tag"):
        raise ValueError(f"{text!r}: path=DIR and mount_tag=TAG are needed")
    read_only = keys.get("readonly", "off")
    if read_only not in ("on", "off"):
        raise ValueError(f"{text!r}: readonly={read_only}: choose on or off")
    return Share(keys["path"], keys["mount_tag"], read_only == "on")


def network(text: str) -> Network | None:
    """Read -nic: the network card that there is, if any; ValueError says what is wrong."""
    kind, *keys = text.replace(",,", "\0").split(",")
    if kind == "none" and not keys:
        return None
    if kind != "user":
        raise ValueError(f"{text!r}: choose user or none")
    pairs = []
    for part in keys:
        name, _, value = part.replace("\0", ",").partition("=")
        if name == "model" and value not in MODELS:
            raise ValueError(f"{text!r}: the card is model={MODELS[0]}")
        pairs.append((name, value))
    return network_of([pair for pair in pairs if pair[0] != "model"], text)


def network_of(keys: Iterable[tuple[str, str]], text: str) -> Network:
    """Read hostfwd= and mac=, and what changes nothing; ValueError names *text*."""
    found = Network()
    for name, value in keys:
        if name == "hostfwd":
            found.forwards.append(forward(value))
        elif name == "mac":
            found.mac = _mac(value)
        elif (name, value) not in (("ipv6", "off"), ("ipv4", "on")) and name != "id":
            raise ValueError(f"{text!r}: there is no {name}=; there are hostfwd=, mac=")
    return found


def forward(text: str) -> Forward:
    """Read hostfwd's "tcp:[HOST]:PORT-[GUEST]:PORT"; ValueError.

    Only this host can connect, unless HOST names an address of it that others reach; in QEMU
    everybody can.
    """
    kind, _, rest = text.partition(":")
    host, _, guest = rest.partition("-")
    (address, _, port), (target, _, target_port) = host.rpartition(":"), guest.rpartition(":")
    try:
        ports = int(port), int(target_port)
        for name in (address, target):
            socket.inet_aton(name or "0.0.0.0")
    except (ValueError, OSError):
        ports = (-1, -1)
    if kind not in ("tcp", "") or not all(0 < number < 1 << 16 for number in ports):
        raise ValueError(f"hostfwd={text}: expected tcp:[HOST]:PORT-[GUEST]:PORT")
    return Forward(address or "127.0.0.1", ports[0], target or "10.0.2.15", ports[1])


def _mac(text: str) -> bytes:
    parts = text.split(":")
    try:
        mac = bytes(int(part, 16) for part in parts)
    except ValueError:
        mac = b""
    if len(mac) != 6 or mac[0] & 1:
        raise ValueError(f"mac={text}: expected six bytes as 52:54:00:12:34:56, no group")
    return mac


def debug_exit(keys: Mapping[str, str], text: str) -> int:
    """Return the port of -device isa-debug-exit; ValueError says what is wrong."""
    if keys.keys() - {"iobase", "iosize", "id", "bus"} or any(
        not port_of(keys.get(name, "1")) for name in ("iobase", "iosize")
    ):
        raise ValueError(f"{text!r}: expected iobase=PORT")
    return port_of(keys.get("iobase", "0x501"))


def port_of(text: str) -> int:
    """Read the number of a port; 0 if it is none that a device can have."""
    try:
        number = int(text, 0)
    except ValueError:
        return 0
    return number if 0 < number < 1 << 16 else 0


def firmware_item(text: str) -> tuple[str, str, str]:
    """Read -fw_cfg: "[name=]NAME,file=PATH" or ",string=TEXT"; return name, kind and value.

    ValueError says what is wrong.
    """
    keys: dict[str, str] = {}
    for number, part in enumerate(text.replace(",,", "\0").split(",")):
        name, sign, value = part.replace("\0", ",").partition("=")
        if not sign and not number:
            name, value = "name", name
        if name not in ("name", "file", "string") or name in keys:
            raise ValueError(f"-fw_cfg {text}: expected NAME,file=PATH or NAME,string=TEXT")
        keys[name] = value
    kinds = [kind for kind in ("file", "string") if kind in keys]
    if not keys.get("name") or len(kinds) != 1:
        raise ValueError(f"-fw_cfg {text}: expected NAME,file=PATH or NAME,string=TEXT")
    return keys["name"], kinds[0], keys[kinds[0]]
