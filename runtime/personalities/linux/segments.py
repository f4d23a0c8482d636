"""Segments of a 32-bit task under a 64-bit kernel: selectors in, descriptors out.

The fixed selectors are 0x23 (code) and 0x2B (data); TLS entries 12 to 14 belong to the thread,
the LDT of modify_ldt to the process.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.personalities.linux import defs
from runtime.system import descriptors, transfers
from runtime.system import segments as hidden
from translator.faults import GuestFault
from translator.state import SEGMENTS

if TYPE_CHECKING:
    from runtime.personalities.linux.process import Process
    from runtime.personalities.linux.threads import Thread

CPU_NUMBER_ENTRY = 15  # a data segment that the kernel keeps for the vdso
LDT_ENTRIES = 8192

_NO_TABLES: Any = None  # no descriptor is in guest memory

# Bits of the last word of struct user_desc.
_SEG_32BIT, _CONTENTS, _READ_EXEC_ONLY, _IN_PAGES, _NOT_PRESENT, _USEABLE = 1, 6, 8, 16, 32, 64


class Descriptor(NamedTuple):
    """A descriptor as struct user_desc states it: base, limit and its flag bits."""

    base: int
    limit: int
    flags: int

    @property
    def is_code(self) -> bool:
        """Whether this is a code segment."""
        return bool(self.flags & _CONTENTS >= 4)

    @property
    def is_present(self) -> bool:
        """Whether loading it works."""
        return not self.flags & _NOT_PRESENT

    def is_possible(self, *, is_old: bool) -> bool:
        """Tell whether modify_ldt takes it: conforming code must be absent, and asked for anew."""
        return self.flags & _CONTENTS != _CONTENTS or bool(self.flags & _NOT_PRESENT and not is_old)

    def without_useable(self) -> Descriptor:
        """Return it as the first version of modify_ldt stores it."""
        return self._replace(flags=self.flags & ~_USEABLE)


FLAT_DATA = Descriptor(0, 0xFFFFF, _SEG_32BIT | _IN_PAGES)
FLAT_CODE = Descriptor(0, 0xFFFFF, _SEG_32BIT | _IN_PAGES | 4)
CPU_NUMBER = Descriptor(0, 0, _SEG_32BIT)


def is_empty(limit: int, base: int, flags: int) -> bool:
    """Tell whether a user_desc clears its entry (LDT_empty or LDT_zero of the kernel)."""
    if base or limit:
        return False
    return flags & 0x7F == (_READ_EXEC_ONLY | _NOT_PRESENT) or flags & 0x7F == 0


def lookup(process: Process, thread: Thread, selector: int) -> Descriptor | None:
    """Return the descriptor behind *selector*, or None where loading it gives #GP."""
    index = selector >> 3
    if selector & 4:
        return process.ldt.get(index)
    if selector == defs.USER_CS:
        return FLAT_CODE
    if selector == defs.USER_DS:
        return FLAT_DATA
    if defs.TLS_MIN <= index <= defs.TLS_MAX:
        return thread.tls[index - defs.TLS_MIN]
    if index == CPU_NUMBER_ENTRY and selector & 3 == 3:
        return CPU_NUMBER
    return None


def processor_descriptor(t: Thread, selector: int) -> int:
    """Return the descriptor of *selector* as the processor reads it, 0 for none."""
    return int.from_bytes(encode(lookup(t.process, t, selector)), "little")


def load(t: Thread, name: str, selector: int, *, quiet: bool = False) -> bool:
    """Load segment register *name*; an invalid selector loads null if *quiet*, else nothing.

    ValueError where that would leave CS or SS without a segment.
    """
    cpu, index = t.cpu, SEGMENTS.index(name)
    if selector in (defs.USER_CS, defs.USER_DS) and getattr(cpu, name) == selector:
        return True  # these never change
    try:
        if index == hidden.CS:
            found = transfers.check_return(cpu, _NO_TABLES, selector, 3)
            descriptors.put(cpu, index, found)
        else:
            descriptors.load(cpu, _NO_TABLES, index, selector)
    except GuestFault as fault:
        if not quiet:
            return False
        if index in (hidden.CS, hidden.SS):
            raise ValueError(f"{name}={selector:#x}") from fault
        descriptors.put_null(cpu, index)
    hidden.update_context(cpu)
    return True


def refresh(t: Thread) -> None:
    """Reload what a changed descriptor may be behind, as the kernel does for the current task."""
    for name in SEGMENTS:
        selector = getattr(t.cpu, name)
        if selector > 3 and selector not in (defs.USER_CS, defs.USER_DS):
            load(t, name, selector, quiet=name not in ("cs", "ss"))


def read_user_desc(t: Thread, address: int) -> tuple[int, Descriptor]:
    """Read a struct user_desc: entry number and descriptor."""
    number, base, limit, flags = struct.unpack("<iIII", t.mem.read(address, 16))
    return number, Descriptor(base, limit, flags & 0x7F)


def set_tls(t: Thread, address: int, *, may_allocate: bool) -> int:
    """Store the user_desc at *address* as a TLS entry of *t*; return 0 or -errno."""
    number, entry = read_user_desc(t, address)
    if number == -1 and may_allocate:
        free = [i for i, e in enumerate(t.tls) if e is None]
        if not free:
            return -defs.ESRCH
        number = free[0] + defs.TLS_MIN
        t.mem.put_u32(address, number)
    if not defs.TLS_MIN <= number <= defs.TLS_MAX:
        return -defs.EINVAL
    if is_empty(entry.limit, entry.base, entry.flags):
        t.tls[number - defs.TLS_MIN] = None
    elif not entry.flags & _SEG_32BIT or entry.flags & _CONTENTS > 2:
        return -defs.EINVAL  # only 32-bit data segments
    else:
        t.tls[number - defs.TLS_MIN] = entry
    return 0


def get_tls(t: Thread, address: int) -> int:
    """Fill the user_desc at *address* from the TLS entry that it names; return 0 or -errno."""
    number, _ = read_user_desc(t, address)
    if not defs.TLS_MIN <= number <= defs.TLS_MAX:
        return -defs.EINVAL
    entry = t.tls[number - defs.TLS_MIN]
    base, limit, flags = entry or (0, 0, _READ_EXEC_ONLY | _NOT_PRESENT)
    t.mem.write(address, struct.pack("<IIII", number, base, limit, flags))
    return 0


def encode(entry: Descriptor | None) -> bytes:
    """Return the 8 bytes of a descriptor as the processor reads them."""
    if entry is None:
        return bytes(8)
    base, limit, flags = entry
    kind = 0x10 | (flags & _CONTENTS) << 1 | (0 if flags & _READ_EXEC_ONLY else 2) | 1
    access = kind | 3 << 5 | (0 if flags & _NOT_PRESENT else 0x80)
    upper = (limit >> 16 & 15) | (16 if flags & _USEABLE else 0)
    upper |= (64 if flags & _SEG_32BIT else 0) | (128 if flags & _IN_PAGES else 0)
    low = limit & 0xFFFF | (base & 0xFFFF) << 16
    high = (base >> 16 & 0xFF) | access << 8 | upper << 16 | (base >> 24) << 24
    return struct.pack("<II", low, high)
