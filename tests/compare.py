"""Two results of one case -> what differs, with what the architecture leaves open masked."""

from __future__ import annotations

import numpy as np

from tests.native import layout

REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
SEGMENTS = ("cs", "ds", "es", "ss", "fs", "gs")
# Arithmetic flags, DF, and the bits that POPF can set in user mode: TF NT AC ID.
FLAGS = 0x0CD5 | 0x0100 | 0x4000 | 0x40000 | 0x200000
PAGE_FAULT, PROTECTION = 14, 13
ERROR_VECTORS = {11, 12, 13, 14, 17}


def _fx_mask() -> np.ndarray:
    """Return the bytes of an FXSAVE image that are compared.

    Left out: FOP, FIP, FDP (bytes 6-23; CPUs differ in when they keep them), the MXCSR mask, the
    padding of the ST slots, XMM8-15 and what software may use.
    """
    mask = np.zeros(512, dtype=bool)
    mask[0:6] = True
    mask[5] = False
    mask[24:28] = True
    for slot in range(8):
        mask[32 + 16 * slot : 42 + 16 * slot] = True
    mask[160:288] = True
    return mask


FX_MASK = _fx_mask()
FX_NAMES = {0: "fcw", 1: "fcw", 2: "fsw", 3: "fsw", 4: "ftw", 24: "mxcsr", 25: "mxcsr"}


def fx_differences(got: np.ndarray, want: np.ndarray) -> list[str]:
    """Return the differing fields of two FXSAVE images."""
    lines = []
    for name, begin, size in (("fcw", 0, 2), ("fsw", 2, 2), ("ftw", 4, 1), ("mxcsr", 24, 4)):
        mine, theirs = bytes(got[begin : begin + size]), bytes(want[begin : begin + size])
        if mine != theirs:
            lines.append(f"{name} {mine[::-1].hex()} expected {theirs[::-1].hex()}")
    for name, begin, size in (("st", 32, 10), ("xmm", 160, 16)):
        for slot in range(8):
            at = begin + 16 * slot
            mine, theirs = bytes(got[at : at + size]), bytes(want[at : at + size])
            if mine != theirs:
                lines.append(f"{name}{slot} {mine[::-1].hex()} expected {theirs[::-1].hex()}")
    return lines


def in_mmx_mode(image: np.ndarray) -> np.ndarray:
    """Return an FXSAVE image as it is in the middle of the transition to MMX, with TOP 0.

    An MMX insn whose memory operand faults leaves it so on hardware (maskmovq also with all
    registers in use), and has not begun it in ours (README).
    """
    changed = image.copy()
    top = int(image[3]) >> 3 & 7
    changed[3] &= ~np.uint8(0x38)
    changed[32:160] = np.roll(image[32:160].reshape(8, 16), top, axis=0).ravel()
    return changed


def is_in_mmx_mode(image: np.ndarray, before: np.ndarray) -> bool:
    """Tell whether an FXSAVE image is that of a faulting MMX insn, executed in state *before*."""
    changed = in_mmx_mode(before)
    if image[4] == 0xFF:
        changed[4] = 0xFF
    return not (changed != image)[FX_MASK].any()


ENDINGS = {0xFFFF: "budget used up", 0xFFFE: "system call", 0xFFFD: "stop", 0xFFFC: "CRASHED"}


def _ending(result: np.void) -> str:
    vector = int(result["vector"])
    return ENDINGS.get(vector, f"vector {vector}")


def differences(
    got: np.void,
    want: np.void,
    undefined: int = 0,
    ignored_memory: np.ndarray | None = None,
) -> list[str]:
    """Return what differs between two results; *undefined* flags are masked."""
    lines = []
    if got["vector"] != want["vector"]:
        lines.append(f"{_ending(got)} expected {_ending(want)}")
    elif want["vector"] == PAGE_FAULT and got["cr2"] != want["cr2"]:
        lines.append(f"cr2 {got['cr2']:08x} expected {want['cr2']:08x}")
    elif want["vector"] in ERROR_VECTORS and got["error"] != want["error"]:
        lines.append(f"error {got['error']:x} expected {want['error']:x}")
    if got["eip"] != want["eip"]:
        lines.append(f"eip {got['eip']:08x} expected {want['eip']:08x}")
    for index in np.flatnonzero(got["regs"] != want["regs"]).tolist():
        mine, theirs = got["regs"][index], want["regs"][index]
        lines.append(f"{REGISTERS[index]} {mine:08x} expected {theirs:08x}")
    mask = FLAGS & ~undefined
    if (int(got["eflags"]) ^ int(want["eflags"])) & mask:
        lines.append(f"eflags {got['eflags'] & mask:06x} expected {want['eflags'] & mask:06x}")
    for index in np.flatnonzero(got["segments"] != want["segments"]).tolist():
        mine, theirs = got["segments"][index], want["segments"][index]
        lines.append(f"{SEGMENTS[index]} {mine:04x} expected {theirs:04x}")
    if (got["fx"] != want["fx"])[FX_MASK].any() and not (
        want["vector"] in (PAGE_FAULT, PROTECTION) and is_in_mmx_mode(want["fx"], got["fx"])
    ):
        lines += fx_differences(got["fx"], want["fx"])
    if got["memory"].tobytes() != want["memory"].tobytes():
        changed = got["memory"] != want["memory"]
        if ignored_memory is not None:
            changed &= ~ignored_memory
        for region, at in np.argwhere(changed)[:8].tolist():
            mine, theirs = got["memory"][region, at], want["memory"][region, at]
            address = layout.REGIONS[region] + at
            lines.append(f"[{address:08x}] {mine:02x} expected {theirs:02x}")
    return lines
