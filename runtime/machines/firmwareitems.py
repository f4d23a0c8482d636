"""What a PC tells its firmware by fw_cfg: memory, processors, menus, and the user's own files.

Source: QEMU, docs/specs/fw_cfg.rst, and what SeaBIOS reads (its docs/Runtime_config.md).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from runtime.devices import fwcfg

_RAM = 1  # kind of a range


def items(memory: int, *, has_menu: bool) -> dict[int, bytes]:
    """Return the items without names; *memory* in bytes, from address 0 up."""
    return {
        fwcfg.UUID: bytes(16),
        fwcfg.RAM_SIZE: struct.pack("<Q", memory),
        fwcfg.CPUS: struct.pack("<H", 1),
        fwcfg.MAX_CPUS: struct.pack("<H", 1),
        fwcfg.BOOT_MENU: struct.pack("<H", has_menu),
        fwcfg.IRQ0_OVERRIDE: struct.pack("<I", 1),  # the timer is at pin 2 of the I/O APIC
    }


def files(memory: int, wait: int | None, own: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files; *wait*: how long a menu stays, in ms; *own* come last and win."""
    found = {"etc/e820": struct.pack("<QQI", 0, memory, _RAM)}
    if wait is not None:
        found["etc/boot-menu-wait"] = struct.pack("<H", wait)
    return found | dict(own)
