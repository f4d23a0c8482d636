"""GuestFault: how executing one insn reports a guest exception."""

from __future__ import annotations


class GuestFault(Exception):  # noqa: N818 (the architecture's word)
    """A fault: `eip` stays at the insn and nothing of it happened, but earlier memory writes.

    `address` and `error` are CR2 and the error code bits of #PF.
    """

    def __init__(self, vector: int, address: int = 0, error: int = 0) -> None:
        """Make a fault of exception *vector*."""
        super().__init__(vector, address, error)
        self.vector, self.address, self.error = vector, address, error
