"""Kernels in ring 3 of a machine with paging on, against the same kernels as Linux programs.

A bare machine, whose operating system is this file: page tables over 256 MiB, pages of 4 KiB, a
dozen system calls.  What differs from `jitemu run` is the memory, and that is measured.

    python -m benchmarks.paged [--scale S] [--rounds N] [KERNEL...]
"""

from __future__ import annotations

import argparse
import math
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.kernels import KERNELS
from benchmarks.progress import progress
from benchmarks.workload import Settings, UnavailableError
from runtime import native
from runtime.interpreting import Exit
from runtime.system import segments
from runtime.system.linear import CR0_PG, CR0_WP, Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from translator.state import FIELDS

_MIB = 1 << 20
_SIZE = 256 * _MIB
_DIRECTORY, _TABLES, _FREE = 0x1000, 0x10000, 0x400000
_STACK_TOP, _HEAP, _MAPS = 0xC0000000, 0x20000000, 0x60000000
_USED = 1 | 2 | 4 | 32 | 64  # present, writable, user, accessed, dirty
_TLS_SELECTOR = 0x33
_GDT = 0x3000
_ENOSYS, _EBADF, _ENOTTY = 38, 9, 25
_LIMIT = 1 << 60


class GuestError(Exception):
    """A kernel did something that this operating system does not know."""


class Outcome(NamedTuple):
    """What a run gave."""

    output: bytes
    steady: float  # seconds of processor time


class Machine:
    """A processor with paging, and a static Linux program in ring 3."""

    def __init__(self, program: Path, arguments: list[str], strategy: str) -> None:
        self.physical = Physical(_SIZE)
        self.linear = Linear(self.physical)
        self.processor = Processor(self.linear, strategy)
        self.free = _FREE
        self.tables = _TABLES
        self.output: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        self.brk, self.maps = _HEAP, _MAPS
        entry = self._load(program)
        self._enter(entry, [str(program), *arguments])

    def close(self) -> None:
        """Give all memory back."""
        self.processor.engine.close()
        self.linear.close()
        self.physical.close()

    # -- memory ------------------------------------------------------------------------------------
    def _entry(self, address: int) -> int:
        """Return where the page table entry of an address is."""
        at = _DIRECTORY + (address >> 22) * 4
        (table,) = struct.unpack("<I", self.physical.read(at, 4))
        if not table:
            table = self.tables | _USED
            self.tables += 0x1000
            self.physical.write(at, struct.pack("<I", table))
        return int((table & ~0xFFF) + (address >> 12 & 0x3FF) * 4)

    def map(self, start: int, end: int) -> None:
        """Give a range of addresses memory, each page the next frame."""
        for page in range(start & ~0xFFF, end, 0x1000):
            at = self._entry(page)
            if not any(self.physical.read(at, 4)):
                if self.free >= _SIZE:
                    raise GuestError("out of memory")
                self.physical.write(at, struct.pack("<I", self.free | _USED))
                self.free += 0x1000

    def write(self, address: int, data: bytes) -> None:
        """Copy to linear memory."""
        while data:
            (entry,) = struct.unpack("<I", self.physical.read(self._entry(address), 4))
            count = 0x1000 - (address & 0xFFF)
            self.physical.write((entry & ~0xFFF) + (address & 0xFFF), data[:count])
            address, data = address + count, data[count:]

    def read(self, address: int, size: int) -> bytes:
        """Copy from linear memory."""
        data = b""
        while len(data) < size:
            at = address + len(data)
            (entry,) = struct.unpack("<I", self.physical.read(self._entry(at), 4))
            count = min(size - len(data), 0x1000 - (at & 0xFFF))
            data += self.physical.read((entry & ~0xFFF) + (at & 0xFFF), count)
        return data

    def _load(self, program: Path) -> int:
        image = program.read_bytes()
        entry, phoff = struct.unpack_from("<II", image, 24)
        (count,) = struct.unpack_from("<H", image, 44)
        for i in range(count):
            kind, offset, address, _, size, memory, _, _ = struct.unpack_from(
                "<8I", image, phoff + 32 * i
            )
            if kind == 1:
                self.map(address, address + memory)
                self.write(address, image[offset : offset + size])
        self.headers = struct.unpack_from("<I", image, 28)[0], count
        return int(entry)

    def _enter(self, entry: int, arguments: list[str]) -> None:
        self.map(_STACK_TOP - _MIB, _STACK_TOP)
        top = _STACK_TOP - 0x1000
        places = []
        for text in arguments:
            places.append(top)
            data = text.encode() + b"\0"
            self.write(top, data)
            top += len(data)
        # argc, argv, no environment; AT_PAGESZ, AT_RANDOM, AT_PHDR, AT_PHENT, AT_PHNUM.
        phdr = 0x08048000 + self.headers[0]
        auxiliary = (6, 4096, 25, _STACK_TOP - 64, 3, phdr, 4, 32, 5, self.headers[1], 0, 0)
        words = [len(places), *places, 0, 0, *auxiliary]
        sp = _STACK_TOP - 0x2000
        self.write(sp, struct.pack(f"<{len(words)}I", *words))
        cpu = self.processor.cpu
        r32 = cpu.r32
        r32[FIELDS["cr0"].offset // 4] = 1 | CR0_PG | CR0_WP
        r32[FIELDS["cr3"].offset // 4] = _DIRECTORY
        self.map(_GDT, _GDT + 1)
        r32[FIELDS["gdtr_base"].offset // 4] = _GDT
        cpu.r16[FIELDS["gdtr_limit"].offset // 2] = 0x3F
        segments.set_flat(cpu, 3)
        self.processor.update_paging()
        cpu.esp, cpu.eip = sp, entry

    # -- the operating system ----------------------------------------------------------------------
    def run(self) -> Outcome:
        """Run the program to its end."""
        cpu, engine = self.processor.cpu, self.processor.engine
        cpu.budget = _LIMIT
        native.bind(cpu)
        while True:
            done = engine.run(cpu)
            if done.kind == "int" and done.vector == 0x80:
                if cpu.eax in (1, 252):
                    break
                cpu.eax = self._call(cpu.eax, cpu.ebx, cpu.ecx, cpu.edx) & 0xFFFFFFFF
            else:
                raise GuestError(self._describe(done))
        text = bytes(self.output[2]).split()
        steady = int(text[text.index(b"steady_ns") + 1]) / 1e9 if b"steady_ns" in text else 0.0
        return Outcome(bytes(self.output[1]), steady)

    def _describe(self, done: Exit) -> str:
        return f"{done} at {self.processor.cpu.eip:#x}"

    def _call(self, number: int, a: int, b: int, c: int) -> int:
        if number == 4 and a in self.output:
            self.output[a] += self.read(b, c)
            return c
        if number == 146 and a in self.output:  # writev
            total = 0
            for i in range(c):
                base, size = struct.unpack("<II", self.read(b + 8 * i, 8))
                self.output[a] += self.read(base, size)
                total += size
            return total
        if number == 45:  # brk
            if a > self.brk:
                self.map(self.brk, a)
                self.brk = a
            return self.brk
        if number == 192:  # mmap2
            start, self.maps = self.maps, self.maps + (b + 0xFFF & ~0xFFF)
            self.map(start, self.maps)
            return start
        if number == 243:  # set_thread_area
            _, base = struct.unpack("<iI", self.read(a, 8))
            descriptor = 0xFFFF | (base & 0xFFFFFF) << 16 | 0xCFF3 << 40 | base >> 24 << 56
            self.write(_GDT + (_TLS_SELECTOR & ~7), struct.pack("<Q", descriptor))
            self.write(a, struct.pack("<I", _TLS_SELECTOR >> 3))
            return 0
        if number == 265 or number == 403:  # clock_gettime
            wide = number == 403
            now = time.thread_time_ns()
            seconds, rest = divmod(now, 10**9)
            self.write(b, struct.pack("<qq" if wide else "<ii", seconds, rest))
            return 0
        if number == 355:  # getrandom
            self.write(a, bytes(b))
            return b
        if number in (91, 125, 258, 311, 383, 300):  # munmap, mprotect, thread registrations
            return 0
        if number == 54:  # ioctl
            return -_ENOTTY
        if number in (108, 197):  # fstat
            return -_EBADF
        return -_ENOSYS


def _machine(strategy: str, program: str, arguments: list[str]) -> int:
    """Run one kernel on a machine, in this process; print what `jitemu run` would."""
    machine = Machine(Path(program), arguments, strategy)
    try:
        done = machine.run()
    finally:
        machine.close()
    sys.stdout.write(done.output.decode())
    print(f"steady_ns {done.steady * 1e9:.0f}", file=sys.stderr)
    return 0


def _steady(command: list[str]) -> Outcome:
    """Run a command; return its output and the steady seconds that it prints."""
    done = subprocess.run(command, capture_output=True, check=False)
    words = done.stderr.split()
    if done.returncode or b"steady_ns" not in words:
        raise GuestError(done.stderr.decode(errors="replace").strip()[-300:])
    return Outcome(done.stdout, int(words[words.index(b"steady_ns") + 1]) / 1e9)


def main() -> int:
    """Print steady seconds of each kernel flat and paged, and their ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paged", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1: a second natively")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--strategy", default="tiered")
    parser.add_argument("--machine", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.add_argument("kernels", nargs="*", help="default: the integer kernels")
    options = parser.parse_args()
    if options.machine:
        program, *arguments = options.machine
        return _machine(options.strategy, program, arguments)
    chosen = [
        kernel
        for kernel in KERNELS
        if (kernel.name in options.kernels if options.kernels else kernel.group == "integer")
    ]
    python = [sys.executable, "-m"]
    ratios = []
    with tempfile.TemporaryDirectory() as folder, progress(len(chosen) * options.rounds) as step:
        settings = Settings(folder=Path(folder), scale=options.scale)
        for kernel in chosen:
            try:
                task = kernel.prepare(settings)
            except UnavailableError as error:
                print(f"{kernel.name}: {error}", file=sys.stderr)
                return 1
            program = [task.program, *task.args]
            flat, paged = [], []
            for number in range(options.rounds + 1):  # the first fills the caches
                step(kernel.name)
                strategy = ["--strategy", options.strategy]
                one = _steady([*python, "jitemu", "run", *strategy, *program])
                two = _steady([*python, "benchmarks.paged", *strategy, "--machine", *program])
                if one.output != two.output:
                    raise GuestError(f"{kernel.name}: another result with paging")
                if number:
                    flat.append(one.steady)
                    paged.append(two.steady)
            ratio = median(flat) / median(paged)
            ratios.append(ratio)
            print(
                f"{kernel.name:12} flat {median(flat):7.3f} s  paged {median(paged):7.3f} s "
                f" speed of paged {ratio:5.2f}",
                flush=True,
            )
    print(f"{'mean':12} {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
