"""INT 21h: memory blocks (48h, 49h, 4Ah, 58h)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.personalities.dos.errors import INVALID_FUNCTION, NO_MEMORY, DosError
from runtime.personalities.dos.table import service

if TYPE_CHECKING:
    from runtime.personalities.dos.kernel import Kernel


@service(0x48)
def allocate(dos: Kernel, call: Call) -> None:
    """AX = segment of a block of BX paragraphs; BX = size of the largest block if that fails."""
    try:
        call.ax = dos.arena.allocate(call.bx, dos.psp)
    except DosError as error:
        if error.code == NO_MEMORY:
            call.bx = dos.arena.largest()
        raise


@service(0x49)
def free(dos: Kernel, call: Call) -> None:
    """Free the block at ES."""
    dos.arena.free(call.es)


@service(0x4A)
def resize(dos: Kernel, call: Call) -> None:
    """Change the block at ES to BX paragraphs; BX = the largest size possible if that fails."""
    got = dos.arena.resize(call.es, call.bx)
    if got < call.bx:
        call.bx = got
        raise DosError(NO_MEMORY)
    call.ax = call.es


@service(0x58)
def strategy(dos: Kernel, call: Call) -> None:
    """AL=0, 1: tell or set the strategy of allocation; 2, 3: whether upper memory is linked."""
    if call.al == 0:
        call.ax = dos.arena.strategy
    elif call.al == 1 and call.bl & 0x3F <= 2:
        dos.arena.strategy = call.bl
    elif call.al == 2:
        call.al = int(dos.arena.is_linked)
    elif call.al == 3 and call.bx <= 1:
        dos.arena.link(is_linked=bool(call.bx))
    else:
        raise DosError(INVALID_FUNCTION)
