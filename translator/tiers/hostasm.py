"""Inline assembly of x86-64 hosts: guest memory accesses with a fault edge, and HOST rows.

Everything that knows the host's instruction set when lowering stands in this file, hostx87.py and
hostops_x86*.py; another host replaces these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from translator.hostops import HostOp
from translator.ir import Repeat

Text = Callable[[str], str]
NOP = b"\x90"
JUMP = b"\xe9"  # followed by a 32-bit displacement
CACHE_LINE = 64  # a store within one is seen whole or not at all by other cores
MAX_ALIGNED = 8  # links of a piece that can be aligned in it; larger ones jump through a jump
FAULT_SECTION = ".jitemu_faults"
_STATE = "{r13}"  # where the SIGSEGV handler finds the CPU state; ghccc passes it there, no more


# GS holds the guest's memory base: that saves a general register, and adding the base each time.
# The address size prefix lets the processor cut the sum of an addressing mode to 32 bits.
GUEST = "%gs:"
_CUT = ".byte 0x67; "
# An override of ES means nothing in 64-bit mode but to the SIGSEGV handler: recovery code wants
# the x87 stack as the insn found it (see `resume` in runtime/nativesignals.py).
_AS_IT_IS = ".byte 0x26; "

# The address of this insn.
HERE = 'call i64 asm sideeffect "leaq (%rip), $0", "=r"()'


def guest_pointer(t: Text, address: str) -> str:
    """Return the pointer to a linear guest address, for assembly with the GUEST prefix.

    Of the address (i64) the low 32 bits count.
    """
    return t(f"inttoptr i64 {address} to ptr")


def later(address: str) -> str:
    """Return the call that makes the same guest address (i64) a cycle later.

    A move, and a sum in 64 bits, take no time: they are done where registers are renamed.
    """
    return f'call i64 asm "leal ($1), ${{0:k}}", "=r,r"(i64 {address})'


def _fault_row(label: int) -> str:
    """Make what the SIGSEGV handler looks up: faulting insn, recovery (an operand), guest pc."""
    return (
        f"\\0A.pushsection {FAULT_SECTION},\\22a\\22\\0A"
        f".long 1b-., ${{{label}:l}}-., ${{{label - 1}:c}}\\0A.popsection"
    )


class Place(NamedTuple):
    """Guest memory that a HOST row works on: pointer, the insn's address, labels to go on at."""

    pointer: str
    pc: str
    ok: str
    fault: str


class Access(NamedTuple):
    """One kind of memory access: assembly with `{fault}` after label 1, types and constraints."""

    asm: str
    result: str  # LLVM type of the result or ""
    memory: str  # constraint of the memory operand
    values: tuple[tuple[str, str], ...]  # constraint, LLVM type of each further input
    element: str
    clobbers: str = ""

    def call(self, pointer: str, values: tuple[str, ...], pc: str, ok: str, fault: str) -> str:
        """Return the callbr (without the result's name); *pc* is the insn's guest address."""
        outs = int(bool(self.result))
        label = outs + 3 + len(self.values)
        table = _fault_row(label)
        result = {"x86_fp80": "={st}", "<2 x i64>": "=x"}.get(self.result, "=r") if outs else ""
        if "cmpxchg" in self.asm:
            result = "={ax}"
        if self.memory.startswith("="):
            constraints = [self.memory, *([result] if outs else [])]
        else:
            constraints = [*([result] if outs else []), self.memory]
        constraints += [c for c, _ in self.values]
        constraints += [_STATE, "i", "!i", *([self.clobbers] if self.clobbers else [])]
        args = [f"ptr elementtype({self.element}) {pointer}"]
        typed = zip(self.values, values, strict=True)
        args += [f"{ty} {value}" if ty else value for (_, ty), value in typed]
        args += ["ptr %st", pc]
        return (
            f'callbr {self.result or "void"} asm sideeffect "{self.asm}{table}", '
            f'"{",".join(constraints)}"({", ".join(args)}) to label %{ok} [label %{fault}]'
        )


_LOADS = {
    # The result is the whole register, zero-extended, so that it needs no further insn.
    8: Access(f"1: {_CUT}movzbl %gs:$1, ${{0:k}}", "i64", "*m", (), "i8"),
    16: Access(f"1: {_CUT}movzwl %gs:$1, ${{0:k}}", "i64", "*m", (), "i16"),
    32: Access(f"1: {_CUT}movl %gs:$1, ${{0:k}}", "i64", "*m", (), "i32"),
    64: Access(f"1: {_CUT}movq %gs:$1, $0", "i64", "*m", (), "i64"),
    80: Access(f"1: {_CUT}fldt %gs:$1", "x86_fp80", "*m", (), "[10 x i8]"),
    128: Access(f"1: {_CUT}movups %gs:$1, $0", "<2 x i64>", "*m", (), "[16 x i8]"),
}
# Straight into a vector register, zeros above.
_VECTOR_LOADS: dict[object, Access] = {
    32: Access(f"1: {_CUT}movss %gs:$1, $0", "<2 x i64>", "*m", (), "i32"),
    64: Access(f"1: {_CUT}movsd %gs:$1, $0", "<2 x i64>", "*m", (), "i64"),
}
_STORES = {
    8: Access(f"1: {_CUT}movb ${{1:b}}, %gs:$0", "", "=*m", (("qi", "i32"),), "i8"),
    16: Access(f"1: {_CUT}movw ${{1:w}}, %gs:$0", "", "=*m", (("ri", "i32"),), "i16"),
    32: Access(f"1: {_CUT}movl $1, %gs:$0", "", "=*m", (("ri", "i32"),), "i32"),
    64: Access(f"1: {_CUT}movq $1, %gs:$0", "", "=*m", (("r", "i64"),), "i64"),
    80: Access(f"1: {_CUT}fstpt %gs:$0", "", "=*m", (("{st}", "x86_fp80"),), "[10 x i8]", "~{st}"),
    128: Access(f"1: {_CUT}movups $1, %gs:$0", "", "=*m", (("x", "<2 x i64>"),), "[16 x i8]"),
}
# The low bits of a vector register.
_VECTOR_STORES: dict[object, Access] = {
    32: Access(f"1: {_CUT}movss $1, %gs:$0", "", "=*m", (("x", "<2 x i64>"),), "i32"),
    64: Access(f"1: {_CUT}movsd $1, %gs:$0", "", "=*m", (("x", "<2 x i64>"),), "i64"),
}
_CMPXCHG = {
    width: Access(
        f"1: {_CUT}lock; cmpxchg{letter} ${{3:{mod}}}, %gs:$1",
        "i64",
        "*m",
        (("{ax}", "i64" if width == 64 else "i32"), ("r", "i64" if width == 64 else "i32")),
        f"i{width}",
        "~{flags},~{memory}",
    )
    for width, letter, mod in ((8, "b", "b"), (16, "w", "w"), (32, "l", "k"), (64, "q", "q"))
}


def load(width: int, narrow: object = None) -> Access:
    """Return the load of *width* bits, or of *narrow* bits (an int) into a vector register."""
    return _LOADS[width] if narrow is None else _VECTOR_LOADS[narrow]


def store(width: int, narrow: object = None) -> Access:
    """Return the store of *width* bits, or of *narrow* bits (an int) of a vector register."""
    return _STORES[width] if narrow is None else _VECTOR_STORES[narrow]


def store_constant(width: int) -> Access:
    """Return the store of a typed constant, which the machine insn holds as its immediate."""
    letter = {8: "b", 16: "w", 32: "l"}[width]
    return Access(f"1: {_CUT}mov{letter} $1, %gs:$0", "", "=*m", (("i", ""),), f"i{width}")


def guest_access(mnemonic: str, constraint: str) -> Access:
    """Return an x87 insn on guest memory ("*m"; "=*m": it writes) whose stack LLVM does not see."""
    return Access(f"1: {_AS_IT_IS}{_CUT}{mnemonic} %gs:$0", "", constraint, (), "[10 x i8]")


def cmpxchg(width: int) -> Access:
    """Return the atomic compare-exchange of *width* bits; the result is what memory held."""
    return _CMPXCHG[width]


def string(
    repeat: Repeat, result: str, inputs: list[str], value: str, pc: str, ok: str, fault: str
) -> str:
    """Return the callbr of a repeated string insn, upwards, of the LLVM type *result*.

    In and out: RCX, RDI and where the insn reads it RSI, host addresses; *value* is the
    accumulator or "".  At *fault* the outputs are those of the iteration that faulted.
    """
    letter = {8: "b", 16: "w", 32: "l"}[repeat.width]
    prefix = "repne" if repeat.until_equal else "rep"
    registers = ("cx", "di", "si")[: len(inputs)]
    constraints = [f"={{{r}}}" for r in registers] + [str(i) for i in range(len(inputs))]
    args = [f"i64 {name}" for name in inputs]
    if value:
        constraints.append("{ax}")
        args.append(f"i32 {value}")
    row = _fault_row(len(constraints) + 2)
    constraints += [_STATE, "i", "!i", "~{memory}", "~{flags}"]
    args += ["ptr %st", pc]
    return (
        f'callbr {result} asm sideeffect "1: {prefix} {repeat.mnemonic}{letter}{row}", '
        f'"{",".join(constraints)}"({", ".join(args)}) to label %{ok} [label %{fault}]'
    )


def register_type(width: int) -> str:
    """Return the LLVM type that carries an IR value of *width* bits through assembly."""
    return {64: "i64", 80: "x86_fp80", 128: "<2 x i64>"}.get(width, "i32")


def to_register(t: Text, name: str, width: int) -> str:
    """Convert an IR value to its register type."""
    if width == 128:
        return t(f"bitcast i128 {name} to <2 x i64>")
    return t(f"zext i{width} {name} to i32") if width < 32 else name


def from_register(t: Text, name: str, width: int) -> str:
    """Convert a register-typed result to an IR value."""
    if width == 128:
        return t(f"bitcast <2 x i64> {name} to i128")
    return name if width >= 64 else t(f"trunc i64 {name} to i{width}")


def _operand_type(constraint: str, width: int) -> str:
    """Return the LLVM type of a HOST operand: floats where an XMM register must carry it."""
    if width == 80:
        return "x86_fp80"
    if width == 128:
        return "<2 x i64>"
    if constraint.strip("=&") in ("x", "v") or "xmm" in constraint:
        return {32: "float", 64: "double"}[width]
    return f"i{width}"


def host(
    t: Text,
    allocas: list[str],
    fresh: Callable[[str], str],
    row: HostOp,
    args: list[str],
    place: Place | None = None,
) -> list[str]:
    """Emit a HOST row; return the names of its outputs.

    A constraint ``*m`` passes an input by address, ``=*m`` returns an output through memory; with
    a *place* that is guest memory, whose access may fault.
    """
    do = t.__self__.do  # type: ignore[attr-defined]
    asm = row.asm
    call_args: list[str] = []
    types: list[str] = []
    constraints: list[str] = []
    memory_outs: dict[int, str] = {}

    def pass_memory(width: int) -> str:
        """Pass the next operand in memory; return the pointer to it."""
        nonlocal asm
        slot = "%" + fresh("slot") if place is None else place.pointer
        if place is None:
            allocas.append(f"  {slot} = alloca {_memory_type(width)}, align 16")
        else:
            asm = asm.replace(f"${len(constraints)}", f"{GUEST}${len(constraints)}")
        call_args.append(f"ptr elementtype({_memory_type(width)}) {slot}")
        return slot

    for i, (constraint, width) in enumerate(row.outs):
        if "*m" in constraint:
            memory_outs[i] = pass_memory(width)
        else:
            types.append(_operand_type(constraint, width))
        constraints.append(constraint)
    outs = [c for c, _ in row.outs]
    for (constraint, width), name in zip(row.ins, args, strict=True):
        if "*m" in constraint:
            slot = pass_memory(width)
            if place is None:
                do(f"store {_memory_type(width)} {name}, ptr {slot}")
        else:
            tied = outs[int(constraint)] if constraint.isdigit() else constraint
            ty = _operand_type(tied, width)
            call_args.append(f"{ty} {_cast(t, name, f'i{width}' if width != 80 else ty, ty)}")
        constraints.append(constraint)
    call, labels = "call", ""
    if place is not None:
        asm = f"1: {_CUT}{asm}{_fault_row(len(constraints) + 2)}"
        constraints += [_STATE, "i", "!i"]
        call_args += ["ptr %st", place.pc]
        call, labels = "callbr", f" to label %{place.ok} [label %{place.fault}]"
    if row.clobbers:
        constraints.append(row.clobbers)
    result = "void" if not types else types[0] if len(types) == 1 else "{" + ", ".join(types) + "}"
    text = f'{call} {result} asm sideeffect "{asm}", "{",".join(constraints)}"'
    text += f"({', '.join(call_args)}){labels}"
    packed = ""
    if types:
        packed = t(text)
    else:
        do(text)
    if place is not None:
        t.__self__.label(place.ok)  # type: ignore[attr-defined]
    names: list[str] = []
    position = 0
    for i, (_, width) in enumerate(row.outs):
        if i in memory_outs:
            slot = memory_outs[i]
            names.append(t(f"load {_memory_type(width)}, ptr {slot}") if place is None else "")
            continue
        ty = types[position]
        name = packed if len(types) == 1 else t(f"extractvalue {result} {packed}, {position}")
        names.append(_cast(t, name, ty, ty if width == 80 else f"i{width}"))
        position += 1
    return names


def _memory_type(width: int) -> str:
    return "x86_fp80" if width == 80 else f"i{width}"


def _cast(t: Text, name: str, source: str, target: str) -> str:
    return name if source == target else t(f"bitcast {source} {name} to {target}")
