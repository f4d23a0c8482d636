"""IR -> LLVM IR text: the lowering that the `stencil` and `block` tiers share.

A host function takes the CPU state, the budget, the eight general and six vector registers in the
host's pinned registers (`ghccc`) and leaves by a tail call.  Guest registers, state fields and
flags are SSA values inside the function and are stored only where control leaves it; flags are
computed where they are read or stored.  Every guest memory access is a `callbr` whose fault
edge leaves with the exact state of the insn's start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from translator import flags
from translator.hostops import HOSTOPS, HostOp
from translator.ir import CondLink, Jump, Leave, Link, Op, Terminal, Unit, Value
from translator.mode import USER, Mode
from translator.state import JUMP_CACHE_ENTRIES, RECOVERED, Exit
from translator.tiers import bulk, devices, hostasm
from translator.tiers.emitter import PINNED, SIGNATURE, VECTOR, Emitter, Pending, Slots
from translator.tiers.fusion import Fusion, fusion
from translator.tiers.llvm_ops import INTRINSICS


class Lowering(Emitter):
    """Emit one host function."""

    mode: Mode = USER  # of the insn that is being emitted

    # -- one insn ----------------------------------------------------------------------------------
    def insn(self, unit: Unit, slots: Slots) -> None:
        """Emit the ops of one insn; its terminal is left to the caller."""
        self.slots, self.mode = slots, unit.mode
        many = bulk.before(self, unit)
        self.snapshot = self.save()
        self.fusion = self.fuse(unit)
        for v in list(unit.ops):
            if v not in self.fusion.useless:
                self.emit(v)
        if many is not None:
            many.join()

    def emit(self, v: Value) -> None:
        """Emit what an op does; a value only if it must be taken now."""
        handler = _EFFECTS.get(v.op)
        if handler is not None:
            handler(self, v)
        elif v.op in _NOW:
            self.value(v)
            if v.op is Op.SLOT:
                self.slot_of[v] = self.slots.value(str(v.attr), 64)

    def fuse(self, unit: Unit) -> Fusion:
        """Say which HOST ops work on guest memory themselves."""
        return fusion(unit)

    def _getreg(self, v: Value) -> None:
        self.names[v] = self.regs[_int(v.attr)]

    def _setreg(self, v: Value) -> None:
        self.regs[_int(v.attr)] = self.value(v.args[0])

    def _get(self, v: Value) -> None:
        self.names[v] = self.get_field(str(v.attr), v.width)

    def _set(self, v: Value) -> None:
        field = str(v.attr)
        value = self.value(v.args[0])
        if field in PINNED:
            self.vectors[PINNED[field]] = self.t(f"bitcast i128 {value} to {VECTOR}")
            return
        self.fields[field] = (value, v.args[0].width)
        self.dirty[field] = None

    def _flags(self, v: Value) -> None:
        rule = v.attr
        assert isinstance(rule, flags.Rule)
        for group in rule.groups:
            self.flags[group] = Pending(rule, v.args)

    def _setflag(self, v: Value) -> None:
        self.flags[str(v.attr)] = Pending(None, v.args)

    def _condition(self, v: Value) -> None:
        self.names[v] = self._cond(v)

    # -- memory ------------------------------------------------------------------------------------
    def _access(self, v: Value, template: hostasm.Access, address: Value, *values: str) -> str:
        pointer = hostasm.guest_pointer(self.t, self.address(address))
        ok, fault = self.fresh("ok"), self._fault_label()
        call = template.call(pointer, values, self.slots.constant("pc"), ok, fault)
        result = self.t(call) if template.result else ""
        if not template.result:
            self.do(call)
        before = self.last_fault
        self.label(ok)
        self.last_fault = before
        return result

    def _fault_label(self) -> str:
        """Return where an access goes that faults: where the last one does if that is the same."""
        regs, vectors, fields, dirty, pending = self.snapshot
        stored = {name: fields.get(name) for name in dirty}
        ways = {group: (p.rule, [id(v) for v in p.args]) for group, p in pending.items()}
        known = regs, vectors, stored, ways, self.budget
        if self.last_fault is None or self.last_fault[1] != known:
            label = self.fresh("fault")
            self._fault_edge(label)
            self.last_fault = label, known
        return self.last_fault[0]

    def _fault_edge(self, label: str) -> None:
        # The handler itself stores eip and the kind of exit: most fault edges are a bare jump.
        def leave() -> None:
            self.commit(flags.ALL)
            self.tail("jitemu_leave")

        self._on_cold(label, leave)

    def _on_cold(self, label: str, body: Callable[[], None]) -> None:
        """Emit a cold block that starts from the state at the start of the insn."""
        now, names, lines, budget = self.save(), dict(self.names), self.lines, self.budget
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
        if self._may_be_device(v.width):
            device = devices.before_load(self, v)
            device.join(self._access(v, hostasm.load(v.width), v.args[0]))
            loaded = device.result
        else:
            loaded = self._access(v, hostasm.load(v.width, v.attr), v.args[0])
        name = self.names[v] = hostasm.from_register(self.t, loaded, v.width)
        if v.width == 32:
            self.wide[name] = loaded

    def _may_be_device(self, width: int) -> bool:
        """Whether an access of so many bits is to ask the devices first."""
        return self.mode.meets_devices and width in devices.WIDTHS

    def _store(self, v: Value) -> None:
        width = v.args[1].width
        if self._may_be_device(width):
            value = hostasm.to_register(self.t, self.value(v.args[1]), width)
            device = devices.before_store(self, v, value)
            self._access(v, hostasm.store(width), v.args[0], value)
            device.join()
            return
        if v.args[1].op is Op.SLOT:
            constant = self.slots.constant(str(v.args[1].attr))
            self._access(v, hostasm.store_constant(width), v.args[0], constant)
            return
        narrow = None
        stored = v.args[1]
        if stored.op is Op.TRUNC and stored.args[0].width == 128 and width in (32, 64):
            narrow, stored = width, stored.args[0]  # straight from the vector register
        value = hostasm.to_register(self.t, self.value(stored), stored.width)
        self._access(v, hostasm.store(stored.width, narrow), v.args[0], value)

    def _cmpxchg(self, v: Value) -> None:
        expected, new = (hostasm.to_register(self.t, self.value(a), v.width) for a in v.args[1:])
        device = None
        if self._may_be_device(v.width):
            device = devices.before_cmpxchg(self, v, expected, new)
        got = self._access(v, hostasm.cmpxchg(v.width), v.args[0], expected, new)
        if device is not None:
            device.join(got)
            got = device.result
        self.names[v] = hostasm.from_register(self.t, got, v.width)

    def _host(self, v: Value) -> None:
        row = HOSTOPS[str(v.attr)]
        args = ["" if a in self.fusion.useless else self.value(a) for a in v.args]
        address, place = self.fusion.addresses.get(v), None
        if address is not None:
            pointer = hostasm.guest_pointer(self.t, self.address(address))
            pc = self.slots.constant("pc")
            place = hostasm.Place(pointer, pc, self.fresh("ok"), self.fresh("fault"))
        results = self.host_row(v, row, args, place)
        if place is not None:
            self._fault_edge(place.fault)
        self.parts[v] = results
        if results:
            self.names[v] = results[0]

    def host_row(
        self, v: Value, row: HostOp, args: list[str], place: hostasm.Place | None
    ) -> list[str]:
        """Emit a HOST row; return the names of its outputs."""
        return hostasm.host(self.t, self.allocas, self.fresh, row, args, place)

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
            if info & RECOVERED:
                place = self.t(hostasm.HERE)
                self.do(f"store i64 {place}, ptr {self.pointer('fault_pc')}")
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
                *(f"i64 {self.zext64(self.regs[r])}" for r in self.order),
                *(f"{VECTOR} {x}" for x in self.vectors),
            ]
        )
        # Arguments are emitted before the call text is.
        self.do(f"musttail call ghccc void {symbol}(ptr %st, i64 {self.budget}, {regs})")
        self.do("ret void")

    def _kept_where(self, cond: Value) -> frozenset[str]:
        """Return the flag groups in memory that this insn keeps where a condition is 1."""
        return frozenset(
            group
            for group, (rule, args) in self.flags.items()
            if rule is None and args[0].op is Op.SELECT and args[0].args[0] is cond
            if args[0].args[1].op is Op.GETFLAG and args[0].args[1].attr == group
            if group not in self.snapshot.flags
        )

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
                kept = self._kept_where(cond) & live
                self.commit(live - kept)
                yes, no = self.fresh("yes"), self.fresh("no")
                self.do(f"br i1 {name}, label %{yes}, label %{no}")
                self.label(yes)
                wide = dict(self.wide)
                self.tail(self.slots.link(taken))
                self.wide = wide
                self.label(no)
                for group in kept:
                    self.flags[group] = Pending(None, (self.flags[group].args[0].args[2],))
                self.commit_flags(kept)
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
        wanted = wide
        if self.mode is not USER:
            wanted = self.t(f"or i64 {wide}, {self.get_field('context', 64)}")
        hit = self.t(f"icmp eq i64 {key}, {wanted}")
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


# What must be looked at while the insn is emitted; all else is computed where it is used, which may
# be a cold path only.
_NOW = frozenset({Op.SLOT, Op.GETFLAG, Op.CALL, Op.RMW})
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
    # Numbers of 32 bits: a hole can be an immediate.
    parts += [f"@{h} = external dso_local global i8, !absolute_symbol !2" for h in sorted(holes)]
    parts += functions
    parts += [
        '!0 = !{!"branch_weights", i32 1, i32 2000}',
        '!1 = !{!"branch_weights", i32 2000, i32 1}',
        "!2 = !{i64 0, i64 4294967296}",
    ]
    return "\n".join(parts)
