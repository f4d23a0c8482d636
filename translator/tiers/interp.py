"""IR -> Python: the reference tier and the living definition of the ops.

A shape's unit becomes the source of one Python function, compiled once.  `EVAL` says what each op
means as an expression over Python integers; every value is kept masked to its width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from translator import flags, helpers
from translator.faults import GuestFault
from translator.insn import Insn
from translator.ir import CondLink, Jump, Leave, Link, Op, Unit, Value
from translator.semantics import lift, updates
from translator.state import FIELDS, RECOVERED, Exit
from translator.tiers import interp_support

Run = Callable[..., int]
_PF, _WRITE = 14, 2  # page fault and the bit of its error code


class CpuLike(Protocol):
    """The state buffer seen as arrays of 8, 16, 32 and 64-bit words."""

    r8: memoryview
    r16: memoryview
    r32: memoryview
    r64: memoryview


class MemoryLike(Protocol):
    """Guest memory; widths in bits; all raise GuestFault(14, address, error)."""

    def load(self, address: int, width: int) -> int:
        """Read a number."""

    def store(self, address: int, value: int, width: int) -> None:
        """Write a number."""

    def cmpxchg(self, address: int, expected: int, new: int, width: int) -> int:
        """Atomically write *new* if the number there is *expected*; return what was there."""


# {0} {1} {2}: arguments; w: width; m: its mask; aw, h: width and sign bit of argument 0;
# attr: the op's attribute.  Names beginning with _ are functions of interp_support.
EVAL: dict[Op, str] = {
    Op.CONST: "{attr}",
    Op.ADD: "({0} + {1} & {m})",
    Op.SUB: "({0} - {1} & {m})",
    Op.MUL: "({0} * {1} & {m})",
    Op.UDIV: "({0} // {1})",
    Op.UREM: "({0} % {1})",
    Op.SDIV: "_sdiv({0}, {1}, {w})",
    Op.SREM: "_srem({0}, {1}, {w})",
    Op.AND: "({0} & {1})",
    Op.OR: "({0} | {1})",
    Op.XOR: "({0} ^ {1})",
    Op.SHL: "({0} << {1} & {m})",
    Op.LSHR: "({0} >> {1})",
    Op.ASHR: "((({0} ^ {h}) - {h}) >> {1} & {m})",
    Op.EQ: "({0} == {1})",
    Op.NE: "({0} != {1})",
    Op.ULT: "({0} < {1})",
    Op.ULE: "({0} <= {1})",
    Op.SLT: "({0} ^ {h} < {1} ^ {h})",
    Op.SLE: "({0} ^ {h} <= {1} ^ {h})",
    Op.SELECT: "({1} if {0} else {2})",
    Op.ZEXT: "{0}",
    Op.SEXT: "(({0} ^ {h}) - {h} & {m})",
    Op.TRUNC: "({0} & {m})",
    Op.CTLZ: "({w} - ({0}).bit_length())",
    Op.CTTZ: "_cttz({0}, {w})",
    Op.POPCNT: "({0}).bit_count()",
    Op.BSWAP: "_bswap({0}, {w})",
    Op.LOAD: "mem.load({0}, {w})",
    Op.STORE: "mem.store({0}, {1}, {aw1})",
    Op.RMW: "_rmw(mem, {attr!r}, {0}, {1}, {w})",
    Op.CMPXCHG: "mem.cmpxchg({0}, {1}, {2}, {w})",
    Op.FENCE: "None",
}
# Slots of a shape, as parameters of its function.
PARAMETERS = {s: s + "_" for s in ("imm", "imm2", "disp", "pc", "next", "target")}
_ARRAYS = {8: "r8", 16: "r16", 32: "r32", 64: "r64"}
_INLINE_LIMIT = 120  # characters of an expression that may stand inside another


def expand(unit: Unit) -> Unit:
    """IR -> IR. Every FLAGS and COND becomes SETFLAG, GETFLAG and integer ops."""
    out = Unit()
    new: dict[Value, Value] = {}

    def group(name: str) -> Value:
        return out.emit(Op.GETFLAG, flags.GROUP_WIDTHS[name], attr=name)

    for op in unit.ops:
        args = [new[a] for a in op.args]
        if op.op is Op.FLAGS:
            rule = op.attr
            assert isinstance(rule, flags.Rule)
            for name, compute in rule.groups.items():
                out.emit(Op.SETFLAG, 0, compute(args[0], args[1], args[2]), attr=name)
        elif op.op is Op.COND:
            new[op] = flags.from_groups(str(op.attr), group)
        else:
            new[op] = Value(out, op.op, op.width, tuple(args), op.attr)
    match unit.terminal:
        case CondLink(cond, taken, otherwise):
            out.terminal = CondLink(new[cond], taken, otherwise)
        case Jump(target, is_return):
            out.terminal = Jump(new[target], is_return)
        case other:
            out.terminal = other
    return out


class _Source:
    """Writes the Python source of one unit."""

    def __init__(self, unit: Unit) -> None:
        self.unit = expand(unit)
        self.lines: list[str] = []
        self.text: dict[Value, str] = {}  # expression or variable that holds a value
        self.reads: dict[object, str] = {}  # what was read of the state -> its variable
        # What this insn wrote: seen by later reads, committed at its end.
        self.pending: dict[object, str] = {}
        self.space: dict[str, Any] = dict(vars(interp_support))
        self.uses = Counter(a for op in self.unit.ops for a in op.args)
        terminal = self.unit.terminal
        if isinstance(terminal, CondLink | Jump):
            self.uses[terminal[0]] += 1

    def line(self, text: str) -> None:
        self.lines.append(text)

    def build(self) -> str:
        """Return the source of the function `run`."""
        for op in self.unit.ops:
            self.op(op)
        end = self.terminal()
        for place, value in self.pending.items():
            self.line(self.commit(place, value))
        self.line(end)
        head = ", ".join(["cpu", "mem", *PARAMETERS.values()])
        body = "\n    ".join([*self.arrays(), *self.lines])
        return f"def run({head}):\n    {body}\n"

    def arrays(self) -> list[str]:
        text = "\n".join(self.lines)
        return [f"{name} = cpu.{name}" for name in _ARRAYS.values() if f"{name}[" in text]

    def terminal(self) -> str:
        """Return the statement that ends the function."""
        match self.unit.terminal:
            case None:
                return "return next_"
            case CondLink(cond, taken, otherwise):
                yes, no = PARAMETERS[taken], PARAMETERS[otherwise]
                return f"return {yes} if {self.text[cond]} else {no}"
            case Jump(target):
                return f"return {self.text[target]}"
            case Link() | Leave() as terminal:
                return self.leave(terminal)

    def leave(self, terminal: Link | Leave) -> str:
        if isinstance(terminal, Link):
            return f"return {PARAMETERS[terminal.slot]}"
        code = terminal.kind << 32 | terminal.info << 40
        return f"return {PARAMETERS[terminal.slot]} | {code:#x}"

    # -- state ---------------------------------------------------------------------------------
    def read(self, place: object, expression: str) -> str:
        """Read a piece of state once; what this insn wrote itself comes first."""
        if place in self.pending:
            return self.pending[place]
        if place not in self.reads:
            name = self.reads[place] = f"s{len(self.reads)}"
            self.line(f"{name} = {expression}")
        return self.reads[place]

    def field(self, name: str) -> str:
        """Return the expression that reads a field."""
        offset, width = FIELDS[name]
        if width in _ARRAYS:
            return f"{_ARRAYS[width]}[{offset * 8 // width}]"
        return f"_wide(r8[{offset}:{offset + width // 8}])"

    def commit(self, place: object, value: str) -> str:
        """Return the statement that writes a piece of state."""
        if isinstance(place, int):  # an x87 register counted from TOP
            return f"_set_st(cpu, top + {place}, {value})"
        assert isinstance(place, str)
        offset, width = FIELDS[place]
        if width in _ARRAYS:
            return f"{_ARRAYS[width]}[{offset * 8 // width}] = {value}"
        size = width // 8
        return f"r8[{offset}:{offset + size}] = ({value}).to_bytes({size}, 'little')"

    # -- ops -----------------------------------------------------------------------------------
    def op(self, op: Value) -> None:
        """Write one op."""
        kind, attr = op.op, op.attr
        args = [self.text[a] for a in op.args]
        match kind:
            case Op.SLOT:
                name = PARAMETERS[str(attr)]
                mask = (1 << op.width) - 1
                self.text[op] = name if op.width == 32 else f"({name} & {mask:#x})"
            case Op.GETREG:
                assert isinstance(attr, int)
                self.text[op] = self.read(_GPR[attr], f"r32[{attr}]")
            case Op.SETREG:
                assert isinstance(attr, int)
                self.pending[_GPR[attr]] = self.variable(args[0])
            case Op.GET | Op.GETFLAG:
                name = str(attr)
                text = self.read(name, self.field(name))
                narrow = op.width < FIELDS[name].width and kind is Op.GET
                self.text[op] = f"({text} & {(1 << op.width) - 1:#x})" if narrow else text
            case Op.SETFLAG:
                self.pending[str(attr)] = self.variable(args[0])
            case Op.SET:
                name = str(attr)
                # An MMX write to an x87 register: the exponent becomes all ones.
                value = f"{args[0]} | {0xFFFF << 64:#x}" if self.is_mmx(op) else args[0]
                self.pending[name] = self.variable(value)
            case Op.FAULT_IF:
                assert isinstance(attr, int)
                self.line(f"if {args[0]}: raise GuestFault({attr & ~RECOVERED})")
            case Op.EXIT_IF:
                assert isinstance(attr, Link | Leave)
                # An exit that hands the insn to this tier means nothing here.
                if not (isinstance(attr, Leave) and attr.kind == Exit.INTERP):
                    self.line(f"if {args[0]}: {self.leave(attr)}")
            case Op.CALL:
                self.space["helper_" + str(attr)] = helpers.body(str(attr))
                self.assign(op, f"helper_{attr}({', '.join(['cpu', 'mem', *args])})")
            case Op.VEC:
                self.vector(op, args)
            case Op.HOST | Op.PART | Op.GETST | Op.SETST | Op.FPSTACK | Op.FPCHECK:
                self.floating(op, args)
            case _:
                self.integer(op, args)

    def is_mmx(self, op: Value) -> bool:
        return op.args[0].width == 64 and FIELDS[str(op.attr)].width == 80

    def integer(self, op: Value, args: list[str]) -> None:
        first = op.args[0].width if op.args else 1
        text = EVAL[op.op].format(
            *args,
            w=op.attr if op.op is Op.LOAD and op.attr else op.width,
            m=hex((1 << op.width) - 1),
            aw=first,
            aw1=op.args[1].width if len(args) > 1 else 0,
            h=hex(1 << max(first - 1, 0)),
            attr=op.attr,
        )
        if op.op.effect:
            self.assign(op, text)
        elif len(text) > _INLINE_LIMIT or self.uses[op] > 1:
            self.text[op] = self.variable(text)
        else:
            self.text[op] = text

    def assign(self, op: Value, text: str) -> None:
        """Evaluate an op with an effect here, once."""
        if op.width and self.uses[op]:
            self.text[op] = f"v{op.index}"
            self.line(f"v{op.index} = {text}")
        else:
            self.line(text)

    def variable(self, text: str) -> str:
        """Give an expression a name, unless it is one."""
        if text.isidentifier() or text.isdigit():
            return text
        name = f"t{len(self.lines)}"
        self.line(f"{name} = {text}")
        return name

    def vector(self, op: Value, args: list[str]) -> None:
        from translator.vectors import VECTORS

        assert isinstance(op.attr, tuple)
        name, lane, *rest = op.attr
        self.space["vec_" + name] = VECTORS[name].evaluate
        numbers = [str(lane), str(op.width), *args, *map(repr, rest)]
        self.text[op] = self.variable(f"vec_{name}({', '.join(numbers)})")

    # -- x87 and host ops ----------------------------------------------------------------------
    def floating(self, op: Value, args: list[str]) -> None:
        """Write one op of the x87 stack or one that the host's FPU computes."""
        attr = op.attr
        if op.op in (Op.GETST, Op.SETST, Op.FPSTACK, Op.FPCHECK):
            self.read("fpu", self.field("fpu"))
            if "top" not in self.reads:
                self.reads["top"] = "top"
                self.line(f"top = {self.reads['fpu']} >> 8")
        match op.op:
            case Op.HOST:
                self.host(op, args)
            case Op.PART:
                self.text[op] = f"{args[0]}_all[{attr}]"
            case Op.GETST:
                self.text[op] = self.read(attr, f"_get_st(cpu, top + {attr})")
            case Op.SETST:
                self.pending[attr] = self.variable(args[0])
            case Op.FPCHECK:
                self.fp_check(attr, args)
            case _:
                assert isinstance(attr, tuple)
                values = ", ".join(map(repr, attr))
                self.pending["fpu"] = self.variable(f"_move_stack({self.reads['fpu']}, {values})")

    def fp_check(self, attr: object, args: list[str]) -> None:
        """Leave the uncommon cases of an x87 insn to the host: it executes the insn itself."""
        assert isinstance(attr, tuple)
        valid, empty, opcode = attr
        if not opcode:
            self.line("if _fp_pending(cpu): raise GuestFault(16)")
            return
        self.space["x87_native"] = helpers.body("x87_native")
        address = args[0] if args else "0"
        self.line(f"if _fp_special(cpu, {valid}, {empty}):")
        self.line(f"    x87_native(cpu, mem, {opcode:#x}, {address})")
        self.line("    return next_")

    def host(self, op: Value, args: list[str]) -> None:
        """Compute by the host's own insn; merge the exception flags that it raises."""
        name = self.text[op] = f"v{op.index}"
        values = "".join(a + ", " for a in args)
        if "fpu" in self.pending:  # an MMX operand: the x87 state changes even if #XM comes now
            self.line(self.commit("fpu", self.pending["fpu"]))
        fsw, mxcsr = (self.read(field, self.field(field)) for field in ("fsw", "mxcsr"))
        self.line(f"{name}_all, x{name}, m{name} = _host(cpu, {op.attr!r}, ({values}))")
        self.pending["fsw"] = self.variable(f"{fsw} | x{name}")
        self.pending["mxcsr"] = self.variable(f"{mxcsr} | m{name}")
        if op.width:
            self.line(f"{name} = {name}_all[0]")


_GPR = tuple(FIELDS)[:8]


def source(insn: Insn) -> str:
    """Return the Python source of an insn's shape (for people)."""
    return _Source(lift(insn)).build()


def compile_unit(unit: Unit) -> Run:
    """Return the function that runs a unit: (cpu, mem, *slots) -> eip | kind << 32 | info << 40."""
    writer = _Source(unit)
    text = writer.build()
    exec(compile(text, "<unit>", "exec"), writer.space)
    return writer.space["run"]  # type: ignore[no-any-return]


_functions: dict[bytes, Run] = {}
_FUNCTIONS_MAX = 1 << 14


def function_of(insn: Insn) -> Run:
    """Return what `compile_unit` makes of an insn; made once for a shape."""
    function = _functions.get(insn.key)
    if function is None:
        if len(_functions) >= _FUNCTIONS_MAX:
            _functions.clear()
        function = _functions[insn.key] = compile_unit(lift(insn))
    return function


def execute(insn: Insn, cpu: CpuLike, mem: MemoryLike) -> int:
    """Execute one insn at the state's eip. Return 0, or the kind of exit (state.Exit).

    A fault raises GuestFault and leaves eip at the insn.
    """
    function = function_of(insn)
    slots = insn.slots
    r32 = cpu.r32
    pc = r32[_EIP]
    after = (pc + insn.length) & (0xFFFF if insn.mode.wraps else 0xFFFFFFFF)
    imm = slots["imm"]
    target = (after + imm) & (0xFFFF if insn.width == 16 else 0xFFFFFFFF)
    try:
        result = function(cpu, mem, imm, slots["imm2"], slots["disp"], pc, after, target)
    except GuestFault as fault:
        if fault.vector == _PF and not fault.error & _WRITE and updates(lift(insn)):
            fault.error |= _WRITE
        raise
    r32[_EIP] = result & 0xFFFFFFFF
    kind = result >> 32 & 0xFF
    if kind:
        r32[_EXIT_KIND] = kind
        r32[_EXIT_INFO] = result >> 40
    return kind


_EIP = FIELDS["eip"].offset // 4
_EXIT_KIND = FIELDS["exit_kind"].offset // 4
_EXIT_INFO = FIELDS["exit_info"].offset // 4
