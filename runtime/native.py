"""Native support: the code arena, entering guest code, host signals, safe copies.

One arena of executable memory per process holds the support routines (nativecode.py) and all
translated code, so that every jump between them is a 32-bit displacement.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import struct
import threading
from typing import TYPE_CHECKING, Any

from runtime import codestore, host, nativecode
from runtime.host import syscall
from runtime.host_numbers import Sys
from translator.state import FIELDS, PENDING_RECORD, STOP_FLAG

if TYPE_CHECKING:
    from runtime.cpu import Cpu

ARENA_SIZE = 256 << 20
FAULTS_MAX = 8 << 20  # rows of the fault table
KICK_SIGNAL = 64  # SIGRTMAX: makes a thread leave guest code, never shown to the guest
_SA_SIGINFO, _SA_RESTORER, _SA_NODEFER, _SA_ONSTACK = 4, 0x04000000, 0x40000000, 0x08000000
_PENDING, _PENDING_COUNT = FIELDS["pending"].offset, FIELDS["pending_count"].offset // 4
_THREAD_ID = FIELDS["thread_id"].offset // 4
_STOP = FIELDS["stop"].offset
_ARCH_SET_GS = 0x1001  # asm/prctl.h


def reserve(size: int, prot: int) -> tuple[mmap.mmap, int]:
    """Map private memory that costs nothing until touched; return it and its address."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    area = mmap.mmap(-1, size, flags, prot)
    with contextlib.suppress(OSError):
        area.madvise(mmap.MADV_DONTDUMP)
    return area, ctypes.addressof(ctypes.c_char.from_buffer(area))


def address_of(buffer: bytearray) -> int:
    """Return the host address of a buffer's contents; the buffer must never be resized."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class Arena:
    """Executable memory with the tables that the native fault handler reads.

    Offsets count from `base`.  Code is only ever appended; `used` is where the next code goes.
    """

    def __init__(self) -> None:
        prot = mmap.PROT_READ | mmap.PROT_WRITE
        self.area, self.base = reserve(ARENA_SIZE, prot | mmap.PROT_EXEC)
        self.code = memoryview(self.area)
        self.words = self.code.cast("B")
        self.fault_area, fault_address = reserve(12 * FAULTS_MAX, prot)
        self.globals = self.code[: nativecode.GLOBALS_SIZE].cast("Q")
        self.set_global("arena_start", self.base)
        self.set_global("arena_end", self.base + ARENA_SIZE)
        self.fault_address = fault_address
        self.set_global("fault_table", fault_address)
        self.used = nativecode.GLOBALS_SIZE
        self.symbols: dict[str, int] = {"jitemu_globals": 0}
        self._load_support()
        self.floor = self.used
        self.fault_floor = self.fault_count

    def set_global(self, name: str, value: int) -> None:
        """Set one of nativecode.GLOBALS."""
        self.globals[nativecode.GLOBALS[name] // 8] = value

    @property
    def used(self) -> int:
        """Offset where the next code goes."""
        return self.globals[nativecode.GLOBALS["used"] // 8]

    @used.setter
    def used(self, offset: int) -> None:
        self.globals[nativecode.GLOBALS["used"] // 8] = offset

    @property
    def used_address(self) -> int:
        """Host address of `used`."""
        return self.base + nativecode.GLOBALS["used"]

    @property
    def fault_count_address(self) -> int:
        """Host address of the number of rows in the fault table."""
        return self.base + nativecode.GLOBALS["fault_count"]

    @property
    def fault_count(self) -> int:
        """Rows in the fault table."""
        return self.globals[nativecode.GLOBALS["fault_count"] // 8]

    def add_faults(self, rows: bytes) -> None:
        """Append rows (u32 access, u32 recovery, u32 guest pc) in ascending order of access."""
        count = self.fault_count
        self.fault_area[12 * count : 12 * count + len(rows)] = rows
        self.set_global("fault_count", count + len(rows) // 12)

    def reset(self) -> None:
        """Forget all translated code."""
        self.used = self.floor
        self.set_global("fault_count", self.fault_floor)

    def _load_support(self) -> None:
        code, symbols, relocs, faults = codestore.support_code()
        at = self.used = (self.used + 63) & -64
        self.code[at : at + len(code)] = code
        self.used = (at + len(code) + 63) & -64
        self.symbols.update({name: at + offset for name, offset in symbols.items()})
        for offset, symbol, addend in relocs:
            value = self.symbols[symbol] + addend - (at + offset)
            struct.pack_into("<i", self.code, at + offset, value)
        rows = sorted((at + access, at + recovery, pc) for access, recovery, pc in faults)
        self.add_faults(b"".join(struct.pack("<III", *row) for row in rows))

    def function(self, name: str, result: Any, *args: Any, keep_gil: bool = False) -> Any:
        """Return a support routine as a ctypes function."""
        maker = ctypes.PYFUNCTYPE if keep_gil else ctypes.CFUNCTYPE
        return maker(result, *args)(self.base + self.symbols[name])


_u64, _ptr = ctypes.c_uint64, ctypes.c_void_p
arena = Arena()
_thread_area, _thread_address = reserve(16 * nativecode.THREADS_MAX, 3)
_threads = memoryview(_thread_area).cast("Q")
arena.set_global("threads", _thread_address)
arena.set_global("kick_signal", KICK_SIGNAL)
for _name in ("start", "end", "abort"):
    _symbol = f"syscall_{_name}"
    arena.set_global(_symbol, arena.base + arena.symbols["jitemu_" + _symbol])

enter = arena.function("jitemu_enter", ctypes.c_uint32, _ptr, _ptr)
run = arena.function("jitemu_run", ctypes.c_uint32, _u64, _ptr, _ptr)
copy = arena.function("jitemu_copy", _u64, _u64, _u64, _u64, keep_gil=True)
stoppable_syscall = arena.function(
    "jitemu_syscall", ctypes.c_int64, _u64, ctypes.c_int64, *([_u64] * 6)
)
spawn = arena.function(
    "jitemu_spawn", ctypes.c_int64, ctypes.c_char_p, _ptr, _ptr, _u64, _u64, _u64
)
loads = {
    w: arena.function(f"jitemu_load{w}", _u64, _u64, _ptr, keep_gil=True) for w in (8, 16, 32, 64)
}
stores = {
    w: arena.function(f"jitemu_store{w}", _u64, _u64, _u64, keep_gil=True) for w in (8, 16, 32, 64)
}
exchanges = {
    w: arena.function(f"jitemu_cmpxchg{w}", _u64, _u64, _u64, _u64, _ptr, keep_gil=True)
    for w in (8, 16, 32, 64)
}


# -- threads ---------------------------------------------------------------------------------------
_registry_lock = threading.Lock()


class _Current(threading.local):
    """What a host thread runs: the guest thread, and the base of the memory it accesses."""

    cpu: Cpu | None = None
    base = 0


current = _Current()
_NO_STOP = ctypes.c_uint32(0)
_NO_STOP_ADDRESS = ctypes.addressof(_NO_STOP)


def bind(cpu: Cpu) -> None:
    """Tell which guest thread the calling host thread runs; its signals are recorded there."""
    install_fault_handlers()
    tid = threading.get_native_id()
    cpu.r32[_THREAD_ID] = tid
    current.cpu = cpu
    with _registry_lock:
        rows = range(nativecode.THREADS_MAX)
        # A host thread runs one guest thread: the last that was bound.
        row = next((r for r in rows if _threads[2 * r] == tid), -1)
        if row < 0:
            row = next((r for r in rows if not _threads[2 * r]), -1)
        if row >= 0:
            _threads[2 * row + 1] = cpu.state_address
            _threads[2 * row] = tid
            return
    raise RuntimeError("too many guest threads")


def unbind(cpu: Cpu) -> None:
    """Undo `bind`."""
    current.cpu = None
    with _registry_lock:
        for row in range(nativecode.THREADS_MAX):
            if _threads[2 * row] and _threads[2 * row + 1] == cpu.state_address:
                _threads[2 * row] = 0
    cpu.r32[_THREAD_ID] = 0


def after_fork(cpu: Cpu) -> None:
    """Keep only the calling thread, in a child process."""
    global _registry_lock
    _registry_lock = threading.Lock()
    _thread_area[:] = bytes(len(_thread_area))
    bind(cpu)


def request_stop(cpu: Cpu) -> None:
    """Make a guest thread leave guest code and its blocking host call, from any thread."""
    # The flag is the request; the signal only ends a host call that waits already.
    cpu.r32[_STOP // 4] = STOP_FLAG
    tid = cpu.r32[_THREAD_ID]
    if tid and tid != threading.get_native_id():
        syscall(Sys.TGKILL, os.getpid(), tid, KICK_SIGNAL)


def poke(cpu: Cpu) -> None:
    """Make a guest thread leave guest code, so that its processor looks at its pins."""
    cpu.r8[_STOP + 3] = STOP_FLAG >> 24  # above any budget; the lower bytes say that it shall stop


def is_stopped(cpu: Cpu) -> bool:
    """Whether a stop was requested; if there was only a poke, forget it."""
    if cpu.r8[_STOP]:
        return True
    cpu.r8[_STOP + 3] = 0  # a request that comes now leaves the lower bytes, and is seen
    return False


def clear_stop(cpu: Cpu) -> None:
    """Forget stop requests so far; only the thread itself, before it looks at what is asked."""
    cpu.r32[_STOP // 4] = 0


def use_memory(base: int) -> None:
    """Let the calling host thread's guest accesses go to the memory at host address *base*."""
    syscall(Sys.ARCH_PRCTL, _ARCH_SET_GS, base)
    current.base = base


_ZEROS = [(0,) * (6 - count) for count in range(7)]


def interruptible(number: int, *args: int) -> int:
    """Make a host call unless the calling guest thread shall stop: then -EINTR."""
    cpu = getattr(current, "cpu", None)
    flag = _NO_STOP_ADDRESS if cpu is None else cpu.state_address + _STOP
    result: int = stoppable_syscall(flag, number, *args, *_ZEROS[len(args)])
    return result


host.set_interruptible(interruptible)


# -- host signals ----------------------------------------------------------------------------------
def _sigaction(signo: int, handler: int, flags: int = 0) -> bytes:
    """Install a handler by the raw system call; return the old struct kernel_sigaction."""
    restorer = arena.base + arena.symbols["jitemu_restorer"]
    new = struct.pack("<QQQQ", handler, flags | _SA_RESTORER, restorer, 0)
    old = ctypes.create_string_buffer(32)
    syscall(Sys.RT_SIGACTION, signo, new, ctypes.addressof(old), 8)
    return old.raw


def catch(signo: int, flags: int = 0) -> None:
    """Record *signo* for the guest from now on; *flags*: SA_NOCLDSTOP, SA_NOCLDWAIT."""
    handler = arena.base + arena.symbols["jitemu_on_signal"]
    _sigaction(signo, handler, _SA_SIGINFO | _SA_ONSTACK | flags)


def default(signo: int, flags: int = 0) -> None:
    """Give *signo* its default action."""
    _sigaction(signo, 0, flags)


def ignore(signo: int) -> None:
    """Ignore *signo*."""
    _sigaction(signo, 1)


def take_pending(cpu: Cpu) -> list[tuple[int, bytes]]:
    """Drain what the handler recorded for a thread: (signal number, host siginfo)."""
    if not cpu.r32[_PENDING_COUNT]:
        return []
    # The handler runs on this very thread: blocking everything makes the drain atomic.
    # By the raw call: the C library's would unblock its own two signals, which the guest may use.
    saved = ctypes.create_string_buffer(8)
    syscall(Sys.RT_SIGPROCMASK, 0, b"\xff" * 8, ctypes.addressof(saved), 8)
    try:
        taken = []
        for i in range(cpu.r32[_PENDING_COUNT]):
            at = _PENDING + PENDING_RECORD * i
            signo = int.from_bytes(cpu.r8[at : at + 8], "little")
            taken.append((signo, bytes(cpu.r8[at + 8 : at + 136])))
        cpu.r32[_PENDING_COUNT] = 0
    finally:
        syscall(Sys.RT_SIGPROCMASK, 2, ctypes.addressof(saved), 0, 8)
    return taken


_FAULT_FLAGS = _SA_SIGINFO | _SA_NODEFER | _SA_ONSTACK
_FAULTS = ((signal.SIGSEGV, "old_segv"), (signal.SIGBUS, "old_bus"))
_old_actions = {signo: ctypes.create_string_buffer(32) for signo, _ in _FAULTS}


def install_fault_handlers() -> None:
    """Take SIGSEGV and SIGBUS; faults that are not the guest's go to what was there before.

    Again if another library has taken them since: without our handler, guest code would fault for
    ever.
    """
    handler = arena.base + arena.symbols["jitemu_on_fault"]
    for signo, name in _FAULTS:
        found = ctypes.create_string_buffer(32)
        syscall(Sys.RT_SIGACTION, signo, 0, ctypes.addressof(found), 8)
        if int.from_bytes(found.raw[:8], "little") == handler:
            flags = int.from_bytes(found.raw[8:16], "little")
            if flags & _FAULT_FLAGS == _FAULT_FLAGS:
                continue
        else:
            _old_actions[signo].raw = found.raw
        arena.set_global(name, ctypes.addressof(_old_actions[signo]))
        _sigaction(signo, handler, _FAULT_FLAGS)


def _install_kick() -> None:
    _sigaction(
        KICK_SIGNAL, arena.base + arena.symbols["jitemu_on_signal"], _SA_SIGINFO | _SA_ONSTACK
    )


install_fault_handlers()
_install_kick()
