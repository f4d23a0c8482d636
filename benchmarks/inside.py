"""Kernels inside Debian's kernel on a machine: `jitemu boot` against qemu-system-i386 -accel tcg.

Both start the same Linux with the same initramfs and options; a shell there runs one kernel after
the other.  Two clocks are read.  *guest*: the processor time of the second half of its work that
the kernel reads inside the guest.  *host*: the processor time that the emulator's process took
between the lines on the serial port which begin and end that half, and which no guest clock can
bend; on a busy host it is the one to trust.  A kernel must print what it prints natively.

    python -m benchmarks.inside [--scale S] [--rounds N] [KERNEL...]
"""

from __future__ import annotations

import argparse
import gzip
import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.kernels import KERNELS
from benchmarks.progress import progress
from benchmarks.workload import Settings, Task, UnavailableError, Workload

_APPEND = "console=ttyS0 panic=-1 noapic nolapic quiet"
_MEMORY = 512  # MiB
# What a class of kernels is asked to do: emulated floating point is slow.
_SCALES = {"integer": 1.0, "sse2": 0.5, "x87": 0.3}
_DIRECTORY, _FILE = 0o040755, 0o100755
_SHELL = "#!/bin/busybox sh\n/bin/busybox mount -t proc proc /proc\n"
_RUN = "echo BEGIN {name}; /{program} {argument} mark; echo END {name} $?\n"
_END = "/bin/busybox poweroff -f\n"
_QEMU = "qemu-system-i386"
_ROOT = Path(__file__).resolve().parent.parent


class GuestError(Exception):
    """A machine did not do what it was asked for."""


class Steady(NamedTuple):
    """What the second half of a kernel took, in seconds of processor time."""

    guest: float
    host: float


class Outcome(NamedTuple):
    """What one kernel printed, and how long it took."""

    output: str
    steady: Steady


class Chosen(NamedTuple):
    """A kernel to run, built, and what it prints natively."""

    kernel: Workload
    task: Task
    expected: str


def processor_seconds(pid: int) -> float:
    """Return what a process, all of its threads, has taken so far (clock_getcpuclockid(3))."""
    return time.clock_gettime(~pid << 3 | 2)


def find_files() -> tuple[Path, Path]:
    """Return Debian's kernel and busybox, fetched where they are not in the user's cache."""
    from jitemu.sysroot import SysrootError
    from tests.boot import linux

    hint = "give --kernel and --busybox"
    if not linux.has_tools():
        raise UnavailableError(f"no kernel to boot, apt-get or dpkg-deb is missing: {hint}")
    try:
        return linux.boot_files()
    except SysrootError as error:
        raise UnavailableError(f"no kernel to boot ({error}): {hint}") from None


def initramfs(busybox: Path, chosen: Sequence[Chosen]) -> bytes:
    """Return an initramfs that runs the kernels and switches the machine off."""
    from tests.boot.linux import cpio

    lines = [
        _RUN.format(name=kernel.name, program=f"k/{Path(task.program).name}", argument=task.args[0])
        for kernel, task, _ in chosen
    ]
    entries = [(name, _DIRECTORY, b"") for name in ("bin", "proc", "sys", "dev", "k")]
    entries += [
        ("init", _FILE, "".join((_SHELL, *lines, _END)).encode()),
        ("bin/busybox", _FILE, busybox.read_bytes()),
    ]
    for program in {task.program: None for _, task, _ in chosen}:
        entries.append((f"k/{Path(program).name}", _FILE, Path(program).read_bytes()))
    return gzip.compress(cpio(entries), 1, mtime=0)


def boot(
    command: Sequence[str], limit: float, step: Callable[[str], None] = lambda text: None
) -> dict[str, Outcome]:
    """Run a machine whose serial port is stdout; return what each kernel did. GuestError."""
    found: dict[str, Outcome] = {}
    said: list[str] = []
    name, begun, spent, inside = "", 0.0, 0.0, 0.0
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        timer = threading.Timer(limit, process.kill)
        timer.start()
        try:
            for raw in process.stdout:
                now = processor_seconds(process.pid)
                line = raw.decode(errors="replace").strip()
                word, _, rest = line.partition(" ")
                if word == "BEGIN":
                    name, said = rest, []
                    step(name)
                elif word == "half":
                    begun = now
                elif word == "steady_ns":
                    spent, inside = now - begun, int(rest) / 1e9
                elif word == "END":
                    if rest != f"{name} 0" or not inside:
                        raise GuestError(f"{rest}: it failed: {' '.join(said)[-200:]}")
                    found[name] = Outcome("\n".join(said), Steady(inside, spent))
                    inside = 0.0
                else:
                    said.append(line)
        finally:
            timer.cancel()
            process.kill()
    if not found:
        raise GuestError(f"{command[0]}: no kernel ran: {' '.join(said)[-300:]}")
    return found


def natively(task: Task) -> str:
    """Run a kernel on this host; return what it prints."""
    done = subprocess.run([task.program, *task.args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"{Path(task.program).name} does not run here, natively")
    return done.stdout.strip()


def prepare(names: Sequence[str], settings: Settings) -> list[Chosen]:
    """Build the kernels."""
    chosen = []
    for kernel in KERNELS:
        if not names or kernel.name in names or kernel.group in names:
            scaled = Settings(settings.folder, settings.scale * _SCALES[kernel.group])
            scaled.built.update(settings.built)
            task = kernel.prepare(scaled)
            settings.built.update(scaled.built)
            chosen.append(Chosen(kernel, task, natively(task)))
    if not chosen:
        raise UnavailableError("no such kernel; there are " + ", ".join(k.name for k in KERNELS))
    return chosen


def compare(ours: Outcome, theirs: Outcome, expected: str, name: str) -> None:
    """Check results. GuestError."""
    for who, outcome in (("jitemu", ours), (_QEMU, theirs)):
        if outcome.output != expected:
            raise GuestError(f"{name}: {who} prints {outcome.output!r}, not {expected!r}")


def mean(values: Sequence[float]) -> float:
    """Return the geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def report(chosen: Sequence[Chosen], rounds: Sequence[tuple[dict[str, Outcome], ...]]) -> None:
    """Print a line for each kernel, and means."""
    means: dict[str, list[tuple[float, float]]] = {}
    print(f"{'':14}{'jitemu':>18}{'QEMU':>20}{'times as fast':>18}")
    print(f"{'':14}{'guest':>10}{'host':>10}{'guest':>10}{'host':>10}{'guest':>9}{'host':>9}")
    for kernel, _, _ in chosen:
        pairs = [(mine[kernel.name].steady, other[kernel.name].steady) for mine, other in rounds]
        ratios = (
            median(b.guest / a.guest for a, b in pairs),
            median(b.host / max(a.host, 1e-3) for a, b in pairs),
        )
        means.setdefault(kernel.group, []).append(ratios)
        times = [median(pair[who][clock] for pair in pairs) for who in (0, 1) for clock in (0, 1)]
        cells = "".join(f"{seconds:8.3f} s" for seconds in times)
        print(f"{kernel.name:14}{cells}{ratios[0]:9.2f}{ratios[1]:9.2f}", flush=True)
    for group, found in means.items():
        guest, host = mean([ratio[0] for ratio in found]), mean([ratio[1] for ratio in found])
        print(f"{group + ', mean':14}{'':40}{guest:9.2f}{host:9.2f}")


def main() -> int:
    """Print what each kernel takes under both, and the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inside", description=__doc__)
    parser.add_argument("--scale", type=float, default=0.4, help="1: a second natively")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=900, help="seconds for one machine")
    parser.add_argument("--kernel", type=Path, help="a bzImage (default: Debian's)")
    parser.add_argument("--busybox", type=Path, help="a static i386 busybox (default: Debian's)")
    parser.add_argument("kernels", nargs="*", metavar="KERNEL", help="or a class; default: all")
    options = parser.parse_args()
    if shutil.which(_QEMU) is None:
        print(f"benchmarks.inside: {_QEMU} is missing", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory() as place:
            return _measure(options, Path(place))
    except (UnavailableError, GuestError, OSError) as error:
        print(f"benchmarks.inside: {error}", file=sys.stderr)
        return 1


def _measure(options: argparse.Namespace, folder: Path) -> int:
    chosen = prepare(options.kernels, Settings(folder=folder, scale=options.scale))
    kernel, busybox = options.kernel, options.busybox
    if kernel is None or busybox is None:
        found = find_files()
        kernel, busybox = kernel or found[0], busybox or found[1]
    image = folder / "initrd.gz"
    image.write_bytes(initramfs(busybox, chosen))
    words = ["-kernel", str(kernel), "-initrd", str(image), "-append", _APPEND]
    words += ["-m", str(_MEMORY), "-nographic", "-no-reboot"]
    ours = [sys.executable, "-m", "jitemu", "boot", *words]
    theirs = [_QEMU, "-accel", "tcg", *words]
    rounds = []
    # The first boot of ours fills the caches.
    with progress((2 * options.rounds + 1) * len(chosen)) as step:
        boot(ours, options.limit, lambda name: step(f"first {name}"))
        for _ in range(options.rounds):
            mine = boot(ours, options.limit, lambda name: step(f"jitemu {name}"))
            other = boot(theirs, options.limit, lambda name: step(f"QEMU {name}"))
            for one, _, expected in chosen:
                if one.name not in mine or one.name not in other:
                    raise GuestError(f"{one.name} did not run in {options.limit:.0f} s (--limit)")
                compare(mine[one.name], other[one.name], expected, one.name)
            rounds.append((mine, other))
    report(chosen, rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
