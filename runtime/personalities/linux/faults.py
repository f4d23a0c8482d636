"""CPU faults in, the signals that Linux makes of them out."""

from __future__ import annotations

import signal as host_signal
import struct
from typing import TYPE_CHECKING

from runtime.personalities.linux import defs, siginfo, signals

if TYPE_CHECKING:
    from runtime.dispatch import Exit
    from runtime.personalities.linux.threads import Thread

SEGV_MAPERR, SEGV_ACCERR = 1, 2
BUS_ADRALN, BUS_ADRERR = 1, 2
FPE_INTDIV, FPE_FLTDIV, FPE_FLTOVF, FPE_FLTUND, FPE_FLTRES, FPE_FLTINV = 1, 3, 4, 5, 6, 7
ILL_ILLOPN = 2
TRAP_BRKPT, TRAP_TRACE = 1, 2

_DE, _DB, _BP, _OF, _BR, _UD, _NP, _SS, _GP, _PF, _MF, _AC, _XM = (
    0, 1, 3, 4, 5, 6, 11, 12, 13, 14, 16, 17, 19,
)  # fmt: skip

# Vectors whose signal carries nothing but SI_KERNEL.
_PLAIN = {
    _BP: defs.SIGTRAP,
    _OF: defs.SIGSEGV,
    _BR: defs.SIGSEGV,
    _NP: defs.SIGBUS,
    _SS: defs.SIGBUS,
    _GP: defs.SIGSEGV,
}


def fp_code(exceptions: int) -> int:
    """Return the si_code for the unmasked floating-point *exceptions*, as the kernel ranks them."""
    for bits, code in (
        (0x01, FPE_FLTINV),
        (0x04, FPE_FLTDIV),
        (0x08, FPE_FLTOVF),
        (0x12, FPE_FLTUND),
        (0x20, FPE_FLTRES),
    ):
        if exceptions & bits:
            return code
    return 0


def _page_fault(t: Thread, stop: Exit) -> tuple[int, int]:
    """Tell an unmapped address from a forbidden access and from the end of a mapped file."""
    prot = t.mem.prot_at(stop.address)
    if prot is None:
        return defs.SIGSEGV, SEGV_MAPERR
    needed = 2 if stop.error & 2 else 4 if stop.error & 16 else 7
    if stop.info == "bus" or prot & needed:  # the mapping allows it: only the file is too short
        return defs.SIGBUS, BUS_ADRERR
    return defs.SIGSEGV, SEGV_ACCERR


def _describe(t: Thread, stop: Exit) -> tuple[int, bytes]:
    """Return the signal and its siginfo."""
    vector, eip = stop.vector, t.cpu.eip
    if vector == _PF:
        signo, code = _page_fault(t, stop)
        return signo, siginfo.fault(signo, code, stop.address)
    if vector == _DE:
        return defs.SIGFPE, siginfo.fault(defs.SIGFPE, FPE_INTDIV, eip)
    if vector == _UD:
        return defs.SIGILL, siginfo.fault(defs.SIGILL, ILL_ILLOPN, eip)
    if vector == _DB:
        code = TRAP_TRACE if stop.info == "step" else TRAP_BRKPT
        return defs.SIGTRAP, siginfo.fault(defs.SIGTRAP, code, eip)
    if vector == _AC:
        return defs.SIGBUS, siginfo.fault(defs.SIGBUS, BUS_ADRALN, 0)
    if vector in (_MF, _XM):
        return defs.SIGFPE, siginfo.fault(defs.SIGFPE, _fp_cause(t, vector), eip)
    signo = _PLAIN.get(vector, defs.SIGSEGV)
    return signo, siginfo.kernel(signo)


def _fp_cause(t: Thread, vector: int) -> int:
    if vector == _XM:
        mxcsr = t.cpu.mxcsr
        return fp_code(mxcsr & ~(mxcsr >> 7))
    control, status = struct.unpack_from("<HH", t.cpu.fxsave())
    return fp_code(status & ~control)


def raise_signal(t: Thread, stop: Exit) -> None:
    """Turn the fault that *stop* reports into a forced signal of the thread."""
    t.trap_number, t.trap_error = stop.vector, stop.error
    if stop.vector == _PF:
        # A user access: bit 2. Protection (bit 0) says that the page is there.
        t.trap_address = stop.address
        t.trap_error = stop.error | 4
    signo, info = _describe(t, stop)
    signals.force(t, signo, info)
    t.process.last_fault = (signo, describe(t, stop, signo))


def describe(t: Thread, stop: Exit, signo: int) -> str:
    """Say in one line why the guest is about to die."""
    text = f"guest killed by {name(signo)} at eip={t.cpu.eip:#010x}"
    if stop.vector == _PF:
        access = "writing" if stop.error & 2 else "executing" if stop.error & 16 else "reading"
        return f"{text} {access} {stop.address:#010x}"
    if stop.vector == _UD:
        try:
            code = t.mem.read(t.cpu.eip, 8).hex(" ")
        except Exception:  # the text is a courtesy; the page may be gone or end here
            return text
        return f"{text} (bytes {code})"
    return text


def name(signo: int) -> str:
    """Name a signal; real-time ones by number."""
    try:
        return host_signal.Signals(signo).name
    except ValueError:
        return f"signal {signo}"
