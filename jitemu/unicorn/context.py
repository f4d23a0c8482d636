"""UcContext: a machine's registers, saved."""

from __future__ import annotations

from jitemu.unicorn.registers import Batches
from jitemu.unicorn.unicorn_const import UC_CTL_CONTEXT_CPU
from runtime.embed.context import Snapshot


class UcContext(Batches):
    """Registers that `Uc.context_save` kept; reads and writes them as Uc does.

    `to_bytes` and `from_bytes` keep one outside of the process; nothing in them is ever executed.
    """

    def __init__(self, snapshot: Snapshot, arch: int, mode: int) -> None:
        self._registers, self._arch, self._mode = snapshot, arch, mode
        self.holds = UC_CTL_CONTEXT_CPU  # UC_CTL_CONTEXT_*; `to_bytes` keeps registers only
        self.memory: list[tuple[int, bytes]] = []

    @property
    def arch(self) -> int:
        """UC_ARCH_X86."""
        return self._arch

    @property
    def mode(self) -> int:
        """UC_MODE_*."""
        return self._mode

    @property
    def size(self) -> int:
        """Bytes that `to_bytes` returns."""
        return len(self.to_bytes())

    @property
    def context(self) -> bytes:
        """What `to_bytes` returns."""
        return self.to_bytes()

    def to_bytes(self) -> bytes:
        """Return all of it."""
        return bytes((self._arch, self._mode)) + self._registers.to_bytes()  # type: ignore[no-any-return]

    @classmethod
    def from_bytes(cls, data: bytes) -> UcContext:
        """Read what `to_bytes` returned. ValueError for anything else."""
        if len(data) < 2:
            raise ValueError("these bytes are no context of jitemu's")
        return cls(Snapshot.from_bytes(bytes(data[2:])), data[0], data[1])

    def __getstate__(self) -> tuple[bytes, int, int, int]:
        """Return contents, their size, architecture and mode."""
        data = self.to_bytes()
        return data, len(data), self._arch, self._mode

    def __setstate__(self, state: tuple[bytes, int, int, int]) -> None:
        """Take what `__getstate__` returned."""
        other = type(self).from_bytes(state[0])
        self.__init__(other._registers, state[2], state[3])  # type: ignore[misc]
