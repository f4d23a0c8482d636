"""CPU models: which opcodes there are, what CPUID says, what old processors do otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from jitemu import unicorn as lib
from jitemu.unicorn import x86_const as x86
from tests.unicorn.referee import unicorn
from tests.unicorn.scenarios import CODE, register

pytestmark = pytest.mark.particular
# Opcodes whose presence Unicorn, too, makes depend on the model.
CODES = {
    "cmov": "0f44c1", "bswap": "0fc8", "cmpxchg8b": "0fc70d08001000",
    "fcomi": "dbf1", "ssse3": "660f3800c1", "popcnt": "f30fb8c1", "sse4_1": "660f3817c1",
    "crc32": "f20f38f0c1", "aes": "660f38dcc1", "sse2": "660f28c1", "ud2": "0f0b",
}  # fmt: skip


def runs(library: Any, model: int | str, code: str) -> bool:
    uc = library.Uc(4, 4)
    uc.ctl_set_cpu_model(model)
    uc.mem_map(CODE, 0x1000)
    uc.mem_write(CODE, bytes.fromhex(code))
    try:
        uc.emu_start(CODE, CODE + len(bytes.fromhex(code)), count=1)
        return True
    except library.UcError as error:
        return error.errno != lib.UC_ERR_INSN_INVALID


@pytest.mark.parametrize("name", ["486", "PENTIUM", "PENTIUM2", "PENTIUM3", "HASWELL"])
def test_opcodes(name: str) -> None:
    model = getattr(x86, "UC_CPU_X86_" + name)
    for code in CODES.values():
        assert (code, runs(lib, model, code)) == (code, runs(unicorn(), model, code))


def test_cpuid() -> None:
    found = {}
    for model in ("pentium", "pentium3", "max"):
        uc = lib.Uc(4, 4, model)
        uc.mem_map(0, 0x1000)
        uc.mem_write(0, bytes.fromhex("0fa2"))
        uc.reg_write(register(lib, "EAX"), 1)
        uc.emu_start(0, 2)
        found[model] = uc.reg_read(register(lib, "EAX")), uc.reg_read(register(lib, "EDX"))
    assert found["pentium"] == (0x52C, 0x139)
    assert found["pentium3"][0] == 0x683
    assert found["max"][1] & 1 << 26
    assert not runs(lib, "486", "0fa2")
    assert not runs(lib, "pentium3", "0f01f9")  # rdtscp


def test_old_processors() -> None:
    values = {}
    for model in ("8086", "286", "386", "max"):
        uc = lib.Uc(4, lib.UC_MODE_16, model)
        uc.mem_map(0, 0x10000)
        # push sp; pop bx; mov cl, 33; mov ax, 2; shl ax, cl; pushf; pop dx
        uc.mem_write(0x1000, bytes.fromhex("54 5b b121 b80200 d3e0 9c 5a f4"))
        uc.reg_write(register(lib, "SP"), 0x800)
        uc.emu_start(0x1000, 0x100B)
        values[model] = [uc.reg_read(register(lib, name)) for name in ("BX", "AX", "DX")]
    assert [found[0] for found in values.values()] == [0x7FE, 0x800, 0x800, 0x800]
    assert [found[1] for found in values.values()] == [0, 4, 4, 4]
    assert [found[2] >> 12 for found in values.values()] == [15, 0, 0, 0]


def test_wrong_models() -> None:
    for wrong in (-1, x86.UC_CPU_X86_ENDING, 1000, "z80"):
        with pytest.raises(lib.UcError):
            lib.Uc(4, 4).ctl_set_cpu_model(wrong)
    uc = lib.Uc(4, 4)
    uc.mem_map(0, 0x1000)
    with pytest.raises(lib.UcError):
        uc.ctl_set_cpu_model("386")
