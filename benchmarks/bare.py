"""Bare code behind one interface: Unicorn and jitemu.unicorn run the same measurements."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.race import WrongResultError

CODE, DATA, STACK = 0x100000, 0x200000, 0x400000
_ROOM = 1 << 20
_BLOCKS = 10_000
Lib = Any


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of guest code: its body, what it is called, how often it runs, how fast it must be."""

    name: str
    body: str  # hexadecimal; ECX counts
    times: int
    goal: float  # Unicorn's time divided by ours


LOOPS = (
    Loop("ALU loop", "01d8 31d0 c1c005 8d544201 83c203 f7d0", 5_000_000, 1.5),
    Loop("loads", "8b06 034604 8b5608 03560c", 5_000_000, 2.0),
    Loop("stores", "8907 895f04 895708 89470c", 3_000_000, 8.0),
    Loop("push/pop", "50 53 5a 58", 3_000_000, 8.0),
    Loop("call/ret", "e802000000 eb01 c3", 3_000_000, 8.0),
    Loop("rep movsd", "51 be00002000 bf00402000 b900040000 f3a5 59", 3_000, 20.0),
    Loop("rep stosd", "51 bf00402000 b900040000 f3ab 59", 3_000, 20.0),
    Loop("x87", "d9e8 d9e8 d8c1 d8c9 d9c9 ddd8 ddd8", 2_000_000, 3.0),
    Loop("SSE2", "660ffec1 660fefd0 660f72f203 0f58d9 f20f58e1", 2_000_000, 5.0),
)


@dataclass(slots=True)
class Measure:
    """One quantity: seconds under each library, and what Unicorn's must be, divided by ours."""

    name: str
    goal: float
    seconds: dict[str, list[float]] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Unicorn's best time divided by ours; 0 if it is not there."""
        theirs, ours = self.seconds.get("unicorn"), self.seconds["jitemu.unicorn"]
        return min(theirs) / min(ours) if theirs else 0.0


class Bench:
    """The measurements with one library."""

    def __init__(self, lib: Lib) -> None:
        self.lib = lib
        self.x86 = lib.x86_const

    def reg(self, name: str) -> int:
        """Return a register's number."""
        return getattr(self.x86, "UC_X86_REG_" + name)  # type: ignore[no-any-return]

    def machine(self, code: bytes) -> Any:
        """Return a machine with code, data and a stack."""
        uc = self.lib.Uc(self.lib.UC_ARCH_X86, self.lib.UC_MODE_32)
        for address in (CODE, DATA, STACK):
            uc.mem_map(address, _ROOM)
        uc.mem_write(CODE, code)
        for name, value in (("ESP", STACK + _ROOM // 2), ("ESI", DATA), ("EDI", DATA + 0x4000)):
            uc.reg_write(self.reg(name), value)
        uc.reg_write(self.reg("MXCSR"), 0x1F80)
        uc.reg_write(self.reg("FPCW"), 0x37F)
        uc.reg_write(self.reg("FPTAG"), 0xFFFF)
        return uc

    def loop(self, body: str) -> tuple[Any, int]:
        """Return a machine with a loop, and the address behind it."""
        inner = bytes.fromhex(body)
        back = -(len(inner) + 7)
        code = inner + b"\x49\x0f\x85" + back.to_bytes(4, "little", signed=True)
        return self.machine(code), CODE + len(code)

    def run(self, uc: Any, end: int, times: int, **more: int) -> float:
        """Run a loop so often; return the seconds."""
        uc.reg_write(self.reg("ECX"), times)
        begun = time.thread_time()
        uc.emu_start(CODE, end, **more)
        taken = time.thread_time() - begun
        if uc.reg_read(self.reg("ECX")) and not more:
            raise WrongResultError("a loop did not end")
        return taken

    def measure(self) -> Iterator[tuple[str, float]]:
        """Yield names and seconds of one round."""
        for one in LOOPS:
            uc, end = self.loop(one.body)
            self.run(uc, end, one.times)  # warm: whoever translates hot code anew has had the time
            time.sleep(0.3)
            yield one.name, self.run(uc, end, one.times)
        uc, end = self.loop(LOOPS[0].body)
        self.run(uc, end, 1_000_000)
        yield "count-limited run", self.run(uc, end, 1 << 30, count=3_000_001)
        yield from self.hooks()
        yield from self.calls()
        yield "cold code", self.cold()

    def hooks(self) -> Iterator[tuple[str, float]]:
        """Yield what callbacks cost."""
        lib = self.lib
        uc, end = self.loop("40 40 40 40")
        uc.hook_add(lib.UC_HOOK_CODE, lambda uc, address, size, data: None)
        self.run(uc, end, 100)
        yield "Python CODE hook", self.run(uc, end, 20_000)
        uc, end = self.loop("cd80")
        uc.hook_add(lib.UC_HOOK_INTR, lambda uc, number, data: None)
        self.run(uc, end, 100)
        yield "INT callback", self.run(uc, end, 30_000)
        uc, end = self.loop("e580")
        arguments = 1, 0, self.x86.UC_X86_INS_IN
        uc.hook_add(lib.UC_HOOK_INSN, lambda uc, port, size, data: 5, None, *arguments)
        self.run(uc, end, 100)
        yield "IN callback", self.run(uc, end, 30_000)
        uc, end = self.loop("e780")
        arguments = 1, 0, self.x86.UC_X86_INS_OUT
        uc.hook_add(lib.UC_HOOK_INSN, lambda uc, port, size, value, data: None, None, *arguments)
        self.run(uc, end, 100)
        yield "OUT callback", self.run(uc, end, 30_000)
        for name, body in (("MMIO read", "8b0500007000"), ("MMIO write", "890500007000")):
            uc, end = self.loop(body)
            uc.mmio_map(0x700000, 4096, lambda *a: 5, None, lambda *a: None, None)
            self.run(uc, end, 100)
            yield name, self.run(uc, end, 30_000)

    def calls(self) -> Iterator[tuple[str, float]]:
        """Yield what single calls cost."""
        uc = self.machine(bytes.fromhex("40 40 40 40"))
        eax = self.reg("EAX")
        yield "reg_read", timed(lambda: uc.reg_read(eax), 20_000)
        yield "reg_write", timed(lambda: uc.reg_write(eax, 5), 20_000)
        yield "mem_read", timed(lambda: uc.mem_read(DATA, 64), 10_000)
        yield "mem_write", timed(lambda: uc.mem_write(DATA, b"x" * 64), 10_000)
        uc.emu_start(CODE, CODE + 4)
        yield "emu_start round trip", timed(lambda: uc.emu_start(CODE, CODE + 4), 3_000)
        yield "Uc()", timed(lambda: self.lib.Uc(4, 4), 20)

    def cold(self) -> float:
        """Return the seconds for different blocks, once each."""
        parts = []
        for number in range(_BLOCKS):
            value = (number * 2654435761 & 0x7FFFFFFF).to_bytes(4, "little")
            # add eax, imm32; mov ebx, imm32; xor eax, ebx; lea edx, [eax + 1]; jmp to the next
            parts.append(b"\x05" + value + b"\xbb" + value + b"\x31\xd8\x8d\x50\x01\xeb\x00")
        code = b"".join(parts)
        uc = self.machine(code[:170])
        uc.emu_start(CODE, CODE + 170)
        uc.mem_write(CODE, code)
        begun = time.thread_time()
        uc.emu_start(CODE, CODE + len(code))
        return time.thread_time() - begun


def timed(action: Callable[[], object], times: int) -> float:
    """Return the seconds that an action takes, on average."""
    begun = time.thread_time()
    for _ in range(times):
        action()
    return (time.thread_time() - begun) / times


def measures() -> dict[str, Measure]:
    """Return the quantities, without values."""
    rows = [(one.name, one.goal) for one in LOOPS]
    rows += [("count-limited run", 10), ("Python CODE hook", 1)]
    rows += [(f"{name} callback", 2) for name in ("INT", "IN", "OUT")]
    rows += [("MMIO read", 2), ("MMIO write", 2), ("reg_read", 2), ("reg_write", 2)]
    rows += [("mem_read", 2), ("mem_write", 2), ("emu_start round trip", 2), ("Uc()", 0)]
    rows += [("cold code", 0.4)]
    return {name: Measure(name, goal) for name, goal in rows}


def counted(rounds: int) -> float:
    """Return the time of a loop with a compiled counter on every block, divided by that without."""
    bench = Bench(importlib.import_module("jitemu.unicorn"))
    best = []
    for is_counted in (False, True):
        uc, end = bench.loop(LOOPS[0].body)
        if is_counted:
            uc.counter(blocks=True)
        seconds = []
        for _ in range(rounds + 2):
            seconds.append(bench.run(uc, end, LOOPS[0].times))
            time.sleep(0.3)
        best.append(min(seconds))
    return best[1] / best[0]


def plain(found: list[Measure]) -> list[dict[str, Any]]:
    """Return the measurements as JSON has them."""
    return [{"name": one.name, "goal": one.goal, "seconds": one.seconds} for one in found]


def libraries() -> dict[str, Lib]:
    """Return what is there to be measured, by name."""
    found = {}
    for name in ("unicorn", "jitemu.unicorn"):
        try:
            found[name] = importlib.import_module(name)
            importlib.import_module(name + ".x86_const")
        except ImportError:
            print(f"Left out: {name} is not installed (pip install unicorn).\n")
    return found


def compare(rounds: int) -> list[Measure]:
    """Measure everything with each library, a round after the other; the first warms up."""
    os.environ["UC_IGNORE_REG_BREAK"] = "1"  # Unicorn warns of registers that it knows not
    found, libs = measures(), libraries()
    for number in range(rounds + 1):
        for name, lib in libs.items():
            for key, seconds in Bench(lib).measure():
                if not number:
                    continue
                found[key].seconds.setdefault(name, []).append(seconds)
    one = found["compiled counter"] = Measure("a compiled counter on every block", 1.5)
    one.seconds["times"] = [counted(rounds)]
    return list(found.values())


def table(found: list[Measure]) -> str:
    """Return a Markdown table: seconds and ratios."""
    from benchmarks.table import head, line

    lines = [head(["what", "unicorn", "jitemu.unicorn", "ratio", "goal"])]
    for one in found:
        if "times" in one.seconds:
            lines.append(line([one.name, "-", f"{one.seconds['times'][0]:.2f} x", "-", "1.5 x"]))
            continue
        cells = [
            f"{min(one.seconds[name]) * 1e6:.4g} µs" if name in one.seconds else "-"
            for name in ("unicorn", "jitemu.unicorn")
        ]
        goal = f"{one.goal:g}" if one.goal else "5 ms"
        lines.append(line([one.name, *cells, f"{one.ratio:.2f}", goal]))
    return "\n".join(lines)
