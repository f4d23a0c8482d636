"""Words of -virtfs, -nic and -device -> the paravirtual devices of a machine."""

from __future__ import annotations

from runtime.machines.paravirtual import Share

DEBUG_EXIT, ENTROPY = "isa-debug-exit", "virtio-rng-pci"
_SHARE_KEYS = frozenset({"path", "mount_tag", "security_model", "readonly", "id"})
_MODELS = ("virtio", "virtio-net-pci")


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


def network(text: str) -> bool:
    """Read -nic: whether there is a network card; ValueError says what is wrong."""
    kind, *keys = text.split(",")
    if kind == "none" and not keys:
        return False
    for part in keys:
        name, _, value = part.partition("=")
        if name != "model" or value not in _MODELS:
            raise ValueError(f"{text!r}: expected user,model=virtio")
    if kind != "user":
        raise ValueError(f"{text!r}: choose user or none")
    return True


def device(text: str) -> tuple[str, int]:
    """Read -device: a known device, and its port; ValueError says what is wrong."""
    name, *keys = text.split(",")
    if name == ENTROPY and not keys:
        return name, 0
    if name != DEBUG_EXIT:
        raise ValueError(f"{name!r}: only {DEBUG_EXIT} and {ENTROPY} are known")
    port = 0x501
    for part in keys:
        key, _, value = part.partition("=")
        number = port_of(value)
        if key not in ("iobase", "iosize") or not number:
            raise ValueError(f"{text!r}: expected iobase=PORT")
        port = number if key == "iobase" else port
    return name, port


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
