"""The Python interface to a whole PC: images in; its screen, keyboard, mouse and ports out."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING

from jitemu import drives, paravirtual
from jitemu.models import model_named
from runtime.devices.cdrom import CdRom
from runtime.devices.diskette import Drive
from runtime.disks.opening import open_disk
from runtime.loaders import multiboot
from runtime.loaders.bzimage import is_bzimage
from runtime.machines.pc import Pc, PcConfig
from translator import DEFAULT_STRATEGY
from translator.strategies import STRATEGIES

if TYPE_CHECKING:
    from runtime.screen.console import Console
    from runtime.screen.screen import Screen

Path = str | os.PathLike[str]
_LOOK = 0.02  # s between looks at a condition
_KEPT = 16 << 20  # bytes of serial output
_UNFINISHED = "timeout", "until"  # reasons after which a machine can go on
_open: Machine | None = None  # all guests share one arena of host code


@dataclass(frozen=True, slots=True)
class Ended:
    """Why `Machine.run` returned.

    reason: "power off", "reset" (with reboot=False), "triple fault" (the same), "exit" (the guest
    wrote to the debug-exit port), "stop", "until" or "timeout".
    """

    reason: str
    status: int | None = None  # of "exit"

    @property
    def is_over(self) -> bool:
        """Whether the machine is off; else `run` lets it go on."""
        return self.reason not in _UNFINISHED


class SerialPort:
    """A serial port from outside: what came out of it, and what goes in."""

    def __init__(self, machine: Machine, number: int) -> None:
        self._machine, self._number = machine, number
        self.output = bytearray()  # the last 16 MiB
        self.on_output: Callable[[bytes], None] | None = None

    def _take(self, data: bytes) -> None:
        self.output += data
        if len(self.output) > _KEPT:
            del self.output[: len(self.output) - _KEPT]
        if self.on_output is not None:
            self.on_output(data)

    def write(self, data: bytes | str) -> None:
        """Send bytes, or a text in UTF-8, to the guest; from any thread."""
        pc, sent = (
            self._machine.pc,
            data.encode() if isinstance(data, str) else bytes(memoryview(data)),
        )
        pc.loop.post(lambda: pc.serial[self._number].receive(sent))

    def wait(self, text: bytes | str, timeout: float = 30) -> bytes:
        """Run the machine until a text has come out, and return all output; TimeoutError.

        RuntimeError if the machine ends before.
        """
        wanted = text.encode() if isinstance(text, str) else text
        ended = self._machine.run(timeout, until=lambda: wanted in self.output)
        if wanted in self.output:
            return bytes(self.output)
        tail = bytes(self.output[-200:])
        if ended.is_over:
            raise RuntimeError(
                f"the machine ended ({ended.reason}) before {text!r}; last: {tail!r}"
            )
        raise TimeoutError(f"no {text!r} within {timeout:g} s; last: {tail!r}")


class Machine:
    r"""A PC in this Python process.

    >>> with Machine(kernel="tests/kernel", append="console=ttyS0") as pc:
    ...     pc.run(timeout=10)
    Ended(reason='power off', status=None)

    The guest runs while one of its methods waits: `run`, `wait_text`, `SerialPort.wait`. Between
    them it stands still, clock included. `type`, `press`, `mouse`, `SerialPort.write`, `stop` may
    be called from any thread, the rest from the one that runs it. Ctrl-C pauses the machine and
    raises KeyboardInterrupt. One machine may be open at a time.
    """

    def __init__(
        self,
        *,
        fda: Path | None = None,
        fdb: Path | None = None,
        hda: Path | None = None,
        hdb: Path | None = None,
        hdc: Path | None = None,
        hdd: Path | None = None,
        cdrom: Path | None = None,
        drive: str | Sequence[str] = (),
        kernel: Path | None = None,
        initrd: Path | None = None,
        append: str = "",
        bios: Path | None = None,
        vgabios: Path | None = None,
        boot: str = "acdn",
        boot_menu: bool = False,
        memory: int = 128 << 20,
        cpu: str = "max",
        clock: str = "host",
        ns_per_insn: int = 1,
        rtc: datetime | None = None,
        serial: int = 1,
        reboot: bool = True,
        debug_exit: int | None = None,
        virtfs: str | Sequence[str] = (),
        nic: str = "none",
        entropy: bool = False,
        fw_cfg: Mapping[str, bytes] | None = None,
        strategy: str = DEFAULT_STRATEGY,
        region_threshold: int | None = None,
    ) -> None:
        """Build a machine that is off until `run`.

        The settings are those of `jitemu boot`: paths of images may carry QEMU's keys
        ("disk.img,format=raw,snapshot=off"); what the guest writes is forgotten unless they say
        otherwise. *memory* counts bytes. *bios* is a firmware image (SeaBIOS's bios-256k.bin),
        without it the built-in BIOS starts, or a *kernel* is started directly. *serial* is how many
        ports there are. With *clock* "icount" an insn takes *ns_per_insn*. *debug_exit* is a port
        at which the guest can end with a status. *virtfs* shares folders
        ("local,path=DIR,mount_tag=TAG"), *nic* "user" gives the guest a network
        ("user,hostfwd=tcp::2222-:22": and the host a way in), *entropy* the host's random bytes;
        *fw_cfg* are files for its firmware to find, by name; with *boot_menu* SeaBIOS shows its
        menu.

        Raises ValueError for bad settings, DiskError for images, OSError for other files,
        RuntimeError while another Machine is open.
        """
        global _open
        if _open is not None:
            raise RuntimeError("another Machine is open: close() it first")
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy {strategy!r}: choose from {', '.join(sorted(STRATEGIES))}")
        named: Mapping[str, tuple[Path | None, str, int, str]] = {
            "fda": (fda, "floppy", 0, "disk"),
            "fdb": (fdb, "floppy", 1, "disk"),
            "hda": (hda, "ide", 0, "disk"),
            "hdb": (hdb, "ide", 1, "disk"),
            "hdc": (hdc, "ide", 2, "disk"),
            "hdd": (hdd, "ide", 3, "disk"),
            "cdrom": (cdrom, "ide", 2, "cdrom"),
        }
        specs = [
            drives.parse(os.fspath(path), interface=interface, index=index, media=media)
            for path, interface, index, media in named.values()
            if path is not None
        ]
        specs += [drives.parse(text, is_keys=True) for text in _texts(drive)]
        self.serial = [SerialPort(self, number) for number in range(serial)]
        image = b"" if kernel is None else read_file(kernel)
        ram_disk, modules = read_initrd(image, initrd)
        config = PcConfig(
            memory=memory,
            model=model_named(cpu),
            strategy=strategy,
            clock=clock,
            ns_per_insn=ns_per_insn,
            start=rtc,
            kernel=image,
            initrd=ram_disk,
            modules=modules,
            append=append,
            bios=b"" if bios is None else read_file(bios),
            boot=boot,
            boot_menu=boot_menu,
            vgabios=vgabios_beside(bios, vgabios),
            serial=[port._take for port in self.serial],
            debug_exit=debug_exit,
            firmware_files=dict(fw_cfg or {}),
            reboots=reboot,
        )
        config.check()
        virtual = config.paravirtual
        virtual.shares = [paravirtual.share(text) for text in _texts(virtfs)]
        virtual.network = paravirtual.network(nic)
        virtual.entropy = os.urandom if entropy else None
        config.drives, virtual.disks = drives.open_all(specs)
        self.pc = Pc(config)
        if region_threshold is not None:
            self.pc.processor.engine.tiering.set_threshold(region_threshold)
        self._ended: Ended | None = None
        self._is_closed = False
        self._console: Console | None = None
        _open = self

    # -- running -----------------------------------------------------------------------------------
    def run(self, timeout: float | None = None, until: Callable[[], bool] | None = None) -> Ended:
        """Run until the machine ends, *until* says so, or for at most *timeout* seconds.

        *until* is called every 20 ms, and between two insns, so it may look at everything.
        """
        if self._is_closed:
            raise ValueError("the machine is closed")
        if self._ended is not None:
            return self._ended
        reason = self.pc.run(timeout, until, _LOOK)
        ended = Ended(reason, self.pc.status if reason == "exit" else None)
        if ended.is_over:
            self._ended = ended
        return ended

    def stop(self) -> None:
        """End the machine at once; from any thread."""
        self.pc.loop.stop("stop")

    def reset(self) -> None:
        """Press the reset button."""
        self.pc.ask_reset()

    def press_power(self) -> None:
        """Press the power button: an operating system with ACPI shuts down."""
        self.pc.loop.post(self.pc.power.press_power_button)

    # -- screen and input --------------------------------------------------------------------------
    @property
    def console(self) -> Console:
        """Screen, keyboard and mouse for other threads; ValueError when the machine is closed."""
        if self._is_closed:
            raise ValueError("the machine is closed")
        if self._console is None:
            self._console = self.pc.make_console()
        return self._console

    @property
    def screen(self) -> Screen:
        """What the display shows: `text`, `ndarray`, `save(path)`."""
        return self.console.screen

    def type(self, text: str) -> None:
        r"""Type a text on a US keyboard, "\\n" for Enter; ValueError: there is no key for it."""
        self.console.type(text)

    def press(self, chord: str, hold: float = 0.1) -> None:
        """Press keys together, as "ctrl-alt-delete", for *hold* s of guest time; ValueError."""
        self.console.press(chord, hold)

    def mouse(self, dx: int = 0, dy: int = 0, buttons: int | None = None) -> None:
        """Move the mouse by counts, dy downwards; *buttons*: 1 left, 2 right, 4 middle."""
        self.console.move(dx, dy, buttons)

    def wait_text(self, text: str, timeout: float = 30) -> str:
        """Run until a text is on the screen, and return all text that is; TimeoutError.

        RuntimeError if the machine ends before.
        """
        return self.screen.wait_text(text, timeout, lambda seconds: not self.run(seconds).is_over)

    def change(self, drive: str, image: Path | None) -> None:
        """Put an image into "fda", "fdb" or "cdrom", with keys as ever; None: take it out.

        ValueError where there is no such drive, or for images that do not fit; DiskError.
        """
        storage = self.pc.storage
        places: dict[str, Drive | CdRom] = dict(zip(("fda", "fdb"), storage.floppies, strict=False))
        places |= dict(zip(("cdrom",), storage.cds, strict=False))
        if drive not in places:
            raise ValueError(f"there is no drive {drive!r}; there are {', '.join(places)}")
        disk = None
        if image is not None:
            media = "cdrom" if drive == "cdrom" else "disk"
            spec = drives.parse(os.fspath(image), media=media)
            if spec.path is None:
                raise ValueError(f"{os.fspath(image)!r} names no file")
            disk = open_disk(spec.path, spec.form, spec.access, spec.overlay, trusts=spec.trusts)
        try:
            storage.change(places[drive], disk)
        except ValueError:
            if disk is not None:
                disk.close()
            raise

    # -- ending ------------------------------------------------------------------------------------
    @property
    def unclaimed(self) -> dict[tuple[str, int], int]:
        """Accesses to ports and memory where nothing is: ("in", port) and the like, with counts."""
        return self.pc.unclaimed()

    def close(self) -> None:
        """Give everything back, disk images first."""
        global _open
        if not self._is_closed:
            self._is_closed = True
            _open = None
            self.pc.close()

    def __enter__(self) -> Machine:
        """Use the machine in a `with` statement, which closes it."""
        return self

    def __exit__(
        self,
        kind: builtins.type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def _texts(given: str | Sequence[str]) -> Sequence[str]:
    """Return several settings, of which one may stand alone."""
    return (given,) if isinstance(given, str) else given


def read_file(path: Path) -> bytes:
    """Return a file's contents; OSError; ValueError if it has none."""
    with open(path, "rb") as file:
        data = file.read()
    if not data:
        raise ValueError(f"{os.fspath(path)}: the file is empty")
    return data


def read_initrd(kernel: bytes, initrd: Path | None) -> tuple[bytes, list[tuple[bytes, str]]]:
    """Return the initrd of a Linux kernel, or the modules of a Multiboot kernel; as `read_file`.

    Modules are given as QEMU takes them: "FILE WORDS,FILE WORDS,..."; each is told its own text.
    """
    if initrd is None:
        return b"", []
    if is_bzimage(kernel) or multiboot.find(kernel) is None:
        return read_file(initrd), []
    texts = os.fspath(initrd).replace(",,", "\0").split(",")
    texts = [text.replace("\0", ",") for text in texts]
    return b"", [(read_file(text.partition(" ")[0]), text) for text in texts]


def vgabios_beside(bios: Path | None, vgabios: Path | None) -> bytes:
    """Return the video BIOS: the one that was named, or SeaBIOS's beside *bios*, if there is."""
    if vgabios is not None:
        return read_file(vgabios)
    if bios is None:
        return b""
    beside = os.path.join(os.path.dirname(os.fspath(bios)), "vgabios-stdvga.bin")
    return read_file(beside) if os.path.exists(beside) else b""
