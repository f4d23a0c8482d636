"""Code image and cases -> results of one tier: the emulated counterpart of tests/native/host.py.

A `Bare` machine has the memory map of tests/native/layout.py and nothing else: no operating system,
flat segments but for FS and GS. A case ends at its first fault; the F4 (HLT) after the code is one.
"""

from __future__ import annotations

import ctypes
from collections import Counter

import numpy as np

from runtime.cpu import Cpu, flat_descriptor, set_linux_segments
from runtime.dispatch import Engine, Exit
from runtime.memory import Memory
from tests.native import layout

REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
BUDGET = 150_000  # more than a 16-bit count
SIGNAL_OF_VECTOR = {0: 8, 1: 5, 3: 5, 4: 11, 5: 11, 6: 4, 7: 11, 11: 7, 12: 7, 16: 8, 17: 7, 19: 8}
TIMEOUT_SIGNAL = 14
KINDS = {"budget": 0xFFFF, "syscall": 0xFFFE, "stop": 0xFFFD, "crash": 0xFFFC}


def writable(address: int, size: int) -> np.ndarray:
    """Return host memory as an array."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def segment_base(selector: int) -> int:
    """Return the base of FS or GS, 0 for other segments."""
    bases = {layout.FS_SELECTOR: layout.SEGMENT_BASES[0x64]}
    bases[layout.GS_SELECTOR] = layout.SEGMENT_BASES[0x65]
    return bases.get(selector | 3, 0)


def descriptor(selector: int) -> int:
    """Return a descriptor as the processor reads it, 0 for none: flat ones, and those of FS and GS.

    4 GiB of data from the base on, writable, accessed, present, useable, for ring 3.
    """
    base = segment_base(selector)
    if not base:
        return flat_descriptor(selector)
    return 0xFFFF | (base & 0xFFFFFF) << 16 | 0xF3 << 40 | 0xDF << 48 | base >> 24 << 56


class Bare:
    """A guest CPU and its few pages; `run` executes a batch of cases."""

    def __init__(self, tier: str) -> None:
        """Map the pages and make an engine for strategy *tier*.

        "region-x87" is "region" with the guest's x87 registers in the host's wherever that can be.
        """
        self.tier = tier
        self.memory = Memory()
        self.memory.map(layout.CODE, layout.CODE_SIZE, 5, fixed=True)
        for base in layout.REGIONS:
            self.memory.map(base, layout.REGION_SIZE, 3, fixed=True)
        self.cpu = Cpu(self.memory)
        self.cpu.descriptor = descriptor
        self.engine = Engine(self.memory, tier.removesuffix("-x87"))
        if tier.endswith("-x87"):
            self.engine.tiering.thresholds.x87_share = 0
        self.regions = [
            writable(self.memory.base + base, layout.REGION_SIZE) for base in layout.REGIONS
        ]
        self.image = b""
        self.crashes: Counter[str] = Counter()
        self.results = np.zeros(layout.MAX_CASES, dtype=layout.RESULT)

    def load(self, code: bytes) -> None:
        """Replace the code image; what was translated from the old one is dropped."""
        if code == self.image:
            return
        size = max(len(code), len(self.image))
        padded = code + bytes([layout.HALT]) * (layout.CODE_SIZE if not self.image else size)
        self.memory.protect(layout.CODE, layout.CODE_SIZE, 3)
        self.memory.write(layout.CODE, padded[: layout.CODE_SIZE if not self.image else size])
        self.memory.protect(layout.CODE, layout.CODE_SIZE, 5)
        self.engine.invalidate(layout.CODE, size)
        self.image = code

    def run(self, code: bytes, cases: np.ndarray) -> np.ndarray:
        """Run cases over one code image; the results are valid until the next call."""
        self.load(code)
        for number, case in enumerate(cases):
            self.run_one(case, self.results[number])
        return self.results[: len(cases)]

    def run_one(self, case: np.void, result: np.void) -> None:
        """Run one case from its start state to its first fault."""
        cpu = self.cpu
        for base in layout.REGIONS:
            # A jump into data made the engine look for code there and watch the page.
            self.memory.prepare_write(base, layout.REGION_SIZE)
        for region, pattern in zip(self.regions, layout.PATTERN, strict=True):
            region[:] = pattern
        for address, size, data in case["changes"][: case["n_changes"]].tolist():
            ctypes.memmove(self.memory.base + address, bytes(data), size)
        cpu.fxrstor(case["fx"].tobytes())
        set_linux_segments(cpu)
        cpu.fs, cpu.gs = int(case["fs"]), int(case["gs"])
        cpu.fs_base, cpu.gs_base = segment_base(cpu.fs), segment_base(cpu.gs)
        for name, value in zip(REGISTERS, case["regs"].tolist(), strict=True):
            setattr(cpu, name, value)
        cpu.eflags = int(case["eflags"])
        cpu.eip = int(case["eip"])
        cpu.budget = BUDGET
        try:
            done = self.engine.run(cpu)
        except Exception as crash:  # the emulator's own error is this case's result
            self.crashes[f"{type(crash).__name__}: {crash}"[:150]] += 1
            done = Exit("crash")
        result["signal"] = (
            SIGNAL_OF_VECTOR.get(done.vector, 11) if done.kind == "fault" else TIMEOUT_SIGNAL
        )
        result["vector"] = done.vector if done.kind == "fault" else KINDS[done.kind]
        result["error"] = done.error or 0
        result["cr2"] = done.address or 0
        result["eip"] = cpu.eip
        result["eflags"] = cpu.eflags
        result["regs"] = [getattr(cpu, name) for name in REGISTERS]
        result["segments"] = (cpu.cs, cpu.ds, cpu.es, cpu.ss, cpu.fs, cpu.gs)
        result["fx"] = np.frombuffer(cpu.fxsave(), dtype=np.uint8)
        for number, region in enumerate(self.regions):
            result["memory"][number] = region

    def close(self) -> None:
        """Give the memory back."""
        self.regions.clear()
        self.memory.close()
