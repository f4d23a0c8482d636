"""The text of /proc/cpuinfo, consistent with what CPUID tells the guest."""

from __future__ import annotations

import os

MODEL_NAME = "jitemu virtual CPU"
FLAGS = "fpu tsc cx8 cmov mmx fxsr sse sse2 pni ssse3"


def cpuinfo_text() -> str:
    """Return one paragraph for each processor that the host lets the emulator use."""
    count = len(os.sched_getaffinity(0))
    return "".join(
        f"processor\t: {number}\n"
        "vendor_id\t: GenuineIntel\n"
        "cpu family\t: 6\n"
        "model\t\t: 15\n"
        f"model name\t: {MODEL_NAME}\n"
        "stepping\t: 1\n"
        "cpu MHz\t\t: 1000.000\n"
        "cache size\t: 4096 KB\n"
        "physical id\t: 0\n"
        f"siblings\t: {count}\n"
        f"core id\t\t: {number}\n"
        f"cpu cores\t: {count}\n"
        "fpu\t\t: yes\n"
        "fpu_exception\t: yes\n"
        "cpuid level\t: 10\n"
        "wp\t\t: yes\n"
        f"flags\t\t: {FLAGS}\n"
        "bogomips\t: 2000.00\n"
        "clflush size\t: 64\n"
        "address sizes\t: 36 bits physical, 32 bits virtual\n"
        "\n"
        for number in range(count)
    )
