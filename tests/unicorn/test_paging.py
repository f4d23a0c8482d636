"""Paging beyond what Unicorn is asked: host buffers, hot code, other address spaces, rings."""

from __future__ import annotations

import ctypes
import gc
import mmap
from pathlib import Path
from typing import Any

import pytest

from jitemu import unicorn as lib
from tests.unicorn.paging import START, TOP, machine, table
from tests.unicorn.scenarios import register

pytestmark = pytest.mark.particular
EAX, ECX, CR0, CR3 = (register(lib, name) for name in ("EAX", "ECX", "CR0", "CR3"))


@pytest.mark.parametrize("offset", [0, 8])
@pytest.mark.parametrize("before", [False, True])
def test_host_buffers(offset: int, before: bool) -> None:
    area = mmap.mmap(-1, 0x3000)
    host = ctypes.addressof(ctypes.c_char.from_buffer(area)) + offset
    # mov eax, [404010h]; mov [404014h], eax; jmp to 404020h: inc eax
    uc = machine(lib, "a110404000 a314404000 b820404000 ffe0", 0x80000011 if not before else 0)
    uc.mem_map_ptr(0x200000, 0x1000, lib.UC_PROT_ALL, host)
    if before:
        uc.reg_write(CR3, TOP)
        uc.reg_write(CR0, 0x80000011)
    for word in (b"abcd", b"efgh"):
        area[offset + 0x10 : offset + 0x14] = word
        uc.mem_write(0x200020, b"\x40\x40" if word == b"abcd" else b"\x41\x41")
        uc.reg_write(ECX, 5)
        uc.emu_start(START, 0x404022)
        assert area[offset + 0x14 : offset + 0x18] == word
        assert uc.reg_read(EAX) == (0x404022 if word == b"abcd" else 0x404020)
        assert uc.reg_read(ECX) == (5 if word == b"abcd" else 7)
    uc.mem_protect(0x200000, 0x1000, lib.UC_PROT_READ | lib.UC_PROT_EXEC)
    with pytest.raises(lib.UcError) as info:
        uc.emu_start(START, 0x404022)
    assert info.value.errno == lib.UC_ERR_WRITE_PROT


def test_hot_loops_over_scattered_pages() -> None:
    # sum of 64 Ki words that lie in two pages, 16 linear pages each
    uc = machine(lib, "31c0 be00004000 b900400000 0306 83c604 49 75f8")
    pages = [0x20007 if i % 2 else 0x21007 for i in range(1024)]
    uc.mem_write(0x12000, table(*pages))
    uc.mem_write(0x20000, table(1) * 1024)
    uc.mem_write(0x21000, table(3) * 1024)
    counter = uc.counter()
    for _ in range(20):
        uc.emu_start(START, START + 20)
        assert uc.reg_read(EAX) == 0x2000 * 4
    assert counter.value == 20 * (3 + 4 * 0x4000)


def test_code_of_two_address_spaces() -> None:
    uc = machine(lib, "")
    uc.mem_write(0x13000, table(0x11007, 0x14007))
    uc.mem_write(0x14000, table(0x21007))
    uc.mem_write(0x20000, b"\x40" * 8)
    uc.mem_write(0x21000, b"\x41" * 8)
    for times in range(1, 6):
        for space in (TOP, 0x13000):
            uc.reg_write(CR3, space)
            uc.emu_start(0x400000, 0x400008)
        assert (uc.reg_read(EAX), uc.reg_read(ECX)) == (8 * times, 8 * times)


def test_stops_in_hot_code_leave_all_exact() -> None:
    # add eax, [esi]; mov [edi], eax; lea esi, [esi + 4]; and esi, 400FFCh; dec ecx; jnz
    uc = machine(lib, "0306 8907 8d7604 81e6fc0f4000 49 75f0")
    uc.mem_write(0x20000, table(*range(1024)))
    expected, place = 0, 0x400000
    for name, value in (("ESI", place), ("EDI", 0x401000), ("ECX", 1 << 30), ("EAX", 0)):
        uc.reg_write(register(lib, name), value)
    begin, done = START, 0
    for _ in range(40):
        counter = uc.counter()
        uc.emu_start(begin, 0, timeout=3000)
        begin, left = uc.reg_read(register(lib, "EIP")), uc.reg_read(ECX)
        done += counter.value
        counter.remove()
        times, rest = divmod(done, 6)
        assert (1 << 30) - left == times + (rest == 5)
        assert begin == START + (0, 2, 4, 7, 13, 14)[rest]
    whole, part = divmod(times + (rest > 0), 1024)
    expected = whole * 1023 * 512 + part * (part - 1) // 2 & 0xFFFFFFFF
    assert uc.reg_read(EAX) == expected


def test_paged_machines_leave_nothing() -> None:
    def cycle() -> Any:
        uc = machine(lib, "a110004000")
        uc.mem_map(1 << 33, 0x1000)
        uc.emu_start(START, START + 5)

    cycle()
    gc.collect()
    files = len(list(Path("/proc/self/fd").iterdir()))
    maps = len(Path("/proc/self/maps").read_text().splitlines())
    for _ in range(30):
        cycle()
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert len(Path("/proc/self/maps").read_text().splitlines()) < maps + 20
