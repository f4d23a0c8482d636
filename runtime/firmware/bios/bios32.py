"""BIOS32: how 32-bit code finds services of the BIOS, and the one that is there, PCI BIOS.

Phoenix, Standard BIOS 32-bit Service Directory Proposal, revision 0.4; PCI BIOS Specification 2.1,
3.3. Both are far procedures in the ROM, called in ring 0.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.firmware.callbacks import ROM, ROM_SIZE

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios
    from runtime.firmware.call import Call

_NO_SERVICE, _NO_FUNCTION, _UNSUPPORTED = 0x80, 0x81, 0x81
_PCI = int.from_bytes(b"$PCI", "little")
_PCI_FUNCTION = 0xB1


def install(bios: Bios) -> None:
    """Put the directory into the ROM, where it is looked for at each 16 bytes."""
    callbacks = bios.callbacks
    _, bios.pci_entry = callbacks.add(lambda call: _call_pci(bios, call), ends="retf")
    _, entry = callbacks.add(lambda call: _find(bios, call), ends="retf")
    header = bytearray(struct.pack("<4sIBBB5x", b"_32_", ROM + entry, 0, 1, 0))
    header[10] = -sum(header) & 0xFF
    callbacks.place(bytes(header), 16)


def _find(bios: Bios, call: Call) -> None:
    """AL 0, and EBX base, ECX length, EDX entry of service EAX; BL is 0."""
    if call.bl:
        call.al = _NO_FUNCTION
    elif call.eax != _PCI:
        call.al = _NO_SERVICE
    else:
        call.al = 0
        call.ebx, call.ecx, call.edx = ROM, ROM_SIZE, bios.pci_entry


def _call_pci(bios: Bios, call: Call) -> None:
    """Do what INT 1Ah does."""
    from runtime.firmware.bios import pcibios

    if call.ah != _PCI_FUNCTION:
        call.ah, call.carry = _UNSUPPORTED, True
        return
    pcibios.serve(bios, call, is_wide=True)
