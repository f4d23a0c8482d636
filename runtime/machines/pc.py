"""A PC: the wiring diagram of its processor, memory and devices, and how it starts.

In: a PcConfig. Out: a machine to run; `stop` reasons are "power off", "exit" (its status in
`status`), "reset" (without reboot), "triple fault", and those of whoever stops it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from runtime.building import BUILDING
from runtime.bus import Bus, Line
from runtime.clock import Clock, HostTime
from runtime.devices import rtc as cmos
from runtime.devices.a20 import A20
from runtime.devices.acpi import PowerManagement
from runtime.devices.apic import LocalApic
from runtime.devices.chipset import HostBridge, IsaBridge
from runtime.devices.debugport import E9, DebugExit, DebugPort
from runtime.devices.fwcfg import FirmwareConfiguration
from runtime.devices.ioapic import IoApic
from runtime.devices.parallel import Parallel
from runtime.devices.pci import PciHost
from runtime.devices.pic import Pic
from runtime.devices.pit import Pit
from runtime.devices.ps2 import Ps2
from runtime.devices.rtc import Rtc
from runtime.devices.speaker import Speaker
from runtime.devices.uart import Uart
from runtime.firmware.bios.bios import Bios
from runtime.firmware.typeahead import key_reader
from runtime.loaders import bzimage
from runtime.machines import builtin, directboot, firmwareitems, rom, video
from runtime.machines.acpitables import TIMER_PIN
from runtime.machines.extras import Extras
from runtime.machines.kernelrom import SLOT, KernelRom
from runtime.machines.loop import Budgeted, Loop
from runtime.machines.paravirtual import Paravirtual, ParavirtualDevices
from runtime.machines.storage import Drives, Storage
from runtime.machines.video import Display
from runtime.screen.console import Console
from runtime.system import segments
from runtime.system.control import APIC_BASE, APIC_ENABLED
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from translator import DEFAULT_STRATEGY
from translator.mode import Model

_OF_STENCILS = ("tiered", "stencil")

SPAN = 1 << 32  # physical addresses
MEBI = 1 << 20
LARGEST = 3584 * MEBI  # bytes of RAM, as of QEMU's pc: above are devices
_VIDEO, _VIDEO_SIZE = 0xA0000, 0x20000
_WITH_APIC = (Model.PENTIUM, Model.PENTIUM3, Model.MAX)
_SERIAL = ((0x3F8, 4), (0x2F8, 3), (0x3E8, 4), (0x2E8, 3))
Output = Callable[[bytes], None]


@dataclass
class PcConfig:
    """What a PC is made of."""

    memory: int = 128 * MEBI  # bytes of RAM, a multiple of 1 MiB
    model: Model = Model.MAX
    strategy: str = DEFAULT_STRATEGY
    clock: str = "host"  # or "icount"
    ns_per_insn: int = 1  # of clock "icount"
    start: datetime | None = None  # what the real-time clock shows first; None: the host's UTC
    kernel: bytes = b""  # bzImage or Multiboot
    bios: bytes = b""  # a firmware image: its last byte is at the end of the 4 GiB
    vgabios: bytes = b""  # the expansion ROM of the display adapter, for that firmware
    boot: str = "acdn"  # QEMU's letters: diskette, hard disk, CD, network
    boot_menu: bool = False  # whether a firmware that has a menu shows it
    boot_wait: int | None = None  # for how many ms
    firmware_files: dict[str, bytes] = field(default_factory=dict)  # of fw_cfg, by name
    boot_once: str = ""  # instead of these at the first boot
    initrd: bytes = b""
    append: str = ""
    modules: list[tuple[bytes, str]] = field(default_factory=list)  # of a Multiboot kernel
    drives: Drives = field(default_factory=Drives)
    paravirtual: Paravirtual = field(default_factory=Paravirtual)
    serial: list[Output | None] = field(default_factory=lambda: [None])  # where ports send to
    parallel: Output | None = None  # what the guest prints
    debug: Output | None = None  # what the guest sends to the debug port
    debug_port: int = E9
    debug_exit: int | None = None  # port that ends the machine with a status
    reboots: bool = True  # else a reset ends it

    def check(self) -> None:
        """ValueError for what cannot be."""
        if not MEBI <= self.memory <= LARGEST or self.memory % MEBI:
            raise ValueError("memory must be 1M to 3584M, in whole MiB")
        if self.clock not in ("host", "icount"):
            raise ValueError(f"clock {self.clock!r}: choose host or icount")
        if self.ns_per_insn < 1:
            raise ValueError(f"ns_per_insn {self.ns_per_insn}: at least 1")
        if self.bios:
            rom.check(self.bios)
        if self.vgabios:
            video.check_rom(self.vgabios)
        if not self.boot or set(self.boot + self.boot_once) - set("acdn"):
            raise ValueError(f"boot order {self.boot!r}: letters a (diskette), c (disk), d (CD), n")
        if len(self.serial) > len(_SERIAL):
            raise ValueError(f"a PC has at most {len(_SERIAL)} serial ports")


class Pc:
    """A PC with its devices; `run` lets it go."""

    def __init__(self, config: PcConfig) -> None:
        """Build it, ready to start; ValueError for settings that make no sense."""
        config.check()
        self.config = config
        if bzimage.is_bzimage(config.kernel) and config.strategy in _OF_STENCILS:
            BUILDING.begin(is_machine=True)  # Linux needs most of the list at once
        self.status: int | None = None  # what a guest gave the debug-exit port
        self.resets = 0
        self.builtin: Bios | None = None
        self.physical = Physical(config.memory, SPAN)
        self.linear = Linear(self.physical)
        self.processor = Processor(self.linear, config.strategy, config.model)
        self.bus = Bus(self.physical)
        self.processor.connect(self.bus.port_in, self.bus.port_out)
        self.processor.read_stream = self.bus.read_stream
        self.processor.write_stream = self.bus.write_stream
        # What was compiled for a kernel or a firmware is used by its next run.
        self.processor.engine.begin(b"pc" + (config.kernel or config.bios)[:4096])
        is_counted = config.clock == "icount"
        source = Budgeted(self.processor, config.ns_per_insn) if is_counted else HostTime()
        self.clock = Clock(source)
        if is_counted:
            self.processor.follow(self.clock.now)
        self.loop = Loop(self.processor, self.clock)
        self.loop.on_shutdown = self._shut_down
        self._wire()
        self.start()

    def _wire(self) -> None:
        """Connect everything with everything."""
        config, bus, clock = self.config, self.bus, self.clock
        processor = self.processor
        self.apic: LocalApic | None = None
        if config.model in _WITH_APIC:
            self.apic = LocalApic(
                bus,
                clock,
                Line(processor.set_intr),
                processor.nmi,
                lambda: self.pic.acknowledge(),
                lambda: bool(processor.msrs[APIC_BASE] & APIC_ENABLED),
            )
            self.pic = Pic(bus, self.apic.lint0)
            processor.acknowledge = self.apic.acknowledge
            self.ioapic = IoApic(bus, self.apic.take)
            self.apic.on_end = self.ioapic.end
            for irq in {*range(16)} - {2}:
                self.ioapic.connect(self.pic.line(irq), irq, *([] if irq else [TIMER_PIN]))
        else:
            self.pic = Pic(bus, Line(processor.set_intr))
            processor.acknowledge = self.pic.acknowledge
        line = self.pic.line
        self.pit = Pit(bus, line(0), clock)
        if config.clock == "host":
            self.pit.is_behind = lambda: self.pic.master.has_waiting(0)
        self.speaker = Speaker(bus, clock, self.pit.counters[2])
        self.rtc = Rtc(bus, line(8), clock, config.start or _utc())
        cmos.set_memory_size(self.rtc.ram, config.memory)
        self.boot = config.boot_once or config.boot
        self.extras = Extras(processor, self.physical, clock, self.rtc.now)
        processor.extras = self.extras
        reset = self.ask_reset
        self.a20 = A20(bus, lambda is_open: self._set_a20(is_open), reset)
        self.ps2 = Ps2(
            bus,
            clock,
            line(1),
            line(12),
            self.a20.keyboard,
            Line(lambda level: reset() if level else None),
        )
        self.ps2.keyboard.is_ready = key_reader(self.physical)
        self.serial = [
            Uart(bus, line(irq), clock, base, output, f"com{number}")
            for number, ((base, irq), output) in enumerate(
                zip(_SERIAL, config.serial, strict=False), 1
            )
        ]
        self.parallel = Parallel(bus, line(7), clock, on_output=config.parallel)
        self.pci = PciHost(bus, reset)
        self.host_bridge = HostBridge(self.physical)
        self.isa_bridge = IsaBridge(self.pci, line)
        self.power = PowerManagement(bus, line(9), clock, lambda: self.loop.stop("power off"))
        self.pci.add(0, 0, self.host_bridge)
        self.pci.add(1, 0, self.isa_bridge)
        self.pci.add(1, 3, self.power)
        self.storage = Storage(bus, clock, line, self.pci, config.drives)
        self.storage.describe(self.rtc.ram)
        self.physical.remove(_VIDEO, _VIDEO_SIZE)
        self.display = Display(bus, clock, config.vgabios)
        self.pci.add(2, 0, self.display)
        self.firmware_configuration = FirmwareConfiguration(
            bus,
            firmwareitems.items(config.memory, has_menu=config.boot_menu),
            firmwareitems.files(config.memory, config.boot_wait, config.firmware_files),
        )
        if config.bios and config.kernel:
            start = KernelRom(bus, lambda: processor.post(lambda: directboot.prepare(self)))
            self.pci.add(SLOT, 0, start.function)
        self.paravirtual = ParavirtualDevices(
            bus, self.pci, clock, self.loop.post, config.paravirtual
        )
        if config.debug is not None:
            self.debug = DebugPort(bus, config.debug, config.debug_port)
        if config.debug_exit is not None:
            self.debug_exit = DebugExit(bus, self._exit, config.debug_exit)

    def _set_a20(self, is_open: bool) -> None:
        self.processor.set_a20(enabled=is_open)

    # -- starting and ending -----------------------------------------------------------------------
    def start(self) -> None:
        """Let the processor begin where the configuration says."""
        first = "n" if self.config.bios and self.config.kernel else ""  # as an expansion ROM
        cmos.set_boot_order(self.rtc.ram, first + self.boot.replace(first or "-", ""))
        if self.config.bios:
            rom.install(self.physical, self.config.bios)
            self._enter_rom()
            return
        if self.builtin is None:
            self.builtin = builtin.make(self)
        self.builtin.config.boot = self.boot
        self.builtin.post()
        if self.config.kernel:
            directboot.prepare(self)

    def _enter_rom(self) -> None:
        """Begin where a processor does after reset, 16 bytes below the end of the 4 GiB."""
        cpu = self.processor.cpu
        segments.set_segment(cpu, segments.CS, 0xF000, 0xFFFF0000, 0xFFFF, segments.REAL_ATTR)
        cpu.eip = 0xFFF0
        self.processor.update_context()

    def ask_reset(self) -> None:
        """Reset the machine behind the insn that is executed, as a pulse of the RESET pin does."""
        self.processor.post(self.reset)

    def reset(self) -> None:
        """Set devices and processor as after power-on, and start again; or end the machine."""
        if not self.config.reboots:
            self.loop.stop("reset")
            return
        self.resets += 1
        self.boot = self.config.boot
        self.pic.reset()
        self.pit.reset()
        self.speaker.reset()
        self.parallel.reset()
        if self.apic is not None:
            self.apic.reset()
            self.ioapic.reset()
        self.rtc.reset()
        self.a20.reset()
        self.ps2.restart()
        self.pci.reset()
        self.storage.reset()
        self.firmware_configuration.reset()
        self.paravirtual.reset()
        for port in self.serial:
            port.reset()
        self.processor.reset()
        self.extras.reset()
        self.processor.update_paging()
        self.start()

    def _shut_down(self) -> None:
        if self.config.reboots:
            self.reset()
        else:
            self.loop.stop("triple fault")

    def _exit(self, status: int) -> None:
        self.status = status
        self.loop.stop("exit")

    def run(
        self,
        timeout: float | None = None,
        until: Callable[[], bool] | None = None,
        interval: float = 0.02,
    ) -> str:
        """Run until something ends it; return the reason (machines/loop.py)."""
        reason = self.loop.run(timeout, until, interval)
        for port in self.serial:
            port.flush()
        return reason

    def make_console(self) -> Console:
        """Return screen, keyboard and mouse for other threads."""
        loop, vga = self.loop, self.display.vga
        keyboard, mouse = self.ps2.keyboard, self.ps2.mouse
        return Console(loop.post, lambda: loop.is_elsewhere, keyboard, mouse, vga)

    def unclaimed(self) -> dict[tuple[str, int], int]:
        """Count accesses to nothing: ("in" or "out", port), ("read" or "write", page address)."""
        found = {(how, port): count for (port, how), count in self.bus.unclaimed.items()}
        memory = self.physical.unclaimed.items()
        return found | {(how, page): count for (page, how), count in memory}

    def close(self) -> None:
        """Give everything back to the host; what was compiled is kept for later runs."""
        self.processor.engine.close()
        self.processor.engine.tiering.wait()
        self.storage.close()
        self.paravirtual.close()
        self.loop.close()
        self.linear.close()
        self.physical.close()


def _utc() -> datetime:
    from datetime import UTC

    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)
