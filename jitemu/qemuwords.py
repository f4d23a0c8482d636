"""QEMU's long spellings (-device, -netdev, -chardev, -fsdev, -net, -object) -> the short ones.

In: what the command line said. Out: lists in the forms of -drive, -serial, -virtfs and -nic, so
that what they mean is read in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jitemu.paravirtual import (
    DEBUG_EXIT,
    ENTROPY,
    MODELS,
    debug_exit,
    network_of,
    port_of,
)
from jitemu.qemuoptions import instead_of
from runtime.machines.paravirtual import Network

_DRIVES = {
    "ide-hd": "if=ide,media=disk",
    "ide-cd": "if=ide,media=cdrom",
    "virtio-blk-pci": "if=virtio",
    "virtio-blk": "if=virtio",
    "floppy": "if=floppy",
}
_LETTERS = {"ide-hd": "c", "ide-cd": "d", "virtio-blk-pci": "c", "virtio-blk": "c", "floppy": "a"}
_CARDS = ("virtio-net-pci", "virtio-net")
# Keys of -device that change nothing here, and those of each device that do.
_PLACING = {"id", "bus", "addr", "romfile", "rombar", "disable-legacy", "disable-modern", "vectors"}
_DISK_KEYS = {"drive", "unit", "bootindex", "write-cache", "serial"}
_CARD_KEYS = {"netdev", "mac", "bootindex"}
_ALLOWED = {
    **dict.fromkeys(_DRIVES, _DISK_KEYS),
    **dict.fromkeys(_CARDS, _CARD_KEYS),
    ENTROPY: {"rng"},
    DEBUG_EXIT: {"iobase", "iosize"},
    "virtio-9p-pci": {"fsdev", "mount_tag"},
    "virtconsole": {"chardev", "name", "nr"},
    "isa-serial": {"chardev", "index"},
    "isa-debugcon": {"chardev", "iobase", "readback"},
    "virtio-serial-pci": {"max_ports"},
    "virtio-serial": {"max_ports"},
}
_SOCKET_KEYS = {"path", "host", "port", "server", "wait", "nowait", "telnet", "nodelay", "ipv4"}
_CHARDEV_KEYS = {
    "stdio": {"mux", "signal"},
    "file": {"path"},
    "socket": _SOCKET_KEYS,
}
_PRESENT = ("VGA", "virtio-serial-pci", "virtio-serial", "isa-fdc", "piix3-ide", "i8042")
DEVICES = (*_DRIVES, *_CARDS, ENTROPY, DEBUG_EXIT, "virtio-9p-pci", "virtconsole", "isa-serial")
DEVICES += ("isa-debugcon", "VGA")
_NOT_PLACES = ("if", "index", "bus", "unit", "media")  # of -drive: the device says them
Keys = dict[str, str]


@dataclass
class Words:
    """What -drive, -device, -serial and so on came to."""

    drives: list[str]
    serial: list[str]
    shares: list[str]
    console: str | None = None
    debug: str | None = None
    debug_port: int = 0xE9
    debug_exit: int | None = None
    has_entropy: bool = False
    network: Network | None = None
    boot: str = ""  # letters in the order of bootindex=; "": nobody said


def keys_of(text: str, option: str) -> tuple[str, Keys]:
    """Take apart "NAME,key=value,..."; a key alone is "on". ValueError.

    hostfwd= alone may stand there more than once: its values are joined by commas.
    """
    name, *parts = (part.replace("\0", ",") for part in text.replace(",,", "\0").split(","))
    keys: Keys = {}
    if "=" in name:
        parts, name = [name, *parts], ""
    for part in parts:
        key, sign, value = part.partition("=")
        if key == "hostfwd" and key in keys:
            keys[key] += f",{value}"
            continue
        if not key or key in keys:
            raise ValueError(f"{option} {text}: expected NAME,key=value,... each key once")
        keys[key] = value if sign else "on"
    return name, keys


def text_of(keys: Keys) -> str:
    """Build "key=value,key=value"."""
    return ",".join(f"{key}={value.replace(',', ',,')}" for key, value in keys.items())


class _Named:
    """Things with id=, each of which one device takes."""

    def __init__(self, option: str, texts: Iterable[str]) -> None:
        self.option = option
        self.found: dict[str, tuple[str, Keys]] = {}
        for text in texts:
            name, keys = keys_of(text, option)
            number = keys.pop("id", "")
            if not number or number in self.found:
                raise ValueError(f"{option} {text}: an id= of its own is needed")
            self.found[number] = name, keys

    def take(self, keys: Keys, key: str, text: str) -> tuple[str, Keys]:
        """Return and remove what *key* names."""
        if keys.get(key) not in self.found:
            raise ValueError(f"-device {text}: {key}= has to name a {self.option}")
        return self.found.pop(keys[key])

    def check_all_taken(self) -> None:
        """ValueError for what nobody uses."""
        for number in self.found:
            raise ValueError(f"{self.option} with id={number}: no -device uses it")


def place_of(kind: str, keys: Keys) -> str:
    """Return -serial's form of a -chardev."""
    if unknown := keys.keys() - _CHARDEV_KEYS.get(kind, set()):
        raise ValueError(f"-chardev {kind}: there is no {', '.join(sorted(unknown))}=")
    server = ""
    if keys.get("server", "off") == "on":
        is_patient = keys.get("wait", "on") == "on" and "nowait" not in keys
        server = ",server=on" + ("" if is_patient else ",wait=off")
    if kind == "stdio":
        is_ours = keys.get("mux") != "on" and keys.get("signal") != "off"
        return kind if is_ours else "mon:stdio"
    if kind in ("null", "pty"):
        return kind
    if kind == "file" and keys.get("path"):
        return f"file:{keys['path']}"
    if kind == "socket" and keys.get("path"):
        return f"unix:{keys['path']}{server}"
    if kind == "socket" and keys.get("port"):
        name = "telnet" if keys.get("telnet") == "on" else "tcp"
        return f"{name}:{keys.get('host', '')}:{keys['port']}{server}"
    raise ValueError(f"-chardev {kind}: choose stdio, null, pty, file,path= or socket,path=|port=")


def network(net: Iterable[str]) -> Network | None:
    """Read -net: "nic" and "user" together are a network, "none" is none; ValueError."""
    kinds: dict[str, Keys] = {}
    for text in net:
        kind, keys = keys_of(text, "-net")
        model = keys.pop("model", MODELS[0]) if kind == "nic" else MODELS[0]
        if kind == "nic" and "macaddr" in keys:
            keys["mac"] = keys.pop("macaddr")
        if kind not in ("nic", "user", "none") or model not in MODELS or kind in kinds:
            raise ValueError(f"-net {text}: choose nic,model={MODELS[0]} with user, or none")
        kinds[kind] = keys
    if kinds and kinds.keys() not in ({"none"}, {"nic", "user"}):
        raise ValueError("-net: nic and user belong together")
    if "user" not in kinds:
        return None
    return _network(kinds["user"] | kinds["nic"], "-net")


def _network(keys: Keys, text: str) -> Network:
    pairs = [(key, v) for key, value in keys.items() for v in value.split(",")]
    return network_of(pairs, text)


def resolve(
    *,
    drives: Iterable[str],
    devices: Iterable[str],
    chardevs: Iterable[str] = (),
    netdevs: Iterable[str] = (),
    fsdevs: Iterable[str] = (),
    objects: Iterable[str] = (),
    serial: Iterable[str] = (),
    shares: Iterable[str] = (),
) -> Words:
    """Bring devices together with what they name; ValueError says what does not fit."""
    alone: list[str] = []
    named: list[str] = []
    for text in drives:
        (named if keys_of(text, "-drive")[1].get("if") == "none" else alone).append(text)
    disks, lines = _Named("-drive if=none", named), _Named("-chardev", chardevs)
    networks, folders = _Named("-netdev", netdevs), _Named("-fsdev", fsdevs)
    sources = _Named("-object", objects)
    words = Words(alone, [], list(shares))
    order: list[tuple[int, str]] = []

    def line(keys: Keys, text: str) -> str:
        return place_of(*lines.take(keys, "chardev", text))

    def disk(name: str, keys: Keys, text: str) -> None:
        path, drive = disks.take(keys, "drive", text)
        if path:
            drive["file"] = path
        made = {key: value for key, value in drive.items() if key not in _NOT_PLACES}
        if "bus" in keys or "unit" in keys:
            bus = keys.get("bus", "ide.0").removeprefix("ide.")
            if name[:3] == "ide" and not (bus + keys.get("unit", "0")).isdecimal():
                raise ValueError(f"-device {text}: expected bus=ide.0|ide.1,unit=0|1")
            if name[:3] == "ide":
                made["index"] = str(2 * int(bus) + int(keys.get("unit", "0")))
        if keys.get("bootindex", "0").isdecimal() and "bootindex" in keys:
            order.append((int(keys["bootindex"]), _LETTERS[name]))
        words.drives.append(f"{text_of(made)},{_DRIVES[name]}")

    def card(name: str, keys: Keys, text: str) -> None:
        kind, rest = networks.take(keys, "netdev", text)
        if kind != "user" or words.network is not None:
            raise ValueError("-netdev: one user,id=ID[,hostfwd=...] is all there is")
        mac = {"mac": keys["mac"]} if "mac" in keys else {}
        words.network = _network(rest | mac, f"-netdev {kind}")

    def folder(name: str, keys: Keys, text: str) -> None:
        kind, rest = folders.take(keys, "fsdev", text)
        words.shares.append(f"{kind},{text_of(rest | {'mount_tag': keys.get('mount_tag', '')})}")

    def console(name: str, keys: Keys, text: str) -> None:
        if words.console is not None:
            raise ValueError(f"-device {text}: there is one console")
        words.console = line(keys, text)

    def debug(name: str, keys: Keys, text: str) -> None:
        words.debug_port = port_of(keys.get("iobase", "0xe9"))
        if not words.debug_port:
            raise ValueError(f"-device {text}: expected iobase=PORT")
        words.debug = line(keys, text)

    def entropy(name: str, keys: Keys, text: str) -> None:
        if "rng" in keys:
            kind, rest = sources.take(keys, "rng", text)
            file = rest.pop("filename", "/dev/urandom")
            if rest or file not in ("/dev/urandom", "/dev/random"):
                raise ValueError(f"-object {kind}: random bytes are the host's (/dev/urandom)")
        words.has_entropy = True

    def ends(name: str, keys: Keys, text: str) -> None:
        words.debug_exit = debug_exit(keys, text)

    makers: dict[str, Callable[[str, Keys, str], None]] = {
        **dict.fromkeys(_DRIVES, disk),
        **dict.fromkeys(_CARDS, card),
        "virtio-9p-pci": folder,
        "virtconsole": console,
        "isa-serial": lambda name, keys, text: words.serial.append(line(keys, text)),
        "isa-debugcon": debug,
        ENTROPY: entropy,
        DEBUG_EXIT: ends,
    }
    for text in objects:
        if text.partition(",")[0] not in ("rng-random", "rng-builtin"):
            raise ValueError(f"-object {text}: there is rng-random, for {ENTROPY}")
    for place in serial:
        kind, _, number = place.partition(":")
        words.serial.append(line({"chardev": number}, place) if kind == "chardev" else place)
    for text in devices:
        name, keys = keys_of(text, "-device")
        if name not in makers and name not in _PRESENT:
            raise ValueError(f"-device {name}: not there; {instead_of(name, DEVICES)}")
        if unknown := keys.keys() - _PLACING - _ALLOWED.get(name, set()):
            raise ValueError(f"-device {name}: there is no {', '.join(sorted(unknown))}=")
        if name in makers:
            makers[name](name, keys, text)
    for group in (disks, networks, folders, sources):
        group.check_all_taken()
    words.boot = "".join(dict.fromkeys(letter for _, letter in sorted(order)))
    return words
