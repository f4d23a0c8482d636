"""LLVM IR text of the native support routines: entering guest code, signals, safe copies.

Python cannot serve a synchronous SIGSEGV and must not sit between blocks, so these routines are
compiled.  They share a table of globals (GLOBALS below) with runtime/native.py.
"""

from __future__ import annotations

from translator.state import FIELDS, PENDING_MAX, PENDING_RECORD, STOP_FLAG, Exit
from translator.tiers.emitter import ARGS, PINNED_XMM, SIGNATURE, VECTOR
from translator.tiers.hostasm import FAULT_SECTION

# Offsets into the table of globals, 8 bytes each.
GLOBALS = {
    "arena_start": 0,  # host code: addresses from start to end belong to us
    "arena_end": 8,
    "fault_table": 16,  # sorted (u32 access, u32 recovery, u32 guest pc), offsets from arena_start
    "fault_count": 24,
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
HASH_SIZE = 1 << 17  # entries (u64 guest pc, u64 code), open addressing; empty key: all ones

# ucontext_t of x86-64 Linux: gregs start at 40 (R8..R15, RDI RSI RBP RBX RDX RAX RCX RSP RIP EFL
# CSGSFS ERR TRAPNO ...), asm/ucontext.h and asm/sigcontext.h.
_GREGS = 40
_R13, _RIP, _ERR = _GREGS + 5 * 8, _GREGS + 16 * 8, _GREGS + 19 * 8
_GETTID = 186


def _field(name: str, result: str) -> str:
    return f"  %{result} = getelementptr i8, ptr %st, i64 {FIELDS[name].offset}"


def _global(name: str, result: str) -> str:
    pointer = f"getelementptr (i8, ptr @jitemu_globals, i64 {GLOBALS[name]})"
    return f"  %{result} = load i64, ptr {pointer}"


def _pinned() -> str:
    """Return the arguments that hold the guest's general and vector registers."""
    vectors = [f"{VECTOR} %x{i}" for i in range(PINNED_XMM)]
    return ", ".join([*(f"i64 %r{i}" for i in range(8)), *vectors])


def _thunks() -> str:
    """jitemu_leave: back to jitemu_enter. jitemu_lookup: eip's code from the hash table."""
    stores = "\n".join(
        f"  %p{i} = getelementptr i8, ptr %st, i64 {4 * i}\n"
        f"  %t{i} = trunc i64 %r{i} to i32\n  store i32 %t{i}, ptr %p{i}"
        for i in range(8)
    )
    vector_stores = "\n".join(
        f"{_field(f'xmm{i}', f'v{i}')}\n  store {VECTOR} %x{i}, ptr %v{i}, align 16"
        for i in range(PINNED_XMM)
    )
    regs = _pinned()
    return f"""
define ghccc void @jitemu_leave({", ".join(ARGS)}) nounwind {{
{stores}
{vector_stores}
{_field("budget", "budget_at")}
  store i64 %budget, ptr %budget_at
  ret void
}}
define ghccc void @jitemu_lookup({", ".join(ARGS)}) nounwind {{
{_field("eip", "eip_at")}
  %eip = load i32, ptr %eip_at
  %pc = zext i32 %eip to i64
{_field("hash_table", "table_at")}
  %table = load ptr, ptr %table_at
  %mixed = mul i64 %pc, 2654435761
  %high = lshr i64 %mixed, 12
  %first = and i64 %high, {HASH_SIZE - 1}
  br label %probe
probe:
  %index = phi i64 [ %first, %0 ], [ %following, %more ]
  %offset = shl i64 %index, 4
  %entry = getelementptr i8, ptr %table, i64 %offset
  %key = load atomic i64, ptr %entry acquire, align 8
  %found = icmp eq i64 %key, %pc
  br i1 %found, label %hit, label %other
other:
  %empty = icmp eq i64 %key, -1
  br i1 %empty, label %miss, label %more
more:
  %next_index = add i64 %index, 1
  %following = and i64 %next_index, {HASH_SIZE - 1}
  br label %probe
hit:
  %code_at = getelementptr i8, ptr %entry, i64 8
  %code = load ptr, ptr %code_at
  ; The key again: the entry may have become another's in between (CodeCache._rehash).
  %key_now = load atomic i64, ptr %entry acquire, align 8
  %moved = icmp ne i64 %key_now, %pc
  %none = icmp eq ptr %code, null
  %unknown = or i1 %moved, %none
  br i1 %unknown, label %miss, label %go
go:
{_field("jump_cache", "cache")}
  %slot = and i64 %pc, 4095
  %slot_offset = shl i64 %slot, 4
  %line = getelementptr i8, ptr %cache, i64 %slot_offset
  %line_code = getelementptr i8, ptr %line, i64 8
  store ptr %code, ptr %line_code
  %line_was = atomicrmw xchg ptr %line, i64 %pc seq_cst
  ; If the block was dropped meanwhile, the cache was perhaps flushed before it was written.
  %code_now = load atomic ptr, ptr %code_at seq_cst, align 8
  %stays = icmp eq ptr %code_now, %code
  br i1 %stays, label %run, label %stale
stale:
  store i64 -1, ptr %line
  br label %run
run:
  musttail call ghccc void %code(ptr %st, i64 %budget, {regs})
  ret void
miss:
{_field("exit_kind", "kind_at")}
  store i32 {Exit.LOOKUP}, ptr %kind_at
  musttail call ghccc void @jitemu_leave(ptr %st, i64 %budget, {regs})
  ret void
}}
"""


def _enter() -> str:
    """i32 jitemu_enter(state, code): run guest code with the guest's control words."""
    loads = "\n".join(
        f"  %p{i} = getelementptr i8, ptr %st, i64 {4 * i}\n"
        f"  %n{i} = load i32, ptr %p{i}\n  %r{i} = zext i32 %n{i} to i64"
        for i in range(8)
    )
    vector_loads = "\n".join(
        f"{_field(f'xmm{i}', f'v{i}')}\n  %x{i} = load {VECTOR}, ptr %v{i}, align 16"
        for i in range(PINNED_XMM)
    )
    regs = _pinned()
    return f"""
define i32 @jitemu_enter(ptr %st, ptr %code) nounwind "frame-pointer"="none" {{
  %host_mxcsr = alloca i32
  %work = alloca i32
  %host_fcw = alloca i16
  %fcw_work = alloca i16
{loads}
{vector_loads}
{_field("budget", "budget_at")}
  %budget = load i64, ptr %budget_at
{_field("mxcsr", "mxcsr_at")}
  call void asm sideeffect "stmxcsr $0", "=*m"(ptr elementtype(i32) %host_mxcsr)
  %mxcsr = load i32, ptr %mxcsr_at
  %masked = or i32 %mxcsr, 8064
  store i32 %masked, ptr %work
  call void asm sideeffect "ldmxcsr $0", "*m"(ptr elementtype(i32) %work)
  call void asm sideeffect "fnstcw $0", "=*m"(ptr elementtype(i16) %host_fcw)
{_field("fcw", "fcw_at")}
  %fcw = load i16, ptr %fcw_at
  %fcw_masked = or i16 %fcw, 63
  store i16 %fcw_masked, ptr %fcw_work
  call void asm sideeffect "fnclex; fldcw $0", "*m"(ptr elementtype(i16) %fcw_work)
  call ghccc void %code(ptr %st, i64 %budget, {regs})
  call void asm sideeffect "stmxcsr $0", "=*m"(ptr elementtype(i32) %work)
  call void asm sideeffect "ldmxcsr $0", "*m"(ptr elementtype(i32) %host_mxcsr)
  %after = load i32, ptr %work
  %raised = and i32 %after, 63
  %old = load i32, ptr %mxcsr_at
  %sticky = or i32 %old, %raised
  store i32 %sticky, ptr %mxcsr_at
  %sw = call i16 asm sideeffect "fnstsw $0", "={{ax}}"()
  %x87 = and i16 %sw, 127
  %quiet = icmp eq i16 %x87, 0
  br i1 %quiet, label %done, label %merge
merge:
{_field("fsw", "fsw_at")}
  %fsw = load i16, ptr %fsw_at
  %flags = and i16 %sw, 63
  %fsw_new = or i16 %fsw, %flags
  store i16 %fsw_new, ptr %fsw_at
  call void asm sideeffect "fnclex", ""()
  br label %done
done:
  call void asm sideeffect "fldcw $0", "*m"(ptr elementtype(i16) %host_fcw)
{_field("exit_kind", "kind_at")}
  %kind = load i32, ptr %kind_at
  ret i32 %kind
}}
"""


def _on_fault() -> str:
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
  %rip_at = getelementptr i8, ptr %uc, i64 {_RIP}
  %rip = load i64, ptr %rip_at
{_global("arena_start", "start")}
{_global("arena_end", "end")}
  %low = icmp uge i64 %rip, %start
  %high = icmp ult i64 %rip, %end
  %ours = and i1 %low, %high
  br i1 %ours, label %search, label %chain
search:
  %offset = sub i64 %rip, %start
  %offset32 = trunc i64 %offset to i32
{_global("fault_table", "table_int")}
  %table = inttoptr i64 %table_int to ptr
{_global("fault_count", "count")}
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
  %r13_at = getelementptr i8, ptr %uc, i64 {_R13}
  %st = load ptr, ptr %r13_at
  %is_support = icmp eq i32 %pc, -1
  br i1 %is_support, label %support, label %guest
support:
  store i64 %recovery, ptr %rip_at
  ret void
guest:
  %resume = call i64 @jitemu_resume(i64 %rip, i64 %recovery, ptr %st)
  store i64 %resume, ptr %rip_at
{_field("eip", "eip_at")}
  store i32 %pc, ptr %eip_at
{_field("exit_kind", "kind_at")}
  store i32 {Exit.FAULT}, ptr %kind_at
{_field("exit_info", "info_at")}
  store i32 %sig, ptr %info_at
{_field("fault_pc", "host_pc_at")}
  store i64 %rip, ptr %host_pc_at
  %addr_at = getelementptr i8, ptr %info, i64 16
  %addr = load i64, ptr %addr_at
{_field("memory_base", "base_at")}
  %base = load i64, ptr %base_at
  %guest_addr = sub i64 %addr, %base
  %guest_addr32 = trunc i64 %guest_addr to i32
{_field("fault_address", "fault_at")}
  store i32 %guest_addr32, ptr %fault_at
  %err_at = getelementptr i8, ptr %uc, i64 {_ERR}
  %err = load i16, ptr %err_at
{_field("fault_error", "error_at")}
  store i16 %err, ptr %error_at
  ret void
chain:
  ; Not ours: what was installed before takes it; the default action ends the process.
  %is_bus = icmp eq i32 %sig, 7
{_global("old_segv", "old_segv")}
{_global("old_bus", "old_bus")}
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
  %r = call i64 asm sideeffect "movq $$8, %r10; syscall", "={{ax}},{{ax}},{{di}},{{si}},{{dx}},~{{r10}},~{{rcx}},~{{r11}},~{{memory}}"(i64 13, i64 %sig64, ptr %old, i64 0)
  ret void
}}
"""


def _resume() -> str:
    """Where to go on after a fault: LLVM lays recovery code out as if the access had been done.

    Of the accesses only those of the x87 change more than their outputs: a load has not pushed
    and a store not popped what the recovery code takes for pushed or popped.
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
  ; A segment override, then REX.
  %at = phi i64 [ %rip, %0 ], [ %following, %more ]
  %pointer = inttoptr i64 %at to ptr
  %byte = load i8, ptr %pointer
  %following = add i64 %at, 1
  %group = and i8 %byte, -16
  %is_rex = icmp eq i8 %group, 64
  %is_gs = icmp eq i8 %byte, 101
  %is_prefix = or i1 %is_rex, %is_gs
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
{_field("recovery", "recovery_at")}
  store i64 %recovery, ptr %recovery_at
  %push = ptrtoint ptr @jitemu_push to i64
  %pop = ptrtoint ptr @jitemu_pop to i64
  %thunk = select i1 %is_load, i64 %push, i64 %pop
  ret i64 %thunk
plain:
  ret i64 %recovery
}}
"""


def _on_signal() -> str:
    """Record an asynchronous signal for the guest thread it hit and ask the thread to leave."""
    return f"""
define void @jitemu_on_signal(i32 %sig, ptr %info, ptr %uc) nounwind {{
  %tid = call i64 asm sideeffect "syscall", "={{ax}},{{ax}},~{{rcx}},~{{r11}},~{{memory}}"(i64 {_GETTID})
{_global("threads", "threads_int")}
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
  br i1 %more, label %scan, label %out
thread:
  %state_at = getelementptr i8, ptr %row, i64 8
  %st = load ptr, ptr %state_at
  %sig64 = zext i32 %sig to i64
{_global("kick_signal", "kick")}
  %is_kick = icmp eq i64 %sig64, %kick
  br i1 %is_kick, label %stop, label %record
record:
{_field("pending_count", "count_at")}
  %count = load i32, ptr %count_at
  %room = icmp ult i32 %count, {PENDING_MAX}
  br i1 %room, label %store, label %stop
store:
  %count64 = zext i32 %count to i64
  %record_offset = mul i64 %count64, {PENDING_RECORD}
{_field("pending", "pending_at")}
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
{_field("stop", "stop_at")}
  store i32 {STOP_FLAG}, ptr %stop_at
  br label %window
window:
  ; A blocking call that has not started yet must not start: leave it with -EINTR.
  %rip_at = getelementptr i8, ptr %uc, i64 {_RIP}
  %rip = load i64, ptr %rip_at
{_global("syscall_start", "win_start")}
{_global("syscall_end", "win_end")}
  %after = icmp uge i64 %rip, %win_start
  %before = icmp ult i64 %rip, %win_end
  %inside = and i1 %after, %before
  br i1 %inside, label %abort, label %out
abort:
{_global("syscall_abort", "win_abort")}
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


def _copies() -> str:
    """Return copies and accesses that report a fault: i64 result, 0 = done."""
    table = (
        f"\\0A.pushsection {FAULT_SECTION},\\22a\\22\\0A.long 1b-., ${{%d:l}}-., -1\\0A.popsection"
    )
    parts = [
        f"""
define i64 @jitemu_copy(ptr %to, ptr %from, i64 %size) nounwind {{
  callbr void asm sideeffect "1: rep movsb{table % 6}", "={{di}},={{si}},={{cx}},0,1,2,!i,~{{memory}}"(ptr %to, ptr %from, i64 %size) to label %ok [label %fault]
ok:
  ret i64 0
fault:
  ret i64 1
}}
""".replace("callbr void", "%x = callbr {ptr, ptr, i64}")
    ]
    for width, load_asm, store_asm, ty in (
        (8, "movzbl ($1), ${0:k}", "movb ${1:b}, ($0)", "i64"),
        (16, "movzwl ($1), ${0:k}", "movw ${1:w}, ($0)", "i64"),
        (32, "movl ($1), ${0:k}", "movl ${1:k}, ($0)", "i64"),
        (64, "movq ($1), $0", "movq $1, ($0)", "i64"),
    ):
        letter = {8: "b", 16: "w", 32: "l", 64: "q"}[width]
        mod = {8: "b", 16: "w", 32: "k", 64: "q"}[width]
        parts.append(f"""
define i64 @jitemu_load{width}(ptr %at, ptr %out) nounwind {{
  %v = callbr {ty} asm sideeffect "1: {load_asm}{table % 2}", "=r,r,!i,~{{memory}}"(ptr %at) to label %ok [label %fault]
ok:
  store i64 %v, ptr %out
  ret i64 0
fault:
  ret i64 1
}}
define i64 @jitemu_store{width}(ptr %at, i64 %v) nounwind {{
  callbr void asm sideeffect "1: {store_asm}{table % 2}", "r,r,!i,~{{memory}}"(ptr %at, i64 %v) to label %ok [label %fault]
ok:
  ret i64 0
fault:
  ret i64 1
}}
define i64 @jitemu_cmpxchg{width}(ptr %at, i64 %old, i64 %new, ptr %out) nounwind {{
  %v = callbr i64 asm sideeffect "1: lock; cmpxchg{letter} ${{2:{mod}}}, ($1){table % 4}", "={{ax}},r,r,{{ax}},!i,~{{memory}},~{{flags}}"(ptr %at, i64 %new, i64 %old) to label %ok [label %fault]
ok:
  store i64 %v, ptr %out
  ret i64 0
fault:
  ret i64 1
}}
""")
    return "".join(parts)


def _syscall() -> str:
    """i64 jitemu_syscall(stop flag, number, a1..a6): -EINTR if a stop is asked for before it starts."""
    return """
define i64 @jitemu_syscall(ptr %stop, i64 %nr, i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %f) nounwind {
  %r = call i64 asm sideeffect "movq $6, %r10\\0A movq $7, %r8\\0A movq $8, %r9\\0A.globl jitemu_syscall_start, jitemu_syscall_end, jitemu_syscall_abort\\0Ajitemu_syscall_start: cmpl $$0, ($1)\\0A jne jitemu_syscall_abort\\0A syscall\\0Ajitemu_syscall_end: jmp 3f\\0Ajitemu_syscall_abort: movq $$-4, %rax\\0A3:", "={ax},r,{ax},{di},{si},{dx},r,r,r,~{r8},~{r9},~{r10},~{rcx},~{r11},~{memory},~{flags}"(ptr %stop, i64 %nr, i64 %a, i64 %b, i64 %c, i64 %d, i64 %e, i64 %f)
  ret i64 %r
}
"""


def text() -> str:
    """Return the whole module."""
    head = "@jitemu_globals = external dso_local global i8\n"
    return (
        head
        + _thunks()
        + _enter()
        + _on_fault()
        + _resume()
        + _on_signal()
        + _copies()
        + _syscall()
    )


__all__ = ["GLOBALS", "GLOBALS_SIZE", "SIGNATURE", "THREADS_MAX", "text"]
