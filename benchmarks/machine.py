"""The machine and the versions that a measurement depends on."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from benchmarks.peers import CHECKOUT


def _first_line(*command: str) -> str | None:
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [""])[0] if done.returncode == 0 else None


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _package(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def describe() -> dict[str, object]:
    """Return what a reader of the results needs to know."""
    from jitemu import __version__

    commit = _first_line("git", "-C", str(CHECKOUT), "rev-parse", "--short", "HEAD")
    return {
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "load": [round(value, 2) for value in os.getloadavg()],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "jitemu": __version__,
        "commit": commit,
        "gcc": _first_line("gcc", "--version"),
        "qemu-i386": _first_line("qemu-i386", "--version"),
        "llvmlite": _package("llvmlite"),
        "unicorn": _package("unicorn"),
    }
