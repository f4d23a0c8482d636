"""Port 61h and the speaker on a bare bus, with a timer."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from runtime.bus import Bus, Line
from runtime.clock import SECOND, Clock, CountedTime
from runtime.devices.pit import Pit
from runtime.devices.speaker import RATE, Speaker
from runtime.system.physical import Physical


class Parts:
    """A timer and a speaker."""

    def __init__(self) -> None:
        self.bus, self.time = Bus(Physical(1 << 16)), CountedTime(lambda: 0)
        clock = Clock(self.time)
        self.pit = Pit(self.bus, Line(), clock)
        self.speaker = Speaker(self.bus, clock, self.pit.counters[2])

    def wait(self, ns: int) -> None:
        self.time.skip_to(self.time.now() + ns)

    def tone(self, count: int) -> None:
        self.bus.port_out(0x43, 0xB6, 1)
        self.bus.port_out(0x42, count & 0xFF, 1)
        self.bus.port_out(0x42, count >> 8, 1)


def samples(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        assert file.getparams()[:3] == (1, 1, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), dtype=np.uint8)


def test_port_61h() -> None:
    """Bits 0 to 3 are kept, bit 4 toggles with refresh, bit 5 shows OUT."""
    parts = Parts()
    port_in = parts.bus.port_in
    parts.bus.port_out(0x61, 0xFF, 1)
    assert port_in(0x61, 1) & 0xCF == 0x0F
    seen = set()
    for _ in range(10):
        parts.wait(15085)
        seen.add(port_in(0x61, 1) & 0x10)
    assert seen == {0, 0x10}
    parts.tone(1000)
    highs = 0
    for _ in range(100):
        parts.wait(SECOND // 119318)  # a hundredth of the period
        highs += port_in(0x61, 1) >> 5 & 1
    assert 45 <= highs <= 55
    assert 1190 < parts.speaker.frequency < 1196
    parts.bus.port_out(0x61, 0, 1)
    assert parts.speaker.frequency == 0
    assert not parts.pit.counters[2].gate


def test_a_recorded_tone(tmp_path: Path) -> None:
    """A second of silence, one of 440 Hz, one of silence."""
    parts = Parts()
    parts.speaker.record(tmp_path / "tone.wav")
    parts.wait(SECOND)
    parts.tone(2712)
    parts.bus.port_out(0x61, 3, 1)
    parts.wait(SECOND)
    parts.bus.port_out(0x61, 0, 1)
    parts.wait(SECOND)
    parts.speaker.close()
    heard = samples(tmp_path / "tone.wav")
    assert abs(len(heard) - 3 * RATE) <= 1
    assert set(heard[: RATE - 1]) == {128} == set(heard[2 * RATE + 1 :])
    tone = heard[RATE + 1 : 2 * RATE - 1].astype(float)
    spectrum = np.abs(np.fft.rfft(tone - tone.mean()))
    assert abs(int(spectrum.argmax()) - 440) <= 1


def test_samples_by_pulse_width(tmp_path: Path) -> None:
    """Bit 1 switched faster than the recording's rate gives levels in between."""
    parts = Parts()
    parts.speaker.record(tmp_path / "pwm.wav")
    for duty in (1, 3):
        for _ in range(8000):
            parts.bus.port_out(0x61, 2, 1)
            parts.wait(duty * 5000)
            parts.bus.port_out(0x61, 0, 1)
            parts.wait((4 - duty) * 5000)
    parts.speaker.close()
    heard = samples(tmp_path / "pwm.wav").astype(float)
    half = len(heard) // 2
    assert abs(heard[: half - 2].mean() - (128 + 64 / 4)) < 1.5
    assert abs(heard[half + 2 :].mean() - (128 + 64 * 3 / 4)) < 1.5
