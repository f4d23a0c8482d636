"""Starting a kernel instead of what the drives hold, when the firmware has done its part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.loaders import bzimage, multiboot, setupcode
from runtime.loaders.flatstart import Start
from runtime.machines import acpitables, pcisetup
from translator.mode import Model

if TYPE_CHECKING:
    from runtime.machines.pc import Pc

_LOW_END, _ROM, _ROM_END = 0x9FC00, 0xE0000, 0x100000
_MASKED = 0xFF
_LCR, _EIGHT_BITS = 3, 3  # of serial ports


def memory_map(size: int) -> list[bzimage.Range]:
    """Return what firmware says of *size* bytes of memory whose last ones hold the ACPI tables."""
    top = size - acpitables.SIZE
    return [
        bzimage.Range(0, _LOW_END, 1),
        bzimage.Range(_LOW_END, 0xA0000 - _LOW_END, 2),
        bzimage.Range(_ROM, _ROM_END - _ROM, 2),
        bzimage.Range(_ROM_END, top - _ROM_END, 1),
        bzimage.Range(top, acpitables.SIZE, 3),
    ]


def set_up(pc: Pc) -> None:
    """Program devices as a firmware leaves them, and write the ACPI tables."""
    pc.a20.open()
    for port, words in ((0x20, (0x11, 8, 4, 1)), (0xA0, (0x11, 0x70, 2, 1))):
        pc.bus.port_out(port, words[0], 1)
        for word in words[1:]:
            pc.bus.port_out(port + 1, word, 1)
        pc.bus.port_out(port + 1, _MASKED, 1)
    level = sum(1 << irq for irq in pcisetup.assign(pc.pci, pc.physical.size))
    pc.bus.port_out(0x4D0, level | 1 << acpitables.SCI, 2)
    for uart in pc.serial:
        uart.write(_LCR, _EIGHT_BITS)
    pc.power.enable_acpi(enabled=True)
    if pc.apic is not None:
        pc.apic.connect_external()
    place, tables, rsdp = acpitables.build(pc.physical.size, has_apic=pc.apic is not None)
    pc.physical.write(place, tables)
    pc.physical.write(acpitables.RSDP, rsdp)


def prepare(pc: Pc) -> None:
    """Put the kernel of the configuration into memory; LoadError if that is impossible."""
    config = pc.config
    ranges = memory_map(pc.physical.size)
    start: Start | setupcode.RealStart
    is_linux = bzimage.is_bzimage(config.kernel)
    # Setup code asks the firmware for all that a 32-bit entry point would have to be told, and
    # says so if the kernel is for later processors.
    is_old = config.model not in (Model.PENTIUM3, Model.MAX)
    if is_linux and (config.bios or is_old or setupcode.is_needed(config.kernel, config.append)):
        start = setupcode.load(
            pc.physical,
            config.kernel,
            pc.physical.size - acpitables.SIZE,
            initrd=config.initrd,
            command_line=config.append,
        )
    elif is_linux:
        start = bzimage.load(
            pc.physical,
            config.kernel,
            ranges,
            initrd=config.initrd,
            command_line=config.append,
            rsdp=acpitables.RSDP,
        )
    elif multiboot.find(config.kernel) is not None:
        start = multiboot.load(
            pc.physical,
            config.kernel,
            ranges,
            command_line=config.append,
            modules=config.modules or ([(config.initrd, "")] if config.initrd else []),
        )
    else:
        raise bzimage.LoadError("neither a Linux kernel (bzImage) nor a Multiboot kernel (-kernel)")
    start.apply(pc.processor)
