"""UC_HOOK_* -> the hooks of a machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitemu.unicorn import unicorn_const as const
from jitemu.unicorn import x86_const
from jitemu.unicorn.errors import UcError
from runtime.embed.hooks import Hook

_MEMORY = {
    const.UC_HOOK_MEM_READ_UNMAPPED: "read_unmapped",
    const.UC_HOOK_MEM_WRITE_UNMAPPED: "write_unmapped",
    const.UC_HOOK_MEM_FETCH_UNMAPPED: "fetch_unmapped",
    const.UC_HOOK_MEM_READ_PROT: "read_prot",
    const.UC_HOOK_MEM_WRITE_PROT: "write_prot",
    const.UC_HOOK_MEM_FETCH_PROT: "fetch_prot",
    const.UC_HOOK_MEM_READ: "read",
    const.UC_HOOK_MEM_WRITE: "write",
    const.UC_HOOK_MEM_FETCH: "fetch",
    const.UC_HOOK_MEM_READ_AFTER: "read_after",
}
_CODE = {const.UC_HOOK_CODE: "code", const.UC_HOOK_BLOCK: "block"}
_ALONE = {
    const.UC_HOOK_INTR: "interrupt",
    const.UC_HOOK_INSN_INVALID: "invalid",
    const.UC_HOOK_EDGE_GENERATED: "edge",
    const.UC_HOOK_TLB_FILL: "tlb",
}
_INSNS = ("CPUID", "SYSCALL", "SYSENTER", "RDTSC", "RDTSCP")
_BY_INSN = {getattr(x86_const, "UC_X86_INS_" + name): name.lower() for name in _INSNS}


def make_hook(
    htype: int, callback: Callable[..., Any], data: Any, begin: int, end: int, aux: int
) -> Hook:
    """Return the hook for the arguments of `hook_add`. UcError for what there is not."""
    if not isinstance(htype, int) or not htype:
        raise UcError(const.UC_ERR_ARG)
    if htype == const.UC_HOOK_TCG_OPCODE:
        raise UcError(const.UC_ERR_HOOK)
    if htype == const.UC_HOOK_INSN:
        return _insn_hook(callback, data, begin, end, aux)
    for table in (_MEMORY, _CODE):
        bits = sum(table)
        if not htype & ~bits:
            kinds = frozenset(kind for bit, kind in table.items() if htype & bit)
            return Hook(kinds, callback, data, begin, end)
    if htype in _ALONE:
        return Hook(frozenset((_ALONE[htype],)), callback, data, begin, end)
    raise UcError(const.UC_ERR_ARG)


def _insn_hook(callback: Callable[..., Any], data: Any, begin: int, end: int, insn: int) -> Hook:
    if insn == x86_const.UC_X86_INS_IN:
        return Hook(frozenset(("in",)), callback, data, begin, end)
    if insn == x86_const.UC_X86_INS_OUT:
        return Hook(frozenset(("out",)), callback, data, begin, end)
    if insn not in _BY_INSN:
        raise UcError(const.UC_ERR_ARG)
    return Hook(frozenset(("insn",)), callback, data, begin, end, _BY_INSN[insn])
