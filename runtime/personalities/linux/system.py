"""Facts about the system and settings of the task: uname, sysinfo, prctl, personality, random."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

from runtime import host
from runtime.host import Sys
from runtime.personalities.linux import defs, reach
from runtime.personalities.linux.table import signed, syscall

if TYPE_CHECKING:
    from runtime.personalities.linux.threads import Thread

_PR_GET_PDEATHSIG, _PR_SET_NAME, _PR_GET_NAME, _PR_GET_TSC, _PR_GET_CHILD_SUBREAPER = (
    2, 15, 16, 25, 37,
)  # fmt: skip
# Options whose arguments are plain numbers, so that the host kernel may answer them.
_PR_NUMERIC = frozenset({
    1, 3, 4, 7, 8, 23, 27, 28, 29, 30, 33, 34, 36, 38, 39, 41, 42, 0x59616D61,
})  # fmt: skip
_PR_SET_VMA = 0x53564D41
_ADDR_NO_RANDOMIZE, _READ_IMPLIES_EXEC = 0x0040000, 0x0400000


def _names(t: Thread, width: int, count: int) -> bytes:
    facts = os.uname()
    names = (facts.sysname, facts.nodename, t.process.options.release, facts.version, "i686")
    domain = "(none)"
    fields = [*names, domain][:count]
    return b"".join(name.encode()[: width - 1].ljust(width, b"\0") for name in fields)


@syscall(122, "uname")
def uname(t: Thread, address: int) -> int:
    """Name the system."""
    t.mem.write(address, _names(t, 65, 6))
    return 0


@syscall(109, "olduname")
def olduname(t: Thread, address: int) -> int:
    """Name the system, without the domain."""
    t.mem.write(address, _names(t, 65, 5))
    return 0


@syscall(59, "oldolduname")
def oldolduname(t: Thread, address: int) -> int:
    """Name the system in nine bytes a field."""
    t.mem.write(address, _names(t, 9, 5))
    return 0


@syscall(116, "sysinfo")
def sysinfo(t: Thread, address: int) -> int:
    """Return uptime, load and memory; the unit grows until the numbers fit 32 bits."""
    record = ctypes.create_string_buffer(112)
    result = host.syscall(Sys.SYSINFO, ctypes.addressof(record))
    if result < 0:
        return result
    values = struct.unpack_from("<q9QH6xQQI", record.raw)
    uptime, loads, ram = values[0], values[1:4], values[4:10]
    procs, high, unit = values[10], values[11:13], values[13]
    while unit < defs.PAGE and any(value >> 32 for value in (ram[0], ram[4])):
        unit <<= 1
        ram, high = tuple(v >> 1 for v in ram), tuple(v >> 1 for v in high)
    clipped = [value & 0xFFFF_FFFF for value in (*loads, *ram)]
    packed = struct.pack(
        "<i9IHH3I8x", uptime, *clipped, procs, 0, *(v & 0xFFFF_FFFF for v in high), unit
    )
    t.mem.write(address, packed)
    return 0


@syscall(172, "prctl")
def prctl(t: Thread, option: int, a: int, b: int, c: int, d: int) -> int:
    """Read or change a setting of the task."""
    if option == _PR_SET_NAME:
        return host.syscall(Sys.PRCTL, option, _short_name(t, a) + b"\0")
    if option == _PR_GET_NAME:
        return _prctl_read(t, option, a, 16)
    if option in (_PR_GET_PDEATHSIG, _PR_GET_TSC, _PR_GET_CHILD_SUBREAPER):
        return _prctl_read(t, option, a, 4)
    if option in _PR_NUMERIC:
        return host.syscall(Sys.PRCTL, option, a, b, c, d)
    if option == _PR_SET_VMA:
        return 0  # a name for an anonymous mapping: decoration
    t.process.report.unsupported(f"prctl {option}")
    return -defs.EINVAL


def _short_name(t: Thread, address: int) -> bytes:
    """Read a task's name; a longer one is cut."""
    try:
        return t.mem.cstr(address, 15)
    except OSError:
        return t.mem.read(address, 15)


def _prctl_read(t: Thread, option: int, address: int, size: int) -> int:
    buffer = ctypes.create_string_buffer(16)
    result = host.syscall(Sys.PRCTL, option, ctypes.addressof(buffer))
    if result == 0:
        t.mem.write(address, buffer.raw[:size])
    return result


@syscall(136, "personality")
def personality(t: Thread, persona: int) -> int:
    """Set or read the execution domain."""
    former = t.process.personality
    if persona != 0xFFFF_FFFF:
        t.process.personality = persona
        t.mem.read_implies_exec = bool(persona & _READ_IMPLIES_EXEC)
    return former


@syscall(355, "getrandom")
def getrandom(t: Thread, address: int, size: int, flags: int) -> int:
    """Fill memory with random bytes."""
    size = min(size, 0x1FF_FFFF)
    data = ctypes.create_string_buffer(min(size, 1 << 20) or 1)
    result = host.interruptible(Sys.GETRANDOM, ctypes.addressof(data), min(size, 1 << 20), flags)
    if result > 0:
        t.mem.write(address, data.raw[:result])
    return result


@syscall(384, "arch_prctl")
def arch_prctl(t: Thread, option: int, address: int) -> int:
    """Refuse: 32-bit tasks have nothing here but CPUID faulting and extended state."""
    return -defs.EINVAL


_CAP_V1, _CAP_V3 = 0x19980330, 0x20080522


@syscall(184, "capget")
def capget(t: Thread, header: int, data: int) -> int:
    """Return capabilities; the structures have the same layout as the host's."""
    return _capability(t, Sys.CAPGET, header, data)


@syscall(185, "capset")
def capset(t: Thread, header: int, data: int) -> int:
    """Set capabilities."""
    return _capability(t, Sys.CAPSET, header, data)


def _capability(t: Thread, number: Sys, header: int, data: int) -> int:
    words = 3 if t.mem.u32(header) == _CAP_V1 else 6
    is_get = number == Sys.CAPGET
    pointer = t.mem.host(data, 4 * words, write=is_get) if data else 0
    return host.syscall(number, t.mem.host(header, 8, write=True), pointer)


@syscall(318, "getcpu")
def getcpu(t: Thread, cpu: int, node: int, _cache: int) -> int:
    """Return the processor and memory node that the thread runs on."""
    numbers = (ctypes.c_uint32 * 2)()
    start = ctypes.addressof(numbers)
    result = host.syscall(Sys.GETCPU, start, start + 4, 0)
    for address, number in ((cpu, numbers[0]), (node, numbers[1])):
        if address and result == 0:
            t.mem.put_u32(address, number)
    return result


@syscall(103, "syslog")
def syslog(t: Thread, kind: int, address: int, size: int) -> int:
    """Refuse to show the kernel's log."""
    return -defs.EPERM


@syscall(310, "unshare")
def unshare(t: Thread, flags: int) -> int:
    """Allow what changes nothing for a process of its own, refuse namespaces."""
    harmless = defs.CLONE_FS | defs.CLONE_FILES | 0x40000  # CLONE_SYSVSEM
    if flags & ~harmless == 0:
        return 0 if len(t.process.threads) == 1 else -defs.EINVAL
    return -defs.EPERM


def _refuse(number: int, name: str, code: int) -> None:
    def refused(t: Thread) -> int:
        return -code

    syscall(number, name)(refused)


for _number, _name in {
    21: "mount", 22: "umount", 26: "ptrace", 51: "acct", 52: "umount2", 61: "chroot",
    74: "sethostname", 87: "swapon", 88: "reboot", 101: "ioperm", 110: "iopl", 111: "vhangup",
    115: "swapoff", 121: "setdomainname", 128: "init_module", 129: "delete_module",
    131: "quotactl", 217: "pivot_root", 283: "kexec_load", 336: "perf_event_open",
    341: "name_to_handle_at", 342: "open_by_handle_at", 346: "setns", 347: "process_vm_readv",
    348: "process_vm_writev", 349: "kcmp", 350: "finit_module", 357: "bpf",
    374: "userfaultfd", 438: "pidfd_getfd", 440: "process_madvise",
}.items():  # fmt: skip
    _refuse(_number, _name, defs.EPERM)
# Known, but absent on many kernels, so that programs have a fallback.
for _number, _name in {
    17: "break", 31: "stty", 32: "gtty", 35: "ftime", 44: "prof", 53: "lock", 56: "mpx",
    58: "ulimit", 86: "uselib", 98: "profil", 134: "bdflush", 137: "afs_syscall",
    149: "_sysctl", 167: "query_module", 188: "getpmsg", 189: "putpmsg",
    273: "vserver", 286: "add_key", 287: "request_key", 288: "keyctl",
    425: "io_uring_setup", 426: "io_uring_enter", 427: "io_uring_register",
    444: "landlock_create_ruleset", 445: "landlock_add_rule", 446: "landlock_restrict_self",
}.items():  # fmt: skip
    _refuse(_number, _name, defs.ENOSYS)


@syscall(354, "seccomp")
def seccomp(t: Thread, operation: int, flags: int, address: int) -> int:
    """Refuse filters: they would see the emulator's calls."""
    return -defs.EINVAL


@syscall(96, "getpriority")
def getpriority(t: Thread, which: int, who: int) -> int:
    """Return a scheduling priority, in the kernel's form 20 - nice."""
    return host.syscall(Sys.GETPRIORITY, signed(which), signed(who))


@syscall(97, "setpriority")
def setpriority(t: Thread, which: int, who: int, priority: int) -> int:
    """Set a scheduling priority."""
    reach.check_target(t.process, signed(which), who)
    return host.syscall(Sys.SETPRIORITY, signed(which), signed(who), signed(priority))


@syscall(34, "nice")
def nice(t: Thread, increment: int) -> int:
    """Change the scheduling priority; always 0, as the kernel answers."""
    try:
        os.nice(max(-40, min(40, signed(increment))))
    except PermissionError:
        return -defs.EPERM
    return 0
