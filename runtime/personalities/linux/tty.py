"""The ioctl system call: terminals, pipes' and files' small requests.

All requests that pass have the same layout for 32- and 64-bit programs. TIOCSTI does not pass: it
would type into the user's terminal.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux import openat2, reach
from runtime.personalities.linux.fds import Opened
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_TIOCGPTN, _TIOCGPTPEER, _TIOCSTI = 0x80045430, 0x5441, 0x5412
_FICLONE, _FICLONERANGE = 0x40049409, 0x4020940D

# Requests that take a pointer: bytes there, and whether the host writes them.
_POINTERS = {
    0x5401: (36, True),  # TCGETS
    0x5402: (36, False),  # TCSETS
    0x5403: (36, False),  # TCSETSW
    0x5404: (36, False),  # TCSETSF
    0x5405: (18, True),  # TCGETA
    0x5406: (18, False),  # TCSETA
    0x5407: (18, False),  # TCSETAW
    0x5408: (18, False),  # TCSETAF
    0x540F: (4, True),  # TIOCGPGRP
    0x5410: (4, False),  # TIOCSPGRP
    0x5411: (4, True),  # TIOCOUTQ
    0x5413: (8, True),  # TIOCGWINSZ
    0x5414: (8, False),  # TIOCSWINSZ
    0x5415: (4, True),  # TIOCMGET
    0x5416: (4, False),  # TIOCMBIS
    0x5417: (4, False),  # TIOCMBIC
    0x5418: (4, False),  # TIOCMSET
    0x5419: (4, True),  # TIOCGSOFTCAR
    0x541A: (4, False),  # TIOCSSOFTCAR
    0x541B: (4, True),  # FIONREAD
    0x5420: (4, False),  # TIOCPKT
    0x5421: (4, False),  # FIONBIO
    0x5423: (4, False),  # TIOCSETD
    0x5424: (4, True),  # TIOCGETD
    0x5429: (4, True),  # TIOCGSID
    0x5452: (4, False),  # FIOASYNC
    0x5460: (8, True),  # FIOQSIZE
    0x802C542A: (44, True),  # TCGETS2
    0x402C542B: (44, False),  # TCSETS2
    0x402C542C: (44, False),  # TCSETSW2
    0x402C542D: (44, False),  # TCSETSF2
    _TIOCGPTN: (4, True),
    0x40045431: (4, False),  # TIOCSPTLCK
    0x80045432: (4, True),  # TIOCGDEV
    0x80045438: (4, True),  # TIOCGPKT
    0x80045439: (4, True),  # TIOCGPTLCK
    0x80045440: (4, True),  # TIOCGEXCL
    0x8905: (4, True),  # SIOCATMARK
    0x8903: (4, True),  # FIOGETOWN
    0x8904: (4, True),  # SIOCGPGRP
    0x80045200: (4, True),  # RNDGETENTCNT
}
# Requests whose argument is a value.
_VALUES = frozenset({
    0x5409,  # TCSBRK
    0x540A,  # TCXONC
    0x540B,  # TCFLSH
    0x540C,  # TIOCEXCL
    0x540D,  # TIOCNXCL
    0x540E,  # TIOCSCTTY
    0x5422,  # TIOCNOTTY
    0x5425,  # TCSBRKP
    0x5427,  # TIOCSBRK
    0x5428,  # TIOCCBRK
    0x5450,  # FIONCLEX
    0x5451,  # FIOCLEX
})  # fmt: skip

_OWNERS = frozenset({0x8901, 0x8902})  # FIOSETOWN, SIOCSPGRP


@syscall(54, "ioctl")
def ioctl(t: Thread, fd: int, request: int, argument: int) -> int:
    """Make a request of what a descriptor shows."""
    vfs = t.process.vfs
    vfs.fds.check(fd)
    if request in _OWNERS:
        data = t.mem.read(argument, 4)
        reach.check_owner(t.process, int.from_bytes(data, "little", signed=True))
        return host.syscall(Sys.IOCTL, fd, request, data)
    known = _POINTERS.get(request)
    if known is not None:
        size, is_written = known
        where = t.mem.host(argument, size, is_written)
        result = host.interruptible(Sys.IOCTL, fd, request, where)
        if request == _TIOCGPTN and result == 0:
            vfs.terminals.add(t.mem.u32(argument))
        return result
    if request in _VALUES:
        return host.interruptible(Sys.IOCTL, fd, request, signed(argument))
    if request == _TIOCSTI:
        return -errno.EPERM
    if request == _TIOCGPTPEER:
        result = host.syscall(Sys.IOCTL, fd, request, openat2.to_host(argument))
        if result >= 0:
            vfs.fds.records[result] = Opened(os.readlink(b"/proc/self/fd/%d" % result))
        return result
    if request == _FICLONE:
        return host.syscall(Sys.IOCTL, fd, request, vfs.fds.check(argument))
    if request == _FICLONERANGE:
        source = struct.unpack("<q", t.mem.read(argument, 8))[0]
        vfs.fds.check(source)
        return host.syscall(Sys.IOCTL, fd, request, t.mem.host(argument, 32))
    # EBADF comes before ENOTTY.
    result = host.syscall(Sys.FCNTL, fd, 1, 0)
    return result if result < 0 else -errno.ENOTTY
