"""`query` and the `ctl_*` methods of Uc."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from jitemu.unicorn import models
from jitemu.unicorn import unicorn_const as const
from jitemu.unicorn.errors import UcError
from runtime.embed.machine import Machine
from translator.planner import FetchFault

_PAGE = 4096
_ROOM = 1 << 30  # the size of a code buffer that is reported


# For `ctl`: what is read and written by which method.
_READ = {
    const.UC_CTL_UC_MODE: "ctl_get_mode",
    const.UC_CTL_UC_PAGE_SIZE: "ctl_get_page_size",
    const.UC_CTL_UC_ARCH: "ctl_get_arch",
    const.UC_CTL_UC_TIMEOUT: "ctl_get_timeout",
    const.UC_CTL_UC_EXITS_CNT: "ctl_get_exits_cnt",
    const.UC_CTL_CPU_MODEL: "ctl_get_cpu_model",
    const.UC_CTL_TCG_BUFFER_SIZE: "ctl_get_tcg_buffer_size",
}
_WRITTEN = {
    const.UC_CTL_UC_PAGE_SIZE: "ctl_set_page_size",
    const.UC_CTL_UC_USE_EXITS: "ctl_exits_enabled",
    const.UC_CTL_CPU_MODEL: "ctl_set_cpu_model",
    const.UC_CTL_TB_REMOVE_CACHE: "ctl_remove_cache",
    const.UC_CTL_TB_FLUSH: "ctl_flush_tb",
    const.UC_CTL_TLB_FLUSH: "ctl_flush_tlb",
    const.UC_CTL_TLB_TYPE: "ctl_set_tlb_mode",
    const.UC_CTL_TCG_BUFFER_SIZE: "ctl_set_tcg_buffer_size",
    const.UC_CTL_CONTEXT_MODE: "_set_context_mode",
}


class TBStruct(NamedTuple):
    """A translated block: address, insns, bytes."""

    pc: int
    icount: int
    size: int


class Controls:
    """Settings of a machine, and what is known of it."""

    _machine: Machine
    _arch: int
    _mode: int
    _model: int
    _context_mode = const.UC_CTL_CONTEXT_CPU  # what contexts hold

    def query(self, prop: int) -> int:
        """Return what one of UC_QUERY_* asks for."""
        if prop == const.UC_QUERY_MODE:
            return self._mode
        if prop == const.UC_QUERY_PAGE_SIZE:
            return _PAGE
        if prop == const.UC_QUERY_ARCH:
            return self._arch
        if prop == const.UC_QUERY_TIMEOUT:
            return int(self._machine.timed_out)
        raise UcError(const.UC_ERR_ARG)

    def ctl(self, ctl: int, op: int, *args: Any) -> None:
        """Do what UC_CTL_* and UC_CTL_IO_* say, as the C function: results go to ctypes references.

        Also UC_CTL_TLB_FLUSH and UC_CTL_CONTEXT_MODE, which no other method is for.
        """
        numbers = [getattr(arg, "value", arg) for arg in args]
        try:
            if op == const.UC_CTL_IO_READ and ctl in _READ:
                args[0]._obj.value = getattr(self, _READ[ctl])()
            elif op == const.UC_CTL_IO_WRITE and ctl in _WRITTEN:
                getattr(self, _WRITTEN[ctl])(*numbers)
            else:
                raise UcError(const.UC_ERR_ARG)
        except (IndexError, AttributeError, TypeError):
            raise UcError(const.UC_ERR_ARG) from None

    def _set_context_mode(self, mode: int) -> None:
        if not 0 < mode <= const.UC_CTL_CONTEXT_CPU | const.UC_CTL_CONTEXT_MEMORY:
            raise UcError(const.UC_ERR_ARG)
        self._context_mode = mode

    def ctl_get_mode(self) -> int:
        """Return UC_MODE_*."""
        return self._mode

    def ctl_get_page_size(self) -> int:
        """Return the size of a page in bytes."""
        return _PAGE

    def ctl_set_page_size(self, val: int) -> None:
        """x86 has one size of pages: UcError."""
        raise UcError(const.UC_ERR_ARG)

    def ctl_get_arch(self) -> int:
        """Return UC_ARCH_X86."""
        return self._arch

    def ctl_get_timeout(self) -> int:
        """Return the timeout of the last `emu_start` in ns, as Unicorn does."""
        return self._machine.timeout * 1000

    def ctl_get_cpu_model(self) -> int:
        """Return UC_CPU_X86_*."""
        return self._model

    def ctl_set_cpu_model(self, model: int | str) -> None:
        """Choose UC_CPU_X86_*, before anything was mapped or run; see `models.py`.

        Also by name: "8086", "286", "386", "486", "pentium", "pentium3" or "max".
        """
        found = models.find(model)
        if found is None or self._machine.space.parts:
            raise UcError(const.UC_ERR_ARG)
        self._model, self._machine.model = found

    # -- exits -------------------------------------------------------------------------------------
    def ctl_exits_enabled(self, enable: bool) -> None:
        """Choose whether emulation ends at the exits, not at `until`."""
        self._machine.fixed_exits = frozenset() if enable else None

    def ctl_get_exits_cnt(self) -> int:
        """Return how many exits there are."""
        return len(self._exits())

    def ctl_get_exits(self) -> tuple[int, ...]:
        """Return the exits."""
        return tuple(sorted(self._exits()))

    def ctl_set_exits(self, exits: Iterable[int]) -> None:
        """Choose the addresses where emulation ends."""
        self._exits()
        self._machine.fixed_exits = frozenset(exits)

    def _exits(self) -> frozenset[int]:
        exits = self._machine.fixed_exits
        if exits is None:
            raise UcError(const.UC_ERR_ARG)
        return exits

    # -- translated code ---------------------------------------------------------------------------
    def ctl_request_cache(self, addr: int) -> TBStruct:
        """Return the block at an address, as it will be translated."""
        machine = self._machine
        try:
            plan = machine.engine.code.plan(addr & 0xFFFFFFFF, 0)
        except FetchFault:
            raise UcError(const.UC_ERR_FETCH_UNMAPPED) from None
        insns = len(plan.items) + (plan.interp_at is not None)
        return TBStruct(addr, insns, plan.end - plan.pc)

    def ctl_remove_cache(self, lbound: int, ubound: int) -> None:
        """Forget the code of a range."""
        if ubound < lbound:
            raise UcError(const.UC_ERR_ARG)
        self._machine.engine.remark(lbound, max(lbound, ubound - 1))

    def ctl_flush_tb(self) -> None:
        """Forget all translated code."""
        self._machine.engine.remark(0, 0xFFFFFFFF)

    def ctl_get_tcg_buffer_size(self) -> int:
        """Return the most bytes that translated code may take."""
        return _ROOM

    def ctl_set_tcg_buffer_size(self, size: int) -> None:
        """Do nothing: all machines share one buffer."""

    def ctl_tlb_mode(self, mode: int) -> None:
        """Do what `ctl_set_tlb_mode` does."""
        self.ctl_set_tlb_mode(mode)

    def ctl_set_tlb_mode(self, mode: int) -> None:
        """Choose UC_TLB_CPU, which walks page tables, or UC_TLB_VIRTUAL, which asks hooks."""
        if mode not in (const.UC_TLB_CPU, const.UC_TLB_VIRTUAL):
            raise UcError(const.UC_ERR_ARG)
        self._machine.use_tlb_hooks(on=mode == const.UC_TLB_VIRTUAL)

    def ctl_flush_tlb(self) -> None:
        """Forget the translations of linear addresses."""
        if self._machine.linear is not None:
            self._machine.linear.flush(keep_global=False)
