"""IR -> LLVM IR text: the lowering that the `stencil` and `block` tiers share.

A host function takes the CPU state, the memory base and the eight general registers in the
host's pinned registers (`ghccc`) and leaves by a tail call.  Guest registers, state fields and
flags are SSA values inside the function and are stored only where control leaves it; flags are
computed where they are read or stored.  Every guest memory access is a `callbr` whose fault
edge leaves with the exact state of the insn's start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from translator import flags
from translator.hostops import HOSTOPS
from translator.ir import CondLink, Jump, Leave, Link, Op, Terminal, Unit, Value
from translator.state import FIELDS, JUMP_CACHE_ENTRIES, Exit
from translator.tiers import hostasm
from translator.tiers.fusion import fusion
from translator.tiers.llvm_ops import INTRINSICS, LOWER, llvm_type

VECTOR = "<2 x i64>"
PINNED_XMM = 6  # so many XMM registers travel in host registers, all that ghccc has
ARGS = [
    "ptr %st",
    "i64 %budget",
    *(f"i64 %r{i}" for i in range(8)),
    *(f"{VECTOR} %x{i}" for i in range(PINNED_XMM)),
]
SIGNATURE = "(" + ", ".join(a.rpartition(" ")[0] for a in ARGS) + ")"
_CAST = re.compile(r"bitcast (i128|<[^>]+>) (%\w+) to (i128|<[^>]+>)")
_PINNED = {f"xmm{i}": i for i in range(PINNED_XMM)}


class Unsupported(Exception):  # noqa: N818 (a fact, not a failure)
    """The unit holds an op that host code cannot do: the interp tier executes the insn."""


class Slots(Protocol):
    """What a unit's slots are: holes in a stencil, constants in a block."""

    def value(self, name: str, width: int) -> str:
        """Return an LLVM constant of type i*width* for a slot."""

    def constant(self, name: str) -> str:
        """Return a slot as a typed constant operand of inline assembly."""

    def link(self, name: str) -> str:
        """Return the symbol of the code for the guest address in a slot."""

    def st(self, index: int) -> str:
        """Return the state field that holds ST(index), counted from the insn's starting TOP."""


class _Pending(NamedTuple):
    """A flag group whose value is known but not stored: a rule with operands, or a value."""

    rule: flags.Rule | None
    args: tuple[Value, ...]


class _Saved(NamedTuple):
    """Copies of what a Lowering knows of the guest's state."""

    regs: list[str]
    vectors: list[str]
    fields: dict[str, tuple[str, int]]
    dirty: dict[str, None]
    flags: dict[str, _Pending]


class Lowering:
    """Emit one host function."""

    def __init__(self, name: str, live: frozenset[str] = flags.ALL) -> None:
        self.live = live  # flag groups that somebody may read behind this function
        self.head = f"define ghccc void @{name}({', '.join(ARGS)}) nounwind {{"
        self.hot: list[str] = []
        self.cold: list[str] = []
        self.allocas: list[str] = []
        self.lines = self.hot
        self.count = 0
        self.names: dict[Value, str] = {}
        self.regs = [f"%q{i}" for i in range(8)]  # current SSA value, i32
        self.vectors = [f"%x{i}" for i in range(PINNED_XMM)]
        self.vector_of: dict[str, tuple[str, str]] = {}  # i128 name -> vector type, name
        self.wide = {f"%q{i}": f"%r{i}" for i in range(8)}  # i32 name -> the same as i64
        self.fields: dict[str, tuple[str, int]] = {}  # known value of a field: name, width
        self.dirty: dict[str, None] = {}  # fields to store on leaving
        self.flags: dict[str, _Pending] = {}
        self.symbols: set[str] = set()
        self.budget = "%budget"  # insns that may still run
        self.slots: Slots
        self.snapshot = self._save()
        self.parts: dict[Value, list[str]] = {}

    # -- text ----------------------------------------------------------------------------------
    def t(self, line: str) -> str:
        """Emit an instruction with a result; return its name."""
        # A vector that goes through i128 stays a vector: LLVM would carry an i128 across a basic
        # block's end (every memory access is one) in two general registers.
        cast = _CAST.fullmatch(line)
        if cast is not None:
            source, name, target = cast.groups()
            known = self.vector_of.get(name) if source == "i128" else None
            if known is not None:
                source, name = known
                if source == target:
                    return name
                line = f"bitcast {source} {name} to {target}"
        self.count += 1
        result = f"%v{self.count}"
        self.lines.append(f"  {result} = {line}")
        if cast is not None and target == "i128":
            self.vector_of[result] = (source, name)
        return result

    def do(self, line: str) -> None:
        """Emit an instruction without a result."""
        self.lines.append("  " + line)

    def label(self, name: str) -> None:
        """Start a basic block."""
        self.lines.append(name + ":")

    def fresh(self, stem: str) -> str:
        """Return a new label."""
        self.count += 1
        return f"{stem}{self.count}"

    def text(self) -> str:
        """Return the finished function."""
        narrow = [f"  %q{i} = trunc i64 %r{i} to i32" for i in range(8)]
        return "\n".join([self.head, *narrow, *self.allocas, *self.hot, *self.cold, "}"])

    # -- state -----------------------------------------------------------------------------------
    def _save(self) -> _Saved:
        return _Saved(
            list(self.regs),
            list(self.vectors),
            dict(self.fields),
            dict(self.dirty),
            dict(self.flags),
        )

    def pointer(self, field: str) -> str:
        """Emit the address of a state field; `st0`... are holes of a stencil."""
        if field.startswith("st") and field not in FIELDS:
            return self.t(f"getelementptr i8, ptr %st, i64 {self.slots.value(field, 64)}")
        return self.t(f"getelementptr i8, ptr %st, i64 {FIELDS[field].offset}")

    def get_field(self, field: str, width: int) -> str:
        """Return the current value of a state field."""
        if field in _PINNED:
            return self.t(f"bitcast {VECTOR} {self.vectors[_PINNED[field]]} to i128")
        known = self.fields.get(field)
        if known is not None and known[1] == width:
            return known[0]
        if known is not None and field in self.dirty:
            self.store_field(field)
        ty = VECTOR if width == 128 else llvm_type(width)
        value = self.t(f"load {ty}, ptr {self.pointer(field)}, align {_align(width)}")
        if width == 128:
            value = self.t(f"bitcast {VECTOR} {value} to i128")
        if known is None:
            self.fields[field] = (value, width)
        return value

    def store_field(self, field: str) -> None:
        """Store a pending state field."""
        value, width = self.fields[field]
        pointer = self.pointer(field)
        if width == 128:
            vector = self.t(f"bitcast i128 {value} to {VECTOR}")
            self.do(f"store {VECTOR} {vector}, ptr {pointer}, align 16")
            return
        self.do(f"store {llvm_type(width)} {value}, ptr {pointer}, align {_align(width)}")
        if field.startswith("fpr") and width == 64:  # an MMX write sets the exponent to all ones
            above = self.t(f"getelementptr i8, ptr {pointer}, i64 8")
            self.do(f"store i16 -1, ptr {above}")

    def commit(self, live: frozenset[str]) -> None:
        """Store every pending field and the pending flags among *live*."""
        for field in self.dirty:
            self.store_field(field)
        for group, pending in self.flags.items():
            if group in live:
                value = self.value(self._flag_value(group, pending))
                width = flags.GROUP_WIDTHS[group]
                if width == 1:
                    value, width = self.t(f"zext i1 {value} to i8"), 8
                self.do(f"store i{width} {value}, ptr {self.pointer(group)}")

    def _flag_value(self, group: str, pending: _Pending) -> Value:
        if pending.rule is None:
            return pending.args[0]
        return pending.rule.groups[group](*pending.args)

    # -- values ------------------------------------------------------------------------------------
    def value(self, v: Value) -> str:
        """Return the SSA name of a value; emit it if it is pure and new."""
        name = self.names.get(v)
        if name is None:
            name = self.names[v] = self._pure(v)
        return name

    def _pure(self, v: Value) -> str:
        if v.op is Op.CONST:
            return str(v.attr)
        if v.op is Op.SLOT:
            return self.slots.value(str(v.attr), v.width)
        if v.op is Op.GETFLAG:
            return self._get_flag(str(v.attr))
        lower = LOWER.get(v.op)
        if lower is None:
            raise Unsupported(v.op.name)
        return lower(self.t, v, *(self.value(a) for a in v.args))

    def _get_flag(self, group: str) -> str:
        pending = self.flags.get(group)
        if pending is not None:
            return self.value(self._flag_value(group, pending))
        width = flags.GROUP_WIDTHS[group]
        stored = self.t(f"load i{max(width, 8)}, ptr {self.pointer(group)}")
        return self.t(f"trunc i8 {stored} to i1") if width == 1 else stored

    def _cond(self, v: Value) -> str:
        code = str(v.attr)
        needed = flags.code_groups(code)
        pending = [self.flags.get(g) for g in sorted(needed)]
        first = pending[0]
        if first is not None and first.rule is not None and all(p == first for p in pending):
            direct = flags.from_rule(code, first.rule, *first.args)
            if direct is not None:
                return self.value(direct)
        return self.value(
            flags.from_groups(
                code, lambda g: v.unit.emit(Op.GETFLAG, flags.GROUP_WIDTHS[g], attr=g)
            )
        )

    def zext64(self, name: str) -> str:
        """Return an i32 as i64; free for a register that came in unchanged."""
        wide = self.wide.get(name)
        return wide if wide is not None else self.t(f"zext i32 {name} to i64")

    # -- one insn ----------------------------------------------------------------------------------
    def insn(self, unit: Unit, slots: Slots) -> None:
        """Emit the ops of one insn; its terminal is left to the caller."""
        self.slots = slots
        self.snapshot = self._save()
        self.fusion = fusion(unit)
        for v in list(unit.ops):
            if v in self.fusion.useless:
                continue
            handler = _EFFECTS.get(v.op)
            if handler is not None:
                handler(self, v)
            else:
                self.value(v)

    def _getreg(self, v: Value) -> None:
        self.names[v] = self.regs[_int(v.attr)]

    def _setreg(self, v: Value) -> None:
        self.regs[_int(v.attr)] = self.value(v.args[0])

    def _get(self, v: Value) -> None:
        self.names[v] = self.get_field(str(v.attr), v.width)

    def _set(self, v: Value) -> None:
        field = str(v.attr)
        value = self.value(v.args[0])
        if field in _PINNED:
            self.vectors[_PINNED[field]] = self.t(f"bitcast i128 {value} to {VECTOR}")
            return
        self.fields[field] = (value, v.args[0].width)
        self.dirty[field] = None

    def _flags(self, v: Value) -> None:
        rule = v.attr
        assert isinstance(rule, flags.Rule)
        for group in rule.groups:
            self.flags[group] = _Pending(rule, v.args)

    def _setflag(self, v: Value) -> None:
        self.flags[str(v.attr)] = _Pending(None, v.args)

    def _condition(self, v: Value) -> None:
        self.names[v] = self._cond(v)

    # -- memory ------------------------------------------------------------------------------------
    def _access(self, v: Value, template: hostasm.Access, address: Value, *values: str) -> str:
        pointer = hostasm.guest_pointer(self.t, self.zext64(self.value(address)))
        ok, fault = self.fresh("ok"), self.fresh("fault")
        call = template.call(pointer, values, self.slots.constant("pc"), ok, fault)
        result = self.t(call) if template.result else ""
        if not template.result:
            self.do(call)
        self.label(ok)
        self._fault_edge(fault)
        return result

    def _fault_edge(self, label: str) -> None:
        # The handler itself stores eip and the kind of exit: most fault edges are a bare jump.
        def leave() -> None:
            self.commit(flags.ALL)
            self.tail("jitemu_leave")

        self._on_cold(label, leave)

    def _on_cold(self, label: str, body: Callable[[], None]) -> None:
        """Emit a cold block that starts from the state at the start of the insn."""
        now, names, lines, budget = self._save(), dict(self.names), self.lines, self.budget
        regs, vectors, fields, dirty, pending = self.snapshot
        self.regs, self.vectors, self.fields = list(regs), list(vectors), dict(fields)
        self.dirty, self.flags = dict(dirty), dict(pending)
        self.lines = self.cold
        self.label(label)
        body()
        self.lines, self.budget = lines, budget
        self.regs, self.vectors, self.fields, self.dirty, self.flags = now
        self.names = names

    def _load(self, v: Value) -> None:
        loaded = self._access(v, hostasm.load(v.width, v.attr), v.args[0])
        name = self.names[v] = hostasm.from_register(self.t, loaded, v.width)
        if v.width == 32:
            self.wide[name] = loaded

    def _store(self, v: Value) -> None:
        width = v.args[1].width
        if v.args[1].op is Op.SLOT:
            constant = self.slots.constant(str(v.args[1].attr))
            self._access(v, hostasm.store_constant(width), v.args[0], constant)
            return
        value = hostasm.to_register(self.t, self.value(v.args[1]), width)
        self._access(v, hostasm.store(width), v.args[0], value)

    def _cmpxchg(self, v: Value) -> None:
        expected, new = (hostasm.to_register(self.t, self.value(a), v.width) for a in v.args[1:])
        got = self._access(v, hostasm.cmpxchg(v.width), v.args[0], expected, new)
        self.names[v] = hostasm.from_register(self.t, got, v.width)

    def _host(self, v: Value) -> None:
        row = HOSTOPS[str(v.attr)]
        args = ["" if a in self.fusion.useless else self.value(a) for a in v.args]
        address, place = self.fusion.addresses.get(v), None
        if address is not None:
            pointer = hostasm.guest_pointer(self.t, self.zext64(self.value(address)))
            pc = self.slots.constant("pc")
            place = hostasm.Place(pointer, pc, self.fresh("ok"), self.fresh("fault"))
        results = hostasm.host(self.t, self.allocas, self.fresh, row, args, place)
        if place is not None:
            self._fault_edge(place.fault)
        self.parts[v] = results
        if results:
            self.names[v] = results[0]

    def _part(self, v: Value) -> None:
        self.names[v] = self.parts[v.args[0]][_int(v.attr)]

    # -- x87 stack ---------------------------------------------------------------------------------
    def _getst(self, v: Value) -> None:
        self.names[v] = self.get_field(self.slots.st(_int(v.attr)), 80)

    def _setst(self, v: Value) -> None:
        field = self.slots.st(_int(v.attr))
        self.fields[field] = (self.value(v.args[0]), 80)
        self.dirty[field] = None

    def _fpstack(self, v: Value) -> None:
        self.fields["fpu"] = (self.slots.value("fpu", 16), 16)
        self.dirty["fpu"] = None

    # -- leaving -----------------------------------------------------------------------------------
    def _fault_if(self, v: Value) -> None:
        ok, fault = self.fresh("ok"), self.fresh("trap")
        self.do(f"br i1 {self.value(v.args[0])}, label %{fault}, label %{ok}, !prof !0")
        self.label(ok)
        info = _int(v.attr)

        def leave() -> None:
            self.refund("rest")
            self._leave(Exit.TRAP, "pc", info)

        self._on_cold(fault, leave)

    def _exit_if(self, v: Value) -> None:
        ok, out = self.fresh("ok"), self.fresh("out")
        self.do(f"br i1 {self.value(v.args[0])}, label %{out}, label %{ok}, !prof !0")
        self.label(ok)
        terminal = v.attr
        assert isinstance(terminal, Link | Leave)

        def leave() -> None:
            if isinstance(terminal, Link):
                self.refund("left")
            self.terminal(terminal, flags.ALL)

        self._on_cold(out, leave)

    def refund(self, slot: str) -> None:
        """Give back the budget of the block's insns that will not run."""
        self.budget = self.t(f"add i64 {self.budget}, {self.slots.value(slot, 64)}")

    def _leave(self, kind: int, slot: str, info: int | None) -> None:
        self.commit(flags.ALL)
        self.do(f"store i32 {self.slots.value(slot, 32)}, ptr {self.pointer('eip')}")
        if kind:
            self.do(f"store i32 {kind}, ptr {self.pointer('exit_kind')}")
        if info is not None:
            self.do(f"store i32 {info}, ptr {self.pointer('exit_info')}")
        self.tail("jitemu_leave")

    def tail(self, symbol: str) -> None:
        """Emit the tail call that hands the pinned registers on."""
        if not symbol.startswith("%"):
            self.symbols.add(symbol)
            symbol = "@" + symbol
        regs = ", ".join(
            [
                *(f"i64 {self.zext64(r)}" for r in self.regs),
                *(f"{VECTOR} {x}" for x in self.vectors),
            ]
        )
        # Arguments are emitted before the call text is.
        self.do(f"musttail call ghccc void {symbol}(ptr %st, i64 {self.budget}, {regs})")
        self.do("ret void")

    def terminal(self, terminal: Terminal | None, live: frozenset[str]) -> None:
        """Emit how control leaves; None falls through to the code that follows."""
        match terminal:
            case None:
                self.commit(live)
                self.tail("jitemu_next")
            case Link(slot):
                self.commit(live)
                self.tail(self.slots.link(slot))
            case CondLink(cond, taken, otherwise):
                name = self.value(cond)
                self.commit(live)
                yes, no = self.fresh("yes"), self.fresh("no")
                self.do(f"br i1 {name}, label %{yes}, label %{no}")
                self.label(yes)
                wide = dict(self.wide)
                self.tail(self.slots.link(taken))
                self.wide = wide
                self.label(no)
                self.tail(self.slots.link(otherwise))
            case Jump(target):
                name = self.value(target)
                self.commit(flags.ALL)
                self._jump(name)
            case Leave(kind, slot, info):
                if slot == "pc":
                    self.refund("rest")
                self._leave(kind, slot, info)

    def _jump(self, target: str) -> None:
        """Look a computed target up in the jump cache; a miss goes to the shared helper."""
        wide = self.zext64(target)
        index = self.t(f"and i64 {wide}, {JUMP_CACHE_ENTRIES - 1}")
        offset = self.t(f"shl i64 {index}, 4")
        table = self.pointer("jump_cache")
        entry = self.t(f"getelementptr i8, ptr {table}, i64 {offset}")
        key = self.t(f"load i64, ptr {entry}")
        hit = self.t(f"icmp eq i64 {key}, {wide}")
        yes, no = self.fresh("hit"), self.fresh("miss")
        self.do(f"br i1 {hit}, label %{yes}, label %{no}, !prof !1")
        self.label(yes)
        code_at = self.t(f"getelementptr i8, ptr {entry}, i64 8")
        code = self.t(f"load ptr, ptr {code_at}")
        self.tail(code)
        self.label(no)
        self.do(f"store i32 {target}, ptr {self.pointer('eip')}")
        self.tail("jitemu_lookup")


def _int(attr: object) -> int:
    assert isinstance(attr, int)
    return attr


def _align(width: int) -> int:
    return 16 if width in (80, 128) else max(width // 8, 1)


_EFFECTS: Mapping[Op, Callable[[Lowering, Value], None]] = {
    Op.GETREG: Lowering._getreg,
    Op.SETREG: Lowering._setreg,
    Op.GET: Lowering._get,
    Op.SET: Lowering._set,
    Op.FLAGS: Lowering._flags,
    Op.SETFLAG: Lowering._setflag,
    Op.COND: Lowering._condition,
    Op.LOAD: Lowering._load,
    Op.STORE: Lowering._store,
    Op.CMPXCHG: Lowering._cmpxchg,
    Op.FENCE: lambda self, v: self.do("fence seq_cst"),
    Op.HOST: Lowering._host,
    Op.PART: Lowering._part,
    Op.GETST: Lowering._getst,
    Op.SETST: Lowering._setst,
    Op.FPSTACK: Lowering._fpstack,
    Op.FPCHECK: lambda self, v: None,  # the planner has checked it: see strategies/
    Op.FAULT_IF: Lowering._fault_if,
    Op.EXIT_IF: Lowering._exit_if,
}


def module(functions: list[str], symbols: set[str], holes: set[str]) -> str:
    """Assemble a module from function texts, the code symbols they call and the holes they use."""
    parts = [INTRINSICS]
    parts += [f"declare ghccc void @{s}{SIGNATURE}" for s in sorted(symbols)]
    parts += [f"@{h} = external dso_local global i8" for h in sorted(holes)]
    parts += functions
    parts += [
        '!0 = !{!"branch_weights", i32 1, i32 2000}',
        '!1 = !{!"branch_weights", i32 2000, i32 1}',
    ]
    return "\n".join(parts)
