"""Nothing that a user does crashes or hangs the process, or leaks."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jitemu import unicorn as lib
from runtime.embed.sharing import flush
from tests.running import REPOSITORY
from tests.unicorn import fuzz
from tests.unicorn.scenarios import CODE, DATA, machine, register

pytestmark = pytest.mark.particular
EAX, ECX, EIP = (register(lib, name) for name in ("EAX", "ECX", "EIP"))


def cycle() -> None:
    uc = machine(lib, "40 40 ebfd")
    uc.hook_add(lib.UC_HOOK_CODE, lambda uc, *rest: uc.reg_read(EAX))
    uc.emu_start(CODE, CODE + 2)
    uc.emu_start(CODE, 0, count=50)


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * mmap.PAGESIZE


@pytest.mark.parametrize("times", [150, pytest.param(10_000, marks=pytest.mark.slow)])
def test_create_and_destroy(times: int) -> None:
    for _ in range(100):
        cycle()
    gc.collect()
    before, files = resident(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(times):
        cycle()
    gc.collect()
    assert resident() - before < 64 << 20
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_a_machine_is_gone_with_its_user() -> None:
    uc = machine(lib, "40")
    uc.hook_add(lib.UC_HOOK_CODE, lambda *rest: None)
    uc.emu_start(CODE, CODE + 1)
    base = uc._machine.space.base
    finish = uc._finish
    del uc
    gc.collect()
    assert not finish.alive
    assert f"{base:x}-" not in Path("/proc/self/maps").read_text()


def test_many_at_once() -> None:
    machines = [machine(lib, "40" * n, eax=n) for n in range(1, 9)]
    for _ in range(3):
        for n, uc in enumerate(machines, 1):
            uc.emu_start(CODE, CODE + n)
    assert [uc.reg_read(EAX) for uc in machines] == [4 * n for n in range(1, 9)]


def test_other_machine_in_a_hook() -> None:
    inner = machine(lib, "40 40")
    outer = machine(lib, "43 43 43")
    outer.hook_add(lib.UC_HOOK_CODE, lambda *rest: inner.emu_start(CODE, CODE + 2))
    outer.emu_start(CODE, CODE + 3)
    assert inner.reg_read(EAX) == 6
    assert outer.reg_read(register(lib, "EBX")) == 3


def test_threads() -> None:
    results: list[int] = []

    def work(seed: int) -> None:
        uc = machine(lib, "01c8 c1c003 49 75f8", eax=seed)
        for _ in range(5):
            uc.reg_write(ECX, 200_000)
            uc.emu_start(CODE, CODE + 8)
        expected = machine(lib, "01c8 c1c003 49 75f8", eax=seed)
        for _ in range(5):
            expected.reg_write(ECX, 200_000)
            expected.emu_start(CODE, CODE + 8)
        results.append(uc.reg_read(EAX) - expected.reg_read(EAX))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [0] * 4


def test_stop_from_a_thread() -> None:
    for code in ("ebfe", "40 ebfd", "8b03 ebfc"):
        uc = machine(lib, code, ebx=DATA)
        timer = threading.Timer(0.1, uc.emu_stop)
        timer.start()
        uc.emu_start(CODE, 0)
        timer.join()


def test_stop_from_a_thread_with_hooks() -> None:
    uc = machine(lib, "40 ebfd")
    uc.hook_add(lib.UC_HOOK_CODE, lambda *rest: None)
    timer = threading.Timer(0.1, uc.emu_stop)
    timer.start()
    uc.emu_start(CODE, 0)
    timer.join()


@pytest.mark.parametrize("hooked", [False, True])
def test_timeout(hooked: bool) -> None:
    uc = machine(lib, "40 ebfd")
    if hooked:
        uc.hook_add(lib.UC_HOOK_CODE, lambda *rest: None)
    begun = time.monotonic()
    uc.emu_start(CODE, 0, timeout=100_000)
    assert 0.05 < time.monotonic() - begun < 5
    assert uc.query(lib.UC_QUERY_TIMEOUT) == 1


def test_timeout_of_what_python_executes() -> None:
    for code, flags in (("8b05000090 00", 2), ("ebfe", 0x102), ("f7f1", 2)):
        uc = machine(lib, code, eflags=flags)
        uc.hook_add(lib.UC_HOOK_INTR, lambda *rest: None)
        uc.hook_add(lib.UC_HOOK_MEM_UNMAPPED, lambda *rest: False)
        uc.counter(blocks=True)
        started = time.monotonic()
        with contextlib.suppress(lib.UcError):
            uc.emu_start(CODE, 0, timeout=50_000)
        assert time.monotonic() - started < 10


def test_keyboard_interrupt() -> None:
    uc = machine(lib, "40 ebfd")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            uc.emu_start(CODE, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    at = uc.reg_read(EIP)
    assert at in (CODE, CODE + 1)
    uc.emu_start(CODE, 0, count=100)


def test_hooks_that_raise_leave_all_exact() -> None:
    uc = machine(lib, "40 40 40 40")
    seen: list[int] = []

    def hook(uc: Any, address: int, *rest: object) -> None:
        seen.append(address)
        if len(seen) == 3:
            raise RuntimeError("no")

    uc.hook_add(lib.UC_HOOK_CODE, hook)
    with pytest.raises(RuntimeError):
        uc.emu_start(CODE, CODE + 4)
    assert (uc.reg_read(EAX), uc.reg_read(EIP)) == (2, CODE + 2)
    uc.emu_start(uc.reg_read(EIP), CODE + 4)
    assert uc.reg_read(EAX) == 4


@pytest.mark.parametrize(
    "kind", ["INTR", "MEM_READ_UNMAPPED", "MEM_FETCH_UNMAPPED", "INSN_INVALID"]
)
def test_rare_hooks_that_raise(kind: str) -> None:
    code = {"INTR": "cd21", "MEM_READ_UNMAPPED": "a100000070", "INSN_INVALID": "0f0b"}
    uc = machine(lib, "40" + code.get(kind, "e9fbffff6f"))

    def hook(*rest: object) -> None:
        raise RuntimeError("no")

    uc.hook_add(getattr(lib, "UC_HOOK_" + kind), hook)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            uc.emu_start(CODE, CODE + 0x100)


def test_unmap_and_protect_under_the_runner() -> None:
    for action in ("unmap", "protect"):
        uc = machine(lib, "40 40 40")

        def hook(uc: Any, address: int, *rest: object, action: str = action) -> None:
            if address == CODE + 1:
                if action == "unmap":
                    uc.mem_unmap(CODE, 0x2000)
                else:
                    uc.mem_protect(CODE, 0x2000, lib.UC_PROT_READ)

        uc.hook_add(lib.UC_HOOK_CODE, hook)
        with pytest.raises(lib.UcError):
            uc.emu_start(CODE, CODE + 3)


def test_code_is_dropped_while_hooks_run() -> None:
    for nested in (False, True):
        uc = machine(lib, "40 41 42 43 4b 4a 40")
        log: list[int] = []

        def hook(uc: Any, at: int, *rest: object, nested: bool = nested) -> None:
            log.append(at)  # noqa: B023
            if at == CODE + 2:
                if nested:
                    uc.emu_start(CODE + 3, CODE + 6)
                flush()
                if nested:
                    uc.emu_start(CODE + 3, CODE + 6)

        uc.hook_add(lib.UC_HOOK_CODE, hook)
        uc.emu_start(CODE, CODE + 7, count=0)
        inner = [CODE + 3, CODE + 4, CODE + 5]
        middle = (inner * 2) if nested else []
        assert log == [CODE, CODE + 1, CODE + 2, *middle, *inner, CODE + 6]
        assert uc.reg_read(EAX) == 2


@pytest.mark.parametrize("kind", ["code", "break", "trace"])
def test_unmap_under_a_step(kind: str) -> None:
    uc = machine(lib, "40 41 42", eflags=0x102 if kind == "trace" else 2)
    uc.hook_add(lib.UC_HOOK_INTR, lambda *rest: None)

    def unmap(uc: Any, at: int, size: int, data: object) -> None:
        uc.mem_unmap(CODE, 0x2000)

    if kind == "break":
        uc.breakpoint(CODE + 1, True, unmap)
    else:
        uc.hook_add(lib.UC_HOOK_CODE, unmap, None, CODE + 1, CODE + 1)
    for count in (10, 0):
        with pytest.raises(lib.UcError) as info:
            uc.emu_start(CODE, CODE + 3, count=count)
        assert info.value.errno == lib.UC_ERR_FETCH_UNMAPPED
    assert uc.reg_read(EAX) == 1


def test_deep_nesting() -> None:
    uc = machine(lib, "40 40")
    depth = [0]

    def hook(uc: Any, address: int, *rest: object) -> None:
        if depth[0] < 20:
            depth[0] += 1
            uc.emu_start(CODE, CODE + 2)

    uc.hook_add(lib.UC_HOOK_CODE, hook, None, CODE, CODE)
    uc.emu_start(CODE, CODE + 2)
    assert uc.reg_read(EAX) == 42


def test_host_memory() -> None:
    area = mmap.mmap(-1, 0x2000)
    aligned = ctypes.addressof(ctypes.c_char.from_buffer(area))
    private = mmap.mmap(-1, 0x3000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    other = ctypes.addressof(ctypes.c_char.from_buffer(private))
    for address in (aligned, other, other + 0x1010):
        uc = machine(lib, "8903 8b4b04", eax=0x12345678, ebx=0x700000)
        ctypes.memmove(address + 4, b"wxyz", 4)
        uc.mem_map_ptr(0x700000, 0x1000, 7, address)
        uc.emu_start(CODE, CODE + 5)
        assert ctypes.string_at(address, 4) == bytes.fromhex("78563412")
        assert uc.reg_read(ECX) == int.from_bytes(b"wxyz", "little")
        ctypes.memmove(address, b"\x40\x40\x40", 3)  # code of the host's
        uc.emu_start(0x700000, 0x700003)
        assert uc.reg_read(EAX) == 0x1234567B
        assert bytes(uc.mem_read(0x700000, 3)) == b"\x40\x40\x40"


def test_views() -> None:
    uc = machine(lib, "8b03", ebx=DATA)
    view = uc.mem_view(DATA, 0x2000)
    view[:4] = np.frombuffer(b"abcd", dtype=np.uint8)
    uc.emu_start(CODE, CODE + 2)
    assert uc.reg_read(EAX) == int.from_bytes(b"abcd", "little")
    uc.reg.eax = 5
    assert uc.reg.eax == uc.reg.al == 5
    with pytest.raises(AttributeError):
        uc.reg.rax9 = 1


def test_contexts_of_memory() -> None:
    uc = machine(lib, "40 a300002000")
    uc.ctl(lib.UC_CTL_CONTEXT_MODE, lib.UC_CTL_IO_WRITE, 3)
    uc.mmio_map(0x900000, 0x1000, None, None, None, None)
    uc.mem_map(1 << 40, 0x1000)
    uc.mem_write(1 << 40, b"high")
    context = uc.context_save()
    uc.emu_start(CODE, CODE + 6)
    uc.mem_write(1 << 40, b"HIGH")
    assert bytes(uc.mem_read(DATA, 1)) == b"\1"
    for _ in range(2):
        uc.context_restore(context)
        assert (bytes(uc.mem_read(DATA, 1)), bytes(uc.mem_read(1 << 40, 4))) == (b"\0", b"high")
        assert uc.reg_read(EAX) == 0
    uc.mem_unmap(1 << 40, 0x1000)
    with pytest.raises(lib.UcError):
        uc.context_restore(context)


def test_ctl_as_in_c() -> None:
    uc = machine(lib, "40")
    size = ctypes.c_uint32()
    uc.ctl(lib.UC_CTL_UC_PAGE_SIZE, lib.UC_CTL_IO_READ, ctypes.byref(size))
    assert size.value == 4096
    uc.ctl(lib.UC_CTL_TLB_FLUSH, lib.UC_CTL_IO_WRITE)
    uc.ctl(lib.UC_CTL_TB_REMOVE_CACHE, lib.UC_CTL_IO_WRITE, ctypes.c_uint64(CODE), CODE + 4)
    for call in (
        (99, 1),
        (lib.UC_CTL_UC_MODE, 2),
        (lib.UC_CTL_UC_MODE, 3),
        (lib.UC_CTL_TB_FLUSH, 2, 5),
    ):
        with pytest.raises(lib.UcError):
            uc.ctl(*call)


def test_contexts_are_bytes() -> None:
    uc = machine(lib, "40", eax=7)
    uc.msr_write(0x174, 5)
    context = uc.context_save()
    again = lib.UcContext.from_bytes(context.to_bytes())
    other = machine(lib, "40")
    other.context_restore(again)
    assert (other.reg_read(EAX), other.msr_read(0x174)) == (7, 5)
    assert pickle.loads(pickle.dumps(context)).reg_read(EAX) == 7
    for bad in (b"", b"abc", context.to_bytes()[:-5], b"x" * 5000):
        with pytest.raises(ValueError, match=r"context|JSON|Expecting|delimiter"):
            lib.UcContext.from_bytes(bad)


BAD = [None, -1, 1 << 64, 1 << 70, "x", 1.5, b"", [], (1, 2), object()]
CALLS = {
    "reg_read": 1, "reg_write": 2, "mem_map": 3, "mem_unmap": 2, "mem_protect": 3, "mem_read": 2,
    "mem_write": 2, "mem_map_ptr": 4, "hook_del": 1, "query": 1, "context_restore": 1,
    "msr_read": 1, "msr_write": 2, "ctl_set_cpu_model": 1, "ctl_remove_cache": 2,
    "ctl_set_exits": 1, "ctl_request_cache": 1, "reg_read_batch": 1, "reg_write_batch": 1,
    "ctl_set_tlb_mode": 1, "emu_start": 2, "ctl": 3, "mmio_map": 6, "hook_add": 5, "breakpoint": 3,
    "counter": 2, "coverage": 2, "capture": 2, "interrupt": 1, "mem_view": 2, "context_update": 1,
    "ctl_exits_enabled": 1, "ctl_set_page_size": 1, "ctl_set_tcg_buffer_size": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_bad_arguments(name: str) -> None:
    """They raise, or do nothing that hurts; the machine works afterwards."""
    choose = random.Random(name)
    uc = machine(lib, "40")
    allowed = (lib.UcError, TypeError, ValueError, KeyError, AttributeError, OverflowError)
    for _ in range(60):
        arguments = [choose.choice([*BAD, 0, 1, 4096, CODE]) for _ in range(CALLS[name])]
        if name == "mem_map_ptr":
            arguments[3] = choose.choice([*BAD[:1], 0, "x"])
        with contextlib.suppress(allowed):
            getattr(uc, name)(*arguments)
    uc = machine(lib, "40")
    uc.emu_start(CODE, CODE + 1)
    assert uc.reg_read(EAX) == 1


@pytest.mark.parametrize(
    "seed", [*range(20), *(pytest.param(n, marks=pytest.mark.slow) for n in range(20, 300))]
)
def test_random_bytes(seed: int) -> None:
    """Whatever the code is, and whatever hooks do, it ends."""
    fuzz.run(seed)


def test_scripts_run_unmodified(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom unicorn import *\nfrom unicorn.x86_const import *\n"
        "from unicorn import arm_const\nimport unicorn\n"
        "import unicorn.unicorn\nfrom unicorn.unicorn_py3.unicorn import UcError as Same\n"
        "assert Same is unicorn.unicorn.UcError is UcError\n"
        "@unicorn.ucsubclass\nclass Uc(unicorn.Uc):\n    pass\n"
        "uc = Uc(UC_ARCH_X86, UC_MODE_32)\nuc.mem_map(0x1000, 0x1000)\n"
        "uc.mem_write(0x1000, b'\\x40')\nuc.emu_start(0x1000, 0x1001)\n"
        "print(uc.reg_read(UC_X86_REG_EAX), sys.argv[1:], unicorn.__name__)\n"
    )
    words = [sys.executable, "-m", "jitemu.unicorn", str(script), "a", "b"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.stdout == "1 ['a', 'b'] jitemu.unicorn\n", done.stderr
    done = subprocess.run(
        [*words[:3], "nothing.py"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
