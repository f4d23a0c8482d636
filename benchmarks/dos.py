"""CPU-bound DOS programs, under jitemu and under DOSBox in one run.

Programs are compiled by Debian's bcc, or assembled by nasm.  What counts is processor time; that
of a run that does nothing but start is taken off.  DOSBox: core=dynamic, cycles=max.

    python -m benchmarks.dos [--rounds N] [--scale S] [--drawing] [KERNEL...]

Kernels of dos/drawing are about the display adapter: planes, latches, the palette.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.progress import progress

_SOURCES = Path(__file__).with_name("dos")
_ROUNDS = 200  # what the sources multiply their loops by, at scale 1
_CONFIG = """\
[cpu]
core=dynamic
cycles=max
[autoexec]
mount c {folder}
c:
{program} > OUT.TXT
exit
"""


class UnavailableError(Exception):
    """Something that is needed is missing."""


def build(source: Path, folder: Path, rounds: int) -> Path:
    """Make a .COM program; UnavailableError."""
    target = folder / f"{source.stem.upper()[:7]}{'1' if rounds else '0'}.COM"
    command: list[str | Path]
    if source.suffix == ".c":
        command = ["bcc", "-Md", "-0", "-O", f"-DROUNDS={rounds}", "-o", target.name, source]
    else:
        # An assembled loop runs once at least.
        defines = f"-DROUNDS={rounds or 1}"
        command = ["nasm", "-f", "bin", "-I", f"{_SOURCES}/", defines, "-o", target.name, source]
    if shutil.which(str(command[0])) is None:
        raise UnavailableError(f"{command[0]} is missing (Debian packages bcc and nasm)")
    subprocess.run(command, check=True, cwd=folder)
    return target


def seconds(command: Sequence[str | Path], folder: Path, **env: str) -> tuple[float, bytes]:
    """Run a command; return its processor time in s and what it printed. CalledProcessError."""
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(map(str, command)))
    return usage.ru_utime + usage.ru_stime, output


def ours(program: Path) -> tuple[float, bytes]:
    """Run a program under jitemu."""
    command = [sys.executable, "-m", "jitemu", "run", program.name]
    root = Path(__file__).resolve().parent.parent
    return seconds(command, program.parent, PYTHONPATH=str(root))


def theirs(program: Path) -> tuple[float, bytes]:
    """Run it under DOSBox."""
    config = program.with_suffix(".conf")
    config.write_text(_CONFIG.format(folder=program.parent, program=program.name))
    quiet = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    spent, _ = seconds(["dosbox", "-conf", config], program.parent, **quiet)
    return spent, (program.parent / "OUT.TXT").read_bytes()


def main() -> int:
    """Print processor seconds of each kernel under both, and the ratio."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--drawing", action="store_true", help="programs that draw")
    parser.add_argument("kernels", nargs="*", help="default: all")
    options = parser.parse_args()
    folder = _SOURCES / "drawing" if options.drawing else _SOURCES
    sources = sorted(path for path in folder.iterdir() if path.suffix in (".c", ".asm"))
    chosen = [path for path in sources if not options.kernels or path.stem in options.kernels]
    if shutil.which("dosbox") is None:
        print("benchmarks.dos: dosbox is missing", file=sys.stderr)
        return 1
    ratios = []
    with tempfile.TemporaryDirectory() as place, progress(len(chosen) * options.rounds) as step:
        folder = Path(place)
        for source in chosen:
            try:
                work = build(source, folder, round(_ROUNDS * options.scale))
                idle = build(source, folder, 0)
            except UnavailableError as error:
                print(f"benchmarks.dos: {error}", file=sys.stderr)
                return 1
            found: dict[str, list[float]] = {"ours": [], "theirs": []}
            for number in range(options.rounds + 1):  # the first fills the caches
                step(source.stem)
                mine, output = ours(work)
                other, expected = theirs(work)
                if output != expected:
                    print(f"{source.stem}: {output!r} differs from {expected!r}", file=sys.stderr)
                    return 1
                if number:
                    found["ours"].append(mine - ours(idle)[0])
                    found["theirs"].append(other - theirs(idle)[0])
            mine, other = median(found["ours"]), median(found["theirs"])
            ratios.append(other / max(mine, 1e-3))
            print(
                f"{source.stem:10} jitemu {mine:7.3f} s  DOSBox {other:7.3f} s "
                f" times as fast {ratios[-1]:6.2f}",
                flush=True,
            )
    print(f"{'mean':10} {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
