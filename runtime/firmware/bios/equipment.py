"""INT 11h and 12h: what there is (IBM BIOS reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.bios import bda
from runtime.firmware.call import Call

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios


def serve_11(bios: Bios, call: Call) -> None:
    """AX: the equipment word."""
    call.ax = call.load(bda.EQUIPMENT, 16)


def serve_12(bios: Bios, call: Call) -> None:
    """AX: KiB of conventional memory."""
    call.ax = call.load(bda.MEMORY, 16)
