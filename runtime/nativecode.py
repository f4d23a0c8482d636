"""LLVM IR text of the native support routines: entering guest code, signals, safe copies.

Python cannot serve a synchronous SIGSEGV and must not sit between blocks, so these routines are
compiled.  They share a table of globals (GLOBALS below) with runtime/native.py.
"""

from __future__ import annotations

from runtime import nativeserve, nativesignals, nativex87
from runtime.nativebase import GLOBALS, GLOBALS_SIZE, THREADS_MAX, field
from translator.quick.layout import HASH_FACTOR, HASH_SHIFT, HASH_SIZE
from translator.state import JUMP_CACHE_ENTRIES, Exit
from translator.tiers.emitter import ARGS, PINNED_XMM, SIGNATURE, VECTOR
from translator.tiers.hostasm import FAULT_SECTION


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
        f"{field(f'xmm{i}', f'v{i}')}\n  store {VECTOR} %x{i}, ptr %v{i}, align 16"
        for i in range(PINNED_XMM)
    )
    loads = "\n".join(
        f"  %n{i} = load i32, ptr %p{i}\n  %m{i} = zext i32 %n{i} to i64" for i in range(8)
    )
    vector_loads = "\n".join(
        f"  %y{i} = load {VECTOR}, ptr %v{i}, align 16" for i in range(PINNED_XMM)
    )
    vectors = [f"{VECTOR} %y{i}" for i in range(PINNED_XMM)]
    now = ", ".join([*(f"i64 %m{i}" for i in range(8)), *vectors])
    regs = _pinned()
    return f"""
define ghccc void @jitemu_leave({", ".join(ARGS)}) nounwind {{
{stores}
{vector_stores}
{field("budget", "budget_at")}
  store i64 %budget, ptr %budget_at
{field("exit_kind", "kind_at")}
  %kind = load i32, ptr %kind_at
  %is_interp = icmp eq i32 %kind, {Exit.INTERP}
{field("paging", "paging_at")}
  %paging = load i64, ptr %paging_at
  %is_machine = icmp ne i64 %paging, 0
  %may_be_access = and i1 %is_interp, %is_machine
  br i1 %may_be_access, label %try, label %out
try:
  ; Of a machine: an access to compiled devices, behind which guest code goes on.
  %state = ptrtoint ptr %st to i64
  %done = call i64 @access(i64 %paging, i64 %state, i64 0)
  %is_done = icmp eq i64 %done, 2
  br i1 %is_done, label %on, label %out
on:
{loads}
{vector_loads}
  %budget_now = load i64, ptr %budget_at
{field("eip", "eip_at")}
  %eip = load i32, ptr %eip_at
  %low = zext i32 %eip to i64
{field("context", "context_at")}
  %context = load i64, ptr %context_at
  %pc = or i64 %low, %context
{field("jump_cache", "cache")}
  %index = and i64 %pc, {JUMP_CACHE_ENTRIES - 1}
  %offset = shl i64 %index, 4
  %line = getelementptr i8, ptr %cache, i64 %offset
  %key = load i64, ptr %line
  %hit = icmp eq i64 %key, %pc
  br i1 %hit, label %go, label %miss
go:
  %code_at = getelementptr i8, ptr %line, i64 8
  %code = load ptr, ptr %code_at
  musttail call ghccc void %code(ptr %st, i64 %budget_now, {now})
  ret void
miss:
  musttail call ghccc void @jitemu_lookup(ptr %st, i64 %budget_now, {now})
  ret void
out:
  ret void
}}
define ghccc void @jitemu_lookup({", ".join(ARGS)}) nounwind {{
{field("eip", "eip_at")}
  %eip = load i32, ptr %eip_at
  %low = zext i32 %eip to i64
{field("context", "context_at")}
  %high_half = load i64, ptr %context_at
  %pc = or i64 %low, %high_half
{field("hash_table", "table_at")}
  %table = load ptr, ptr %table_at
  %wanted = add i64 %pc, 1
  %mixed = mul i64 %pc, {HASH_FACTOR}
  %high = lshr i64 %mixed, {HASH_SHIFT}
  %first = and i64 %high, {HASH_SIZE - 1}
  br label %probe
probe:
  %index = phi i64 [ %first, %0 ], [ %following, %more ]
  %offset = shl i64 %index, 4
  %entry = getelementptr i8, ptr %table, i64 %offset
  %key = load atomic i64, ptr %entry acquire, align 8
  %found = icmp eq i64 %key, %wanted
  br i1 %found, label %hit, label %other
other:
  %empty = icmp eq i64 %key, 0
  br i1 %empty, label %miss, label %more
more:
  %next_index = add i64 %index, 1
  %following = and i64 %next_index, {HASH_SIZE - 1}
  br label %probe
hit:
  %code_at = getelementptr i8, ptr %entry, i64 8
  %code = load ptr, ptr %code_at
  ; The key again: the entry may have become another's in between (table.crowded).
  %key_now = load atomic i64, ptr %entry acquire, align 8
  %moved = icmp ne i64 %key_now, %wanted
  %none = icmp eq ptr %code, null
  %unknown = or i1 %moved, %none
  br i1 %unknown, label %miss, label %go
go:
{field("jump_cache", "cache")}
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
{field("exit_kind", "kind_at")}
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
        f"{field(f'xmm{i}', f'v{i}')}\n  %x{i} = load {VECTOR}, ptr %v{i}, align 16"
        for i in range(PINNED_XMM)
    )
    regs = _pinned()
    return f"""
define i32 @jitemu_enter(ptr %st, ptr %code) nounwind noinline "frame-pointer"="none" {{
  %host_mxcsr = alloca i32
  %work = alloca i32
  %host_fcw = alloca i16
  %fcw_work = alloca i16
{loads}
{vector_loads}
{field("budget", "budget_at")}
  %budget = load i64, ptr %budget_at
{field("mxcsr", "mxcsr_at")}
  call void asm sideeffect "stmxcsr $0", "=*m"(ptr elementtype(i32) %host_mxcsr)
  %mxcsr = load i32, ptr %mxcsr_at
  %masked = or i32 %mxcsr, 8064
  store i32 %masked, ptr %work
  call void asm sideeffect "ldmxcsr $0", "*m"(ptr elementtype(i32) %work)
  call void asm sideeffect "fnstcw $0", "=*m"(ptr elementtype(i16) %host_fcw)
{field("fcw", "fcw_at")}
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
  ; After a fault the recovery code may have left an operand on the host's register stack.
  %top = and i16 %sw, 14336
  %balanced = icmp eq i16 %top, 0
  br i1 %balanced, label %emptied, label %drain
drain:
  call void asm sideeffect "1: ffree %st(0); fincstp; fnstsw %ax; testw $$0x3800, %ax; jnz 1b", "~{{ax}},~{{flags}}"()
  br label %emptied
emptied:
  %x87 = and i16 %sw, 127
  %quiet = icmp eq i16 %x87, 0
  br i1 %quiet, label %done, label %merge
merge:
{field("fsw", "fsw_at")}
  %fsw = load i16, ptr %fsw_at
  %flags = and i16 %sw, 63
  %fsw_new = or i16 %fsw, %flags
  store i16 %fsw_new, ptr %fsw_at
  call void asm sideeffect "fnclex", ""()
  br label %done
done:
  ; Code that left at a fault may have been using x87 registers: the ABI wants them empty.
  call void asm sideeffect "emms; fldcw $0", "*m"(ptr elementtype(i16) %host_fcw)
{field("exit_kind", "kind_at")}
  %kind = load i32, ptr %kind_at
  ret i32 %kind
}}
"""


def _run() -> str:
    """i32 jitemu_run(context, state, code): jitemu_enter, again and again while that needs no Python.

    A null pointer for the code: whatever the table has for eip; 0 is returned if it has nothing.
    """
    return f"""
define i32 @jitemu_run(i64 %context, ptr %st, ptr %code) nounwind {{
  %state = ptrtoint ptr %st to i64
  %unknown = icmp eq ptr %code, null
  br i1 %unknown, label %ask, label %go
go:
  %now = phi ptr [ %code, %0 ], [ %following, %on ]
  %kind = call i32 @jitemu_enter(ptr %st, ptr %now)
  %is_link = icmp eq i32 %kind, {Exit.LINK}
  br i1 %is_link, label %named, label %other
other:
  %is_lookup = icmp eq i32 %kind, {Exit.LOOKUP}
  br i1 %is_lookup, label %ask, label %third
third:
  ; In a machine (the state has tables for paging), what an operating system does all the time.
{field("paging", "paging_at")}
  %paging = load i64, ptr %paging_at
  %is_machine = icmp ne i64 %paging, 0
  %is_interp = icmp eq i32 %kind, {Exit.INTERP}
  %is_int = icmp eq i32 %kind, {Exit.INT}
  br i1 %is_machine, label %fourth, label %out
fourth:
  br i1 %is_interp, label %insn, label %fifth
fifth:
  br i1 %is_int, label %gate, label %sixth
sixth:
  %is_fault = icmp eq i32 %kind, {Exit.FAULT}
  br i1 %is_fault, label %missing, label %out
missing:
  %faulted = call i64 @page_fault(i64 %paging, i64 %state, i64 %context)
  br label %tried
insn:
  %executed = call i64 @execute(i64 %paging, i64 %state, i64 %context)
  br label %tried
gate:
  %delivered = call i64 @interrupt(i64 %paging, i64 %state)
  br label %tried
tried:
  %done = phi i64 [ %executed, %insn ], [ %delivered, %gate ], [ %faulted, %missing ]
  %is_undone = icmp eq i64 %done, 0
  br i1 %is_undone, label %out, label %ask
named:
{field("exit_info", "info_at")}
  %info = load i32, ptr %info_at
  %link = zext i32 %info to i64
  br label %ask
ask:
  %result = phi i32 [ 0, %0 ], [ %kind, %other ], [ %kind, %named ], [ 0, %tried ]
  %site = phi i64 [ 0, %0 ], [ 0, %other ], [ %link, %named ], [ 0, %tried ]
  %found = call i64 @proceed(i64 %context, i64 %state, i64 %site)
  %none = icmp eq i64 %found, 0
  br i1 %none, label %out, label %on
on:
  %following = inttoptr i64 %found to ptr
  br label %go
out:
  %answer = phi i32 [ %result, %ask ], [ %kind, %third ], [ %kind, %sixth ], [ %kind, %tried ]
  ret i32 %answer
}}
"""


def _devices() -> str:
    """Return what host code calls for accesses that may be a device's, by way of the state."""
    return """
define preserve_mostcc i64 @jitemu_device_load(ptr %st, i64 %address, i64 %size) nounwind {
  %state = ptrtoint ptr %st to i64
  %value = call i64 @device_load(i64 %state, i64 %address, i64 %size)
  ret i64 %value
}
define preserve_mostcc i64 @jitemu_device_store(ptr %st, i64 %address, i64 %value, i64 %size) nounwind {
  %state = ptrtoint ptr %st to i64
  %done = call i64 @device_store(i64 %state, i64 %address, i64 %value, i64 %size)
  ret i64 %done
}
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


_SPAWN = """
pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15; pushq %rbp
movq %rdi, %rbx; movq %rsi, %r12; movq %rdx, %r13; movq %rcx, %r14; movq %r8, %r15; movq %r9, %rbp
movl $56, %eax; movl $0x4100, %edi; xorl %esi, %esi; xorl %edx, %edx; xorl %r10d, %r10d
xorl %r8d, %r8d; syscall
testq %rax, %rax; jnz 2f
movl $56, %eax; movl $0x4100, %edi; xorl %esi, %esi; xorl %edx, %edx; xorl %r10d, %r10d
xorl %r8d, %r8d; syscall
testq %rax, %rax; jnz 1f
movl $112, %eax; syscall
movl $33, %eax; movq %r14, %rdi; xorl %esi, %esi; syscall
movl $33, %eax; movq %r15, %rdi; movl $1, %esi; syscall
movl $33, %eax; movq %rbp, %rdi; movl $2, %esi; syscall
movl $436, %eax; movl $3, %edi; movl $-1, %esi; xorl %edx, %edx; syscall
movl $59, %eax; movq %rbx, %rdi; movq %r12, %rsi; movq %r13, %rdx; syscall
movl $60, %eax; movl $127, %edi; syscall
1: movl $60, %eax; xorl %edi, %edi; syscall
2: popq %rbp; popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; ret
"""


def _spawn() -> str:
    """i64 jitemu_spawn(path, argv, envp, stdin, stdout, stderr): a process that is not our child.

    The guest may wait for any child, so a process of the emulator's must not be one.  A first
    clone without an exit signal, which plain waits do not see, makes a second one that executes
    the program, and ends.  Both borrow this thread's memory (CLONE_VM, CLONE_VFORK).  Returns the
    first one's id, or -errno.
    """
    asm = _SPAWN.strip().replace("$", "$$").replace("\n", "\\0A")
    return f"""
define i64 @jitemu_spawn(ptr %path, ptr %argv, ptr %envp, i64 %in, i64 %out, i64 %err) naked nounwind {{
  call void asm sideeffect "{asm}", ""()
  unreachable
}}
"""


def text() -> str:
    """Return the whole module."""
    head = "@jitemu_globals = external dso_local global i8\n"
    return (
        head
        + _thunks()
        + _enter()
        + _run()
        + nativesignals.on_fault()
        + nativesignals.resume()
        + nativesignals.on_signal()
        + nativex87.routines()
        + nativeserve.text()
        + _devices()
        + _copies()
        + _syscall()
        + _spawn()
    )


__all__ = ["GLOBALS", "GLOBALS_SIZE", "SIGNATURE", "THREADS_MAX", "text"]
