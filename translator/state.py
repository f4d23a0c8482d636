"""Layout of the guest CPU state: one table (name, offset, size), shared by tiers and runtime.

The state is one native buffer per guest thread; host code reaches it through a pinned
register.  All offsets are in bytes; the hot fields lie in the first 128 bytes so that
x86-64 hosts reach them with an 8-bit displacement.
"""

from __future__ import annotations

from typing import NamedTuple

GPRS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
SAVED_OPERANDS = ("flags_result", "flags_left", "flags_right")
WATCH_RANGES = 3  # for reads, and as many for writes
WATCHES = tuple(f"watch_{kind}{i}" for kind in "rw" for i in range(WATCH_RANGES))
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")


class Field(NamedTuple):
    """One field of the state: byte offset and width in bits."""

    offset: int
    width: int


def _system_rows(offset: int) -> list[tuple[str, int, int]]:
    """Fields that only segmented modes and whole machines have."""
    rows: list[tuple[str, int, int]] = []

    def add(name: str, width: int) -> None:
        nonlocal offset
        offset = (offset + width // 8 - 1) & -(width // 8)
        rows.append((name, offset, width))
        offset += width // 8

    add("paging", 64)  # address of the tables of quick/paging.py, 0 without
    # Host addresses of what accesses devices for host code (nativecode.py).
    add("device_load", 64)
    add("device_store", 64)
    # Not 0 while something waits at a processor's pins (runtime/system/requests.py): insns that may
    # set IF are then the interp tier's. `shadow`: eip of an insn before which no interrupt comes.
    add("attention", 32)
    add("shadow", 32)
    add("context", 64)  # number of the code's context (mode.py) << 32: added to eip in lookups
    for name in SEGMENTS:
        # Of accesses: the lowest offset, and how far beyond it the highest byte may lie, -1 where
        # none may (signed).
        add(f"{name}_rspan", 64)
        add(f"{name}_wspan", 64)
        add(f"{name}_low", 32)
        add(f"{name}_limit", 32)
        add(f"{name}_attr", 32)  # bits 8 to 23 of the descriptor's second word, in place
    for name in ("ldtr", "tr"):
        add(f"{name}_base", 32)
        add(f"{name}_limit", 32)
        add(f"{name}_attr", 32)
        add(name, 16)
    for name in ("gdtr", "idtr"):
        add(f"{name}_base", 32)
        add(f"{name}_limit", 16)
    for name in ("cr0", "cr2", "cr3", "cr4", *(f"dr{i}" for i in range(8))):
        add(name, 32)
    # Where somebody watches accesses: first address and size of ranges, 0 for none.
    for name in WATCHES:
        add(f"{name}_first", 32)
        add(f"{name}_size", 64)
    return rows


def _layout() -> dict[str, Field]:
    fields = {name: Field(4 * i, 32) for i, name in enumerate(GPRS)}
    rows: list[tuple[str, int, int]] = [
        ("eip", 32, 32),
        ("exit_kind", 36, 32),  # one of Exit
        ("exit_info", 40, 32),  # link site, vector: what the kind says
        ("fault_address", 44, 32),  # CR2
        # Arithmetic flags, each group in the form that is cheapest to write and to read:
        # ZF = low 32 bits are zero; SF = bit 63; PF = even parity of (byte 0 ^ byte 4).
        ("szp", 48, 64),
        ("cf", 56, 8),  # 0 or 1
        ("of", 57, 8),  # 0 or 1
        ("af", 58, 8),  # AF is bit 4; the other bits are noise
        ("fcc", 59, 8),  # x87 condition bits as in the status word's high byte: C0 C2 C3
        ("df", 60, 32),  # direction flag as the step of string insns: 1 or -1
        ("budget", 64, 64),  # insns left; host code keeps it in a register
        ("eflags_rest", 72, 32),  # the EFLAGS bits that are none of the above (AC, ID, NT, ...)
        ("fpu", 76, 16),  # x87 TOP << 8 | mask of non-empty physical registers
        ("fcw", 78, 16),
        ("fsw", 80, 16),  # x87 status, low byte: exceptions, SF, ES (see fpstate.py for the rest)
        ("fault_error", 82, 16),
        ("mxcsr", 84, 32),
        *[(f"{name}_base", 88 + 4 * i, 32) for i, name in enumerate(SEGMENTS)],
        # Host code leaves where its budget is below the floor: 0, or more than any budget when
        # somebody asked this thread to leave and set the upper half, `stop`, to STOP_FLAG.
        ("floor", 120, 64),
        ("stop", 124, 32),
        *[(f"xmm{i}", 128 + 16 * i, 128) for i in range(8)],
        *[(f"fpr{i}", 256 + 16 * i, 80) for i in range(8)],  # physical x87 registers
        ("fpu_ip", 384, 32),
        ("fpu_cs", 388, 16),
        ("fpu_op", 390, 16),
        ("fpu_dp", 392, 32),
        ("fpu_ds", 396, 16),
        ("fc1", 398, 8),  # x87 condition bit C1, at bit 1
        *[(name, 400 + 2 * i, 16) for i, name in enumerate(SEGMENTS)],
        ("memory_base", 416, 64),  # host address of guest address 0
        ("host_mxcsr", 424, 32),
        ("host_fcw", 428, 16),
        ("fault_pc", 432, 64),  # host address of the access that faulted last
        ("recovery", 440, 64),  # where host code goes on after that
        ("thread_id", 448, 32),  # host thread that runs this guest thread; 0 for none
        ("pending_count", 452, 32),  # siginfo records in `pending`
        ("hash_table", 456, 64),  # host address of this thread's table (guest pc, host code)
        ("x87_in", 464, 64),  # host addresses of what moves the x87 registers into the host's...
        ("x87_out", 472, 64),  # ...and back
        # What flags follow from that a region leaves to be computed, should a fault show them.
        ("flags_result", 480, 32),
        ("flags_left", 484, 32),
        ("flags_right", 488, 32),
        # All ones where a region must not begin what the budget may not last for; 0 while as much
        # is held back as it may run over.
        ("look_ahead", 496, 64),
        ("pending", 512, 0),  # PENDING_MAX records of 136 bytes: signo (8), siginfo (128)
        ("scratch", 4096, 0),  # 4 KiB for helpers
        *_system_rows(8192),
        ("jump_cache", 12288, 0),  # JUMP_CACHE_ENTRIES x (u64 location, u64 host code)
    ]
    for name, offset, width in rows:
        assert name not in fields, name
        fields[name] = Field(offset, width)
    return fields


FIELDS = _layout()
STOP_FLAG = 0x7FFFFFFF
PENDING_MAX = 26
PENDING_RECORD = 136
JUMP_CACHE_ENTRIES = 4096
STATE_SIZE = FIELDS["jump_cache"].offset + 16 * JUMP_CACHE_ENTRIES


# In `exit_info` of a trap: flags that only it shows are to be recovered; `fault_pc` says where.
WATCHED = 0x80  # the vector of an access that somebody watches: no exception of the guest's
RECOVERED = 0x100


class Exit:
    """Why host code returned to the dispatcher (`exit_kind`)."""

    LOOKUP = 1  # no host code known for eip
    LINK = 2  # like LOOKUP, and `exit_info` names the link that may be patched
    FAULT = 3  # memory fault: fault_address, fault_error
    TRAP = 4  # guest exception `exit_info` = vector
    SYSCALL = 5  # int 0x80; eip is behind it
    INTERP = 6  # the insn at eip must be executed by the interp tier
    # `budget` ran out (or a stop was asked for) before the block at eip; `exit_info` is not 0 if
    # that was inside a region.
    BUDGET = 7
    STALE = 8  # the block's assumption (x87 stack, guest bytes) does not hold: look up again
    CALL = 9  # hooks want to be called before the insn at eip; `exit_info` names the place
    INT = 10  # software interrupt `exit_info` of a whole machine; eip is behind it
    HALT = 11  # hlt; eip is behind it

    NAMES = (
        *("", "lookup", "link", "fault", "trap", "syscall", "interp", "budget", "stale"),
        *("call", "int", "halt"),
    )
