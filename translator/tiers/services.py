"""Stencils that are no guest insn: block prologues, guards, exits. Names begin with `!`."""

from __future__ import annotations

from collections.abc import Callable

from translator.hooks import RING
from translator.state import Exit
from translator.tiers import hostasm
from translator.tiers.immediates import HoleLowering
from translator.tiers.llvm import Lowering


def budget(low: HoleLowering) -> None:
    """Count the block's insns; leave if the budget is used up or a stop was asked for."""
    low.budget = low.less(low.budget, "count")
    floor = low.t(f"load i64, ptr {low.pointer('floor')}")
    _either(low, low.t(f"icmp slt i64 {low.budget}, {floor}"), "over", "!0")


def over(low: Lowering) -> None:
    """Where `budget` goes: give the count back and leave."""
    low.refund("count")
    low.do(f"store i32 0, ptr {low.pointer('exit_info')}")
    _leave(low, Exit.BUDGET)


def guard(low: Lowering) -> None:
    """Check the x87 stack that the block was specialised for; else the next variant's turn."""
    now = low.t(f"load i16, ptr {low.pointer('fpu')}")
    _either(low, low.t(f"icmp ne i16 {now}, {low.slots.value('fpu', 16)}"), "pc", "!0")


def _either(low: Lowering, cond: str, link: str, weights: str) -> None:
    """Go to a link where *cond* is 1, which becomes one conditional jump; else fall through."""
    low.do(f"br i1 {cond}, label %out, label %in, !prof {weights}")
    low.label("in")
    low.tail("jitemu_next")
    low.label("out")
    low.tail(low.slots.link(link))


def _verify(low: Lowering, width: int) -> None:
    """Compare guest code bytes of a width; the block is stale if they changed."""
    # Through 32 bits: as a 64-bit displacement the address would be sign-extended.
    address = low.t(f"zext i32 {low.slots.value('address', 32)} to i64")
    pointer = hostasm.guest_pointer(low.t, address)
    access = hostasm.load(width)
    wide = low.t(access.call(pointer, (), low.slots.constant("pc"), "read", "fault"))
    low.label("read")
    now, then = low.t(f"trunc i64 {wide} to i{width}"), low.slots.value("bytes", 32)
    if width < 32:
        then = low.t(f"trunc i32 {then} to i{width}")
    _either(low, low.t(f"icmp ne i{width} {now}, {then}"), "stale", "!0")
    low.label("fault")
    low.tail("jitemu_leave")


def verify(low: Lowering) -> None:
    """Compare four guest code bytes."""
    _verify(low, 32)


def verify_two(low: Lowering) -> None:
    """Compare two."""
    _verify(low, 16)


def verify_one(low: Lowering) -> None:
    """Compare one."""
    _verify(low, 8)


def stale(low: Lowering) -> None:
    """Where `verify` goes: the block's guest bytes changed."""
    _leave(low, Exit.STALE)


def interp(low: Lowering) -> None:
    """Hand the insn to the interp tier."""
    _leave(low, Exit.INTERP)


def call(low: Lowering) -> None:
    """Leave for a hook; `exit_info` says which insn of the block comes next."""
    low.do(f"store i32 {low.slots.value('site', 32)}, ptr {low.pointer('exit_info')}")
    _leave(low, Exit.CALL)


def count(low: HoleLowering) -> None:
    """Add one to a number of 64 bits in the arena."""
    pointer = low.slots.constant("address")
    before = low.t(f"load i64, {pointer}")
    low.do(f"store i64 {low.t(f'add i64 {before}, 1')}, {pointer}")
    low.tail("jitemu_next")


def cover(low: HoleLowering) -> None:
    """Set a byte in the arena."""
    low.do(f"store i8 1, {low.slots.constant('address')}")
    low.tail("jitemu_next")


def capture(low: Lowering, pointer: str, register: int) -> None:
    """Put a general register into a ring; see hooks.CAPTURE."""
    done = low.t(f"load i64, ptr {pointer}")
    place = low.t(f"and i64 {done}, {RING - 1}")
    values = low.t(f"getelementptr i8, ptr {pointer}, i64 8")
    slot = low.t(f"getelementptr i32, ptr {values}, i64 {place}")
    low.do(f"store i32 {low.regs[register]}, ptr {slot}")
    low.do(f"store i64 {low.t(f'add i64 {done}, 1')}, ptr {pointer}")


def _capture(register: int) -> Callable[[HoleLowering], None]:
    def lower(low: HoleLowering) -> None:
        # Counted from the insn: as an index's base the symbol would have to fit into 32 bits.
        place = f'asm "leaq ${{1:c}}(%rip), $0", "=r,i"({low.slots.constant("address")})'
        capture(low, low.t(f"call ptr {place}"), register)
        low.tail("jitemu_next")

    return lower


def stub(low: Lowering) -> None:
    """Leave because a link has no code yet; `exit_info` says which."""
    low.do(f"store i32 {low.slots.value('site', 32)}, ptr {low.pointer('exit_info')}")
    _leave(low, Exit.LINK)


def recipe(low: Lowering) -> None:
    """Say whose flags a fault in the next block shows: in the upper half of szp (state.py)."""
    pointer = low.t(f"getelementptr i8, ptr {low.pointer('szp')}, i64 4")
    low.do(f"store i32 {low.slots.value('recipe', 32)}, ptr {pointer}")
    low.tail("jitemu_next")


def goto(low: Lowering) -> None:
    """Go on at the next block."""
    low.tail(low.slots.link("next"))


def _leave(low: Lowering, kind: int) -> None:
    low.do(f"store i32 {low.slots.value('pc', 32)}, ptr {low.pointer('eip')}")
    low.do(f"store i32 {kind}, ptr {low.pointer('exit_kind')}")
    low.tail("jitemu_leave")


SERVICES: dict[bytes, Callable[[HoleLowering], None]] = {
    b"!budget": budget,
    b"!over": over,
    b"!stale": stale,
    b"!guard": guard,
    b"!verify": verify,
    b"!verify2": verify_two,
    b"!verify1": verify_one,
    b"!interp": interp,
    b"!call": call,
    b"!count": count,
    b"!cover": cover,
    **{b"!capture%d" % i: _capture(i) for i in range(8)},
    b"!stub": stub,
    b"!goto": goto,
    b"!recipe": recipe,
}
