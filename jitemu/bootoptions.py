"""Arguments of `jitemu boot` -> what to build and run. Names are QEMU's where it has them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from jitemu import drives, paravirtual, qemuwords
from jitemu.models import MODELS
from jitemu.options import Parser, UsageError, count, seconds
from runtime.machines.paravirtual import Share
from translator import DEFAULT_STRATEGY

DISPLAYS = "text, none, window, png:FILE"
EPILOG = """\
images:
  FILE may carry QEMU's keys: FILE,format=raw|qcow2,snapshot=on|off,readonly=on,overlay=FILE
  What the guest writes goes to a temporary file, unless snapshot=off writes the image itself or
  overlay=FILE keeps all changes in a qcow2 file. A qcow2 image may have backing files in its own
  folder, or below; backing=on trusts it with any.

exit status:
  0 when the machine is switched off or reset (-no-reboot), else
  the guest's, written to the debug-exit port: 2 * value + 1, as in QEMU
  124 --timeout    125 jitemu itself failed    1 a script failed    2 wrong usage, bad files

examples:
  jitemu boot -fda freedos.img                        a diskette, with the built-in BIOS
  jitemu boot -bios /usr/share/seabios/bios-256k.bin -hda disk.qcow2 -m 256
  jitemu boot -kernel vmlinuz -initrd initrd.gz -append console=ttyS0 -serial stdio
  jitemu boot -fda dos.img --script test.txt --display png:end.png
"""
_LONGEST_WAIT = 0xFFFF  # ms that a firmware's menu can wait
_UNITS = {"K": 10, "M": 20, "G": 30}


@dataclass
class BootOptions:
    """What `jitemu boot` was asked to do."""

    drives: list[drives.DriveSpec]
    memory: int
    cpu: str = "max"
    kernel: str | None = None
    initrd: str | None = None
    append: str = ""
    bios: str | None = None
    vgabios: str | None = None
    boot: str = "acdn"
    boot_menu: bool = False
    boot_wait: int | None = None  # ms
    firmware_items: list[tuple[str, str, str]] = field(default_factory=list)
    serial: list[str] = field(default_factory=list)
    parallel: str | None = None
    debug: str | None = None
    debug_exit: int | None = None
    shares: list[Share] = field(default_factory=list)
    has_entropy: bool = False
    has_network: bool = False
    console: str | None = None
    display: str | None = None
    is_terminal_raw: bool = False
    reboots: bool = True
    rtc: datetime | None = None
    clock: str = "host"
    script: str | None = None
    strategy: str = DEFAULT_STRATEGY
    region_threshold: int | None = None
    timeout: float | None = None
    stats: bool = False


def memory_size(text: str) -> int:
    """Read -m: MiB, or a size with a suffix K, M or G; "size=" may stand in front."""
    number = text.partition(",")[0].removeprefix("size=")
    shift = 20
    if number[-1:].upper() in _UNITS:
        number, shift = number[:-1], _UNITS[number[-1].upper()]
    if not number.isdecimal() or not int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no size (as 64, 64M or 1G)")
    return int(number) << shift


class Boot(NamedTuple):
    """What -boot said."""

    order: str = ""  # "": nothing
    has_menu: bool = False
    wait: int | None = None  # ms


def boot_order(text: str) -> Boot:
    """Read -boot: letters, or keys: order=, once=, menu=on and splash-time= (of a menu, in ms)."""
    found = Boot()
    for part in text.split(","):
        name, sign, value = part.partition("=")
        if not sign:
            value, name = name, "order"
        if name in ("order", "once"):
            if not value or set(value) - set("acdn"):
                raise argparse.ArgumentTypeError(f"{text!r}: a diskette, c disk, d CD, n network")
            found = found if found.order else found._replace(order=value)
        elif name == "menu":
            if value not in ("on", "off"):
                raise argparse.ArgumentTypeError(f"{text!r}: menu=on or menu=off")
            found = found._replace(has_menu=value == "on")
        elif name == "splash-time":
            if not value.isdecimal() or int(value) > _LONGEST_WAIT:
                raise argparse.ArgumentTypeError(f"{text!r}: splash-time=0 to {_LONGEST_WAIT}")
            found = found._replace(wait=int(value))
        elif name not in ("strict", "reboot-timeout", "splash"):
            raise argparse.ArgumentTypeError(f"{text!r}: no order=LETTERS")
    return found


def _all_drives(first: str) -> str:
    """Return a boot order that begins so."""
    return "".join(dict.fromkeys(first + "acdn"))


def rtc_base(text: str) -> datetime | None:
    """Read -rtc: base=utc (None), localtime or a date."""
    value = "utc"
    for part in text.split(","):
        name, _, word = part.partition("=")
        if name == "base":
            value = word
        elif name not in ("clock", "driftfix"):
            raise argparse.ArgumentTypeError(f"{text!r}: expected base=utc|localtime|DATE")
    if value == "utc":
        return None
    if value == "localtime":
        return datetime.now().replace(microsecond=0)
    try:
        return datetime.fromisoformat(value).replace(tzinfo=None, microsecond=0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is no date (as 2026-07-04T12:00:00)") from None


def display(text: str) -> str:
    """Read --display; QEMU's names for what is alike are understood."""
    text = {"curses": "text", "gtk": "window", "sdl": "window"}.get(text.partition(",")[0], text)
    kind, _, path = text.partition(":")
    if text not in ("text", "none", "window") and not (kind == "png" and path):
        raise argparse.ArgumentTypeError(f"{text!r}: choose {DISPLAYS}")
    return text


def machine(text: str) -> str:
    """Read -machine: an i440FX PC, whatever its version; keys of which only accel matters."""
    first, *keys = text.removeprefix("type=").split(",")
    if first.startswith(("accel=", "usb=")):
        first, keys = "pc", [first, *keys]
    if first != "pc" and not first.startswith("pc-i440fx"):
        raise argparse.ArgumentTypeError(f"{first!r}: there is pc")
    for key in keys:
        if key.startswith("accel="):
            accelerator(key.removeprefix("accel="))
    return "pc"


def accelerator(text: str) -> str:
    """Read -accel: translation is all there is."""
    if "tcg" not in text.partition(",")[0].split(":"):
        raise argparse.ArgumentTypeError(f"{text!r}: guest code is translated here (tcg)")
    return "tcg"


def one(text: str) -> int:
    """Read -smp: one processor."""
    if text.partition(",")[0].removeprefix("cpus=") != "1":
        raise argparse.ArgumentTypeError("a machine has one processor")
    return 1


def parser() -> Parser:
    """Build the parser."""
    made = Parser(
        prog="jitemu boot",
        usage="jitemu boot [options]",
        description="Start a PC: 32-bit processor, VGA, PS/2, IDE, diskettes, serial ports.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument_group("what it starts").add_argument
    add("image", nargs="?", metavar="IMAGE", help="image of the first hard disk, as -hda")
    for name, what in (("fda", "first diskette"), ("fdb", "second diskette")):
        add(f"-{name}", metavar="FILE", help=f"image of the {what}")
    for name in ("hda", "hdb", "hdc", "hdd"):
        add(f"-{name}", metavar="FILE", help="image of a hard disk")
    add("-cdrom", metavar="FILE", help="image of a CD, in the drive of -hdc")
    add("-drive", action="append", default=[], metavar="KEYS",
        help="file=FILE,if=ide|floppy|virtio,index=N,media=disk|cdrom,...; with if=none,id=ID "
        "for -device ide-hd|ide-cd|virtio-blk-pci|floppy,drive=ID")  # fmt: skip
    add("-snapshot", action="store_true", help="forget all that is written to images (default)")
    add("-kernel", metavar="FILE", help="start a Linux (bzImage) or Multiboot kernel")
    add("-initrd", metavar="FILE",
        help="initial file system of a Linux kernel; modules of a Multiboot kernel, as "
        "FILE WORDS,FILE WORDS,...")  # fmt: skip
    add("-append", default="", metavar="TEXT", help="command line of the kernel")
    add("-bios", metavar="FILE", help="firmware image, instead of the built-in BIOS")
    add("-vgabios", metavar="FILE", help="its video BIOS (vgabios-stdvga.bin beside -bios)")
    add("-boot", type=boot_order, default=Boot(), metavar="LETTERS",
        help="where to boot from: a diskette, c disk, d CD (acdn); menu=on[,splash-time=MS]: "
        "the menu of a firmware that has one")  # fmt: skip
    add = made.add_argument_group("the machine").add_argument
    add("-m", type=memory_size, default=128 << 20, metavar="SIZE", help="MiB of memory (128)")
    add("-cpu", choices=tuple(MODELS), default="max", help="processor (max)")
    add("-smp", type=one, help="1")
    add("-M", "-machine", type=machine, default="pc", metavar="pc", help="an i440FX PC")
    add("-serial", action="append", default=[], metavar="WHERE",
        help="stdio, file:PATH, tcp:HOST:PORT[,server], unix:PATH[,server], null, none; "
        "each for one port")  # fmt: skip
    add("-parallel", metavar="file:PATH", help="where printed bytes go")
    add("-debugcon", metavar="WHERE", help="where bytes sent to port E9h go: stdio or file:PATH")
    add("-device", action="append", default=[], metavar="NAME",
        help="isa-debug-exit[,iobase=PORT]: a port at which the guest ends the machine; "
        "virtio-rng-pci: random bytes of the host; also for what -drive if=none, -netdev, "
        "-chardev and -fsdev define: ide-hd, ide-cd, virtio-blk-pci, floppy, virtio-net-pci, "
        "virtio-9p-pci, virtconsole, isa-serial, isa-debugcon")  # fmt: skip
    for name in ("chardev", "netdev", "fsdev"):
        add(f"-{name}", action="append", default=[], metavar="KIND,id=ID",
            help="what a -device names")  # fmt: skip
    add("-virtfs", action="append", default=[], metavar="local,path=DIR,mount_tag=TAG",
        help="share a folder, by 9p; with readonly=on the guest changes nothing")  # fmt: skip
    add("-virtioconsole", metavar="WHERE", help="a console (hvc0); WHERE as for -serial")
    add("-nic", default="none", metavar="user|none",
        help="user: a virtio network card; the guest reaches what the host reaches, "
        "its own servers as 10.0.2.2 (default: none)")  # fmt: skip
    add("-net", action="append", default=[], metavar="nic|user|none",
        help="the same in two words: -net nic -net user")  # fmt: skip
    add("-fw_cfg", action="append", default=[], metavar="NAME,file=PATH",
        help="a file for firmware and guest to read by fw_cfg; or NAME,string=TEXT")  # fmt: skip
    add("-rtc", type=rtc_base, metavar="base=WHEN", help="utc (default), localtime or a date")
    add("--clock", choices=("host", "icount"), default="host",
        help="guest time is the host's, or 1 ns for each insn, so that runs are alike")  # fmt: skip
    add("-no-reboot", action="store_true", help="end when the guest resets the machine")
    add("-vga", choices=("std",), help="std: the only adapter")
    add("-accel", type=accelerator, metavar="tcg", help="tcg")
    add("-monitor", choices=("none", "null"), help="none")
    add("-name", metavar="TEXT", help="means nothing here, as the following")
    for name in ("-nodefaults", "-no-user-config", "-no-hpet", "-no-fd-bootchk", "-usb"):
        add(name, action="store_true", help=argparse.SUPPRESS)
    add = made.add_argument_group("seeing and steering it").add_argument
    add("-display", "--display", type=display, metavar="WHERE", help=DISPLAYS)
    add("-nographic", action="store_true",
        help="no screen; the first serial port is the terminal, in which Ctrl-A X "
        "ends the machine")  # fmt: skip
    add("--script", metavar="FILE", help="do what its lines say (jitemu/script.py)")
    add("--timeout", type=seconds, metavar="SECONDS", help="end the machine after this time")
    add = made.add_argument_group("translation").add_argument
    add("--strategy", default=DEFAULT_STRATEGY, metavar="NAME",
        help="interp, stencil, block, region or tiered (default)")  # fmt: skip
    add("--region-threshold", type=count, metavar="INSNS",
        help="insns that run around a place until it is compiled as a region")  # fmt: skip
    add("--stats", action="store_true", help="print counts and times at the end, to stderr")
    return made


def parse(words: Sequence[str]) -> BootOptions:
    """Read the arguments; UsageError says what is wrong."""
    found = parser().parse_args(words)
    places = {
        "fda": ("floppy", 0, "disk"),
        "fdb": ("floppy", 1, "disk"),
        "hda": ("ide", 0, "disk"),
        "hdb": ("ide", 1, "disk"),
        "hdc": ("ide", 2, "disk"),
        "hdd": ("ide", 3, "disk"),
        "cdrom": ("ide", 2, "cdrom"),
    }
    if found.image is not None:
        if found.hda is not None:
            raise UsageError(f"{found.image} is -hda, which is given, too")
        found.hda = found.image
    try:
        spelled = qemuwords.resolve(
            drives=found.drive,
            devices=found.device,
            chardevs=found.chardev,
            netdevs=found.netdev,
            fsdevs=found.fsdev,
            serial=found.serial,
            shares=found.virtfs,
        )
        specs = [
            drives.parse(getattr(found, name), interface=interface, index=index, media=media)
            for name, (interface, index, media) in places.items()
            if getattr(found, name) is not None
        ]
        specs += [drives.parse(text) for text in spelled.drives]
        shares = [paravirtual.share(text) for text in spelled.shares]
        devices = dict(paravirtual.device(text) for text in spelled.devices)
        firmware_items = [paravirtual.firmware_item(text) for text in found.fw_cfg]
        networks = [
            paravirtual.network(found.nic),
            qemuwords.network(found.net),
            spelled.has_network,
        ]
    except ValueError as error:
        raise UsageError(str(error)) from None
    if sum(networks) > 1:
        raise UsageError("a machine has one network card")
    if found.snapshot:
        for spec in specs:
            if spec.access == "write":
                spec.access = "snapshot"
    if found.initrd is not None and found.kernel is None:
        raise UsageError("-initrd goes with -kernel")
    if found.append and found.kernel is None:
        raise UsageError("-append goes with -kernel")
    serial = list(spelled.serial)
    if found.nographic and not serial:
        serial = ["stdio"]
    return BootOptions(
        drives=specs,
        memory=found.m,
        cpu=found.cpu,
        kernel=found.kernel,
        initrd=found.initrd,
        append=found.append,
        bios=found.bios,
        vgabios=found.vgabios,
        boot=found.boot.order or _all_drives(spelled.boot),
        boot_menu=found.boot.has_menu,
        boot_wait=found.boot.wait,
        firmware_items=firmware_items,
        serial=serial,
        parallel=found.parallel,
        debug=found.debugcon or spelled.debug,
        debug_exit=devices.get(paravirtual.DEBUG_EXIT),
        shares=shares,
        has_entropy=paravirtual.ENTROPY in devices,
        has_network=any(networks),
        console=found.virtioconsole or spelled.console,
        display="none" if found.nographic else found.display,
        reboots=not found.no_reboot,
        rtc=found.rtc,
        clock=found.clock,
        script=found.script,
        strategy=found.strategy,
        region_threshold=found.region_threshold,
        timeout=found.timeout,
        stats=found.stats,
    )
