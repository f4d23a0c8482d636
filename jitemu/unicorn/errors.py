"""UcError: what the calls raise, with the numbers and texts of the unicorn package."""

from __future__ import annotations

from jitemu.unicorn import unicorn_const as uc
from runtime.embed.space import SpaceError

_TEXTS = {
    uc.UC_ERR_OK: "OK (UC_ERR_OK)",
    uc.UC_ERR_NOMEM: "No memory available or memory not present (UC_ERR_NOMEM)",
    uc.UC_ERR_ARCH: "Invalid/unsupported architecture (UC_ERR_ARCH)",
    uc.UC_ERR_HANDLE: "Invalid handle (UC_ERR_HANDLE)",
    uc.UC_ERR_MODE: "Invalid mode (UC_ERR_MODE)",
    uc.UC_ERR_VERSION: "Different API version between core & binding (UC_ERR_VERSION)",
    uc.UC_ERR_READ_UNMAPPED: "Invalid memory read (UC_ERR_READ_UNMAPPED)",
    uc.UC_ERR_WRITE_UNMAPPED: "Invalid memory write (UC_ERR_WRITE_UNMAPPED)",
    uc.UC_ERR_FETCH_UNMAPPED: "Invalid memory fetch (UC_ERR_FETCH_UNMAPPED)",
    uc.UC_ERR_HOOK: "Invalid hook type (UC_ERR_HOOK)",
    uc.UC_ERR_INSN_INVALID: "Invalid instruction (UC_ERR_INSN_INVALID)",
    uc.UC_ERR_MAP: "Invalid memory mapping (UC_ERR_MAP)",
    uc.UC_ERR_WRITE_PROT: "Write to write-protected memory (UC_ERR_WRITE_PROT)",
    uc.UC_ERR_READ_PROT: "Read from non-readable memory (UC_ERR_READ_PROT)",
    uc.UC_ERR_FETCH_PROT: "Fetch from non-executable memory (UC_ERR_FETCH_PROT)",
    uc.UC_ERR_ARG: "Invalid argument (UC_ERR_ARG)",
    uc.UC_ERR_READ_UNALIGNED: "Read from unaligned memory (UC_ERR_READ_UNALIGNED)",
    uc.UC_ERR_WRITE_UNALIGNED: "Write to unaligned memory (UC_ERR_WRITE_UNALIGNED)",
    uc.UC_ERR_FETCH_UNALIGNED: "Fetch from unaligned memory (UC_ERR_FETCH_UNALIGNED)",
    uc.UC_ERR_RESOURCE: "Insufficient resource (UC_ERR_RESOURCE)",
    uc.UC_ERR_EXCEPTION: "Unhandled CPU exception (UC_ERR_EXCEPTION)",
    uc.UC_ERR_OVERFLOW: "Provided buffer is too small (UC_ERR_OVERFLOW)",
}
# How the runtime's requests and guests fail.
OF_SPACE = {
    "argument": uc.UC_ERR_ARG,
    "overlap": uc.UC_ERR_MAP,
    "missing": uc.UC_ERR_NOMEM,
    "memory": uc.UC_ERR_NOMEM,
    "read": uc.UC_ERR_READ_UNMAPPED,
    "write": uc.UC_ERR_WRITE_UNMAPPED,
}
OF_GUEST = {
    "exception": uc.UC_ERR_EXCEPTION,
    "invalid": uc.UC_ERR_INSN_INVALID,
    "map": uc.UC_ERR_MAP,
    **{
        f"{kind}_{why}": getattr(uc, f"UC_ERR_{kind}_{why}".upper())
        for kind in ("read", "write", "fetch")
        for why in ("unmapped", "prot")
    },
}


class UcError(Exception):
    """A call failed; `errno` is one of UC_ERR_*."""

    def __init__(self, errno: int, *args: object) -> None:
        super().__init__(*args)
        self.errno = errno

    def __str__(self) -> str:
        """Say what the number means."""
        return _TEXTS.get(self.errno, "Unknown error code")


def of_space(error: SpaceError) -> UcError:
    """Return the error for a memory request that cannot be."""
    return UcError(OF_SPACE[error.kind])
