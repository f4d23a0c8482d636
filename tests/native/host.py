"""Code image and cases -> results of this CPU, by way of a child built from executor.c."""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np

from tests.debian import cache_root, locked
from tests.native import layout

SOURCE = Path(__file__).with_name("executor.c")
FLAGS = ("-m32", "-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-pie", "-no-pie", "-Wall")
FLAGS += ("-fno-stack-protector", "-mgeneral-regs-only", "-fno-asynchronous-unwind-tables")
FLAGS += (
    "-Wl,-Ttext-segment=0x68000000",
    "-Wl,-z,noexecstack",
    "-Wl,--build-id=none",
    "-fcf-protection=none",
)


class NativeError(Exception):
    """This machine cannot execute i386 cases; the message says what is missing."""


def build() -> Path:
    """Compile the executor once into the cache and return its path."""
    key = hashlib.sha256(SOURCE.read_bytes() + " ".join(FLAGS).encode()).hexdigest()[:12]
    target = cache_root() / f"executor-{key}"
    with locked(cache_root() / "executor.lock"):
        if target.exists():
            return target
        partial = target.with_suffix(".tmp")
        try:
            command = ["gcc", *FLAGS, "-o", partial, SOURCE]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise NativeError("gcc is not installed") from None
        if done.returncode:
            hint = "gcc -m32 fails (Debian, Ubuntu: install gcc-multilib)"
            raise NativeError(f"{hint}: {done.stderr.strip()[-300:]}")
        partial.rename(target)
    return target


class Native:
    """The child process; `run` executes a batch. Restarts after a case that killed the child."""

    def __init__(self) -> None:
        """Build the executor and share memory with it; the child starts with the first batch."""
        self.program = build()
        self.file = tempfile.TemporaryFile(  # noqa: SIM115 - lives as long as the child
            dir="/dev/shm" if os.path.isdir("/dev/shm") else None
        )
        self.file.truncate(layout.SHARED_SIZE)
        self.shared = mmap.mmap(self.file.fileno(), layout.SHARED_SIZE)
        view = np.frombuffer(self.shared, dtype=np.uint8)
        self.code = view[layout.CODE_AT : layout.CASES_AT]
        self.cases = view[layout.CASES_AT : layout.RESULTS_AT].view(layout.CASE)
        self.results = view[layout.RESULTS_AT :].view(layout.RESULT)
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Start the child with the shared file as descriptor 3."""
        shared = self.file.fileno()

        def place() -> None:
            os.dup2(shared, 3)
            os.set_inheritable(3, True)  # dup2 onto itself leaves close-on-exec set

        try:
            return subprocess.Popen(
                [self.program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                close_fds=False,
                preexec_fn=place,
            )
        except OSError as problem:
            raise NativeError(f"this machine does not run i386 programs: {problem}") from None

    def run(self, code: bytes, cases: np.ndarray) -> np.ndarray:
        """Run up to MAX_CASES cases over one code image; results hold until the next call."""
        if len(code) > layout.CODE_SIZE or len(cases) > layout.MAX_CASES:
            raise ValueError("batch too large")
        self.code[:] = layout.HALT
        self.code[: len(code)] = np.frombuffer(code, dtype=np.uint8)
        self.cases[: len(cases)] = cases
        if self.child is None or self.child.poll() is not None:
            self.child = self.start()
        child = self.child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(struct.pack("<I", len(cases)))
            answer = child.stdout.read(1)
        except BrokenPipeError:
            answer = b""
        if not answer:
            status = child.wait()
            self.child = None
            raise NativeError(f"the native executor ended with status {status}")
        return self.results[: len(cases)]

    @property
    def has_low(self) -> bool:
        """Whether the low region could be mapped (vm.mmap_min_addr)."""
        return bool(self.shared[0])

    def close(self) -> None:
        """End the child."""
        if self.child is not None and self.child.stdin and self.child.stdout:
            self.child.stdin.close()
            self.child.stdout.close()
            self.child.wait()
            self.child = None

    def __enter__(self) -> Native:
        """Return the machine itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the child."""
        self.close()
