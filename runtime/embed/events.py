"""Insns that concern what is outside the CPU: interrupts, ports, HLT, processor facts, MSRs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.cpu import Cpu
from runtime.embed.access import Failure, Stopped
from runtime.system import control, interrupts
from translator.faults import GuestFault
from translator.insn import Insn
from translator.mode import split_key
from translator.semantics import STRINGS
from translator.state import FIELDS
from translator.tiers import interp

if TYPE_CHECKING:
    from runtime.embed.stepping import Stepping

Handler = Callable[["Stepping", Insn, int], None]
_EIP = FIELDS["eip"].offset // 4
_ZF, _IF = 0x40, 0x200
_CR2 = FIELDS["cr2"].offset // 4
_TRAP, _INVALID, _PF = 1, 6, 14
# Exceptions that double, and how often hooks are told of one (SDM vol. 3, table 6-5).
_DOUBLING, _TIMES_MAX = frozenset({0, 10, 11, 12, 13, 14}), 2
_GENERAL = FIELDS["eip"].offset + 4  # bytes of the general registers and EIP
# Insns behind which a block begins.
_JUMPS = (
    "b",
    "be",
    "e",
    "l",
    "le",
    "nb",
    "nbe",
    "ne",
    "nl",
    "nle",
    "no",
    "np",
    "ns",
    "o",
    "p",
    "s",
)
TRANSFERS = frozenset(
    [
        *("jmp", "jmpi", "jmpf", "jmpfi", "call", "calli", "callf", "callfi", "ret", "retf"),
        *("iret", "loop", "loope", "loopne", "jcxz", "int", "int1", "int3", "hlt"),
        *("sysenter", "sysexit", "ud", "ud0", "ud1", "ud2"),
        *("j" + condition for condition in _JUMPS),
    ]
)


def ends_block(insn: Insn) -> bool:
    """Whether a block begins behind an insn, as hooks are told it."""
    return insn.mnemonic in TRANSFERS or (bool(insn.rep) and insn.mnemonic in STRINGS)


def interrupt(machine: Stepping, vector: int) -> None:
    """Call the hooks for an interrupt; eip is behind its insn. Failure if there are none."""
    if machine.delivery.on:
        machine.delivery.software(vector, is_trap=vector == _TRAP)
        return
    hooks = machine.hooks.by_kind["interrupt"]
    if not hooks:
        raise Failure("exception")
    for hook in tuple(hooks):
        hook.callback(machine.owner, vector, hook.data)  # all of them, whoever stops


def exception(machine: Stepping, vector: int, error: int = 0, address: int = 0) -> None:
    """Call the hooks for an exception; eip is at the insn. Failure if nobody handles it."""
    is_invalid, delivery = vector == _INVALID, machine.delivery
    for hook in tuple(machine.hooks.by_kind["invalid"]) if is_invalid else ():
        if hook.callback(machine.owner, hook.data):
            return
        if machine.stopping:
            raise Stopped
    if delivery.on:
        delivery.exception(vector, error, address, is_told=is_invalid)
    elif is_invalid:
        raise Failure("invalid")
    elif vector not in _DOUBLING or not machine.hooks.by_kind["interrupt"]:
        interrupt(machine, vector)
    elif (times := _times(machine, vector)) <= _TIMES_MAX:
        interrupt(machine, vector if times == 1 else interrupts.DOUBLE)
    else:
        machine.stop()


def _times(machine: Stepping, vector: int) -> int:
    """Return how many times in a row an exception was met with the same registers.

    A hook that leaves all as it was gets a double fault; then the processor shuts down.  Unicorn
    does the same, but does not ask whether anything happened between the exceptions.
    """
    now = vector, bytes(machine.cpu.r8[:_GENERAL])
    before, times = machine.stuck
    machine.stuck = now, times + 1 if now == before else 1
    return machine.stuck[1]


def fault(machine: Stepping, found: GuestFault) -> None:
    """Deal with an exception that an insn raised."""
    if found.vector == _PF:
        machine.cpu.r32[_CR2] = found.address
    exception(machine, found.vector, found.error, found.address)


def ended_by_flag(cpu: Cpu, insn: Insn) -> bool:
    """Whether a repeated comparison is over because of ZF."""
    if not insn.mnemonic.startswith(("cmps", "scas")):
        return False
    return bool(cpu.eflags & _ZF) == (insn.rep == 0xF2)


def _next(machine: Stepping, insn: Insn, eip: int) -> None:
    """Go on behind the insn unless a hook went elsewhere."""
    if not machine.jumped:
        machine.cpu.r32[_EIP] = eip + insn.length & 0xFFFFFFFF


# -- ports -----------------------------------------------------------------------------------------
def port_in(machine: Stepping, port: int, size: int) -> int:
    """Read a port: what the first hook says, the only one that is called; 0 without hooks."""
    hooks = machine.hooks.by_kind["in"]
    value = hooks[0].callback(machine.owner, port, size, hooks[0].data) if hooks else 0
    return int(value or 0) & (1 << 8 * size) - 1


def port_out(machine: Stepping, port: int, size: int, value: int) -> None:
    """Write to a port."""
    for hook in tuple(machine.hooks.by_kind["out"]):
        hook.callback(machine.owner, port, size, value, hook.data)
        if machine.stopping:
            break


def _in(size: int, *, is_immediate: bool) -> Handler:
    mask = (1 << 8 * size) - 1

    def run(machine: Stepping, insn: Insn, eip: int) -> None:
        r32 = machine.cpu.r32
        port = insn.slots["imm"] & 0xFF if is_immediate else r32[2] & 0xFFFF
        value = port_in(machine, port, size)
        r32[0] = r32[0] & ~mask & 0xFFFFFFFF | value
        _next(machine, insn, eip)

    return run


def _out(size: int, *, is_immediate: bool) -> Handler:
    mask = (1 << 8 * size) - 1

    def run(machine: Stepping, insn: Insn, eip: int) -> None:
        r32 = machine.cpu.r32
        port = insn.slots["imm"] & 0xFF if is_immediate else r32[2] & 0xFFFF
        port_out(machine, port, size, r32[0] & mask)
        _next(machine, insn, eip)

    return run


# -- the rest --------------------------------------------------------------------------------------
def _int_fixed(vector: int) -> Handler:
    def run(machine: Stepping, insn: Insn, eip: int) -> None:
        machine.cpu.r32[_EIP] = eip + insn.length & 0xFFFFFFFF
        interrupt(machine, vector)

    return run


def _hlt(machine: Stepping, insn: Insn, eip: int) -> None:
    machine.cpu.r32[_EIP] = eip + insn.length & 0xFFFFFFFF
    if not machine.delivery.waiting or not machine.cpu.eflags & _IF:
        machine.stop()


def _hooked(mnemonic: str, *, replaces: bool) -> Handler:
    """Make the handler of an insn that hooks may execute themselves.

    *replaces*: what they do is all that happens; otherwise that is so if they return a true value.
    """

    def run(machine: Stepping, insn: Insn, eip: int) -> None:
        skip = replaces
        for call, data in machine.hooks.of_insn(mnemonic):
            skip = bool(call(machine.owner, data)) or skip
            if machine.stopping:
                raise Stopped
        if skip:
            _next(machine, insn, eip)
        elif not machine.jumped:
            interp.execute(insn, machine.cpu, machine.access)

    return run


def _rdmsr(machine: Stepping, insn: Insn, eip: int) -> None:
    r32 = machine.cpu.r32
    value = machine.msrs.get(r32[1], 0)
    r32[0], r32[2] = value & 0xFFFFFFFF, value >> 32
    _next(machine, insn, eip)


def _wrmsr(machine: Stepping, insn: Insn, eip: int) -> None:
    r32 = machine.cpu.r32
    machine.msrs[r32[1]] = r32[0] | r32[2] << 32
    if r32[1] == control.EFER:
        machine.pins.take_paging()
    _next(machine, insn, eip)


def vector_of(insn: Insn) -> int | None:
    """Return the vector of a software interrupt; None for other insns."""
    key = split_key(insn.key)[1]
    if key[:1] == b"\xcd":
        return key[-1]
    return {b"\xcc": 3, b"\xf1": 1}.get(key)


_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf2\xf3\xf0")
_ONE: dict[int, Callable[[Insn, int], Handler]] = {
    0xCD: lambda insn, size: _int_fixed(insn.key[-1]),
    0xCC: lambda insn, size: _int_fixed(3),
    0xF1: lambda insn, size: _int_fixed(1),
    0xF4: lambda insn, size: _hlt,
    0xE4: lambda insn, size: _in(1, is_immediate=True),
    0xE5: lambda insn, size: _in(size, is_immediate=True),
    0xEC: lambda insn, size: _in(1, is_immediate=False),
    0xED: lambda insn, size: _in(size, is_immediate=False),
    0xE6: lambda insn, size: _out(1, is_immediate=True),
    0xE7: lambda insn, size: _out(size, is_immediate=True),
    0xEE: lambda insn, size: _out(1, is_immediate=False),
    0xEF: lambda insn, size: _out(size, is_immediate=False),
}
_TWO: dict[int, Handler] = {
    0xA2: _hooked("cpuid", replaces=False),
    0x31: _hooked("rdtsc", replaces=False),
    0x34: _hooked("sysenter", replaces=True),
    0x05: _hooked("syscall", replaces=True),
    0x30: _wrmsr,
    0x32: _rdmsr,
}


# Whose handlers check no privilege: elsewhere than in ring 0 they are the interp tier's.
_PRIVILEGED = frozenset((0xF4, *range(0xE4, 0xE8), *range(0xEC, 0xF0)))
_UNDEFINED, _SYSCALL = "ud", b"\x0f\x05"  # syscall: 64-bit code's, but hooks may serve it
_PRIVILEGED_TWO = frozenset((0x30, 0x32))


def handler_of(insn: Insn) -> Handler | None:
    """Return what executes an insn of this kind; None: the CPU alone does."""
    mode, key = split_key(insn.key)
    at = 0
    while at < len(key) and key[at] in _PREFIXES:
        at += 1
    opcode = key[at : at + 2]
    if not opcode or (insn.mnemonic == _UNDEFINED and opcode != _SYSCALL):
        return None  # the processor does not know it
    if opcode[0] == 0x0F:
        if key[at : at + 3] == b"\x0f\x01\xf9":
            return _hooked("rdtscp", replaces=False)
        if len(opcode) < 2 or (mode.cpl and opcode[1] in _PRIVILEGED_TWO):
            return None
        return _TWO.get(opcode[1])
    make = _ONE.get(opcode[0])
    if make is None or (mode.cpl and opcode[0] in _PRIVILEGED):
        return None
    return make(insn, 2 if insn.width == 16 else 4)
