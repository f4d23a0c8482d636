"""Where the blocks of a guest went to: what a region grows along.

In: an engine's code cache and the jump caches of its CPUs. Out: successors that were really taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from translator.decode import Truncated, decode
from translator.mode import CONTEXT_SHIFT, Context
from translator.planner import Plan
from translator.regions import is_return
from translator.state import FIELDS, JUMP_CACHE_ENTRIES

if TYPE_CHECKING:
    from runtime.dispatch import Engine

CACHE = FIELDS["jump_cache"].offset // 8
_NEAR = 1 << 16  # a computed jump is taken to lead so far at most
_TABLE_MAX = 48  # targets of one computed jump that are looked at
_CALL_MAX = 7  # bytes of a call
_OFFSET = 0xFFFFFFFF  # in CS, in a key


class Follow:
    """Lists the successors of a block that were really taken."""

    def __init__(self, engine: Engine, context: Context) -> None:
        self.cache, self.code, self.context = engine.cache, engine.code, context
        self.cpus = list(engine.cpus)
        self.recent: list[int] | None = None

    def __call__(self, plan: Plan) -> list[int]:
        """Return the offsets that control went to from a block."""
        block = self.cache.blocks.get(plan.location)
        if block is None:
            return []
        targets = plan.successors()
        if targets:
            if block.parts:
                return targets
            taken = self.cache.taken(block)
            return [pc for pc in targets if pc in taken]
        if is_return(plan) or plan.interp_at is not None:
            return []
        return self._near(plan.pc)

    def _near(self, pc: int) -> list[int]:
        """Return recent targets of computed jumps near an address, those of returns left out."""
        if self.recent is None:
            keys: set[int] = set()
            for cpu in self.cpus:
                keys.update(cpu.r64[CACHE : CACHE + 2 * JUMP_CACHE_ENTRIES : 2])
            number = self.context.number
            if number:  # the keys name the context
                keys = {key & _OFFSET for key in keys if key >> 32 == number}
            place = number << CONTEXT_SHIFT
            self.recent = sorted(
                key
                for key in keys
                if key | place in self.cache.blocks and not self._is_behind_call(key)
            )
        near = [key for key in self.recent if abs(key - pc) < _NEAR]
        return sorted(near, key=lambda key: abs(key - pc))[:_TABLE_MAX]

    def _is_behind_call(self, pc: int) -> bool:
        """Whether the insn in front of an address seems to be a call."""
        code = self.code.fetch(self.context.linear(pc - _CALL_MAX), _CALL_MAX)
        for start in range(len(code) - 1):
            if code[start] in (0xE8, 0xFF):
                try:
                    insn = decode(code, start, self.context.mode)
                except Truncated:
                    continue
                if start + insn.length == _CALL_MAX and insn.mnemonic in ("call", "calli"):
                    return True
        return False
