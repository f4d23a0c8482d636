"""The records that a case and its result are made of, shared with executor.c."""

from __future__ import annotations

import numpy as np

CODE, CODE_SIZE = 0x2000_0000, 0x1_0000
REGION_SIZE = 0x2000
REGIONS = (0x3000_0000, 0x4000_0000, 0x4000)  # data, stack, low
MAX_CASES = 512
MAX_CHANGES = 16
CHANGE_SIZE = 64
HALT = 0xF4
# FS and GS, by their prefixes: selectors of TLS descriptors, and their bases, which take 16-bit
# addresses of the low region to the data region.
FS_SELECTOR, GS_SELECTOR = 0x63, 0x6B
SEGMENT_BASES = {0x64: 0x9ABC_DEF0, 0x65: REGIONS[0] - REGIONS[2]}
# The executor's own pages, which a case must not reach.
OWN_BEGIN, OWN_END = 0x6800_0000, 0x6C00_0000

CHANGE = np.dtype([("address", "<u4"), ("size", "<u4"), ("data", "u1", CHANGE_SIZE)])
CASE = np.dtype(
    [
        ("eip", "<u4"),
        ("regs", "<u4", 8),
        ("eflags", "<u4"),
        ("n_changes", "<u4"),
        ("fs", "<u2"),
        ("gs", "<u2"),
        ("fx", "u1", 512),
        ("changes", CHANGE, MAX_CHANGES),
    ]
)
RESULT = np.dtype(
    [
        ("signal", "<u4"),
        ("vector", "<u4"),
        ("error", "<u4"),
        ("cr2", "<u4"),
        ("eip", "<u4"),
        ("eflags", "<u4"),
        ("regs", "<u4", 8),
        ("segments", "<u2", 6),
        ("unused", "<u4", 3),
        ("fx", "u1", 512),
        ("memory", "u1", (3, REGION_SIZE)),
    ]
)
HEADER_SIZE = 16
CODE_AT = HEADER_SIZE
CASES_AT = CODE_AT + CODE_SIZE
RESULTS_AT = CASES_AT + MAX_CASES * CASE.itemsize
SHARED_SIZE = RESULTS_AT + MAX_CASES * RESULT.itemsize

PATTERN = np.array(
    [
        [((base + i) * 2654435761 & 0xFFFFFFFF) >> 24 for i in range(REGION_SIZE)]
        for base in REGIONS
    ],
    dtype=np.uint8,
)


def default_fx() -> np.ndarray:
    """Return an FXSAVE image of a fresh FPU: all masked, empty stack."""
    image = np.zeros(512, dtype=np.uint8)
    image[0:2] = (0x7F, 0x03)
    image[24:26] = (0x80, 0x1F)
    return image
