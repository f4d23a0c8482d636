"""Debian's kernel to the end of its init script: `jitemu boot` against qemu-system-i386 -accel tcg.

Both get the same kernel, initramfs, memory and options, as the shared suite linux_boot describes
them, without firmware of ours.  Each round runs all of them, one after the other; ratios are taken
within a round.  Processor time is that of all processes, user and system.

    python -m benchmarks.boot [--rounds N] [--state cold|built|warm]...

cold: nothing is compiled. built: an empty cache behind `jitemu cache build`, which is timed, too.
warm: two runs came before.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.inside import find_files
from benchmarks.progress import progress
from benchmarks.workload import UnavailableError

APPEND = "console=ttyS0 panic=-1 noapic nolapic"
MEMORY = 128  # MiB
STATES = ("cold", "built", "warm")
_QEMU = "qemu-system-i386"
_ROOT = Path(__file__).resolve().parent.parent
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER, linux/prctl.h


class BootError(Exception):
    """A machine did not come to its end, or said something else."""


class Taken(NamedTuple):
    """What a run took, in seconds."""

    wall: float
    cpu: float


def execute(
    command: Sequence[str], environment: Mapping[str, str], limit: float
) -> tuple[Taken, str]:
    """Run a command and all that it starts; return what it took and printed. BootError."""
    # Processes whose parent ends first are waited for, too: a compiler of regions.
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        timer = threading.Timer(limit, process.kill)
        timer.start()
        wall = cpu = 0.0
        status = 0
        while True:
            try:
                pid, ended, usage = os.wait4(-1, 0)
            except ChildProcessError:
                break
            cpu += usage.ru_utime + usage.ru_stime
            if pid == process.pid:
                wall, status = time.perf_counter() - begun, ended
                process.returncode = os.waitstatus_to_exitcode(status)
        timer.cancel()
        out.seek(0)
        err.seek(0)
        output = out.read().decode(errors="replace")
        if status:
            said = err.read().decode(errors="replace").strip()[-300:]
            raise BootError(f"{command[0]} ended with {process.returncode}: {said}")
    return Taken(wall, cpu), output


def tail(output: str) -> list[str]:
    """Return what the init script said; the processor's name differs."""
    lines = [line.strip() for line in output.replace("\r", "").splitlines()]
    said = [line for line in lines if line and not line.startswith("[")]
    if "INIT-START" not in said:
        raise BootError(f"no shell was reached: {output[-300:]!r}")
    said = said[said.index("INIT-START") :]
    return [line for line in said if not line.startswith("model name")]


class Boot:
    """The files of one measurement, and how each peer runs."""

    def __init__(self, folder: Path, kernel: Path, initrd: Path, limit: float) -> None:
        self.folder, self.limit = folder, limit
        files = ["-kernel", str(kernel), "-initrd", str(initrd), "-append", APPEND]
        self.options = [*files, "-m", str(MEMORY), "-no-reboot", "-display", "none"]
        self.options += ["-serial", "stdio"]
        for name in ("cache", "nothing"):
            (folder / name).mkdir(mode=0o700)

    def qemu(self) -> tuple[Taken, str]:
        """Run QEMU, with a processor that such a kernel runs on."""
        machine = [_QEMU, "-accel", "tcg", "-cpu", "pentium3"]
        return execute([*machine, *self.options], os.environ, self.limit)

    def jitemu(self, state: str) -> tuple[Taken, str]:
        """Run this checkout, with a cache in some state."""
        command = [sys.executable, "-m", "jitemu", "boot", *self.options]
        if state == "warm":
            return execute(command, self._environment("cache", "nothing"), self.limit)
        with tempfile.TemporaryDirectory(dir=self.folder) as empty:
            built = "built" if state == "built" else "nothing"
            return execute(command, self._environment(Path(empty).name, built), self.limit)

    def build(self) -> Taken:
        """Run `jitemu cache build`."""
        command = [sys.executable, "-m", "jitemu", "cache", "build"]
        return execute(command, self._environment("cache", "built"), self.limit)[0]

    def _environment(self, cache: str, built: str) -> dict[str, str]:
        own = {"PYTHONPATH": str(_ROOT), "JITEMU_CACHE": str(self.folder / cache)}
        return {**os.environ, **own, "JITEMU_BUILT": str(self.folder / built)}


def suite() -> Path:
    """Return where the init script and what it says are. UnavailableError."""
    named = os.environ.get("JITEMU_SUITES")
    found = Path(named or _ROOT.parent / "shared" / "suites") / "linux_boot"
    if not found.exists():
        raise UnavailableError(f"{found} is missing (set JITEMU_SUITES)")
    return found


def files(options: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Return kernel and initramfs. UnavailableError."""
    from tests.boot.linux import initramfs

    script = suite() / "init.sh"
    if shutil.which(_QEMU) is None:
        raise UnavailableError(f"{_QEMU} is missing (Debian package qemu-system-x86)")
    if options.kernel and options.busybox:
        kernel, busybox = options.kernel, options.busybox
    else:
        kernel, busybox = find_files()
    target = folder / "initrd"
    target.write_bytes(initramfs(script.read_bytes(), busybox.read_bytes()))
    return kernel, target


def race(
    boot: Boot, states: Sequence[str], rounds: int, expected: list[str]
) -> dict[str, list[Taken]]:
    """Run all peers in turn; return what each took. BootError."""
    found: dict[str, list[Taken]] = {name: [] for name in ("qemu", *states)}
    with progress(2 * ("warm" in states) + rounds * len(found)) as step:

        def run(name: str) -> Taken:
            step(name)
            taken, output = boot.qemu() if name == "qemu" else boot.jitemu(name)
            said = tail(output)
            if said != expected:
                raise BootError(f"{name} said {said}, expected is {expected}")
            return taken

        for _ in range(2 if "warm" in states else 0):
            run("warm")
        for _ in range(rounds):
            for name, taken in found.items():
                taken.append(run(name))
    return found


def report(found: Mapping[str, Sequence[Taken]]) -> None:
    """Print medians, and the medians of the ratios to QEMU."""
    print(f"{'':8}{'wall':>9}{'ratio':>8}{'processor':>12}{'ratio':>8}")
    for name, runs in found.items():
        pairs = list(zip(runs, found["qemu"], strict=True))
        wall, cpu = median(r.wall for r in runs), median(r.cpu for r in runs)
        by_wall = median(r.wall / q.wall for r, q in pairs)
        by_cpu = median(r.cpu / q.cpu for r, q in pairs)
        print(f"{name:8}{wall:8.2f}s{by_wall:8.2f}{cpu:11.2f}s{by_cpu:8.2f}")


def main() -> int:
    """Print what booting takes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.boot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--state", action="append", choices=STATES, help="default: all")
    parser.add_argument("--kernel", type=Path, help="default: Debian's, fetched by apt-get")
    parser.add_argument("--busybox", type=Path, help="a static i386 one; default: Debian's")
    parser.add_argument("--limit", type=float, default=600, help="seconds for one run")
    options = parser.parse_args()
    states = [state for state in STATES if state in (options.state or STATES)]
    with tempfile.TemporaryDirectory() as place:
        try:
            boot = Boot(Path(place), *files(options, Path(place)), options.limit)
            expected = tail((suite() / "expected_tail.txt").read_text())
            if "built" in states:
                taken = boot.build()
                print(f"cache build: {taken.wall:.2f} s, {taken.cpu:.2f} s of processor time")
            report(race(boot, states, options.rounds, expected))
        except (UnavailableError, BootError) as error:
            print(f"benchmarks.boot: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
