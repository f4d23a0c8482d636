"""/proc/cpuinfo -> what the host's processor can do, and so which later insns guests may use.

Names are those of Linux. The baseline of every x86-64 host, and SSSE3, are not listed.
"""

from __future__ import annotations

import os

# Extensions whose insns need no help of the host, and those that its own units compute.
PORTABLE = ("popcnt", "abm", "bmi1", "bmi2", "adx", "movbe", "movdiri", "movdir64b")
HOSTED = ("sse4_1", "sse4_2", "aes", "pclmulqdq", "sha_ni", "gfni")
# What compiled code may use where the host has it -> LLVM's name.
LLVM_NAMES = {
    "sse4_1": "sse4.1",
    "sse4_2": "sse4.2",
    "popcnt": "popcnt",
    "abm": "lzcnt",
    "bmi1": "bmi",
    "bmi2": "bmi2",
    "aes": "aes",
    "pclmulqdq": "pclmul",
    "sha_ni": "sha",
    "gfni": "gfni",
}
_FIRST = 8192  # bytes of /proc/cpuinfo that hold the first processor's flags


def flags(text: bytes) -> frozenset[str]:
    """Return the known names among the flags of the first processor."""
    for line in text.splitlines():
        name, _, words = line.decode("ascii", "replace").partition(":")
        if name.strip() == "flags":
            return frozenset(words.split()) & LLVM_NAMES.keys()
    return frozenset()


def _read() -> frozenset[str]:
    try:
        fd = os.open("/proc/cpuinfo", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return frozenset()
    try:
        return flags(os.read(fd, _FIRST))
    except OSError:
        return frozenset()
    finally:
        os.close(fd)


def offered(host: frozenset[str]) -> frozenset[str]:
    """Return the extensions that guests of a host have."""
    return frozenset(PORTABLE) | host & frozenset(HOSTED)


HOST = _read()
GUEST = offered(HOST)


def llvm_features() -> str:
    """Return LLVM's feature string for code that runs on this host."""
    return ",".join(["+ssse3", *(f"+{LLVM_NAMES[name]}" for name in LLVM_NAMES if name in HOST)])
