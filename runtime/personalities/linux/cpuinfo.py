"""The text of /proc/cpuinfo, consistent with what CPUID tells the guest."""

from __future__ import annotations

import os

from translator import cpuid

HWCAP = cpuid.leaf(1)[3]  # AT_HWCAP is CPUID.1:EDX


def cpuinfo_text() -> str:
    """Return one paragraph for each processor that the host lets the emulator use."""
    count = len(os.sched_getaffinity(0))
    return "".join(
        f"processor\t: {number}\n"
        f"vendor_id\t: {cpuid.VENDOR}\n"
        f"cpu family\t: {cpuid.FAMILY}\n"
        f"model\t\t: {cpuid.MODEL}\n"
        f"model name\t: {cpuid.BRAND}\n"
        f"stepping\t: {cpuid.STEPPING}\n"
        "cpu MHz\t\t: 1000.000\n"
        "cache size\t: 4096 KB\n"
        "physical id\t: 0\n"
        f"siblings\t: {count}\n"
        f"core id\t\t: {number}\n"
        f"cpu cores\t: {count}\n"
        "fpu\t\t: yes\n"
        "fpu_exception\t: yes\n"
        f"cpuid level\t: {cpuid.leaf(0)[0]}\n"
        "wp\t\t: yes\n"
        f"flags\t\t: {' '.join(cpuid.FLAGS)}\n"
        "bogomips\t: 2000.00\n"
        f"clflush size\t: {cpuid.CACHE_LINE}\n"
        "address sizes\t: 36 bits physical, 32 bits virtual\n"
        "\n"
        for number in range(count)
    )
