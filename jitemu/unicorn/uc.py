"""Uc: one emulated machine with the methods of the unicorn package's class."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from jitemu.unicorn import models, when
from jitemu.unicorn import unicorn_const as const
from jitemu.unicorn.context import UcContext
from jitemu.unicorn.controls import Controls
from jitemu.unicorn.errors import OF_GUEST, UcError, of_space
from jitemu.unicorn.hooks import make_hook
from jitemu.unicorn.registers import WORDS, Attributes, Batches, read, write
from runtime.embed.access import Failure
from runtime.embed.context import Snapshot
from runtime.embed.counting import Capture, Counter, Coverage
from runtime.embed.hooks import Hook
from runtime.embed.machine import Machine
from runtime.embed.space import Device, SpaceError
from translator.conditions import Expression
from translator.hooks import EVERYWHERE, Range

_PERMS = const.UC_PROT_ALL
_MODES = (const.UC_MODE_16, const.UC_MODE_32)


class Uc(Batches, Controls):
    """An x86 machine without an operating system: registers, memory, hooks."""

    def __init__(self, arch: int, mode: int, cpu: int | str | None = None) -> None:
        if arch != const.UC_ARCH_X86:
            raise UcError(const.UC_ERR_ARCH, "jitemu emulates UC_ARCH_X86 only")
        if not isinstance(mode, int):
            raise TypeError(f"a mode is a number (UC_MODE_*), not {mode!r}")
        if mode not in _MODES:
            if mode == const.UC_MODE_64:
                raise UcError(const.UC_ERR_MODE, "jitemu does not emulate 64-bit code yet")
            raise UcError(const.UC_ERR_MODE)
        found = models.find(cpu)
        if found is None:
            raise UcError(const.UC_ERR_ARG)
        self._arch, self._mode = arch, mode
        self._machine = self._registers = Machine(is_real=mode == const.UC_MODE_16)
        self._model, self._machine.model = found
        self._r32 = self._machine.cpu.r32
        self._peek, self._poke = self._machine.space.peek, self._machine.space.poke
        self._hooks: dict[int, Hook] = {}
        self._next = 1
        self._finish = weakref.finalize(self, *self._machine.finisher())
        self.reg = Attributes(self._machine)
        cpu_state = self._machine.cpu
        cpu_state.eflags = 2
        if mode == const.UC_MODE_32:
            for name in ("cs", "ds", "es", "ss"):
                setattr(cpu_state, name, 0)

    # -- registers ---------------------------------------------------------------------------------
    def reg_read(self, reg_id: int, aux: Any = None) -> Any:
        """Return a register; *aux*: which MSR."""
        index = WORDS.get(reg_id)
        if index is not None:
            return self._r32[index]
        return read(self._machine, reg_id, aux)

    def reg_write(self, reg_id: int, value: Any) -> None:
        """Set a register."""
        index = WORDS.get(reg_id)
        if index is not None:
            try:
                self._r32[index] = value & 0xFFFFFFFF
            except TypeError:
                raise TypeError(f"{value!r} is no integer") from None
            return
        write(self._machine, reg_id, value)

    # -- memory ------------------------------------------------------------------------------------
    def mem_map(self, address: int, size: int, perms: int = _PERMS) -> None:
        """Map zeros; *address* and *size* are multiples of 4096."""
        _check_perms(perms)
        try:
            self._machine.space.add(address, size, perms)
        except SpaceError as error:
            raise of_space(error) from None

    def mem_map_ptr(self, address: int, size: int, perms: int, ptr: int) -> None:
        """Map host memory at *ptr*: what either side writes, both see. It must outlive this."""
        _check_perms(perms)
        try:
            self._machine.space.add(address, size, perms, host=_pointer(ptr))
        except SpaceError as error:
            raise of_space(error) from None

    def mem_unmap(self, address: int, size: int) -> None:
        """Unmap a range, all of which must be mapped."""
        try:
            if size or address % 4096:
                self._machine.space.remove(address, size)
        except SpaceError as error:
            raise of_space(error) from None

    def mem_protect(self, address: int, size: int, perms: int = _PERMS) -> None:
        """Change the permissions of a range, all of which must be mapped."""
        _check_perms(perms)
        try:
            if size or address % 4096:
                self._machine.space.permit(address, size, perms)
        except SpaceError as error:
            raise of_space(error) from None

    def mem_regions(self) -> Iterator[tuple[int, int, int]]:
        """Yield first address, last address and permissions of each mapping, in order."""
        yield from self._machine.space.regions_listed()

    def mem_read(self, address: int, size: int) -> bytearray:
        """Copy memory, whatever its permissions."""
        if size < 0:
            raise ValueError(f"size must not be negative: {size}")
        try:
            return self._peek(address, size)
        except SpaceError as error:
            raise of_space(error) from None

    def mem_write(self, address: int, data: bytes) -> None:
        """Write memory, whatever its permissions; code that was there is forgotten."""
        try:
            self._poke(address, data if type(data) is bytes else bytes(memoryview(data)))
        except SpaceError as error:
            raise of_space(error) from None

    def mem_view(self, address: int, size: int) -> Any:
        """Return memory as a numpy array of bytes, not a copy.

        Valid until it is unmapped or this Uc is gone. Code must not be written through it, nor
        pages that code was executed from: `mem_write` does that.
        """
        import numpy as np

        try:
            host, _ = self._machine.space.view(address, size)
        except SpaceError as error:
            raise of_space(error) from None
        array = (ctypes.c_uint8 * size).from_address(host)
        array._owner = self  # type: ignore[attr-defined]
        return np.ctypeslib.as_array(array)

    def mmio_map(
        self, address: int, size: int, read_cb: Callable[..., int] | None, read_ud: Any,
        write_cb: Callable[..., Any] | None, write_ud: Any,
    ) -> None:  # fmt: skip
        """Map callbacks: read_cb(uc, offset, size, read_ud), write_cb(uc, offset, size, value, ud).

        Without one, reads give 0, and writes do nothing.
        """
        device = Device(address, read_cb, read_ud, write_cb, write_ud, weakref.ref(self))
        perms = (read_cb is not None) * const.UC_PROT_READ
        perms |= (write_cb is not None) * const.UC_PROT_WRITE
        try:
            self._machine.space.add(address, size, perms, device=device)
        except SpaceError as error:
            raise of_space(error) from None

    # -- running -----------------------------------------------------------------------------------
    def emu_start(self, begin: int, until: int, timeout: int = 0, count: int = 0) -> None:
        """Run from *begin* to *until*, for *timeout* µs or *count* insns at most (0: no limit)."""
        machine = self._machine
        machine.owner = self
        try:
            machine.run(begin, until, timeout / 1e6 if timeout else 0, count)
        except Failure as failure:
            raise UcError(OF_GUEST[failure.kind]) from None
        finally:
            if not machine.depth:
                machine.owner = None  # nothing but its user keeps a Uc

    def emu_stop(self) -> None:
        """Make `emu_start` return: from a hook, or from any thread."""
        self._machine.stop()

    # -- hooks -------------------------------------------------------------------------------------
    def hook_add(
        self, htype: int, callback: Callable[..., Any], user_data: Any = None, begin: int = 1,
        end: int = 0, aux1: int = 0, aux2: int = 0,
    ) -> int:  # fmt: skip
        """Call *callback* for what *htype* says, from *begin* to *end*; everywhere if end < begin.

        Returns a handle. It acts from the next insn on, also when added by a hook.
        """
        return self._add(make_hook(htype, callback, user_data, begin, end, aux1))

    def _add(self, hook: Hook) -> int:
        handle = self._next
        self._next += 1
        self._hooks[handle] = hook
        self._machine.add_hook(hook)
        return handle

    def hook_del(self, handle: int) -> None:
        """Remove a hook. KeyError if there is none with this handle."""
        self._machine.remove_hook(self._hooks.pop(handle))

    # -- beyond the original -----------------------------------------------------------------------
    @property
    def delivers_interrupts(self) -> bool:
        """Whether interrupts and exceptions go through the guest's own IDT or vector table.

        Hooks are still called first, and may prevent it: by writing EIP, or by stopping.
        """
        return self._machine.delivery.on

    @delivers_interrupts.setter
    def delivers_interrupts(self, on: bool) -> None:
        self._machine.deliver(on=bool(on))

    def interrupt(self, vector: int) -> None:
        """Interrupt the guest from outside: as soon as IF is set, through its own tables.

        From any thread; `delivers_interrupts` must be set.
        """
        if not 0 <= vector <= 255 or not self.delivers_interrupts:
            raise UcError(const.UC_ERR_ARG)
        self._machine.delivery.request(vector)

    def breakpoint(
        self, address: int, condition: Expression | bool, callback: Callable[..., Any],
        user_data: Any = None,
    ) -> int:  # fmt: skip
        """Call *callback* in front of the insn at *address* whenever *condition* holds.

        A condition is made of registers (jitemu.unicorn.when) and numbers; host code evaluates it:
        `uc.breakpoint(0x1000, (when.eax == 5) & (when.cl < 8), hook)`. Returns a handle.
        """
        code = condition.code if isinstance(condition, Expression) else when.always(condition).code
        hook = Hook(frozenset(("break",)), callback, user_data, address, address, condition=code)
        return self._add(hook)

    def counter(self, begin: int = 1, end: int = 0, *, blocks: bool = False) -> Counter:
        """Count insns, or blocks, from *begin* to *end* (everywhere if end < begin), without calls.

        `value` is the number so far; `remove()` ends it.
        """
        return Counter(self._machine, _range(begin, end), blocks=blocks)

    def coverage(self, begin: int = 1, end: int = 0) -> Coverage:
        """Note which blocks from *begin* to *end* are run: `blocks`, `bitmap`, `write_drcov()`."""
        return Coverage(self._machine, _range(begin, end))

    def capture(self, address: int, *registers: str) -> Capture:
        """Keep the values of 1, 2, 4 or 8 registers whenever the insn at *address* comes to run.

        `values` is a numpy array with a row a time, `times` says how often; the last 65,536 values
        are kept.
        """
        return Capture(self._machine, address, registers)

    # -- contexts ----------------------------------------------------------------------------------
    def context_save(self) -> UcContext:
        """Return a copy of all registers; of memory, too, if UC_CTL_CONTEXT_MODE says so."""
        context = UcContext(Snapshot(), self._arch, self._mode)
        self.context_update(context)
        return context

    def context_update(self, context: UcContext) -> None:
        """Save all registers in a context that exists."""
        context._registers.save(self._machine)
        context.holds = self._context_mode
        context.memory = []
        if context.holds & const.UC_CTL_CONTEXT_MEMORY:
            regions = self._machine.space.regions_listed()
            plain = ((at, last) for at, last, _ in regions if not self._machine.space.is_device(at))
            context.memory = [(at, bytes(self._peek(at, last + 1 - at))) for at, last in plain]

    def context_restore(self, context: UcContext) -> None:
        """Set all registers to those of a context, and the memory that it holds."""
        if not isinstance(context, UcContext):
            raise AttributeError(f"{type(context).__name__!r} object is no context")
        try:
            for address, data in context.memory:
                self._poke(address, data)
        except SpaceError as error:
            raise of_space(error) from None
        if context.holds & const.UC_CTL_CONTEXT_CPU:
            context._registers.restore(self._machine)

    @property
    def errno(self) -> int:
        """UC_ERR_OK: errors are exceptions here."""
        return const.UC_ERR_OK


def _range(begin: int, end: int) -> Range:
    return EVERYWHERE if begin > end else (begin, end)


def _check_perms(perms: int) -> None:
    if perms & ~_PERMS:
        raise UcError(const.UC_ERR_ARG)


def _pointer(ptr: Any) -> int:
    value = ptr.value if isinstance(ptr, ctypes.c_void_p) else ptr
    if isinstance(value, int) and value:
        return value
    if isinstance(ptr, (ctypes.Array, ctypes.Structure)):
        return ctypes.addressof(ptr)
    raise UcError(const.UC_ERR_ARG)
