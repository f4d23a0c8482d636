"""Random bytes in random modes under random hooks: it ends, and nothing crashes, hangs or leaks.

    python -m tests.unicorn.fuzz --seconds 3600 --seed 1

runs batches in processes of their own, so that a crash or a hang names its seed.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import random
import struct
import subprocess
import sys
import threading
import time
from typing import Any

from jitemu import unicorn as lib
from tests.unicorn.scenarios import register

ROOM = 0x20000
TABLES, DIRECTORY, IDT, GDT = 0x10000, 0x11000, 0x12000, 0x13000
GENERAL = ("EAX", "EBX", "ECX", "EDX", "ESI", "EDI", "ESP", "EBP")
USUAL = bytes.fromhex("4050589089 8ba50fc3cf")
BATCH, PATIENCE = 25, 240  # seeds a process; seconds that it may take


class HookError(Exception):
    """What hooks raise."""


def machine(choose: random.Random) -> Any:
    """Return a machine of some mode, full of noise."""
    is_real = choose.random() < 0.3
    uc = lib.Uc(lib.UC_ARCH_X86, lib.UC_MODE_16 if is_real else lib.UC_MODE_32)
    uc.mem_map(0, ROOM)
    uc.mem_write(0, choose.randbytes(0x10000))
    if choose.random() < 0.5:  # so that more of it is valid
        step = choose.choice((3, 5, 7))
        for at in range(0, 0x8000, step):
            if choose.random() < 0.3:
                uc.mem_write(at, bytes([choose.choice(USUAL)]))
    if choose.random() < 0.3:
        uc.mmio_map(
            ROOM, 0x1000, lambda *rest: choose.getrandbits(32), None, lambda *rest: None, None
        )
    if not is_real:
        _tables(choose, uc)
    if choose.random() < 0.4:
        uc.delivers_interrupts = True
        if is_real:
            uc.mem_write(
                0, b"".join(struct.pack("<HH", choose.randrange(0x9000), 0) for _ in range(256))
            )
    return uc


def _tables(choose: random.Random, uc: Any) -> None:
    rows = [bytes(8)]
    for _ in range(31):
        rights = choose.choice((0x9B, 0x93, 0xFB, 0xF3, 0x89, 0xEC, 0x82, choose.randrange(256)))
        base, limit = choose.choice((0, 0, 0x100, 0x3000)), choose.choice((0xFFFFF, 0xFFFF, 0x67))
        flags = choose.choice((12, 4, 0, 8)) << 4
        rows.append(struct.pack("<HHBBBB", limit & 0xFFFF, base, 0, rights, limit >> 16 | flags, 0))
    uc.mem_write(GDT, b"".join(rows))
    gates = b"".join(
        struct.pack(
            "<HHHH", choose.randrange(0x9000), choose.choice((8, 0x18, choose.randrange(256))),
            choose.choice((0x8E00, 0x8F00, 0xEE00, 0x8500, 0x8600, choose.getrandbits(16))), 0,
        )
        for _ in range(256)
    )  # fmt: skip
    uc.mem_write(IDT, gates)
    uc.reg_write(register(lib, "GDTR"), (0, GDT, 0xFF, 0))
    uc.reg_write(register(lib, "IDTR"), (0, IDT, 0x7FF, 0))
    uc.reg_write(register(lib, "TR"), (0x28, 0x14000, 0x67, 0x8B00))
    for name in ("CS", "SS", "DS", "ES", "FS", "GS"):
        if choose.random() < 0.2:
            with contextlib.suppress(lib.UcError):
                uc.reg_write(register(lib, name), choose.randrange(32) * 8 | choose.randrange(4))
    if choose.random() < 0.4:
        _paging(choose, uc)


def _paging(choose: random.Random, uc: Any) -> None:
    is_pae = choose.random() < 0.3
    entries = []
    for i in range(1024):
        page = i if i < 32 else choose.randrange(40)
        rights = 7 if i < 32 and choose.random() < 0.95 else choose.randrange(0x1000)
        entries.append(page << 12 | rights)
    if is_pae:
        uc.mem_write(
            DIRECTORY, struct.pack("<4Q", TABLES | 1, choose.getrandbits(48), 0, TABLES | 1)
        )
        uc.mem_write(TABLES, struct.pack("<2Q", 0x15007, choose.getrandbits(64)))
        uc.mem_write(0x15000, struct.pack("<512Q", *entries[:512]))
        uc.reg_write(register(lib, "CR4"), 0x20)
    else:
        uc.mem_write(DIRECTORY, struct.pack("<2I", TABLES | 7, choose.getrandbits(32)))
        uc.mem_write(TABLES, struct.pack("<1024I", *entries))
    uc.reg_write(register(lib, "CR3"), DIRECTORY)
    uc.reg_write(register(lib, "CR0"), choose.choice((0x80000011, 0x80010011)))


def add_hooks(choose: random.Random, uc: Any) -> None:
    """Add hooks that log nothing, raise, unmap, stop, run something else."""

    def act(*rest: Any) -> bool:
        number = choose.randrange(400)
        if number == 0:
            raise HookError
        if number == 1:
            uc.emu_stop()
        if number == 2 and uc.depth < 3:
            uc.depth += 1
            with contextlib.suppress(lib.UcError):
                uc.emu_start(choose.randrange(0x8000), 0x9000, count=choose.randrange(1, 40))
            uc.depth -= 1
        if number == 3:
            with contextlib.suppress(lib.UcError):
                uc.mem_unmap(choose.randrange(16) << 12, 0x1000)
        if number == 4:
            uc.mem_protect(0, 0x1000, choose.randrange(8)) if uc.mem_here() else None
        if number == 5:
            uc.reg_write(register(lib, "EIP"), choose.randrange(0x8000))
        if number == 6:
            uc.mem_write(0x8000, choose.randbytes(16)) if uc.mem_here(0x8000) else None
        if number == 7:
            uc.ctl_flush_tb()
        if number == 8 and len(uc._hooks) < 12:
            uc.hook_add(lib.UC_HOOK_CODE, act, None, 0, choose.randrange(0x9000))
        if number == 9 and uc._hooks:
            uc.hook_del(choose.choice(list(uc._hooks)))
        if number == 10:
            uc.interrupt(choose.randrange(256)) if uc.delivers_interrupts else None
        return number < 200

    kinds = (
        lib.UC_HOOK_CODE, lib.UC_HOOK_BLOCK, lib.UC_HOOK_MEM_READ, lib.UC_HOOK_MEM_WRITE,
        lib.UC_HOOK_MEM_READ | lib.UC_HOOK_MEM_WRITE, lib.UC_HOOK_INTR, lib.UC_HOOK_MEM_UNMAPPED,
        lib.UC_HOOK_MEM_PROT, lib.UC_HOOK_INSN_INVALID, lib.UC_HOOK_EDGE_GENERATED,
    )  # fmt: skip
    for kind in kinds:
        if choose.random() < 0.25:
            first = choose.randrange(0x9000)
            where = choose.choice(((1, 0), (first, first + 0xFF), (first, first)))
            uc.hook_add(kind, act, None, *where)
    if choose.random() < 0.2:
        uc.counter(blocks=choose.random() < 0.5)
        uc.breakpoint(choose.randrange(0x8000), True, act)
    if choose.random() < 0.1:
        uc.hook_add(
            lib.UC_HOOK_TLB_FILL, lambda uc, at, kind, entry, data: _fill(choose, at, entry)
        )
        uc.ctl_set_tlb_mode(lib.UC_TLB_VIRTUAL)


def _fill(choose: random.Random, at: int, entry: Any) -> bool:
    entry.paddr, entry.perms = at & 0xF000, choose.choice((7, 7, 7, 5, 3, 1, 0))
    return choose.random() < 0.95


class _Uc(lib.Uc):
    """One that knows how deeply it runs."""

    depth = 0

    def mem_here(self, address: int = 0) -> bool:
        return any(first <= address <= last for first, last, _ in self.mem_regions())


def run(seed: int) -> None:
    """Do what one seed says."""
    choose = random.Random(seed)
    uc = machine(choose)
    uc.__class__ = _Uc
    add_hooks(choose, uc)
    for _ in range(8):
        for name in GENERAL:
            uc.reg_write(register(lib, name), choose.choice((choose.randrange(0x10000), 5)))
        if choose.random() < 0.3:
            uc.reg_write(register(lib, "EFLAGS"), choose.getrandbits(18) & ~0x20000)
        timer = None
        if choose.random() < 0.1:
            timer = threading.Timer(0.01, uc.emu_stop)
            timer.start()
        count = choose.choice((0, 1, 60, 100_000))
        with contextlib.suppress(lib.UcError, HookError):
            uc.emu_start(choose.randrange(0x8000), 0x9000, timeout=60_000, count=count)
        if timer is not None:
            timer.join()
        if choose.random() < 0.1:
            uc.context_restore(uc.context_save())


def main() -> None:
    """Run batches for some time; print what went wrong, and how many seeds there were."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.batch:
        faulthandler.dump_traceback_later(PATIENCE - 40, exit=True)
        for seed in range(options.seed, options.seed + int(options.batch)):
            print(seed, flush=True)
            run(seed)
        return
    end, seed, bad = time.monotonic() + options.seconds, options.seed, 0
    while time.monotonic() < end:
        words = [
            sys.executable,
            "-m",
            "tests.unicorn.fuzz",
            "--seed",
            str(seed),
            "--batch",
            str(BATCH),
        ]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE)
            if done.returncode:
                last = done.stdout.split()[-1:]
                print("seed", *last, "status", done.returncode, done.stderr[-1500:], flush=True)
                bad += 1
        except subprocess.TimeoutExpired as late:
            last = (late.stdout or b"").split()[-1:]
            print("seed", *last, "hangs", flush=True)
            bad += 1
        seed += BATCH
    print(f"{seed - options.seed} seeds, {bad} batches failed")


if __name__ == "__main__":
    main()
