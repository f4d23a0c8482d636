"""Arguments of `jitemu boot` -> what to build and run. Names are QEMU's where it has them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jitemu import __version__, drives, paravirtual, qemuoptions, qemuwords
from jitemu.bootwords import (
    DISPLAYS,
    BootOrder,
    accelerator,
    boot_order,
    debug_port,
    display,
    icount,
    machine,
    memory_size,
    one,
    processor,
    rtc_base,
)
from jitemu.models import MODELS
from jitemu.options import Parser, UsageError, count, seconds
from jitemu.serialports import STDIO
from runtime.machines.paravirtual import Network, Share
from translator import DEFAULT_STRATEGY

EPILOG = """\
QEMU:
  One dash or two are the same. Options of QEMU's that change nothing here (-name, -usb, -vga std,
  -monitor none, ...) are left out; others are refused.

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
    boot_once: str = ""
    serial: list[str] = field(default_factory=list)
    parallel: str | None = None
    debug: str | None = None
    debug_port: int = 0xE9
    debug_exit: int | None = None
    shares: list[Share] = field(default_factory=list)
    has_entropy: bool = False
    network: Network | None = None
    console: str | None = None
    display: str | None = None
    reboots: bool = True
    stays: bool = False
    rtc: datetime | None = None
    clock: str = "host"
    ns_per_insn: int = 1
    script: str | None = None
    strategy: str = DEFAULT_STRATEGY
    region_threshold: int | None = None
    timeout: float | None = None
    stats: bool = False
    notes: list[str] = field(default_factory=list)  # what differs from what was asked for

    def uses_stdio(self) -> bool:
        """Whether something of the machine's is connected to stdin or stdout."""
        ends = [*self.serial, self.console, self.parallel, self.debug]
        return any(end in STDIO for end in ends)


_LISTS = {
    "-cpu": MODELS,
    "-M": ("pc", "pc-i440fx-*"),
    "-machine": ("pc", "pc-i440fx-*"),
    "-accel": ("tcg",),
    "-display": DISPLAYS.split(", "),
    "--display": DISPLAYS.split(", "),
    "-device": qemuwords.DEVICES,
}


class Once(argparse.Action):
    """Takes a file; twice would be two in one place."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Keep it."""
        if getattr(namespace, self.dest) is not None:
            raise UsageError(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


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
        add(f"-{name}", action=Once, metavar="FILE", help=f"image of the {what}")
    for name in ("hda", "hdb", "hdc", "hdd"):
        add(f"-{name}", action=Once, metavar="FILE", help="image of a hard disk")
    add("-cdrom", action=Once, metavar="FILE", help="image of a CD, in the place of -hdc")
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
    add("-boot", type=boot_order, default=BootOrder(), metavar="LETTERS",
        help="where to boot from: a diskette, c disk, d CD (acdn); order=LETTERS,once=LETTERS: "
        "the first time otherwise; menu=on[,splash-time=MS]: the menu of a firmware that has "
        "one")  # fmt: skip
    add = made.add_argument_group("the machine").add_argument
    add("-m", type=memory_size, default=128 << 20, metavar="SIZE", help="MiB of memory (128)")
    add("-cpu", type=processor, default="max", metavar="NAME",
        help=f"processor: {', '.join(MODELS)} (max)")  # fmt: skip
    add("-smp", type=one, help="1")
    add("-M", "-machine", type=machine, metavar="pc", help="an i440FX PC")
    add("-serial", action="append", default=[], metavar="WHERE",
        help="stdio, mon:stdio, pty, file:PATH, tcp:HOST:PORT[,server[,nowait]], telnet: as tcp:, "
        "unix:PATH[,server[,nowait]], null, none; each for one port")  # fmt: skip
    add("-parallel", metavar="WHERE", help="where printed bytes go: stdio, file:PATH, none")
    add(
        "-debugcon", metavar="WHERE", help="where bytes sent to port E9h go: stdio, file:PATH, none"
    )
    add("-global", dest="debug_port", type=debug_port, metavar="isa-debugcon.iobase=PORT",
        help="another port for them")  # fmt: skip
    add("-device", action="append", default=[], metavar="NAME",
        help="isa-debug-exit[,iobase=PORT]: a port at which the guest ends the machine; "
        "virtio-rng-pci: random bytes of the host; also for what -drive if=none, -netdev, "
        "-chardev and -fsdev define: ide-hd, ide-cd, virtio-blk-pci, floppy, virtio-net-pci, "
        "virtio-9p-pci, virtconsole, isa-serial, isa-debugcon")  # fmt: skip
    for name in ("chardev", "netdev", "fsdev", "object"):
        add(f"-{name}", action="append", default=[], metavar="KIND,id=ID",
            help="what a -device names")  # fmt: skip
    add("-virtfs", action="append", default=[], metavar="local,path=DIR,mount_tag=TAG",
        help="share a folder, by 9p; with readonly=on the guest changes nothing")  # fmt: skip
    add("-virtioconsole", metavar="WHERE", help="a console (hvc0); WHERE as for -serial")
    add("-nic", default="none", metavar="user|none",
        help="user: a virtio network card; the guest reaches what the host reaches, "
        "its own servers as 10.0.2.2; with user,hostfwd=tcp:[HOST]:PORT-[GUEST]:PORT programs of "
        "the host reach the guest's (default: none)")  # fmt: skip
    add("-net", action="append", default=[], metavar="nic|user|none",
        help="the same in two words: -net nic -net user")  # fmt: skip
    add("-fw_cfg", action="append", default=[], metavar="NAME,file=PATH",
        help="a file for firmware and guest to read by fw_cfg; or NAME,string=TEXT")  # fmt: skip
    add("-rtc", type=rtc_base, metavar="base=WHEN", help="utc (default), localtime or a date")
    add("--clock", choices=("host", "icount"), default="host",
        help="guest time is the host's, or 1 ns for each insn, so that runs are alike")  # fmt: skip
    add("-icount", type=icount, metavar="shift=N", help="the same with 2**N ns for each insn")
    add("-no-reboot", action="store_true", help="end when the guest resets the machine")
    add("-no-shutdown", action="store_true",
        help="when the guest has ended, let its screen stand until somebody quits")  # fmt: skip
    add("-accel", type=accelerator, metavar="tcg", help="tcg")
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
    add("-version", "--version", action="version", version=f"jitemu {__version__}",
        help="print the version and end")  # fmt: skip
    add("--stats", action="store_true", help="print counts and times at the end, to stderr")
    return made


def _all_drives(first: str) -> str:
    """Return a boot order that begins so."""
    return "".join(dict.fromkeys(first + "acdn"))


def parse(words: Sequence[str]) -> BootOptions:
    """Read the arguments; UsageError says what is wrong."""
    made = parser()
    values = {
        option: action.nargs != 0 for action in made._actions for option in action.option_strings
    }
    found = made.parse_args(qemuoptions.translate(words, values, _LISTS))
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
            objects=found.object,
            serial=found.serial,
            shares=found.virtfs,
        )
        specs = [
            drives.parse(getattr(found, name), interface=interface, index=index, media=media)
            for name, (interface, index, media) in places.items()
            if getattr(found, name) is not None
        ]
        specs += [drives.parse(text, is_keys=True) for text in spelled.drives]
        shares = [paravirtual.share(text) for text in spelled.shares]
        firmware_items = [paravirtual.firmware_item(text) for text in found.fw_cfg]
        networks = [
            paravirtual.network(found.nic),
            qemuwords.network(found.net),
            spelled.network,
        ]
    except ValueError as error:
        raise UsageError(str(error)) from None
    networks = [network for network in networks if network is not None]
    if len(networks) > 1:
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
    console = found.virtioconsole or spelled.console
    if found.nographic and not serial and console not in STDIO:
        serial = ["stdio"]
    if sum(end in STDIO for end in (*serial, console)) > 1:
        raise UsageError("stdio can be one port's only")
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
        boot_once=found.boot.once,
        serial=serial,
        parallel=found.parallel,
        debug=found.debugcon or spelled.debug,
        debug_port=found.debug_port or spelled.debug_port,
        debug_exit=spelled.debug_exit,
        shares=shares,
        has_entropy=spelled.has_entropy,
        network=networks[0] if networks else None,
        console=console,
        display="none" if found.nographic else found.display,
        reboots=not found.no_reboot,
        stays=found.no_shutdown,
        rtc=found.rtc,
        clock="icount" if found.icount else found.clock,
        ns_per_insn=found.icount or 1,
        script=found.script,
        strategy=found.strategy,
        region_threshold=found.region_threshold,
        timeout=found.timeout,
        stats=found.stats,
        notes=[
            f"{name}: guest code is translated here, as by tcg"
            for name in dict.fromkeys((found.accel, found.M))
            if name
        ],
    )
