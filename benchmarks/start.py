"""Short programs: what it costs to start one."""

from __future__ import annotations

from benchmarks.kernels import build
from benchmarks.programs import find_sysroot
from benchmarks.workload import Settings, Task, UnavailableError, Workload


def _hello(settings: Settings) -> Task:
    return Task(str(build("hello", settings)))


def _of_sysroot(name: str, what: str, path: str, *args: str) -> Workload:
    def prepare(settings: Settings) -> Task:
        root = find_sysroot(settings)
        if not (root / path.lstrip("/")).exists():
            raise UnavailableError(f"{root} has no {path}")
        return Task(path, args, root)

    return Workload(name, "start", prepare, what)


STARTS = [
    Workload("hello", "start", _hello, "a static C program"),
    _of_sysroot("echo", "a dynamic C program", "/usr/bin/echo", "hello"),
    _of_sysroot("bash", "bash -c :", "/usr/bin/bash", "-c", ":"),
    _of_sysroot("python3", "python3 -c pass", "/usr/bin/python3", "-c", "pass"),
]
