"""What a firmware does to PCI before a system starts: gives functions their places and IRQs.

For machines without SeaBIOS: direct kernel boot and the built-in BIOS.
"""

from __future__ import annotations

from runtime.devices import acpi
from runtime.devices.chipset import PIRQ_ROUTES
from runtime.devices.pci import COMMAND, INTERRUPT_LINE, INTERRUPT_PIN, IO, MASTER, MEMORY, PciHost
from runtime.machines.acpitables import INTERRUPTS, PM_BASE, SCI

_FIRST_PORT, _FIRST_MEMORY, _END_MEMORY = 0xC000, 0x80000000, 0xFEC00000
_ISA = (1, 0)


def assign(host: PciHost, ram_size: int) -> list[int]:
    """Give each base address register a place, and return the IRQs of PCI interrupts."""
    port, memory = _FIRST_PORT, _END_MEMORY
    sizes = [
        (bar.size, function, bar)
        for function in host.functions.values()
        for bar in function.bars
        if bar.offset < 0x30
    ]
    lowest = max(_FIRST_MEMORY, ram_size)
    for size, function, bar in sorted(sizes, key=lambda entry: -entry[0]):
        if bar.is_io:
            port = port + size - 1 & -size
            place, port = port, port + size
        else:
            if memory - size < lowest:
                continue  # no room: the device stays off
            place = memory = memory - size & -size
        function.write(bar.offset, place, 4)
    for irq, pirq in zip(INTERRUPTS, range(4), strict=True):
        if _ISA in host.functions:
            host.functions[_ISA].write(PIRQ_ROUTES + pirq, irq, 1)
    for (device, _), function in host.functions.items():
        pin = function.config[INTERRUPT_PIN]
        if isinstance(function, acpi.PowerManagement):
            function.write(acpi.PM_BASE, PM_BASE | 1, 4)
            function.write(acpi.PM_ENABLE, 1, 1)
            function.write(INTERRUPT_LINE, SCI, 1)
        elif pin:
            function.write(INTERRUPT_LINE, INTERRUPTS[device + pin - 2 & 3], 1)
        if function.bars:
            function.write(COMMAND, IO | MEMORY | MASTER, 2)
    return sorted(set(INTERRUPTS))
