"""LLVM IR of what moves the guest's x87 state into the host's x87 registers and back.

Both keep every general and vector register (`preserve_allcc`), so that regions call them anywhere.
XSAVE area: SDM vol. 1, 13.4; its legacy part: table 10-2.
"""

from __future__ import annotations

from runtime.nativebase import field
from translator.state import FIELDS

_FCW, _FSW, _TAGS, _ST0 = 0, 2, 4, 32  # offsets in the area
_FEATURES, _SIZE = 512, 576
_X87 = 1  # the state component
_OPERANDS = f"ptr elementtype([{_SIZE} x i8]) %area, i32 {_X87}, i32 0"


def _at(offset: int, name: str) -> str:
    return f"  %{name} = getelementptr i8, ptr %area, i64 {offset}"


def _copy(source: str, target: str) -> str:
    """Copy ST(0) to ST(7) between `st`, their places in the area, and `fpr`, those in the state."""
    return f"""
  br label %each
each:
  %i = phi i64 [ 0, %begin ], [ %next, %each ]
  %sum = add i64 %i, %top
  %physical = and i64 %sum, 7
  %fpr_offset = shl i64 %physical, 4
  %st_offset = shl i64 %i, 4
  %fpr_i = getelementptr i8, ptr %fprs, i64 %fpr_offset
  %st_i = getelementptr i8, ptr %sts, i64 %st_offset
  %fpr_high = getelementptr i8, ptr %fpr_i, i64 8
  %st_high = getelementptr i8, ptr %st_i, i64 8
  %low = load i64, ptr %{source}_i
  store i64 %low, ptr %{target}_i
  %high = load i16, ptr %{source}_high
  store i16 %high, ptr %{target}_high
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, 8
  br i1 %more, label %each, label %end
end:"""


def _zeros() -> str:
    """Clear the header: XRSTOR raises #GP where reserved bytes are set."""
    values = [_X87] + [0] * 7
    return "\n".join(
        f"{_at(_FEATURES + 8 * i, f'header{i}')}\n  store i64 {value}, ptr %header{i}"
        for i, value in enumerate(values)
    )


def _enter() -> str:
    return f"""
define preserve_allcc void @jitemu_x87_in(ptr %st) nounwind {{
begin:
  %area = alloca [{_SIZE} x i8], align 64
{_zeros()}
{_at(_FCW, "fcw")}
  call void asm sideeffect "fnstcw $0", "=*m"(ptr elementtype(i16) %fcw)
{field("fpu", "fpu_at")}
  %fpu = load i16, ptr %fpu_at
  %tags = trunc i16 %fpu to i8
{_at(_TAGS, "tags_at")}
  store i8 %tags, ptr %tags_at
  %top16 = lshr i16 %fpu, 8
  %top = zext i16 %top16 to i64
  ; The exceptions of host code so far stay in the host's status word until it is left.
  %now = call i16 asm sideeffect "fnstsw %ax", "={{ax}}"()
  %sticky = and i16 %now, 127
{field("fcc", "fcc_at")}
  %fcc = load i8, ptr %fcc_at
{field("fc1", "fc1_at")}
  %fc1 = load i8, ptr %fc1_at
  %conditions = or i8 %fcc, %fc1
  %conditions16 = zext i8 %conditions to i16
  %conditions_high = shl i16 %conditions16, 8
  %top_high = shl i16 %top16, 11
  %status0 = or i16 %sticky, %conditions_high
  %status = or i16 %status0, %top_high
{_at(_FSW, "fsw_at")}
  store i16 %status, ptr %fsw_at
  %fprs = getelementptr i8, ptr %st, i64 {FIELDS["fpr0"].offset}
{_at(_ST0, "sts")}{_copy("fpr", "st")}
  call void asm sideeffect "xrstor64 $0", "*m,{{ax}},{{dx}}"({_OPERANDS})
  ret void
}}
"""


def _leave() -> str:
    return f"""
define preserve_allcc void @jitemu_x87_out(ptr %st) nounwind {{
begin:
  %area = alloca [{_SIZE} x i8], align 64
  call void asm sideeffect "xsave64 $0; emms", "=*m,{{ax}},{{dx}}"({_OPERANDS})
{_at(_FSW, "fsw_at")}
  %status = load i16, ptr %fsw_at
  %status_high = lshr i16 %status, 8
  %conditions = trunc i16 %status_high to i8
  %fcc = and i8 %conditions, 69
  %fc1 = and i8 %conditions, 2
{field("fcc", "fcc_at")}
  store i8 %fcc, ptr %fcc_at
{field("fc1", "fc1_at")}
  store i8 %fc1, ptr %fc1_at
  %top0 = lshr i16 %status, 11
  %top16 = and i16 %top0, 7
  %top = zext i16 %top16 to i64
  %fprs = getelementptr i8, ptr %st, i64 {FIELDS["fpr0"].offset}
{_at(_ST0, "sts")}{_copy("st", "fpr")}
  ret void
}}
"""


def routines() -> str:
    """Return jitemu_x87_in and jitemu_x87_out, which take the state's address."""
    return _enter() + _leave()
