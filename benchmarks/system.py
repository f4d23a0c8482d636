"""What an operating system does all the time, and calls of devices: microseconds of processor time.

    python -m benchmarks.system [NAME...]

Each line is a loop of a machine with paging, warm; a device's callback is an empty Python function.
"""

from __future__ import annotations

import struct
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from runtime.system import segments
from runtime.system.linear import CR0_PG, Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from translator import DEFAULT_STRATEGY
from translator.state import FIELDS

DIRECTORY, TABLE, IDT, GDT, TSS = 0x1000, 0x2000, 0x5000, 0x6000, 0x7000
CODE, HANDLER, STACK, DEVICE = 0x80000, 0x70000, 0x90000, 0x200000
ROUNDS, WARM = 20_000, 500
DONE = 0x21  # the vector that ends a loop in ring 3


class Loop(NamedTuple):
    """A loop of guest code that counts ECX down."""

    name: str
    body: str  # what is measured, in hex
    level: int = 0


LOOPS = (
    Loop("in", "ec"),
    Loop("out", "ee"),
    Loop("device: read", "a100002000"),
    Loop("device: write", "a300002000"),
    Loop("mov ds", "8ed8"),
    Loop("mov fs", "8ee0"),
    Loop("push, pop ds", "1e1f"),
    Loop("int and iret, ring 0", "cd30"),
    Loop("int and iret, ring 3", "cd30", 3),
    Loop("mov cr3", "0f20da0f22da"),
    Loop("invlpg", "0f013b"),
    Loop("clts", "0f06"),
    Loop("rdtsc", "0f31"),
    Loop("cli, sti", "fafb"),
)


class Machine:
    """Flat segments of rings 0 and 3, one page table, a handler that returns, a device."""

    def __init__(self, strategy: str = DEFAULT_STRATEGY) -> None:
        self.physical = Physical(4 << 20)
        self.linear = Linear(self.physical)
        self.processor = Processor(self.linear, strategy)
        self.processor.connect(lambda port, size: 0x10, lambda port, value, size: None)
        self.physical.add_device(
            DEVICE, 0x1000, lambda address, size: 0x10, lambda address, value, size: None
        )
        rights = (0, 0xCF9B00, 0xCF9300, 0xCFFB00, 0xCFF300)
        self.put(GDT, *(part for right in rights for part in (0xFFFF * bool(right), right)))
        self.put(GDT + 40, TSS << 16 | 0x67, 0x8B00)
        self.put(TSS, 0, STACK, 0x10)
        for vector in range(256):
            self.put(IDT + 8 * vector, 8 << 16 | HANDLER & 0xFFFF, HANDLER & ~0xFFFF | 0xEE00)
        self.put(DIRECTORY, TABLE | 7)
        self.put(TABLE, *(page << 12 | 7 for page in range(1024)))
        self.physical.write(HANDLER, b"\xcf")
        for name, value in (
            *(("gdtr_base", GDT), ("idtr_base", IDT), ("cr3", DIRECTORY)),
            *(("tr_base", TSS), ("tr_limit", 0x67), ("tr_attr", 0x8B00)),
            ("cr0", 0x60000011 | CR0_PG),
        ):
            self.processor.cpu.r32[FIELDS[name].offset // 4] = value
        self.processor.update_paging()

    def put(self, place: int, *words: int) -> None:
        """Write dwords to physical memory."""
        self.physical.write(place, struct.pack(f"<{len(words)}I", *words))

    def seconds(self, loop: Loop, rounds: int) -> float:
        """Run a loop; return the processor time of this thread."""
        cpu = self.processor.cpu
        selectors = (0x1B, 0x23) if loop.level else (8, 0x10)
        segments.set_flat(cpu, loop.level, *selectors)
        self.processor.update_context()
        cpu.eip, cpu.esp, cpu.ecx, cpu.budget = CODE, STACK - 0x100, rounds, 1 << 40
        cpu.eax, cpu.ebx, cpu.edx = 0x10, STACK, 0x10
        started = time.thread_time()
        exit = self.processor.run()
        if exit.kind != "halt":
            raise RuntimeError(f"{loop.name}: {exit}")
        return time.thread_time() - started


def measure(loop: Loop) -> float:
    """Return microseconds a round."""
    machine = Machine()
    body = bytes.fromhex(loop.body) + b"\x49"  # dec ecx
    code = body + bytes([0x75, 256 - len(body) - 2])
    # Ring 3 cannot halt: the handler of #GP does.
    machine.physical.write(CODE, code + b"\xf4")
    halting = HANDLER + 0x100
    machine.put(IDT + 8 * 13, 8 << 16 | halting & 0xFFFF, halting & ~0xFFFF | 0xEE00)
    machine.physical.write(halting, b"\xf4")
    machine.seconds(loop, WARM)
    found = machine.seconds(loop, ROUNDS) / ROUNDS * 1e6
    machine.linear.close()
    return found


def main(chosen: list[str], show: Callable[[str], None] = print) -> None:
    """Print a table."""
    for loop in LOOPS:
        if not chosen or any(name in loop.name for name in chosen):
            show(f"{loop.name:24}{measure(loop):8.2f} us")


if __name__ == "__main__":
    main(sys.argv[1:])
