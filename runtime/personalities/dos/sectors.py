"""INT 25h and 26h: absolute sectors.

A drive is a host directory and has no sectors but one, the boot sector, which tells what functions
36h and 69h tell: installers and utilities look there for the kind of a disk and its serial number.
Source: Ralf Brown's Interrupt List, INT 25h (parameters, errors), INT 21h AX=440Dh CX=0860h (BPB).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.personalities.dos import calls_dirs

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel

_UNKNOWN_UNIT, _NO_SECTOR, _PROTECTED = 0x0201, 0x0408, 0x0300  # AX
_PACKET = 0xFFFF  # in CX: sector, count and buffer are in a packet at DS:BX
_SECTOR, _FIXED = 512, 0xF8


def boot_sector(dos: Kernel, number: int) -> bytes:
    """Return the first sector of a drive: a FAT16 volume that nobody can boot."""
    drive = dos.drives[number]
    _, clusters = calls_dirs.clusters(dos, number)
    per_cluster = calls_dirs.CLUSTER // _SECTOR
    table = -(-2 * (clusters + 2) // _SECTOR)  # sectors of a FAT
    total = 1 + 2 * table + 32 + clusters * per_cluster
    head = b"\xeb\x3c\x90MSDOS5.0"
    head += struct.pack("<HBHBHHB", _SECTOR, per_cluster, 1, 2, 512, 0, _FIXED)
    head += struct.pack("<HHHII", table, 63, 255, 63, total)
    label = (drive.label or b"NO NAME")[:11].ljust(11)
    head += struct.pack("<BBBI", 0x80, 0, 0x29, drive.serial) + label + b"FAT16   "
    return head.ljust(_SECTOR - 2, b"\0") + b"\x55\xaa"


def access(dos: Kernel, call: Call, *, writes: bool) -> None:
    """Read or write CX sectors from DX on of drive AL (0: A); FLAGS stay pushed."""
    call.carry = True
    if call.al not in dos.drives:
        call.ax = _UNKNOWN_UNIT
        return
    first, count, place = call.dx, call.cx, (call.ds, call.bx)
    if count == _PACKET:
        first, count, offset, segment = struct.unpack("<IHHH", dos.memory.copy_from(*place, 10))
        place = segment, offset
    if writes:
        call.ax = _PROTECTED
    elif (first, count) != (0, 1):
        call.ax = _NO_SECTOR
    else:
        dos.memory.copy_to(*place, boot_sector(dos, call.al))
        call.ax, call.carry = 0, False
