"""Words of single options of `jitemu boot` -> what they mean; argparse calls these."""

from __future__ import annotations

import argparse
import re
from datetime import datetime
from typing import NamedTuple

from jitemu.models import MODELS
from jitemu.paravirtual import port_of

DISPLAYS = "text, none, window, png:FILE"
_SHIFT_MAX = 10  # of -icount: an insn takes 1024 ns
_LONGEST_WAIT = 0xFFFF  # ms that a firmware's menu can wait
_UNITS = {"K": 10, "M": 20, "G": 30, "T": 40}


class BootOrder(NamedTuple):
    """What -boot says."""

    order: str = ""  # letters; "": nothing
    once: str = ""  # those of the first boot, if they are others
    has_menu: bool = False
    wait: int | None = None  # ms that the menu can be asked for


def memory_size(text: str) -> int:
    """Read -m: MiB, or a size with a suffix K, M or G; "size=" may stand in front."""
    number, *more = text.removeprefix("size=").split(",")
    if any(part.partition("=")[0] not in ("slots", "maxmem") for part in more):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a size (as 64, 64M or 1G)")
    shift = 20
    if number[-1:].upper() in _UNITS:
        number, shift = number[:-1], _UNITS[number[-1].upper()]
    if not number.isdecimal() or not int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no size (as 64, 64M or 1G)")
    return int(number) << shift


def boot_order(text: str) -> BootOrder:
    """Read -boot: letters, or keys: order=, once=, menu= and splash-time= (of a menu, in ms)."""
    found = BootOrder()
    for part in text.split(","):
        name, sign, value = part.partition("=")
        if not sign:
            name, value = "order", name
        if name in ("order", "once"):
            if not value or set(value) - set("acdn"):
                raise argparse.ArgumentTypeError(f"{text!r}: a diskette, c disk, d CD, n network")
            found = found._replace(once=value) if name == "once" else found._replace(order=value)
        elif name == "menu":
            if value not in ("on", "off"):
                raise argparse.ArgumentTypeError(f"{text!r}: menu=on or menu=off")
            found = found._replace(has_menu=value == "on")
        elif name == "splash-time":
            if not value.isdecimal() or int(value) > _LONGEST_WAIT:
                raise argparse.ArgumentTypeError(f"{text!r}: splash-time=0 to {_LONGEST_WAIT}")
            found = found._replace(wait=int(value))
        elif name != "strict":
            raise argparse.ArgumentTypeError(f"{text!r}: expected order=LETTERS, once=LETTERS")
    return found


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


def icount(text: str) -> int:
    """Read -icount: return how many ns of guest time an insn takes, a power of 2 as in QEMU."""
    shift = ""
    for part in text.split(","):
        name, found, word = part.partition("=")
        if name == "shift" or not found:
            shift = word if found else name
        elif (name, word) not in (("align", "off"), ("sleep", "off")):
            raise argparse.ArgumentTypeError(
                f"{text!r}: expected shift=N; a halted guest's time jumps"
            )
    if not shift.isdecimal() or int(shift) > _SHIFT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}: expected shift=N, N from 0 to {_SHIFT_MAX}")
    return 1 << int(shift)


def display(text: str) -> str:
    """Read --display; QEMU's names for what is alike are understood."""
    text = {"curses": "text", "gtk": "window", "sdl": "window"}.get(text.partition(",")[0], text)
    kind, _, path = text.partition(":")
    if text not in ("text", "none", "window") and not (kind == "png" and path):
        raise argparse.ArgumentTypeError(f"{text!r}: choose {DISPLAYS}")
    return text


_ACCELERATORS = ("kvm", "hax", "hvf", "nvmm", "whpx", "xen")
# Keys of -machine that change nothing that a guest sees here.
_MACHINE_KEYS = {
    "acpi": "on",
    "dump-guest-core": "on off",
    "hpet": "off",
    "kernel-irqchip": "on off split",
    "kernel_irqchip": "on off split",
    "mem-merge": "on off",
    "nvdimm": "off",
    "sata": "off",
    "smm": "off",
    "usb": "on off",
    "vmport": "on off auto",
}


def machine(text: str) -> str:
    """Read -machine: an i440FX PC, whatever its version; return the accelerator, "" for any."""
    first, *keys = text.removeprefix("type=").split(",")
    if "=" in first:
        first, keys = "pc", [first, *keys]
    if first != "pc" and not first.startswith("pc-i440fx"):
        raise argparse.ArgumentTypeError(f"{first!r}: there is pc, an i440FX")
    found = ""
    for key in keys:
        if key.startswith("accel="):
            found = accelerator(key.removeprefix("accel="))
        elif key.partition("=")[2] not in _MACHINE_KEYS.get(key.partition("=")[0], "").split():
            raise argparse.ArgumentTypeError(f"{key!r} cannot be changed")
    return found


def accelerator(text: str) -> str:
    """Read -accel: translation is all there is; return what else was asked for."""
    names = text.partition(",")[0].split(":")
    if "tcg" in names:
        return ""
    if names[0] not in _ACCELERATORS:
        raise argparse.ArgumentTypeError(f"{text!r}: there is tcg: guest code is translated")
    return names[0]


def one(text: str) -> int:
    """Read -smp: one processor."""
    if any(part.rpartition("=")[2] != "1" for part in text.split(",")):
        raise argparse.ArgumentTypeError("a machine has one processor")
    return 1


def processor(text: str) -> str:
    """Read -cpu: one of ours."""
    name, _, features = text.partition(",")
    name = {"host": "max"}.get(name, name)
    if features:
        raise argparse.ArgumentTypeError(f"{features!r}: features cannot be changed one by one")
    if name not in MODELS:
        names = ", ".join(MODELS)
        raise argparse.ArgumentTypeError(f"{name!r}: there are {names}; max has most")
    return name


def debug_port(text: str) -> int:
    """Read -global: the port of the debug console."""
    found = re.fullmatch(r"isa-debugcon\.iobase=(.+)", text)
    port = port_of(found[1]) if found else 0
    if not port:
        raise argparse.ArgumentTypeError(f"{text!r}: there is isa-debugcon.iobase=PORT")
    return port
