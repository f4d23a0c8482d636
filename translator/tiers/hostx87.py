"""Regions whose x87 state is in the host's own x87 registers: the guest's insns are executed as is.

LLVM has no x87 stack to offer that remembers what is popped, or C1, without storing it.  The host
has.  Where a region is entered, its registers, TOP, tags and condition bits become the guest's
(`x87_in`); inside, an insn is its own bytes, but for the address of its operand; where the region
is left, they are stored (`x87_out`).  LLVM sees assembly without values, and must have none of its
own on that stack: `fits` says which regions qualify.
"""

from __future__ import annotations

from translator.hostops import HOSTOPS, HostOp
from translator.ir import Op, Unit, Value
from translator.regions import Region
from translator.semantics.x87 import FpCheck
from translator.tiers import hostasm
from translator.tiers.emitter import Slots
from translator.tiers.fusion import NONE
from translator.tiers.region import RegionLowering

_CONDITIONS = frozenset({"fcc", "fc1"})
_STACK = frozenset({Op.GETST, Op.SETST, Op.FPSTACK})
# What the host's insn does by itself, and what it does not: fpu, fpu_ip, flags of fcomi.
_INCLUDED = frozenset({Op.GETST, Op.SETST, Op.HOST, Op.PART, Op.LOAD, Op.STORE})
_KEPT = frozenset({Op.SET, Op.SETFLAG, Op.FPSTACK})


def _mnemonics() -> dict[tuple[int, int], tuple[str, str]]:
    """Return the memory forms (SDM vol. 2, A.5).

    First byte and /digit -> AT&T mnemonic, constraint.
    """
    found = {}
    operations = ("fadd", "fmul", "fcom", "fcomp", "fsub", "fsubr", "fdiv", "fdivr")
    for digit, name in enumerate(operations):
        for byte, form in ((0xD8, f"{name}s"), (0xDC, f"{name}l")):
            found[byte, digit] = (form, "*m")
        for byte, form in ((0xDA, f"fi{name[1:]}l"), (0xDE, f"fi{name[1:]}s")):
            found[byte, digit] = (form, "*m")
    for byte, load, integer, letter in (
        (0xD9, "flds", False, "s"),
        (0xDB, "fildl", True, "l"),
        (0xDD, "fldl", False, "l"),
        (0xDF, "filds", True, "s"),
    ):
        store = "fist" if integer else "fst"
        found[byte, 0] = (load, "*m")
        found[byte, 2] = (store + letter, "=*m")
        found[byte, 3] = (f"{store}p{letter}", "=*m")
    for byte, letter in ((0xDB, "l"), (0xDD, "ll"), (0xDF, "s")):
        found[byte, 1] = (f"fisttp{letter}", "=*m")
    found |= {(0xDB, 5): ("fldt", "*m"), (0xDB, 7): ("fstpt", "=*m")}
    found |= {(0xDF, 5): ("fildll", "*m"), (0xDF, 7): ("fistpll", "=*m")}
    return found


_MEMORY = _mnemonics()


def _check_of(unit: Unit) -> Value | None:
    """Return the FPCHECK of an insn that works on the x87 stack."""
    for v in unit.ops:
        if v.op is Op.FPCHECK:
            assert isinstance(v.attr, FpCheck)
            if v.attr.opcode:
                return v
    return None


def _flags_of(unit: Unit) -> Value | None:
    """Return the HOST op of a comparison that sets EFLAGS."""
    return next((v for v in unit.ops if v.op is Op.HOST and str(v.attr).endswith("comi")), None)


def _move_of(unit: Unit) -> Value | None:
    """Return the SETST of a conditional move."""
    return next((v for v in unit.ops if v.op is Op.SETST and v.args[0].op is Op.SELECT), None)


def _is_included(v: Value) -> bool:
    return v.op in _INCLUDED or (v.op in (Op.GET, Op.SET) and v.attr in _CONDITIONS)


def _is_verbatim(unit: Unit) -> bool:
    """Whether an insn's bytes do all that its unit says, but for what `_KEPT` lists."""
    for v in unit.ops:
        if v.op is Op.FPCHECK or _is_included(v):
            continue
        if v.op.effect and v.op not in _KEPT:
            return False
        if v.op in _KEPT and any(_reads_stack(a) for a in v.args):
            return False
    return True


def _reads_stack(v: Value) -> bool:
    """Whether a value comes from the x87 stack, other than as a flag."""
    if v.op is Op.PART or v.op is Op.HOST:
        return not str((v.args[0] if v.op is Op.PART else v).attr).endswith("comi")
    return _is_included(v) or any(_reads_stack(a) for a in v.args)


def fits(region: Region) -> bool:
    """Whether a region shall and can have its x87 state in the host's registers."""
    if not region.x87_in_host:
        return False
    found = False
    for shape in (shape for node in region.nodes for shape, _ in node.plan.items):
        unit = shape.unit
        if _check_of(unit) is not None:
            found = True
            if not _is_verbatim(unit):
                return False
        elif any(v.op in _STACK or (v.op is Op.SET and v.attr in _CONDITIONS) for v in unit.ops):
            return False
    return found


class HostX87Lowering(RegionLowering):
    """Emit one region that `fits`."""

    def survey_status(self, nodes: list[list[Unit]]) -> None:
        """Nothing is deferred: the host has C1."""

    def is_field(self, field: str) -> bool:
        """Whether a state field is kept by the region; the host has the others."""
        return not field.startswith("fpr") and field not in _CONDITIONS

    def enter(self) -> None:
        """Take the x87 state over; the region starts here."""
        super().enter()
        self._routine("x87_in")

    def commit(self, live: frozenset[str]) -> None:
        """Store what the region has changed."""
        self._routine("x87_out")
        super().commit(live)

    def _routine(self, field: str) -> None:
        # It keeps every register, so that nothing is spilled on the many ways out.
        routine = self.t(f"load ptr, ptr {self.pointer(field)}")
        self.do(f"call preserve_allcc void {routine}(ptr %st)")

    def get_field(self, field: str, width: int) -> str:
        """Return the current value of a state field."""
        if field not in _CONDITIONS:
            return super().get_field(field, width)
        status = self.t('call i16 asm sideeffect "fnstsw %ax", "={ax}"()')
        byte = self.t(f"trunc i16 {self.t(f'lshr i16 {status}, 8')} to i8")
        return self.t(f"and i8 {byte}, {0x45 if field == 'fcc' else 0x02}")

    def insn(self, unit: Unit, slots: Slots) -> None:
        """Emit one insn."""
        check = _check_of(unit)
        if check is None:
            super().insn(unit, slots)
            return
        self.slots, self.snapshot, self.fusion = slots, self.save(), NONE
        late = _flags_of(unit)
        late = _move_of(unit) if late is None else late
        for v in [v for v in unit.ops if v is check or v.op is not Op.FPCHECK]:
            if v is late:
                self._flagged(v, check)
            elif v is check:
                if late is None:
                    self._verbatim(check)
            elif not _is_included(v) or (v.op is Op.PART and v.args[0] is late):
                self.emit(v)

    def _verbatim(self, check: Value) -> None:
        first, modrm = divmod(_opcode(check), 256)
        if not check.args:
            self.do(f'call void asm sideeffect ".byte {first}, {modrm}", ""()')
            return
        name, constraint = _MEMORY[first, modrm >> 3 & 7]
        access = hostasm.guest_access(name, constraint)
        self._access(check, access, check.args[0])

    def _flagged(self, v: Value, check: Value) -> None:
        """Emit a comparison that sets EFLAGS, or a move that depends on them."""
        first, modrm = divmod(_opcode(check), 256)
        if v.op is Op.SETST:
            # FCMOVNE ST(0), ST(i): not zero is what the condition is where it holds.
            byte = self.t(f"zext i1 {self.value(v.args[0].args[0])} to i8")
            asm = f"testb $0, $0; .byte 0xdb, {0xC8 | modrm & 7}"
            self.do(f'call void asm sideeffect "{asm}", "q,~{{flags}}"(i8 {byte})')
            return
        row = HOSTOPS[str(v.attr)]
        stored = row.asm.partition(";")[2]
        verbatim = HostOp(f".byte {first}, {modrm};{stored}", row.outs, (), row.clobbers)
        self.parts[v] = self.host_row(v, verbatim, [], None)
        self.names[v] = self.parts[v][0]


def _opcode(check: Value) -> int:
    assert isinstance(check.attr, FpCheck)
    return check.attr.opcode
