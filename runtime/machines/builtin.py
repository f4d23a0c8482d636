"""The built-in BIOS of a PC: told of the PC's memory and drives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.devices.cdrom import CdRom
from runtime.firmware.bios.bios import Bios, BiosConfig, Range
from runtime.firmware.bios.drives import FIRST_CD, FIRST_DISK, Drive, Kind
from runtime.machines import directboot, mptable
from runtime.machines.loop import Budgeted
from translator import cpuid

if TYPE_CHECKING:
    from runtime.machines.pc import Pc


# ns that a call of the BIOS takes where time is counted: as long as one written for a processor of
# its time. Who waits by asking it again and again would else wait for ever: no insns pass.
_CALL = 10_000


def drives(pc: Pc) -> dict[int, Drive]:
    """Return the drives of a PC by their BIOS numbers."""
    found: dict[int, Drive] = {}
    for number, floppy in enumerate(pc.storage.floppies):
        found[number] = Drive(Kind.FLOPPY, lambda floppy=floppy: floppy.disk)  # type: ignore[misc]
    disks = [what for what in pc.config.drives.ide if what is not None]
    disks += pc.config.paravirtual.disks
    numbers = {Kind.DISK: FIRST_DISK, Kind.CD: FIRST_CD}
    for what in disks:
        if isinstance(what, CdRom):
            drive = Drive(Kind.CD, lambda what=what: what.disk)  # type: ignore[misc]
        else:
            drive = Drive(Kind.DISK, lambda what=what: what)  # type: ignore[misc]
        found[numbers[drive.kind]] = drive
        numbers[drive.kind] += 1
    return found


def make(pc: Pc) -> Bios:
    """Build the BIOS; its `post` starts the machine."""
    config = BiosConfig(
        memory=pc.config.memory,
        drives=drives(pc),
        boot=pc.boot,
        serial=(0x3F8, 0x2F8, 0x3E8, 0x2E8),
        ranges=[Range(*entry) for entry in directboot.memory_map(pc.config.memory)],
        on_post=lambda: directboot.set_up(pc),
        power_off=lambda: pc.loop.stop("power off"),
    )
    bios = Bios(pc.bus, pc.processor, pc.clock, config, vga=pc.display.vga)
    if isinstance(time := pc.clock.source, Budgeted):
        bios.callbacks.on_call = lambda: time.spend(_CALL)
    if pc.apic is not None:
        signature, _, _, features = pc.extras.cpuid(1, cpuid.leaf(1, 0, pc.config.model))
        segment, offset = bios.callbacks.place(bytes(mptable.SIZE), 16)
        place = (segment << 4) + offset
        bios.callbacks.put(offset, mptable.build(place, signature, features))
    return bios
