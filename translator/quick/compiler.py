"""Python functions, restricted -> LLVM IR.

Every value is a signed 64-bit integer. Allowed are: parameters and local variables; integer
constants, also of the module; + - * & | ^ << >> and unary - ~; comparisons, `and`, `or`, `not` and
`x if c else y`; if, while, `for i in range(a, b)`, break, continue, return; calls of each other and
of the accesses below. `>>` is arithmetic; // and % are for numbers that are not negative; there are
no exceptions, and nothing is checked.
"""

from __future__ import annotations

import ast
import ctypes
import inspect
import textwrap
import time
from collections.abc import Callable
from typing import Any

# name -> (LLVM type, is signed); the address comes first.
_TYPES = {"8": "i8", "16": "i16", "32": "i32", "64": "i64"}
_ATOMIC = frozenset({"publish64", "swap64"})
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and", ast.BitOr: "or",
    ast.BitXor: "xor", ast.LShift: "shl", ast.RShift: "ashr", ast.FloorDiv: "sdiv", ast.Mod: "srem",
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "slt", ast.LtE: "sle", ast.Gt: "sgt", ast.GtE: "sge",
}  # fmt: skip


def u8(address: int) -> int:
    """Load a byte."""
    return ctypes.c_uint8.from_address(address).value


def u16(address: int) -> int:
    """Load two bytes."""
    return ctypes.c_uint16.from_address(address).value


def u32(address: int) -> int:
    """Load four bytes."""
    return ctypes.c_uint32.from_address(address).value


def s8(address: int) -> int:
    """Load a signed byte."""
    return ctypes.c_int8.from_address(address).value


def s16(address: int) -> int:
    """Load two bytes, signed."""
    return ctypes.c_int16.from_address(address).value


def s32(address: int) -> int:
    """Load four bytes, signed."""
    return ctypes.c_int32.from_address(address).value


def s64(address: int) -> int:
    """Load eight bytes."""
    return ctypes.c_int64.from_address(address).value


def put8(address: int, value: int) -> None:
    """Store a byte."""
    ctypes.c_uint8.from_address(address).value = value & 0xFF


def put16(address: int, value: int) -> None:
    """Store two bytes."""
    ctypes.c_uint16.from_address(address).value = value & 0xFFFF


def put32(address: int, value: int) -> None:
    """Store four bytes."""
    ctypes.c_uint32.from_address(address).value = value & 0xFFFFFFFF


def put64(address: int, value: int) -> None:
    """Store eight bytes."""
    ctypes.c_int64.from_address(address).value = value


def copy(to: int, source: int, size: int) -> None:
    """Copy bytes that do not overlap."""
    ctypes.memmove(to, source, size)


def publish64(address: int, value: int) -> None:
    """Store eight bytes, which other threads see after all that was stored before."""
    ctypes.c_int64.from_address(address).value = value


def swap64(address: int, value: int) -> int:
    """Store eight bytes and return what was there, in one step."""
    cell = ctypes.c_int64.from_address(address)
    old, cell.value = cell.value, value
    return old


def cycles() -> int:
    """Return the host's time-stamp counter; as plain Python, nothing is measured."""
    return 0


def host_mmap(address: int, size: int, prot: int, flags: int, fd: int, offset: int) -> int:
    """Map host memory by the system call itself; minus an error number if that fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype, libc.mmap.argtypes = ctypes.c_int64, [ctypes.c_int64] * 6
    result: int = libc.mmap(address, size, prot, flags, fd, offset)
    return result if result != -1 else -ctypes.get_errno()


def host_clock() -> int:
    """Return the host's monotonic clock in ns."""
    return time.monotonic_ns()


# clock_gettime of x86-64 Linux is number 228, CLOCK_MONOTONIC 1.
_CLOCK = (
    'call i64 asm sideeffect "syscall", "={{ax}},{{ax}},{{di}},{{si}},~{{rcx}},~{{r11}},'
    '~{{memory}}"(i64 228, i64 1, ptr {})'
)


def invoke(function: int, *arguments: int) -> int:
    """Call a function of the host's C conventions at an address: of 64-bit integers, as all are."""
    result: int = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(arguments))(function)(
        *arguments
    )
    return result


def host_gs(base: int) -> None:
    """Let accesses of host code through GS go to a base address; as plain Python, nothing is."""


# arch_prctl of x86-64 Linux is number 158, ARCH_SET_GS 1001h; wrgsbase where the kernel allows it.
_GS_BY_CALL = (
    'call i64 asm sideeffect "syscall", "={{ax}},{{ax}},{{di}},{{si}},~{{rcx}},~{{r11}},'
    '~{{memory}}"(i64 158, i64 4097, i64 {})'
)
_GS_BY_INSN = 'call void asm sideeffect "wrgsbase $0", "r,~{{memory}}"(i64 {})'
_HWCAP2, _FSGSBASE = 26, 2


def _has_gs_insn() -> bool:
    libc = ctypes.CDLL(None)
    libc.getauxval.restype, libc.getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return bool(libc.getauxval(_HWCAP2) & _FSGSBASE)


_ATTRIBUTES = 'nounwind "no-jump-tables"="true"'  # so that one section holds everything
# mmap of x86-64 Linux is number 9.
_MMAP = (
    'call i64 asm sideeffect "syscall", "={{ax}},{{ax}},{{di}},{{si}},{{dx}},{{r10}},{{r8}},{{r9}},'
    '~{{rcx}},~{{r11}},~{{memory}}"(i64 9, i64 {}, i64 {}, i64 {}, i64 {}, i64 {}, i64 {})'
)
_COPY = (
    '  %{0} = call {{ptr, ptr, i64}} asm sideeffect "rep movsb", '
    '"={{di}},={{si}},={{cx}},0,1,2,~{{memory}}"(i64 {1}, i64 {2}, i64 {3})'
)


class Unsupported(Exception):  # noqa: N818 (the author's event)
    """A function uses more of Python than can be compiled."""


class _Function(ast.NodeVisitor):
    """Compiles one function."""

    def __init__(self, name: str, names: dict[str, Any], known: dict[str, int]) -> None:
        self.name, self.names, self.known = name, names, known
        self.lines: list[str] = []
        self.slots: dict[str, None] = {}
        self.count = 0
        self.loops: list[tuple[str, str]] = []  # labels of continue and break
        self.is_open = True  # the current block has no terminator yet

    # -- text --------------------------------------------------------------------------------------
    def new(self) -> str:
        self.count += 1
        return f"%t{self.count}"

    def label(self, word: str) -> str:
        self.count += 1
        return f"{word}{self.count}"

    def do(self, text: str) -> None:
        if self.is_open:
            self.lines.append(f"  {text}")

    def value(self, text: str) -> str:
        name = self.new()
        self.do(f"{name} = {text}")
        return name

    def end(self, text: str) -> None:
        self.do(text)
        self.is_open = False

    def begin(self, label: str) -> None:
        if self.is_open:
            self.end(f"br label %{label}")
        self.lines.append(f"{label}:")
        self.is_open = True

    def text(self, tree: ast.FunctionDef, *, is_public: bool) -> str:
        """Return the function's IR."""
        parameters = [a.arg for a in tree.args.args]
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.slots[node.id] = None
        for statement in tree.body:
            self.visit(statement)
        if self.is_open:
            self.end("ret i64 0")
        head = [f"  %v_{name} = alloca i64" for name in {**dict.fromkeys(parameters), **self.slots}]
        head += [f"  store i64 %a_{name}, ptr %v_{name}" for name in parameters]
        arguments = ", ".join(f"i64 %a_{name}" for name in parameters)
        self.slots.update(dict.fromkeys(parameters))
        linkage = "" if is_public else "internal "
        body = "\n".join([*head, *self.lines])
        head_line = f"define {linkage}i64 @{self.name}({arguments}) {_ATTRIBUTES} {{"
        return f"{head_line}\n{body}\n}}\n"

    # -- statements --------------------------------------------------------------------------------
    def generic_visit(self, node: ast.AST) -> None:
        raise Unsupported(f"{self.name}: {ast.dump(node)[:80]}")

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.expression(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if isinstance(node.targets[0], ast.Tuple):
            assert isinstance(node.value, ast.Tuple)
            values = [self.expression(v) for v in node.value.elts]
            for target, value in zip(node.targets[0].elts, values, strict=True):
                self.store(target, value)
            return
        value = self.expression(node.value)
        for target in node.targets:
            self.store(target, value)

    def store(self, target: ast.expr, value: str) -> None:
        if not isinstance(target, ast.Name):
            raise Unsupported(f"{self.name}: assignment to {ast.dump(target)}")
        self.do(f"store i64 {value}, ptr %v_{target.id}")

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        assert isinstance(node.target, ast.Name)
        old = ast.Name(node.target.id, ast.Load())
        self.store(node.target, self.expression(ast.BinOp(old, node.op, node.value)))

    def visit_Return(self, node: ast.Return) -> None:
        self.end(f"ret i64 {self.expression(node.value) if node.value else '0'}")

    def visit_If(self, node: ast.If) -> None:
        then, other, after = (self.label(word) for word in ("then", "else", "after"))
        self.branch(node.test, then, other)
        self.begin(then)
        for statement in node.body:
            self.visit(statement)
        if self.is_open:
            self.end(f"br label %{after}")
        self.begin(other)
        for statement in node.orelse:
            self.visit(statement)
        self.begin(after)

    def visit_While(self, node: ast.While) -> None:
        test, body, after = (self.label(word) for word in ("test", "body", "after"))
        self.begin(test)
        self.branch(node.test, body, after)
        self.loops.append((test, after))
        self.begin(body)
        for statement in node.body:
            self.visit(statement)
        self.loops.pop()
        if self.is_open:
            self.end(f"br label %{test}")
        self.begin(after)

    def visit_For(self, node: ast.For) -> None:
        assert isinstance(node.iter, ast.Call)
        assert isinstance(node.target, ast.Name)
        first, last = (self.expression(a) for a in node.iter.args)
        test, body, step, after = (self.label(word) for word in ("test", "body", "step", "after"))
        self.store(node.target, first)
        self.begin(test)
        now = self.value(f"load i64, ptr %v_{node.target.id}")
        self.end(
            f"br i1 {self.value(f'icmp slt i64 {now}, {last}')}, label %{body}, label %{after}"
        )
        self.loops.append((step, after))
        self.begin(body)
        for statement in node.body:
            self.visit(statement)
        self.loops.pop()
        self.begin(step)
        now = self.value(f"load i64, ptr %v_{node.target.id}")
        self.store(node.target, self.value(f"add i64 {now}, 1"))
        self.end(f"br label %{test}")
        self.begin(after)

    def visit_Break(self, node: ast.Break) -> None:
        self.end(f"br label %{self.loops[-1][1]}")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.end(f"br label %{self.loops[-1][0]}")

    # -- expressions -------------------------------------------------------------------------------
    def branch(self, node: ast.expr, then: str, other: str) -> None:
        """Go to one of two labels."""
        match node:
            case ast.BoolOp(ast.And(), values):
                for value in values[:-1]:
                    more = self.label("and")
                    self.branch(value, more, other)
                    self.begin(more)
                self.branch(values[-1], then, other)
            case ast.BoolOp(ast.Or(), values):
                for value in values[:-1]:
                    more = self.label("or")
                    self.branch(value, then, more)
                    self.begin(more)
                self.branch(values[-1], then, other)
            case ast.UnaryOp(ast.Not(), operand):
                self.branch(operand, other, then)
            case ast.Compare(left, [op], [right]):
                test = f"icmp {_COMPARISONS[type(op)]} i64 {self.expression(left)}, "
                test = self.value(test + self.expression(right))
                self.end(f"br i1 {test}, label %{then}, label %{other}")
            case _:
                test = self.value(f"icmp ne i64 {self.expression(node)}, 0")
                self.end(f"br i1 {test}, label %{then}, label %{other}")

    def expression(self, node: ast.expr) -> str:
        """Compute a value."""
        match node:
            case ast.Constant(bool() | int()):
                return str(int(node.value))  # type: ignore[arg-type]
            case ast.Name(name):
                return self.variable(name)
            case ast.Attribute(ast.Name(name), attribute):
                return str(int(getattr(self.names[name], attribute)))
            case ast.BinOp(left, op, right):
                a, b = self.expression(left), self.expression(right)
                return self.value(f"{_OPERATORS[type(op)]} i64 {a}, {b}")
            case ast.UnaryOp(ast.USub(), operand):
                return self.value(f"sub i64 0, {self.expression(operand)}")
            case ast.UnaryOp(ast.Invert(), operand):
                return self.value(f"xor i64 -1, {self.expression(operand)}")
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(ast.Not()):
                one, zero = ast.Constant(1), ast.Constant(0)
                return self.expression(ast.IfExp(node, one, zero))
            case ast.IfExp(test, body, orelse):
                then, other, after = (self.label(w) for w in ("yes", "no", "joined"))
                place = f"j_{after}"
                self.slots[place] = None
                self.branch(test, then, other)
                for label, value in ((then, body), (other, orelse)):
                    self.begin(label)
                    self.do(f"store i64 {self.expression(value)}, ptr %v_{place}")
                    self.end(f"br label %{after}")
                self.begin(after)
                return self.value(f"load i64, ptr %v_{place}")
            case ast.Call(ast.Name(name), arguments):
                return self.call(name, [self.expression(a) for a in arguments])
            case _:
                raise Unsupported(f"{self.name}: {ast.dump(node)[:80]}")

    def variable(self, name: str) -> str:
        if name in self.slots:
            return self.value(f"load i64, ptr %v_{name}")
        constant = self.names.get(name)
        if not isinstance(constant, int):
            raise Unsupported(f"{self.name}: {name} is no constant")
        return str(int(constant))

    def call(self, name: str, arguments: list[str]) -> str:
        if name in self.known:
            listed = ", ".join(f"i64 {a}" for a in arguments)
            return self.value(f"call i64 @{name}({listed})")
        if name == "copy":
            self.count += 1
            self.do(_COPY.format(f"t{self.count}", *arguments).strip())
            return "0"
        if name == "host_mmap":
            return self.value(_MMAP.format(*arguments))
        if name == "invoke":
            pointer = self.value(f"inttoptr i64 {arguments[0]} to ptr")
            listed = ", ".join(f"i64 {a}" for a in arguments[1:])
            return self.value(f"call i64 {pointer}({listed})")
        if name == "host_clock":
            place = self.value("alloca [2 x i64]")
            self.value(_CLOCK.format(place))
            seconds = self.value(f"load i64, ptr {place}")
            after = self.value(f"getelementptr i8, ptr {place}, i64 8")
            fraction = self.value(f"load i64, ptr {after}")
            return self.value(f"add i64 {fraction}, {self.value(f'mul i64 {seconds}, 1000000000')}")
        if name == "host_gs":
            if _has_gs_insn():
                self.do(_GS_BY_INSN.format(*arguments))
                return "0"
            return self.value(_GS_BY_CALL.format(*arguments))
        if name == "cycles":
            return self.value("call i64 @llvm.readcyclecounter()")
        if name in _ATOMIC:
            pointer = self.value(f"inttoptr i64 {arguments[0]} to ptr")
            if name == "swap64":
                return self.value(f"atomicrmw xchg ptr {pointer}, i64 {arguments[1]} seq_cst")
            self.do(f"store atomic i64 {arguments[1]}, ptr {pointer} release, align 8")
            return "0"
        kind = _TYPES.get(name.lstrip("uspt"))
        if kind is None:
            raise Unsupported(f"{self.name}: call of {name}")
        pointer = self.value(f"inttoptr i64 {arguments[0]} to ptr")
        if name.startswith("put"):
            value = arguments[1]
            if kind != "i64":
                value = self.value(f"trunc i64 {value} to {kind}")
            self.do(f"store {kind} {value}, ptr {pointer}, align 1")
            return "0"
        loaded = self.value(f"load {kind}, ptr {pointer}, align 1")
        if kind == "i64":
            return loaded
        return self.value(f"{'sext' if name[0] == 's' else 'zext'} {kind} {loaded} to i64")


def module(functions: list[Callable[..., int]], public: set[str]) -> str:
    """Return the IR of functions that call each other; those named in *public* can be called."""
    known = {f.__name__: f.__code__.co_argcount for f in functions}
    parts = ["declare i64 @llvm.readcyclecounter()\n"]
    for function in functions:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        assert isinstance(tree, ast.FunctionDef)
        # Parameters must be known as variables before the body is compiled.
        compiler = _Function(tree.name, function.__globals__, known)
        compiler.slots.update(dict.fromkeys(a.arg for a in tree.args.args))
        parts.append(compiler.text(tree, is_public=tree.name in public))
    return "\n".join(parts)
