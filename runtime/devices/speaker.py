"""PC speaker and system control port 61h (IBM PC/AT Technical Reference, *System Timers*).

Counter 2 of the timer makes the tone; bit 0 is its gate, bit 1 lets its output through.  If asked
for, what the speaker does is recorded as a WAV file: each sample is the mean of the output over its
time, so that programs that play samples by pulse width are heard, too.
"""

from __future__ import annotations

import ctypes
import wave
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import native
from runtime.bus import Bus
from runtime.clock import SECOND, Clock
from runtime.devices.counter import HZ, Counter
from runtime.system.natives import PortCode

if TYPE_CHECKING:
    import numpy as np

RATE = 44100
_GATE, _DATA, _WRITABLE = 1, 2, 15
_VALUE = 2  # of the fields of counter.py
_SILENCE, _AMPLITUDE = 128, 64
_AT_ONCE = SECOND


class Speaker:
    """Port 61h; drives the gate of a counter and listens to its output."""

    def __init__(self, bus: Bus, clock: Clock, counter: Counter) -> None:
        """Begin silent and unrecorded."""
        self._clock, self._counter = clock, counter
        self._fields = array("q", [clock.cell, counter.address, 0])
        self._address = self._fields.buffer_info()[0]
        i64 = ctypes.c_int64
        self._shown = native.arena.function("speaker_read", i64, i64, i64, keep_gil=True)
        self.recorder: Recorder | None = None
        self._before = counter.on_program
        counter.on_program = self._changed
        code = PortCode(self._address, "speaker_in")
        bus.map_ports(0x61, 1, self._read, self._write, owner="speaker", code=code)

    def reset(self) -> None:
        """Be silent."""
        self._write(0x61, 0, 1)

    def record(self, path: Path) -> None:
        """Write what is heard from now on to a WAV file; OSError if that is impossible."""
        self.recorder = Recorder(path, self._clock.now())
        self._changed()

    def close(self) -> None:
        """Finish the recording."""
        if self.recorder is not None:
            self.recorder.close(self._clock.now())
            self.recorder = None

    @property
    def value(self) -> int:
        """The bits that were written."""
        return self._fields[_VALUE]

    @property
    def frequency(self) -> float:
        """What is heard now, in Hz; 0 for silence."""
        counter = self._counter
        is_on = self.value & 3 == 3 and counter.mode == 3 and counter.start is not None
        return HZ / counter.count if is_on else 0.0

    def _read(self, port: int, size: int) -> int:
        return int(self._shown(self._address, self._clock.now()))

    def _write(self, port: int, value: int, size: int) -> None:
        self._fields[_VALUE] = value & _WRITABLE
        self._counter.set_gate(bool(value & _GATE))
        self._changed()

    def _changed(self) -> None:
        """Take note of a change of tone or level, for the recording."""
        self._before()
        if self.recorder is None:
            return
        is_high = bool(self.value & _DATA) and self._counter.output()
        period = SECOND / self.frequency if self.frequency else 0.0
        self.recorder.change(self._clock.now(), is_high=is_high, period=period)


class Recorder:
    """Turns changes of a square wave into samples of a file: 8 bits, mono."""

    def __init__(self, path: Path, now: int) -> None:
        """Begin at a time in ns, silent."""
        self._file = wave.open(str(path), "wb")  # noqa: SIM115 (closed by `close`)
        self._file.setparams((1, 1, RATE, 0, "NONE", ""))
        self._begin = self._since = now  # ns: of the file; of the present tone
        self._count = 0  # samples written
        self._level, self._period = 0.0, 0.0
        self._partial = 0.0  # time, in ns, that the output was high during the present sample

    def change(self, now: int, *, is_high: bool, period: float) -> None:
        """Let the output have a level, or a period in ns, from *now* on."""
        self._render(now)
        self._level, self._period, self._since = float(is_high), period, now

    def close(self, now: int) -> None:
        """Write the rest."""
        self._render(now)
        self._file.close()

    def _high_time(self, times: np.ndarray) -> np.ndarray:
        """Return for how long the output was high from the last change to each time."""
        import numpy as np  # takes 0.1 s, and few machines are recorded

        passed = times - self._since
        if not self._period:
            return passed * self._level
        whole, rest = np.divmod(passed, self._period)
        half = self._period / 2
        # The wave begins with a high half, or with a low one.
        part = np.minimum(rest, half) if self._level else np.maximum(rest - half, 0)
        return whole * half + part

    def _render(self, end: int) -> None:
        """Write the samples that are over at a time."""
        import numpy as np

        start = self._since
        while start < end:
            stop = min(start + _AT_ONCE, end)
            last = (stop - self._begin) * RATE // SECOND
            ends = self._begin + np.arange(self._count + 1, last + 1) * (SECOND / RATE)
            areas = np.diff(self._high_time(np.concatenate(([start], ends, [stop]))))
            areas[0] += self._partial
            self._partial = float(areas[-1])
            levels = areas[:-1] * (RATE / SECOND)
            if len(levels):
                samples = _SILENCE + levels * _AMPLITUDE
                self._file.writeframes(samples.clip(0, 255).astype(np.uint8).tobytes())
                self._count = last
            start = stop
