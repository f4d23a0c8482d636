"""QEMU's options that `jitemu boot` does not have -> left out where nothing could be seen of them.

What would be missed is refused, in one line that names the nearest thing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

from jitemu.options import UsageError

# Options that change nothing that a guest or its user could see, and whether a value follows.
_MEANINGLESS = {
    "mem-prealloc": False,
    "msg": True,
    "name": True,
    "no-fd-bootchk": False,
    "no-hpet": False,
    "no-user-config": False,
    "nodefaults": False,
    "nodefconfig": False,
    "overcommit": True,
    "tb-size": True,
    "usb": False,
    "uuid": True,
}
# Options of which one value alone is what a machine is anyway.
_ONLY = {
    "audio": ("none",),
    "audiodev": ("none",),
    "balloon": ("none",),
    "k": ("en-us",),
    "monitor": ("none", "null", "vc"),
    "qmp": ("none",),
    "sandbox": ("off",),
    "vga": ("std",),
    "vnc": ("none",),
}
_SAME = {
    "enable-kvm": ("-accel", "kvm"),
    "curses": ("-display", "text"),
    "sdl": ("-display", "window"),
    "localtime": ("-rtc", "base=localtime"),
    "no-kvm": ("-accel", "tcg"),
    "help": ("--help",),
    "?": ("--help",),
}
_NO_MONITOR = "there is no monitor; --script, -display and jitemu.Machine (Python) steer a machine"
_NO_DEBUGGER = "there is no debugger's port; --stats, and `jitemu run -d` for programs, look inside"
_NO_SOUND = "a machine is silent"
_NO_REMOTE = "there is no remote screen; -display window, text or png:FILE"
_NO_FIRMWARE = "tables of the firmware cannot be changed; -fw_cfg gives it files"
_NO_DISK = "give it by -drive file=FILE,if=ide|virtio|floppy"
_NO_STATE = "machines cannot be saved; -hda FILE,overlay=CHANGES.qcow2 keeps what a disk had"
_REFUSED = {
    "S": _NO_DEBUGGER,
    "s": _NO_DEBUGGER,
    "gdb": _NO_DEBUGGER,
    "d": _NO_DEBUGGER,
    "D": _NO_DEBUGGER,
    "trace": _NO_DEBUGGER,
    "plugin": _NO_DEBUGGER,
    "singlestep": "--strategy interp executes one insn at a time",
    "monitor": _NO_MONITOR,
    "mon": _NO_MONITOR,
    "qmp": _NO_MONITOR,
    "qmp-pretty": _NO_MONITOR,
    "vga": "std is the only adapter",
    "vnc": _NO_REMOTE,
    "spice": _NO_REMOTE,
    "full-screen": "-display window has a size of its own",
    "g": "the guest chooses its resolution",
    "k": "keys are those of a US keyboard (en-us)",
    "audio": _NO_SOUND,
    "audiodev": _NO_SOUND,
    "soundhw": _NO_SOUND,
    "usbdevice": "there is no USB; a PS/2 keyboard and mouse are always there",
    "L": "-bios and -vgabios take the whole path of a file",
    "option-rom": "-vgabios FILE is the only expansion ROM",
    "no-acpi": _NO_FIRMWARE,
    "acpitable": _NO_FIRMWARE,
    "smbios": _NO_FIRMWARE,
    "pflash": "-bios FILE is the firmware",
    "dtb": "-append gives a kernel its words",
    "sd": _NO_DISK,
    "mtdblock": _NO_DISK,
    "blockdev": _NO_DISK,
    "global": "give a device its keys by -device NAME,key=value",
    "set": "give a device its keys by -device NAME,key=value",
    "redir": "-nic user,hostfwd=tcp::PORT-:PORT",
    "tftp": "a host's server is 10.0.2.2 for the guest",
    "daemonize": "let the shell do it: jitemu boot ... &",
    "runas": "start jitemu as that user",
    "chroot": "a guest sees only what it is given",
    "sandbox": "a guest sees only what it is given",
    "numa": "a machine has one processor",
    "mem-path": "-m SIZE",
    "watchdog": "--timeout SECONDS ends a machine",
    "action": "-no-reboot and -no-shutdown",
    "loadvm": _NO_STATE,
    "incoming": _NO_STATE,
    "snapshot-file": _NO_STATE,
    "readconfig": "options stand on the command line",
    "writeconfig": "options stand on the command line",
    "balloon": "-m SIZE is fixed",
}


def translate(
    words: Iterable[str], known: Mapping[str, bool], lists: Mapping[str, Iterable[str]]
) -> list[str]:
    """Return the words with QEMU's spellings replaced and what means nothing left out.

    *known*: the options that there are, and whether a value follows; in QEMU one dash or two are
    the same. *lists*: the values of those that take "help", which is answered here (SystemExit).
    UsageError for the first that cannot be.
    """
    found: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, sign, _ = word.partition("=")
        bare = name.removeprefix("-").removeprefix("-")
        if not word.startswith("-") or not bare:
            found.append(word)
            continue
        option = next((form for form in (name, f"-{bare}", f"--{bare}") if form in known), None)
        if option is not None and (not sign or option.startswith("--")):
            found.append(option + word[len(name) :])
            if known[option] and not sign and left:
                if left[0] in ("help", "?") and option in lists:
                    print(*lists[option], sep="\n", flush=True)
                    raise SystemExit(0)
                found.append(left.pop(0))
        elif bare in _SAME and not sign:
            found += _SAME[bare]
        elif bare in _MEANINGLESS and not sign:
            if _MEANINGLESS[bare]:
                _value(word, left)
        elif bare in _ONLY and _value(word, left).partition(",")[0] in _ONLY[bare]:
            pass
        elif bare in _REFUSED:
            raise UsageError(f"-{bare}: {_REFUSED[bare]}")
        else:
            raise UsageError(f"there is no option {name}{_near(name, bare, known)}")
    return found


def _value(word: str, left: list[str]) -> str:
    if not left:
        raise UsageError(f"{word}: a value is missing")
    return left.pop(0)


def _near(name: str, bare: str, known: Mapping[str, bool]) -> str:
    """Name the option that is spelled most alike."""
    names = {form.lstrip("-"): form for form in known}
    near = difflib.get_close_matches(bare, names, 1, 0.7)
    return f"; there is {names[near[0]]}" if near else ""


# -- devices -------------------------------------------------------------------------------------
_INSTEAD: Sequence[tuple[tuple[str, ...], str]] = (
    (("e1000", "rtl8139", "ne2k", "pcnet", "i825", "vmxnet", "tulip", "usb-net"), "virtio-net-pci"),
    (("usb-storage", "scsi", "virtio-scsi", "nvme", "ahci", "ich9-ahci", "lsi53", "megasas",
      "sdhci", "sd-card", "ide-drive"), "ide-hd, ide-cd and virtio-blk-pci"),
    (("usb", "piix3-usb", "piix4-usb", "qemu-xhci", "nec-usb", "ich9-usb"),
     "a PS/2 keyboard and mouse, always there"),
    (("virtio-keyboard", "virtio-mouse", "virtio-tablet"),
     "a PS/2 keyboard and mouse, always there"),
    (("virtio-vga", "virtio-gpu", "cirrus-vga", "qxl", "vmware-svga", "bochs", "ati-vga"),
     "VGA, which is always there"),
    (("pci-serial", "usb-serial", "virtserialport"), "isa-serial and virtconsole"),
    (("virtio-9p", "vhost-user-fs"), "virtio-9p-pci"),
)  # fmt: skip
_SOUND = (
    "sb16", "ac97", "adlib", "cs4231", "es1370", "gus", "hda", "intel-hda", "ich9-intel-hda",
    "pcspk", "virtio-sound", "usb-audio",
)  # fmt: skip


def instead_of(device: str, known: Sequence[str]) -> str:
    """Say what there is instead of a device of QEMU's, or all that there are."""
    name = device.lower()
    if name.startswith(_SOUND):
        return _NO_SOUND
    for prefixes, what in _INSTEAD:
        if name.startswith(prefixes):
            return f"there is {what}" if what.startswith(("a ", "VGA")) else f"choose {what}"
    return f"there are {', '.join(known)}"
