"""The hooks of one machine: who wants to be called, for what, at which addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from translator.hooks import EVERYWHERE, Range

KINDS = (
    "code", "block", "break", "interrupt", "in", "out", "insn", "invalid", "edge", "tlb",
    "read", "write", "fetch", "read_after",
    "read_unmapped", "write_unmapped", "fetch_unmapped", "read_prot", "write_prot", "fetch_prot",
)  # fmt: skip
Call = tuple[Callable[..., Any], Any]  # the callback and what it gets as its last argument


@dataclass(slots=True, eq=False)
class Hook:
    """One hook. `insn`: the mnemonic, of hooks for one insn."""

    kinds: frozenset[str]
    callback: Callable[..., Any]
    data: Any
    first: int
    last: int  # before `first`: everywhere
    insn: str = ""
    condition: bytes = b""  # of breakpoints

    @property
    def range(self) -> Range:
        """First and last address."""
        return EVERYWHERE if self.first > self.last else (self.first, self.last)


@dataclass(slots=True)
class Entry:
    """What a hook for TLB_FILL fills in."""

    paddr: int = 0
    perms: int = 0


@dataclass(slots=True)
class Hooks:
    """All hooks, in the order in which they were added."""

    added: list[Hook] = field(default_factory=list)
    by_kind: dict[str, list[Hook]] = field(default_factory=dict)
    known: dict[tuple[str, int], tuple[Call, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.by_kind = {kind: [] for kind in KINDS}

    def add(self, hook: Hook) -> None:
        """Add one."""
        self.added.append(hook)
        for kind in hook.kinds:
            self.by_kind[kind].append(hook)
        self.known.clear()

    def remove(self, hook: Hook) -> None:
        """Remove one; ValueError if it is not there."""
        self.added.remove(hook)
        for kind in hook.kinds:
            self.by_kind[kind].remove(hook)
        self.known.clear()

    def ranges(self, kind: str) -> list[Range]:
        """Return where hooks of a kind want to be called."""
        found = [hook.range for hook in self.by_kind[kind]]
        return [EVERYWHERE] if EVERYWHERE in found else found

    def at(self, kind: str, address: int) -> tuple[Call, ...]:
        """Return the calls to make for an address."""
        hooks = self.by_kind[kind]
        if not hooks:
            return ()
        found = self.known.get((kind, address))
        if found is None:
            if len(self.known) > 1 << 16:
                self.known.clear()
            found = self.known[kind, address] = tuple(
                (hook.callback, hook.data)
                for hook in hooks
                if hook.range[0] <= address <= hook.range[1]
            )
        return found

    def of_insn(self, mnemonic: str) -> list[Call]:
        """Return the calls to make for an insn."""
        hooks = self.by_kind["insn"]
        return [(hook.callback, hook.data) for hook in hooks if hook.insn == mnemonic]
