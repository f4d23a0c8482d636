"""Guest code faults on purpose: our handlers of faults come back when others have taken them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.running import REPOSITORY

# signal() keeps the function but not its flags when a library looks at the handler and puts it
# back, as SDL does; others leave their own.
TAKE = """
import ctypes, signal
libc = ctypes.CDLL(None)
libc.signal.restype, libc.signal.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
for number in (signal.SIGSEGV, signal.SIGBUS):
    old = libc.signal(number, 0)
    if {again}:
        libc.signal(number, old)
"""
MACHINE = """
from runtime.clock import Clock, HostTime
from runtime.machines.loop import Loop
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
physical = Physical(2 << 20)
processor = Processor(Linear(physical), "stencil")
physical.write(0, bytes.fromhex("c706007034 12 fa f4"))  # mov word [7000h], 1234h; cli; hlt
loop = Loop(processor, Clock(HostTime()))
{take}
assert loop.run(0.3) == "timeout"
assert physical.load(0x7000, 16) == 0x1234
"""
EMBEDDED = """
import jitemu.unicorn
from jitemu.unicorn import *
{take}
uc = Uc(UC_ARCH_X86, UC_MODE_32)
uc.mem_map(0x1000, 0x1000)
uc.mem_write(0x1000, bytes.fromhex("c6050018000040 40"))  # its page holds code
uc.emu_start(0x1000, 0x1008)
assert uc.mem_read(0x1800, 1) == b"@"
"""


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("program", [MACHINE, EMBEDDED])
def test_handlers_come_back(program: str, *, again: bool) -> None:
    code = program.format(take=TAKE.format(again=again))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
