"""LLVM IR text of the native signal handlers: guest faults, and signals for guest threads."""

from __future__ import annotations

from runtime.nativebase import (
    ERR,
    GETPID,
    GETTID,
    R13,
    RIP,
    SIGACTION,
    SIGQUEUE,
    THREADS_MAX,
    field,
    global_,
)
from translator.state import FIELDS, PENDING_MAX, PENDING_RECORD, STOP_FLAG, Exit


def on_fault() -> str:
    """Serve SIGSEGV and SIGBUS: go to the recovery code of a known access, else chain."""
    return f"""
define void @jitemu_on_fault(i32 %sig, ptr %info, ptr %uc) nounwind {{
  ; Sent by a process rather than caused by an access (si_code <= 0): a signal like any other.
  %code_at = getelementptr i8, ptr %info, i64 8
  %code = load i32, ptr %code_at
  %is_sent = icmp sle i32 %code, 0
  br i1 %is_sent, label %sent, label %caused
sent:
  call void @jitemu_on_signal(i32 %sig, ptr %info, ptr %uc)
  ret void
caused:
  %rip_at = getelementptr i8, ptr %uc, i64 {RIP}
  %rip = load i64, ptr %rip_at
{global_("arena_start", "start")}
{global_("arena_end", "end")}
  %low = icmp uge i64 %rip, %start
  %high = icmp ult i64 %rip, %end
  %ours = and i1 %low, %high
  br i1 %ours, label %search, label %chain
search:
  %offset = sub i64 %rip, %start
  %offset32 = trunc i64 %offset to i32
{global_("fault_table", "table_int")}
  %table = inttoptr i64 %table_int to ptr
{global_("fault_count", "count")}
  br label %loop
loop:
  %lo = phi i64 [ 0, %search ], [ %lo_next, %step ]
  %hi = phi i64 [ %count, %search ], [ %hi_next, %step ]
  %open = icmp ult i64 %lo, %hi
  br i1 %open, label %probe, label %chain
probe:
  %sum = add i64 %lo, %hi
  %mid = lshr i64 %sum, 1
  %row_offset = mul i64 %mid, 12
  %row = getelementptr i8, ptr %table, i64 %row_offset
  %access = load i32, ptr %row, align 4
  %same = icmp eq i32 %access, %offset32
  br i1 %same, label %found, label %step
step:
  %below = icmp ult i32 %access, %offset32
  %mid_up = add i64 %mid, 1
  %lo_next = select i1 %below, i64 %mid_up, i64 %lo
  %hi_next = select i1 %below, i64 %hi, i64 %mid
  br label %loop
found:
  %recovery_at = getelementptr i8, ptr %row, i64 4
  %recovery32 = load i32, ptr %recovery_at, align 4
  %recovery64 = zext i32 %recovery32 to i64
  %recovery = add i64 %start, %recovery64
  %pc_at = getelementptr i8, ptr %row, i64 8
  %pc = load i32, ptr %pc_at, align 4
  %r13_at = getelementptr i8, ptr %uc, i64 {R13}
  %st = load ptr, ptr %r13_at
  %is_support = icmp eq i32 %pc, -1
  br i1 %is_support, label %support, label %guest
support:
  store i64 %recovery, ptr %rip_at
  ret void
guest:
  ; Linear memory of a machine: a page that was not touched yet is mapped, and that is all.
{field("paging", "paging_at")}
  %paging = load i64, ptr %paging_at
  %is_paged = icmp ne i64 %paging, 0
  br i1 %is_paged, label %ask, label %exit
ask:
  %host_at = getelementptr i8, ptr %info, i64 16
  %host_address = load i64, ptr %host_at
  %reason_at = getelementptr i8, ptr %uc, i64 {ERR}
  %reason = load i64, ptr %reason_at
  %filled = call i64 @fill_fault(i64 %paging, i64 %host_address, i64 %reason)
  %is_filled = icmp ne i64 %filled, 0
  br i1 %is_filled, label %again, label %exit
again:
  ret void
exit:
  %resume = call i64 @jitemu_resume(i64 %rip, i64 %recovery, ptr %st)
  store i64 %resume, ptr %rip_at
{field("eip", "eip_at")}
  store i32 %pc, ptr %eip_at
{field("exit_kind", "kind_at")}
  store i32 {Exit.FAULT}, ptr %kind_at
{field("exit_info", "info_at")}
  store i32 %sig, ptr %info_at
{field("fault_pc", "host_pc_at")}
  store i64 %rip, ptr %host_pc_at
  %addr_at = getelementptr i8, ptr %info, i64 16
  %addr = load i64, ptr %addr_at
{field("memory_base", "base_at")}
  %base = load i64, ptr %base_at
  %guest_addr = sub i64 %addr, %base
  %guest_addr32 = trunc i64 %guest_addr to i32
{field("fault_address", "fault_at")}
  store i32 %guest_addr32, ptr %fault_at
  %err_at = getelementptr i8, ptr %uc, i64 {ERR}
  %err = load i16, ptr %err_at
{field("fault_error", "error_at")}
  store i16 %err, ptr %error_at
  ret void
chain:
  ; Not ours: what was installed before takes it; the default action ends the process.
  %is_bus = icmp eq i32 %sig, 7
{global_("old_segv", "old_segv")}
{global_("old_bus", "old_bus")}
  %old_int = select i1 %is_bus, i64 %old_bus, i64 %old_segv
  %old = inttoptr i64 %old_int to ptr
  %handler = load ptr, ptr %old
  %handler_int = ptrtoint ptr %handler to i64
  %real = icmp ugt i64 %handler_int, 1
  br i1 %real, label %call, label %restore
call:
  call void %handler(i32 %sig, ptr %info, ptr %uc)
  ret void
restore:
  %sig64 = zext i32 %sig to i64
  %r = {_host_call(SIGACTION, "i64 %sig64", "ptr %old", "i64 0", "i64 8")}
  ret void
}}
"""


def resume() -> str:
    """Where to go on after a fault: LLVM lays recovery code out as if the access had been done.

    Of the accesses only those of the x87 change more than their outputs: a load has not pushed
    and a store not popped what the recovery code takes for pushed or popped.  Where LLVM knows
    nothing of the x87 stack, an override of ES says so (hostasm.py).
    """
    thunks = "".join(
        f"""
define internal void @jitemu_{name}() naked nounwind {{
  call void asm sideeffect "{asm}; jmpq *{FIELDS["recovery"].offset}(%r13)", ""()
  unreachable
}}"""
        for name, asm in (("push", "fldz"), ("pop", "fstp %st(0)"))
    )
    return f"""{thunks}
define internal i64 @jitemu_resume(i64 %rip, i64 %recovery, ptr %st) noinline nounwind {{
  br label %prefix
prefix:
  ; Address size, a segment override, then REX.
  %at = phi i64 [ %rip, %0 ], [ %following, %more ]
  %pointer = inttoptr i64 %at to ptr
  %byte = load i8, ptr %pointer
  %following = add i64 %at, 1
  %group = and i8 %byte, -16
  %is_rex = icmp eq i8 %group, 64
  %is_gs = icmp eq i8 %byte, 101
  %is_cut = icmp eq i8 %byte, 103
  %is_legacy = or i1 %is_gs, %is_cut
  %is_prefix = or i1 %is_rex, %is_legacy
  br i1 %is_prefix, label %more, label %opcode
more:
  br label %prefix
opcode:
  ; D9 DB DD DF load (reg field 0 and 5) and store; D8 DA DC DE compute.
  %kind = and i8 %byte, -7
  %is_move = icmp eq i8 %kind, -39
  br i1 %is_move, label %move, label %plain
move:
  %modrm_at = inttoptr i64 %following to ptr
  %modrm = load i8, ptr %modrm_at
  %reg = and i8 %modrm, 56
  %is_first = icmp eq i8 %reg, 0
  %is_fifth = icmp eq i8 %reg, 40
  %is_load = or i1 %is_first, %is_fifth
{field("recovery", "recovery_at")}
  store i64 %recovery, ptr %recovery_at
  %push = ptrtoint ptr @jitemu_push to i64
  %pop = ptrtoint ptr @jitemu_pop to i64
  %thunk = select i1 %is_load, i64 %push, i64 %pop
  ret i64 %thunk
plain:
  ret i64 %recovery
}}
"""


def _host_call(number: int, *args: str) -> str:
    """Return the LLVM call that makes a host system call; arguments come with their types."""
    inputs = ["={ax}", "{ax}", *("{di}", "{si}", "{dx}", "{r10}")[: len(args)]]
    constraints = ",".join([*inputs, "~{rcx}", "~{r11}", "~{memory}"])
    values = ", ".join([f"i64 {number}", *args])
    return f'call i64 asm sideeffect "syscall", "{constraints}"({values})'


def on_signal() -> str:
    """Record an asynchronous signal for the guest thread it hit and ask the thread to leave."""
    queued = "i64 %pid", "i64 %target", "i64 %sig_foreign", "ptr %info"
    return f"""
define void @jitemu_on_signal(i32 %sig, ptr %info, ptr %uc) nounwind {{
  %tid = {_host_call(GETTID)}
{global_("threads", "threads_int")}
  %threads = inttoptr i64 %threads_int to ptr
  br label %scan
scan:
  %index = phi i64 [ 0, %0 ], [ %index_next, %scan_more ]
  %row_offset = shl i64 %index, 4
  %row = getelementptr i8, ptr %threads, i64 %row_offset
  %row_tid = load i64, ptr %row
  %mine = icmp eq i64 %row_tid, %tid
  br i1 %mine, label %thread, label %scan_more
scan_more:
  %index_next = add i64 %index, 1
  %more = icmp ult i64 %index_next, {THREADS_MAX}
  br i1 %more, label %scan, label %foreign
foreign:
  ; Another thread of this process took a signal that is for the guest: pass it to the first guest
  ; thread. If that blocks it, it stays pending there.
  %sig_foreign = zext i32 %sig to i64
{global_("kick_signal", "kick_foreign")}
  %foreign_kick = icmp eq i64 %sig_foreign, %kick_foreign
  br i1 %foreign_kick, label %window, label %seek
seek:
  %at = phi i64 [ 0, %foreign ], [ %at_next, %seek_more ]
  %at_offset = shl i64 %at, 4
  %at_row = getelementptr i8, ptr %threads, i64 %at_offset
  %target = load i64, ptr %at_row
  %taken = icmp ne i64 %target, 0
  br i1 %taken, label %pass, label %seek_more
seek_more:
  %at_next = add i64 %at, 1
  %seek_on = icmp ult i64 %at_next, {THREADS_MAX}
  br i1 %seek_on, label %seek, label %out
pass:
  %pid = {_host_call(GETPID)}
  %passed = {_host_call(SIGQUEUE, *queued)}
  ret void
thread:
  %state_at = getelementptr i8, ptr %row, i64 8
  %st = load ptr, ptr %state_at
  %sig64 = zext i32 %sig to i64
{global_("kick_signal", "kick")}
  %is_kick = icmp eq i64 %sig64, %kick
  br i1 %is_kick, label %stop, label %record
record:
{field("pending_count", "count_at")}
  %count = load i32, ptr %count_at
  %room = icmp ult i32 %count, {PENDING_MAX}
  br i1 %room, label %store, label %stop
store:
  %count64 = zext i32 %count to i64
  %record_offset = mul i64 %count64, {PENDING_RECORD}
{field("pending", "pending_at")}
  %slot = getelementptr i8, ptr %pending_at, i64 %record_offset
  store i64 %sig64, ptr %slot
  br label %copy
copy:
  %i = phi i64 [ 0, %store ], [ %i_next, %copy ]
  %from = getelementptr i8, ptr %info, i64 %i
  %word = load i64, ptr %from
  %to_offset = add i64 %i, 8
  %to = getelementptr i8, ptr %slot, i64 %to_offset
  store volatile i64 %word, ptr %to
  %i_next = add i64 %i, 8
  %copied = icmp uge i64 %i_next, 128
  br i1 %copied, label %recorded, label %copy
recorded:
  %count_next = add i32 %count, 1
  store i32 %count_next, ptr %count_at
  br label %stop
stop:
{field("stop", "stop_at")}
  store i32 {STOP_FLAG}, ptr %stop_at
  br label %window
window:
  ; A blocking call that has not started yet must not start: leave it with -EINTR.
  %rip_at = getelementptr i8, ptr %uc, i64 {RIP}
  %rip = load i64, ptr %rip_at
{global_("syscall_start", "win_start")}
{global_("syscall_end", "win_end")}
  %after = icmp uge i64 %rip, %win_start
  %before = icmp ult i64 %rip, %win_end
  %inside = and i1 %after, %before
  br i1 %inside, label %abort, label %out
abort:
{global_("syscall_abort", "win_abort")}
  store i64 %win_abort, ptr %rip_at
  ret void
out:
  ret void
}}
define void @jitemu_restorer() naked nounwind {{
  call void asm sideeffect "movl $$15, %eax; syscall", ""()
  unreachable
}}
"""
