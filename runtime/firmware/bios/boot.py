"""INT 19h and 18h: load a boot sector, in the order asked for, or say that there is none.

BIOS Boot Specification 1.01, 6.5: who cannot go on calls INT 18h, which tries what is next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.bios import eltorito
from runtime.firmware.bios.drives import FIRST_CD, FIRST_DISK
from runtime.firmware.call import Call
from runtime.firmware.callbacks import WAIT, Result

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

_SECTOR, _STACK = 0x7C00, 0x7C00
_SIGNATURE = b"\x55\xaa"
_LETTERS = {"a": (0, "floppy"), "c": (FIRST_DISK, "hard disk"), "d": (FIRST_CD, "CD")}


def say(bios: Bios, call: Call, text: str) -> None:
    """Show text where the cursor is."""
    if bios.has_ports(0x3C4):
        from runtime.firmware.bios import int10

        int10.put_text(bios, call, text.replace("\n", "\r\n").encode(), 0, 7)


def boot(bios: Bios, call: Call) -> None:
    """INT 19h: go on in the first boot sector that can be loaded; else at INT 18h."""
    bios.left_to_boot = bios.config.boot
    bios.gave_up = False
    _boot_next(bios, call)


def _boot_next(bios: Bios, call: Call) -> None:
    """Go on in the next boot sector that can be loaded; else at INT 18h."""
    eltorito.end(bios)
    while bios.left_to_boot:
        letter, bios.left_to_boot = bios.left_to_boot[0], bios.left_to_boot[1:]
        if letter not in _LETTERS:
            continue
        number, name = _LETTERS[letter]
        if number not in bios.drives:
            continue
        why = _try(bios, call, number, name)
        if not why:
            return
        say(bios, call, f"{name}: {why}\n")
    bios.callbacks.jump(*bios.vectors[0x18])


def _try(bios: Bios, call: Call, number: int, name: str) -> str:
    """Start from a drive; return why that is impossible."""
    drive = bios.drives[number]
    if drive.disk is None:
        return "no disk"
    say(bios, call, f"Booting from {name}...\n")
    segment, told = 0, number
    try:
        if number == FIRST_CD:
            found = eltorito.find(bios, number)
            if found is None:
                return "no boot catalog"
            eltorito.load(bios, found)
            segment, told = found.segment, found.number
        else:
            sector = drive.read(0, 1)
            # What makes a diskette bootable is an older question than the signature.
            is_code = sector[510:] == _SIGNATURE or (number == 0 and any(sector[:2]))
            if not is_code:
                return "no boot sector"
            call.write(_SECTOR, sector)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    call.ds = call.es = call.ss = 0
    call.esp, call.cpu.eflags = _STACK, 0x202
    call.eax = call.ebx = call.ecx = call.esi = call.edi = call.ebp = 0
    call.edx, call.ax = told, 0xAA55
    # 7C0:0 and 0:7C00 are the same place, and boot sectors expect the second.
    if segment in (0, _SECTOR >> 4):
        bios.callbacks.jump(0, _SECTOR)
    else:
        bios.callbacks.jump(segment, 0)
    return ""


def no_system(bios: Bios, call: Call) -> Result | None:
    """INT 18h: boot from what is next; without, say it once and wait for Ctrl-Alt-Del."""
    if bios.left_to_boot:
        _boot_next(bios, call)
        return None
    if not bios.gave_up:
        bios.gave_up = True
        say(bios, call, "No bootable device.\n")
    return WAIT
