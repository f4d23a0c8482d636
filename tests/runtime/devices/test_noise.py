"""Random traffic at the ports of serial port, parallel port and speaker: nothing is raised."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from runtime.bus import Bus, Line
from runtime.clock import Clock, CountedTime
from runtime.devices.parallel import Parallel
from runtime.devices.pit import Pit
from runtime.devices.speaker import Speaker
from runtime.devices.uart import Uart
from runtime.system.physical import Physical

PORTS = [*range(0x3F8, 0x400), *range(0x378, 0x37B), 0x61, *range(0x40, 0x44)]


@pytest.mark.parametrize("seed", range(3))
def test_random_traffic(seed: int, tmp_path: Path) -> None:
    """Reads fit their size; input, output and lines from outside come in between."""
    rng, bus, time = random.Random(seed), Bus(Physical(1 << 16)), CountedTime(lambda: 0)
    clock, out = Clock(time), bytearray()
    uart = Uart(bus, Line(), clock, on_output=out.extend)
    Parallel(bus, Line(), clock, on_output=out.extend)
    speaker = Speaker(bus, clock, Pit(bus, Line(), clock).counters[2])
    speaker.record(tmp_path / "noise.wav")
    for _ in range(6000):
        port, size = rng.choice(PORTS), rng.choice((1, 1, 1, 2, 4))
        if rng.random() < 0.5:
            assert 0 <= bus.port_in(port, size) < 1 << 8 * size
        else:
            bus.port_out(port, rng.getrandbits(8 * size), size)
        if rng.random() < 0.1:
            uart.receive(rng.randbytes(rng.randrange(40)))
        if rng.random() < 0.05:
            uart.set_lines(rng.getrandbits(8))
        if rng.random() < 0.05:
            bus.write_stream(0x3F8, rng.randbytes(9), rng.choice((1, 2)))
        time.skip_to(time.now() + rng.randrange(100_000))
        clock.run_due()
    speaker.close()
    assert out
