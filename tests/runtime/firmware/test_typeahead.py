"""A long text typed at a guest that reads slowly comes whole, though its BIOS keeps 15 keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from jitemu.machine import Machine
from runtime.firmware.typeahead import key_reader
from runtime.system.physical import Physical
from tests.assembling import assemble

pytestmark = pytest.mark.particular
SOURCE = """
        xor ax, ax
        mov ds, ax
        mov al, '!'
        out 0xe9, al
next:   mov bx, [0x46c]         # eight ticks of the timer
        add bx, 8
wait:   hlt
        cmp [0x46c], bx
        jb wait
more:   mov ah, 1
        int 0x16
        jz next
        mov ah, 0
        int 0x16
        out 0xe9, al
        jmp more
"""


def test_the_buffer() -> None:
    """Equal pointers: empty; nonsense: nobody knows, so yes."""
    physical = Physical(4096)
    is_ready = key_reader(physical)
    assert is_ready()
    physical.write(0x41A, bytes.fromhex("1e002000"))
    assert not is_ready()
    physical.write(0x41A, bytes.fromhex("20002000"))
    assert is_ready()
    physical.write(0x41A, bytes.fromhex("efbeadde"))
    assert is_ready()


def test_no_key_is_lost(tmp_path: Path) -> None:
    """70 characters in bursts: more than the buffer holds."""
    image = tmp_path / "x.img"
    sector = assemble(SOURCE, 0x7C00).ljust(510, b"\0") + b"\x55\xaa"
    image.write_bytes(sector.ljust(1440 << 10, b"\0"))
    text, found = (
        "the quick brown fox jumps over the lazy dog, and then 0123456789 again",
        bytearray(),
    )
    with Machine(fda=f"{image},format=raw", boot="a", memory=4 << 20, clock="icount") as machine:

        def told(port: int, value: int, size: int) -> None:
            found.append(value)

        machine.pc.bus.map_ports(0xE9, 1, lambda port, size: 0xE9, told, owner="test")
        machine.run(30, until=lambda: bool(found))
        machine.type(text)
        machine.run(60, until=lambda: len(found) > len(text))
    assert found.decode() == "!" + text
