"""Tiny native functions: one HOST row, or one x87 insn on a whole register image, run by ctypes.

They use the guest's control words and leave the host's own FPU state as it was.  Everything is
compiled when first used and kept for the life of the process.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from translator.hostops import HOSTOPS
from translator.tiers import hostasm

_SLOT = 16  # bytes between arguments
_MASK_ALL = 0x3F  # x87 exception masks
_SSE_MASK_ALL = 0x1F80
IMAGE_SIZE = 512  # an FXSAVE image
OPERAND_SIZE = 128  # room for the memory operand of one x87 insn

_lock = threading.RLock()
_functions: dict[str, Callable[..., None]] = {}  # by row
_x87_functions: dict[int, Callable[..., None]] = {}  # by opcode


class _Body:
    """Collects LLVM instructions; the interface that hostasm expects of a lowering."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0

    def t(self, line: str) -> str:
        name = self.fresh("%v")
        self.lines.append(f"  {name} = {line}")
        return name

    def do(self, line: str) -> None:
        self.lines.append("  " + line)

    def fresh(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"


def _asm(text: str, *pointers: str) -> str:
    """Return a call of inline assembly whose operands are memory: ``type pointer`` each."""
    constraints = ["*m"] * len(pointers) + ["~{memory}"]
    args = (f"ptr elementtype({p.split()[0]}) {p.split()[1]}" for p in pointers)
    return f'call void asm sideeffect "{text}", "{",".join(constraints)}"({", ".join(args)})'


def source(name: str) -> str:
    """Return the LLVM IR of a HOST row as a function of (arguments, results, control words).

    The control words are fcw (16 bits), at 4 mxcsr (32), at 8 the status word that comes back.
    """
    row = HOSTOPS[name]
    body = _Body()
    allocas = ["  %host_fcw = alloca i16", "  %host_mxcsr = alloca i32"]
    body.do("%mxcsr = getelementptr i8, ptr %control, i64 4")
    body.do("%fsw = getelementptr i8, ptr %control, i64 8")
    arguments = []
    for i, (_, width) in enumerate(row.ins):
        pointer = body.t(f"getelementptr i8, ptr %in, i64 {_SLOT * i}")
        arguments.append(body.t(f"load {_type(width)}, ptr {pointer}, align 1"))
    body.do(_asm("fnstcw $0; stmxcsr $1", "i16 %host_fcw", "i32 %host_mxcsr"))
    body.do(_asm("fnclex; fldcw $0; ldmxcsr $1", "i16 %control", "i32 %mxcsr"))
    results = hostasm.host(body.t, allocas, body.fresh, row, arguments)
    body.do(_asm("fnstsw $0; stmxcsr $1", "i16 %fsw", "i32 %mxcsr"))
    body.do(_asm("fnclex; fldcw $0; ldmxcsr $1", "i16 %host_fcw", "i32 %host_mxcsr"))
    for i, ((_, width), result) in enumerate(zip(row.outs, results, strict=True)):
        pointer = body.t(f"getelementptr i8, ptr %out, i64 {_SLOT * i}")
        body.do(f"store {_type(width)} {result}, ptr {pointer}, align 1")
    lines = "\n".join(allocas + body.lines)
    symbol = _symbol(name)
    return f"define void @{symbol}(ptr %in, ptr %out, ptr %control) {{\n{lines}\n  ret void\n}}\n"


def _type(width: int) -> str:
    return "x86_fp80" if width == 80 else f"i{width}"


def _symbol(name: str) -> str:
    return "micro_" + "".join(c if c.isalnum() else "_" for c in name)


@cache
def _engine() -> Any:
    """Return the JIT compiler of this process; it owns its target machine."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    machine = llvm.Target.from_default_triple().create_target_machine(opt=1)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.finalize_object()
    return engine


def compile_function(symbol: str, text: str) -> int:
    """Compile LLVM IR; return the address of a function in it."""
    import llvmlite.binding as llvm

    with _lock:
        engine = _engine()
        module = llvm.parse_assembly(text)
        module.verify()
        engine.add_module(module)
        engine.finalize_object()
        address: int = engine.get_function_address(symbol)
    assert address, symbol
    return address


def _function(name: str) -> Callable[..., None]:
    """Return the compiled HOST row."""
    with _lock:  # no symbol may be compiled twice
        function = _functions.get(name)
        if function is None:
            # PYFUNCTYPE keeps the GIL: the functions are far shorter than a switch.
            kind = ctypes.PYFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p)
            function = _functions[name] = kind(compile_function(_symbol(name), source(name)))
    return function


def call(
    name: str, args: tuple[int, ...], fcw: int, mxcsr: int
) -> tuple[tuple[int, ...], int, int]:
    """Run a HOST row on numbers; return its outputs and the status words that it raised.

    It runs with the control bits of *fcw* and *mxcsr*, all exceptions masked and no flags set.
    """
    row = HOSTOPS[name]
    given = b"".join(arg.to_bytes(_SLOT, "little") for arg in args)
    out = ctypes.create_string_buffer(_SLOT * max(len(row.outs), 1))
    words = (fcw | _MASK_ALL | (mxcsr & 0xFFC0 | _SSE_MASK_ALL) << 32).to_bytes(12, "little")
    control = ctypes.create_string_buffer(words, 12)
    _function(name)(given, out, control)
    raw, after = out.raw, control.raw
    outs = tuple(
        int.from_bytes(raw[_SLOT * i : _SLOT * i + (width + 7) // 8], "little")
        for i, (_, width) in enumerate(row.outs)
    )
    return outs, int.from_bytes(after[8:10], "little"), int.from_bytes(after[4:8], "little") & 0x3F


# Area of one x87 insn: register image, its memory operand, EFLAGS, then the host's own image.
_OPERAND, _EFLAGS, _HOST = IMAGE_SIZE, IMAGE_SIZE + OPERAND_SIZE, 704


def _x87_function(opcode: int) -> Callable[..., None]:
    """Return the function that runs one x87 insn (first byte, ModRM) on an area."""
    if opcode & 0xFF < 0xC0:
        opcode = opcode & 0xFF38 | 7  # the memory operand is at (%rdi)
    with _lock:
        function = _x87_functions.get(opcode)
        if function is None:
            function = _x87_functions[opcode] = _compile_x87(opcode)
    return function


def _compile_x87(opcode: int) -> Callable[..., None]:
    first, modrm = opcode >> 8, opcode & 0xFF
    insn = f".byte {first}, {modrm}"
    text = (
        f"fxsave {_HOST}(%rsi); fxrstor (%rsi); pushq {_EFLAGS}(%rsi); popfq; {insn}; "
        f"pushfq; popq {_EFLAGS}(%rsi); fxsave (%rsi); fninit; fxrstor {_HOST}(%rsi)"
    )
    symbol = f"x87_{opcode:04x}"
    # The function has no frame, so the pushes cannot hit a red zone.
    body = (
        f"define void @{symbol}(ptr %area) noredzone {{\n"
        f"  %operand = getelementptr i8, ptr %area, i64 {_OPERAND}\n"
        f'  call void asm sideeffect "{text}", "{{si}},{{di}},~{{memory}},~{{flags}}"'
        "(ptr %area, ptr %operand)\n  ret void\n}\n"
    )
    address = compile_function(symbol, body)
    return ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(address)


def x87(opcode: int, image: bytes, operand: bytes, eflags: int) -> tuple[bytes, bytes, int]:
    """Run one x87 insn on an FXSAVE image; return image, memory operand and EFLAGS after it.

    The insn must be a waiting one, and no unmasked exception may be pending in the image.
    """
    area = ctypes.create_string_buffer(_HOST + IMAGE_SIZE + 16)
    base = ctypes.addressof(area)
    base += -base % 16
    ctypes.memmove(base, image, IMAGE_SIZE)
    ctypes.memmove(base + _OPERAND, operand, len(operand))
    ctypes.memmove(base + _EFLAGS, (eflags & 0x8D5 | 2).to_bytes(8, "little"), 8)
    _x87_function(opcode)(base)
    after = ctypes.string_at(base, _HOST)
    return (
        after[:IMAGE_SIZE],
        after[_OPERAND:_EFLAGS],
        int.from_bytes(after[_EFLAGS:][:4], "little"),
    )
