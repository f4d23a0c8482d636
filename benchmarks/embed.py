"""The Python interface, `jitemu.Process`: starting, slices, registers, memory, calls, translation.

Unicorn, where it is installed, does the same with bare code: it knows no programs.
"""

from __future__ import annotations

import importlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.elf import ENTRY, program
from benchmarks.kernels import build
from benchmarks.race import Progress, WrongResultError
from benchmarks.table import head, line
from benchmarks.workload import Settings, UnavailableError

_EXIT = bytes.fromhex("b801000000 31db cd80")  # mov eax, 1; xor ebx, ebx; int 0x80
# mov ecx, COUNT; loop: add eax, ecx; xor eax, edx; rol eax, 5; lea edx, [edx + eax * 2 + 1];
# dec ecx; jnz loop
_LOOP = bytes.fromhex("b900000000 01c8 31d0 c1c005 8d544201 49 75f2")
# mov esi, COUNT; loop: mov eax, 64; int 0x80; dec esi; jnz loop (64 is getppid)
_CALLS = bytes.fromhex("be00000000 b840000000 cd80 4e 75f6")
_PER_ITERATION = 6
_ITERATIONS = 20_000_000
_MEMORY = 2 << 20
_SLICE = 1000

Values = dict[str, list[float]]


@dataclass(slots=True)
class Measurement:
    """One quantity under each peer, a value a round."""

    name: str
    unit: str
    is_rate: bool  # more is better
    values: Values = field(default_factory=dict)


def _counted(code: bytes, count: int) -> bytes:
    return code[:1] + count.to_bytes(4, "little") + code[5:]


def _timed(action: Callable[[], object], times: int) -> float:
    """Return the processor seconds that an action takes, on average."""
    begun = time.process_time()
    for _ in range(times):
        action()
    return (time.process_time() - begun) / times


class Ours:
    """The measurements with jitemu.Process under one strategy."""

    def __init__(self, strategy: str, settings: Settings) -> None:
        self.strategy, self.settings = strategy, settings
        self.tiny = self._write("tiny", _EXIT, 0)
        self.loop = self._write("loop", _counted(_LOOP, 1 << 30) + _EXIT, _MEMORY)
        self.work = self._write("work", _counted(_LOOP, _ITERATIONS) + _EXIT, 0)

    def _write(self, name: str, code: bytes, memory: int) -> Path:
        path = self.settings.folder / name
        path.write_bytes(program(code, memory))
        path.chmod(0o700)
        return path

    def calls(self, count: int) -> Path:
        """Return a program that makes system calls."""
        return self._write("calls", _counted(_CALLS, count) + _EXIT, 0)

    def run_to_exit(self, path: Path, *args: str, budget: int | None = None) -> object:
        """Run a program; return its statistics. WrongResultError unless it exits with 0."""
        from jitemu import Process

        with Process(path, args, strategy=self.strategy, env={}, capture=True) as guest:
            result = guest.run(budget)
            if result.exit_status != 0:
                raise WrongResultError(f"{path.name} under {self.strategy}: {result}")
            return guest.statistics

    def measure(self) -> Iterator[tuple[str, float]]:
        """Yield the names and values of one round."""
        from jitemu import Process
        from jitemu.statistics import Statistics

        yield "start", _timed(lambda: self.run_to_exit(self.tiny), 20)
        for name, budget in (("loop", None), ("counted", 1 << 50)):
            begun = time.process_time()
            self.run_to_exit(self.work, budget=budget)
            yield name, _PER_ITERATION * _ITERATIONS / (time.process_time() - begun)
        with Process(self.loop, strategy=self.strategy, env={}) as guest:
            guest.run(budget=_SLICE)
            yield "slices", 1 / _timed(lambda: guest.run(budget=_SLICE), 2000)
            address = ENTRY + 64
            yield "registers", _timed(lambda: setattr(guest.regs, "ebx", guest.regs.eax), 5000)
            yield "small", _timed(lambda: guest.memory.read(address, 64), 5000)
            yield "large", _timed(lambda: guest.memory.read(address, 1 << 20), 50)
            yield "view", _timed(lambda: guest.memory[address : address + (1 << 20)], 5000)
        calls = 20_000
        path = self.calls(calls)
        begun = time.process_time()
        self.run_to_exit(path)
        yield "calls", (time.process_time() - begun) / calls
        try:
            kernel = build("crc", self.settings)
        except UnavailableError:
            return
        found = self.run_to_exit(kernel, "1")
        assert isinstance(found, Statistics)
        yield "translation", found.insns_translated / found.translate_seconds


class _Unicorn:
    """The same with Unicorn. Raises UnavailableError if it is not installed."""

    def __init__(self) -> None:
        try:
            self.lib: Any = importlib.import_module("unicorn")
        except ImportError:
            raise UnavailableError("unicorn is not installed (pip install unicorn)") from None
        self.regs: Any = importlib.import_module("unicorn.x86_const")

    def _load(self, code: bytes) -> Any:
        engine = self.lib.Uc(self.lib.UC_ARCH_X86, self.lib.UC_MODE_32)
        engine.mem_map(ENTRY & -4096, _MEMORY + 8192)
        engine.mem_write(ENTRY, code)
        return engine

    def _tiny(self) -> None:
        code = _EXIT[:-2]
        self._load(code).emu_start(ENTRY, ENTRY + len(code))

    def measure(self) -> Iterator[tuple[str, float]]:
        """Yield the names and values of one round."""
        yield "start", _timed(self._tiny, 20)
        code = _counted(_LOOP, _ITERATIONS)
        engine = self._load(code)
        begun = time.process_time()
        engine.emu_start(ENTRY, ENTRY + len(code))
        yield "loop", _PER_ITERATION * _ITERATIONS / (time.process_time() - begun)
        engine = self._load(_counted(_LOOP, 1 << 30))
        engine.emu_start(ENTRY, ENTRY + 4096, count=_SLICE)
        eip, eax, ebx = (getattr(self.regs, f"UC_X86_REG_{n}") for n in ("EIP", "EAX", "EBX"))
        again = engine.reg_read
        yield (
            "slices",
            1 / _timed(lambda: engine.emu_start(again(eip), ENTRY + 4096, count=_SLICE), 500),
        )
        address = ENTRY + 64
        yield "registers", _timed(lambda: engine.reg_write(ebx, engine.reg_read(eax)), 5000)
        yield "small", _timed(lambda: engine.mem_read(address, 64), 5000)
        yield "large", _timed(lambda: engine.mem_read(address, 1 << 20), 50)
        calls = 20_000
        code = _counted(_CALLS, calls)
        engine = self._load(code)
        parent = os.getppid()
        engine.hook_add(self.lib.UC_HOOK_INTR, lambda uc, number, data: uc.reg_write(eax, parent))
        begun = time.process_time()
        engine.emu_start(ENTRY, ENTRY + len(code))
        yield "calls", (time.process_time() - begun) / calls


def measurements() -> dict[str, Measurement]:
    """Return the quantities, without values."""
    return {
        "start": Measurement("create, load, run 3 insns to the exit, close", "s", False),
        "loop": Measurement(f"a loop of {_PER_ITERATION} insns", "insns/s", True),
        "counted": Measurement("the same, with a budget", "insns/s", True),
        "slices": Measurement(f"run(budget={_SLICE})", "slices/s", True),
        "registers": Measurement("read a register, write another", "s", False),
        "small": Measurement("copy 64 bytes of memory", "s", False),
        "large": Measurement("copy 1 MiB of memory", "s", False),
        "view": Measurement("a numpy view of 1 MiB of memory", "s", False),
        "calls": Measurement("a system call, handled in Python, and back", "s", False),
        "translation": Measurement("translate cold code, stencils there", "insns/s", True),
    }


@contextmanager
def cache(folder: Path) -> Iterator[None]:
    """Use a cache of our own, as the other suites do."""
    before = os.environ.get("JITEMU_CACHE")
    os.environ["JITEMU_CACHE"] = str(folder / "cache")
    try:
        yield
    finally:
        if before is None:
            del os.environ["JITEMU_CACHE"]
        else:
            os.environ["JITEMU_CACHE"] = before


def run(
    strategies: list[str], settings: Settings, rounds: int, progress: Progress
) -> list[Measurement]:
    """Measure every quantity under every peer, a round after the other; the first warms up."""
    found = measurements()
    peers: dict[str, Ours | _Unicorn] = {name: Ours(name, settings) for name in strategies}
    try:
        peers["unicorn"] = _Unicorn()
    except UnavailableError as error:
        print(f"Left out: {error}.\n")
    with cache(settings.folder):
        for number in range(rounds + 1):
            for name, peer in peers.items():
                progress(name)
                for key, value in peer.measure():
                    if number:
                        found[key].values.setdefault(name, []).append(value)
    return list(found.values())


def _text(value: float, unit: str) -> str:
    if unit != "s":
        for limit, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
            if value >= limit:
                return f"{value / limit:.3g}{suffix}"
        return f"{value:.3g}"
    scale, name = (1e3, "ms") if value >= 1e-3 else (1e6, "µs")
    return f"{value * scale:.3g} {name}"


def table(found: list[Measurement]) -> str:
    """Return a Markdown table of medians."""
    names = list(dict.fromkeys(name for one in found for name in one.values))
    lines = [head(["what", "unit", *names])]
    for one in found:
        cells = [
            _text(statistics.median(one.values[name]), one.unit) if name in one.values else "-"
            for name in names
        ]
        lines.append(line([one.name, "time" if one.unit == "s" else one.unit, *cells]))
    return "\n".join(lines)
