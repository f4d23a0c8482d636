"""What the texts of the native support routines share: tables, constants, common lines."""

from __future__ import annotations

from translator.state import FIELDS

# Offsets into the table of globals, 8 bytes each.
GLOBALS = {
    "arena_start": 0,  # host code: addresses from start to end belong to us
    "arena_end": 8,
    "fault_table": 16,  # sorted (u32 access, u32 recovery, u32 guest pc), offsets from arena_start
    "fault_count": 24,
    "used": 32,  # offset where the next code goes
    "threads": 48,  # THREADS_MAX x (u64 host thread id, u64 state address)
    "kick_signal": 56,  # asks a thread to leave guest code; nothing is recorded
    "old_segv": 64,  # address of the struct sigaction found at installation
    "old_bus": 72,
    "syscall_start": 80,  # the restartable window of jitemu_syscall
    "syscall_end": 88,
    "syscall_abort": 96,
}
GLOBALS_SIZE = 4096
THREADS_MAX = 4096

# ucontext_t of x86-64 Linux: gregs start at 40 (R8..R15, RDI RSI RBP RBX RDX RAX RCX RSP RIP EFL
# CSGSFS ERR TRAPNO ...), asm/ucontext.h and asm/sigcontext.h.
GREGS = 40
R13, RIP, ERR = GREGS + 5 * 8, GREGS + 16 * 8, GREGS + 19 * 8
# Host system calls of x86-64: rt_sigaction, getpid, gettid, rt_tgsigqueueinfo.
SIGACTION, GETPID, GETTID, SIGQUEUE = 13, 39, 186, 297


def field(name: str, result: str) -> str:
    """Return the line that makes %*result* the address of a field of the state %st."""
    return f"  %{result} = getelementptr i8, ptr %st, i64 {FIELDS[name].offset}"


def global_(name: str, result: str) -> str:
    """Return the line that loads one of GLOBALS."""
    pointer = f"getelementptr (i8, ptr @jitemu_globals, i64 {GLOBALS[name]})"
    return f"  %{result} = load i64, ptr {pointer}"
