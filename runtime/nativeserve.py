"""LLVM IR text of the loop that calls Python for guest code, and goes on, without Python between.

Guest code leaves for a place (Exit.CALL) whose row says which Python objects to call with which
arguments, and where host code goes on.  CPython's own functions do the calls; their addresses are
in the table that Python hands over.  For ports and devices, the row also says which register to
pass or to set, and how the address is computed.
"""

from __future__ import annotations

from runtime.nativebase import field
from translator.quick.accesses import COLUMNS, READ, WRITE
from translator.state import Exit

# The table, 8 bytes each: functions, then the rows of places, then what passes to and fro.
TABLE = (
    "save", "restore", "call", "release", "make", "number", "occurred",
    "context", "state", "places", "attention", "inside", "done", "skip", "left", "machine",
)  # fmt: skip
_FUNCTIONS = TABLE[:7]
# `machine`: of a whole machine (runtime/system), the address of paging's context; its first row is
# made anew for each access to a port or a device.
#
# A row, 8 bytes each. `calls`: rows of CALL; `resume`: host address, 0: whatever is at eip; `key`:
# where `skip` skips the calls; `op`; `mask` and `register`: of the number that passes, the latter
# as an offset in the state; `base`, `index`: such offsets, -1 for none; `first`, `last`: of the
# addresses that are the device's; `origin`: what offsets count from; `other`: the call for other
# addresses; `after`: eip then; `offset_at`, `value_at`: where offset and number stand among the
# arguments, in bytes.
PLACE = COLUMNS
CALL = ("callee", "arguments", "number")
# op: how a place is served. READ and WRITE put the offset among the arguments, WRITE the number.
PLAIN = 0
# Further results: a callee raised; `left` is used up; a machine's insn is done, and asks to leave.
FAILED, PAUSED, ASKED = 40, 41, 42


def _entry(name: str) -> str:
    return f"  %{name}_at = getelementptr i8, ptr %table, i64 {8 * TABLE.index(name)}"


def _column(name: str, kind: str = "i64") -> str:
    return (
        f"  %{name}_p = getelementptr i8, ptr %row, i64 {8 * PLACE.index(name)}\n"
        f"  %{name} = load {kind}, ptr %{name}_p"
    )


def _register(name: str) -> str:
    """Return lines that load the register whose offset is in a column; 0 if that is -1."""
    return f"""
  %{name}_none = icmp slt i64 %{name}, 0
  %{name}_safe = select i1 %{name}_none, i64 0, i64 %{name}
  %{name}_in = getelementptr i8, ptr %st, i64 %{name}_safe
  %{name}_raw = load i32, ptr %{name}_in
  %{name}_value = select i1 %{name}_none, i32 0, i32 %{name}_raw
"""


def text() -> str:
    """Return jitemu_serve(table, code): the kind of exit."""
    pointers = "\n".join(map(_entry, TABLE))
    functions = "\n".join(f"  %{name} = load ptr, ptr %{name}_at" for name in _FUNCTIONS)
    columns = "\n".join(
        _column(name, "ptr" if name in ("calls", "resume", "other") else "i64") for name in PLACE
    )
    return f"""
define i32 @jitemu_serve(ptr %table, ptr %code) nounwind {{
{pointers}
{functions}
  %context = load i64, ptr %context_at
  %st = load ptr, ptr %state_at
{field("exit_info", "info_at")}
{field("eip", "eip_at")}
  br label %go
go:
  %now = phi ptr [ %code, %0 ], [ %resume, %on ], [ null, %done_so ]
  store i64 1, ptr %inside_at
  %thread = call ptr %save()
  %kind = call i32 @jitemu_run(i64 %context, ptr %st, ptr %now)
  call void %restore(ptr %thread)
  store i64 0, ptr %inside_at
  %is_call = icmp eq i32 %kind, {Exit.CALL}
  br i1 %is_call, label %find, label %other_kind
other_kind:
  %machine = load i64, ptr %machine_at
  %is_machine = icmp ne i64 %machine, 0
  %is_interp = icmp eq i32 %kind, {Exit.INTERP}
  %may_ask = and i1 %is_machine, %is_interp
  br i1 %may_ask, label %look, label %out
look:
  %state_int = ptrtoint ptr %st to i64
  %own_row = load i64, ptr %places_at
  %found = call i64 @access(i64 %machine, i64 %state_int, i64 %own_row)
  %asks = icmp eq i64 %found, 1
  br i1 %asks, label %find, label %unasked
unasked:
  %is_done = icmp eq i64 %found, 2
  br i1 %is_done, label %done_so, label %out
done_so:
  br label %go
out:
  ret i32 %kind
find:
  %places = load ptr, ptr %places_at
  %info = load i32, ptr %info_at
  %place = zext i32 %info to i64
  %offset = mul i64 %place, {8 * len(PLACE)}
  %row = getelementptr i8, ptr %places, i64 %offset
{columns}
  %skipped = load i64, ptr %skip_at
  store i64 0, ptr %skip_at
  %other_key = icmp ne i64 %key, %skipped
  %no_key = icmp eq i64 %key, 0
  %wanted = or i1 %other_key, %no_key
  br i1 %wanted, label %kinds, label %on
kinds:
  %has_address = icmp sge i64 %op, {READ}
  br i1 %has_address, label %locate, label %begin
locate:
{_register("base")}
{_register("index")}
  %shift32 = trunc i64 %shift to i32
  %scaled = shl i32 %index_value, %shift32
  %disp32 = trunc i64 %disp to i32
  %sum = add i32 %base_value, %scaled
  %linear = add i32 %sum, %disp32
  %address = zext i32 %linear to i64
  %above = icmp uge i64 %address, %first
  %below = icmp ule i64 %address, %last
  %is_device = and i1 %above, %below
  %relative = sub i64 %address, %origin
  br i1 %is_device, label %begin, label %elsewhere
elsewhere:
  br label %begin
begin:
  %start = phi ptr [ %calls, %kinds ], [ %calls, %locate ], [ %other, %elsewhere ]
  %number_of = phi i64 [ %count, %kinds ], [ %count, %locate ], [ 1, %elsewhere ]
  %how = phi i64 [ %op, %kinds ], [ %op, %locate ], [ {PLAIN}, %elsewhere ]
  %at_offset = phi i64 [ 0, %kinds ], [ %relative, %locate ], [ 0, %elsewhere ]
  br label %next
next:
  %done = phi i64 [ 0, %begin ], [ %more, %fine ]
  %callee_at = phi ptr [ %start, %begin ], [ %following, %fine ]
  %is_last = icmp eq i64 %done, %number_of
  br i1 %is_last, label %on, label %ask
ask:
  %more = add i64 %done, 1
  store i64 %more, ptr %done_at
  %callee = load ptr, ptr %callee_at
  %arguments_at = getelementptr i8, ptr %callee_at, i64 8
  %arguments = load ptr, ptr %arguments_at
  %number_at2 = getelementptr i8, ptr %callee_at, i64 16
  %passed = load i64, ptr %number_at2
  %following = getelementptr i8, ptr %callee_at, i64 {8 * len(CALL)}
  %is_plain = icmp eq i64 %how, {PLAIN}
  br i1 %is_plain, label %simple, label %prepare
simple:
  %plain_result = call ptr %call(ptr %callee, ptr %arguments, i64 %passed, ptr null)
  %plain_failed = icmp eq ptr %plain_result, null
  br i1 %plain_failed, label %raised, label %answered
prepare:
  %held_at = getelementptr i8, ptr %st, i64 %register
  %held = load i32, ptr %held_at
  %held64 = zext i32 %held to i64
  %value = and i64 %held64, %mask
  %first_at = getelementptr i8, ptr %arguments, i64 %offset_at
  %third_at = getelementptr i8, ptr %arguments, i64 %value_at
  %gives_value = icmp eq i64 %how, {WRITE}
  %offset_object = call ptr %make(i64 %at_offset)
  store ptr %offset_object, ptr %first_at
  br i1 %gives_value, label %give_value, label %invoke
give_value:
  %value_object = call ptr %make(i64 %value)
  store ptr %value_object, ptr %third_at
  br label %invoke
invoke:
  %result = call ptr %call(ptr %callee, ptr %arguments, i64 %passed, ptr null)
  %old_offset = load ptr, ptr %first_at
  call void %release(ptr %old_offset)
  br i1 %gives_value, label %free_value, label %value_freed
free_value:
  %old_value = load ptr, ptr %third_at
  call void %release(ptr %old_value)
  br label %value_freed
value_freed:
  %failed = icmp eq ptr %result, null
  br i1 %failed, label %raised, label %take
take:
  br i1 %gives_value, label %taken, label %convert
convert:
  %got = call i64 %number(ptr %result)
  %is_minus = icmp eq i64 %got, -1
  br i1 %is_minus, label %suspect, label %put
suspect:
  %error = call ptr %occurred()
  %is_error = icmp ne ptr %error, null
  br i1 %is_error, label %bad, label %put
bad:
  call void %release(ptr %result)
  ret i32 {FAILED}
put:
  %got32 = trunc i64 %got to i32
  %is_wide = icmp eq i64 %mask, 4294967295
  br i1 %is_wide, label %put32, label %narrow
put32:
  store i32 %got32, ptr %held_at
  br label %taken
narrow:
  %is_byte = icmp eq i64 %mask, 255
  br i1 %is_byte, label %put8, label %put16
put8:
  %got8 = trunc i64 %got to i8
  store i8 %got8, ptr %held_at
  br label %taken
put16:
  %got16 = trunc i64 %got to i16
  store i16 %got16, ptr %held_at
  br label %taken
taken:
  %after32 = trunc i64 %after to i32
  store i32 %after32, ptr %eip_at
  br label %answered
raised:
  ret i32 {FAILED}
answered:
  %object = phi ptr [ %plain_result, %simple ], [ %result, %taken ]
  call void %release(ptr %object)
  %attention = load volatile i64, ptr %attention_at
  %calm = icmp eq i64 %attention, 0
  br i1 %calm, label %quiet, label %leave
leave:
  ret i32 {Exit.CALL}
quiet:
{field("attention", "asked_at")}
  %asked = load volatile i32, ptr %asked_at
  ; INTR alone is not in a hurry: whoever raised it made guest code stop at its next block.
  %hurries = and i32 %asked, -256
  %is_asked = icmp ne i32 %hurries, 0
  br i1 %is_asked, label %asking, label %fine
asking:
  ret i32 {ASKED}
fine:
  br label %next
on:
  %left = load i64, ptr %left_at
  %fewer = sub i64 %left, 1
  store i64 %fewer, ptr %left_at
  %over = icmp sle i64 %fewer, 0
  br i1 %over, label %pause, label %go
pause:
  ret i32 {PAUSED}
}}
"""
