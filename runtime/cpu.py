"""Guest registers of one thread: ints in and out, over one native buffer laid out by state.py."""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from runtime import native
from runtime.system import segments
from translator import flags
from translator.mode import LINUX_CR0
from translator.state import FIELDS, JUMP_CACHE_ENTRIES, SEGMENTS, STATE_SIZE

if TYPE_CHECKING:
    from runtime.memory import Memory
    from runtime.system.processor import Processor

_CACHE = FIELDS["jump_cache"].offset // 8
_CACHE_KEYS = slice(_CACHE, _CACHE + 2 * JUMP_CACHE_ENTRIES, 2)
_SZP = FIELDS["szp"].offset // 8
_CF, _OF, _AF = (FIELDS[name].offset for name in ("cf", "of", "af"))
_DF, _REST = FIELDS["df"].offset // 4, FIELDS["eflags_rest"].offset // 4
_LOOK_AHEAD = FIELDS["look_ahead"].offset // 8
_BUDGET, _STOP = FIELDS["budget"].offset // 8, FIELDS["stop"].offset // 4
_CR0 = FIELDS["cr0"].offset // 4
_SYSTEM = slice(FIELDS["context"].offset, FIELDS["dr7"].offset + 4)
_NO_KEY = 0xFFFFFFFFFFFFFFFF
_NO_KEYS = memoryview(b"\xff" * (8 * JUMP_CACHE_ENTRIES)).cast("Q")
# A bit of eflags_rest that no guest sees: the engine goes insn by insn, as it does under TF.
STEPPED = 1 << 31
UNLIMITED = 1 << 60  # a budget that nobody uses up
# Native code is given this much less than the budget: the last insns run one by one, and they are
# at least as many as may be needed until every flag is defined again (planner.PEEK).
RESERVE = 16
# A region may run over the end of a slice, by less than this; the budget's own end is exact.
OVERRUN = 1 << 14
USER_CS, USER_DS = 0x23, 0x2B  # what a 64-bit Linux gives its 32-bit programs
_FLAT = {USER_CS >> 3: 0x00CFFB000000FFFF, USER_DS >> 3: 0x00CFF3000000FFFF}


def _register(name: str) -> property:
    """Build the property for a 16- or 32-bit field."""
    offset, width = FIELDS[name]
    index = offset * 8 // width
    mask = (1 << width) - 1
    if width == 32:
        return property(
            lambda self: self.r32[index], lambda self, v: self.r32.__setitem__(index, v & mask)
        )
    return property(
        lambda self: self.r16[index], lambda self, v: self.r16.__setitem__(index, v & mask)
    )


def flat_descriptor(selector: int) -> int:
    """Return the descriptor of a flat user segment as the processor reads it, else 0."""
    return 0 if selector & 4 else _FLAT.get(selector >> 3, 0)


def set_linux_segments(cpu: Cpu) -> None:
    """Set segments and system registers as Linux has them for a new program."""
    cpu.r8[_SYSTEM] = bytes(_SYSTEM.stop - _SYSTEM.start)
    cpu.r32[_CR0] = LINUX_CR0
    for index, selector in enumerate((USER_DS, USER_CS, USER_DS, USER_DS, 0, 0)):
        attr = flat_descriptor(selector) >> 32 & segments.RIGHTS
        limit = 0xFFFFFFFF if attr else 0
        segments.set_segment(cpu, index, selector, 0, limit, attr)


class Cpu:
    """One guest thread's registers.

    The buffer is plain memory: `r8 r16 r32 r64` view it at each width, host code works on it at
    `state_address`.  Registers are unsigned ints.
    """

    eax, ecx, edx, ebx = (_register(n) for n in ("eax", "ecx", "edx", "ebx"))
    esp, ebp, esi, edi = (_register(n) for n in ("esp", "ebp", "esi", "edi"))
    eip = _register("eip")
    es, cs, ss, ds, fs, gs = (_register(n) for n in SEGMENTS)
    fs_base, gs_base = _register("fs_base"), _register("gs_base")
    mxcsr, fcw = _register("mxcsr"), _register("fcw")

    def __init__(self, mem: Memory) -> None:
        self.mem = mem
        self.is_known = False  # the engine has seen it
        self.system: Processor | None = None  # what is around it, if there is no Linux
        self.context_seen = 0  # context of the code last run
        self.buffer = mmap.mmap(
            -1, (STATE_SIZE + 4095) & -4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        )
        view = memoryview(self.buffer)
        self.r8, self.r16, self.r32, self.r64 = (view.cast(c) for c in "BHIQ")  # type: ignore[call-overload]
        self.state_address = ctypes.addressof(ctypes.c_char.from_buffer(self.buffer))
        self.flush_jump_cache()
        self.r64[FIELDS["memory_base"].offset // 8] = mem.base
        for routine in ("x87_in", "x87_out"):
            self.r64[FIELDS[routine].offset // 8] = (
                native.arena.base + native.arena.symbols[f"jitemu_{routine}"]
            )
        self.slice = self.held = 0
        self.budget = UNLIMITED
        # Selector -> descriptor, 0 for none: the personality adds TLS and LDT entries.
        self.descriptor: Callable[[int], int] = flat_descriptor
        self.reset()

    def reset(self) -> None:
        """Set every register to what a new Linux program finds (i386 psABI, 2.3.1)."""
        start, end = FIELDS["xmm0"].offset, FIELDS["memory_base"].offset
        self.buffer[start:end] = bytes(end - start)
        for name in ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip"):
            setattr(self, name, 0)
        self.eflags = 0x202
        set_linux_segments(self)
        self.mxcsr, self.fcw = 0x1F80, 0x37F
        self.r16[FIELDS["fpu"].offset // 2] = self.r16[FIELDS["fsw"].offset // 2] = 0
        self.r8[FIELDS["fcc"].offset] = 0

    # -- flags -----------------------------------------------------------------------------------
    @property
    def eflags(self) -> int:
        """EFLAGS, exact."""
        szp = self.r64[_SZP]
        value: int = self.r32[_REST] & 0x3FFFFF | 2 | (self.r8[_CF] & 1) | (self.r8[_AF] & 0x10)
        if not ((szp ^ szp >> 32) & 0xFF).bit_count() & 1:
            value |= 1 << flags.PF
        if not szp & 0xFFFFFFFF:
            value |= 1 << flags.ZF
        value |= (szp >> 63) << flags.SF
        value |= (self.r8[_OF] & 1) << flags.OF
        return value | (0x400 if self.r32[_DF] != 1 else 0)

    @eflags.setter
    def eflags(self, value: int) -> None:
        self.r8[_CF], self.r8[_OF] = value & 1, value >> flags.OF & 1
        self.r8[_AF] = value & 0x10
        self.r64[_SZP] = szp_of(value)
        self.r32[_DF] = 0xFFFFFFFF if value & 1 << flags.DF else 1
        rest = value & ~(flags.ARITHMETIC | 1 << flags.DF | 2) & 0x3FFFFF
        old = self.r32[_REST]
        self.r32[_REST] = old & STEPPED | rest
        if (old ^ rest) & segments.EFLAGS_AC:
            segments.update_context(self)

    # -- vector and x87 state --------------------------------------------------------------------
    def fxsave(self) -> bytes:
        """Return the 512-byte FXSAVE image (SDM vol. 1, 10.5)."""
        from runtime import fpstate

        return fpstate.fxsave(self.r8)

    def fxrstor(self, image: bytes) -> None:
        """Load an FXSAVE image."""
        from runtime import fpstate

        fpstate.fxrstor(self.r8, image)

    def fsave(self) -> bytes:
        """Return the 108-byte FNSAVE image, 32-bit protected mode (SDM vol. 1, 8.1.10)."""
        from runtime import fpstate

        return fpstate.fsave(self.r8)

    def frstor(self, image: bytes) -> None:
        """Load an FNSAVE image."""
        from runtime import fpstate

        fpstate.frstor(self.r8, image)

    # -- running ---------------------------------------------------------------------------------
    @property
    def budget(self) -> int:
        """Insns that may still run."""
        value: int = self.r64[_BUDGET]
        value -= value >> 63 << 64
        return value + self.reserve + self.held

    @budget.setter
    def budget(self, value: int) -> None:
        self.reserve = min(max(value, 0), RESERVE)
        value -= self.reserve
        self.held = max(value - self.slice, 0) if self.slice else 0
        self.r64[_BUDGET] = value - self.held & 0xFFFFFFFFFFFFFFFF
        self._look_ahead()

    def next_slice(self, size: int) -> None:
        """Let native code have *size* insns more of what was held back of the budget."""
        self.slice = size
        more = min(self.held, size)
        self.held -= more
        self.r64[_BUDGET] = self.r64[_BUDGET] + more & 0xFFFFFFFFFFFFFFFF
        self._look_ahead()

    def _look_ahead(self) -> None:
        self.r64[_LOOK_AHEAD] = 0 if self.held >= OVERRUN else 0xFFFFFFFFFFFFFFFF

    @property
    def stop_requested(self) -> bool:
        """Whether `request_stop` was called and not yet taken."""
        return bool(self.r32[_STOP])

    def request_stop(self) -> None:
        """Make guest code of this thread leave at its next block, and its blocking calls return."""
        native.request_stop(self)

    def flush_jump_cache(self) -> None:
        """Forget every remembered indirect target; the thread itself may be running."""
        # The keys only: a jump that has just read its key goes on to read the code.
        self.r64[_CACHE_KEYS] = _NO_KEYS

    def forget_jumps(self, targets: Iterable[int]) -> None:
        """Forget what is remembered of some indirect targets."""
        for pc in targets:
            self.r64[_CACHE + 2 * (pc & JUMP_CACHE_ENTRIES - 1)] = _NO_KEY

    def copy(self) -> Cpu:
        """Return a second CPU with the same registers, for a new thread."""
        other = Cpu(self.mem)
        end = FIELDS["memory_base"].offset
        other.buffer[:end] = self.buffer[:end]
        other.buffer[_SYSTEM] = self.buffer[_SYSTEM]
        other.r32[_STOP] = 0
        other.slice = self.slice
        other.budget = UNLIMITED
        other.descriptor = self.descriptor
        return other

    # -- memory as the interp tier wants it ------------------------------------------------------
    def xmm(self, index: int) -> int:
        """Return an XMM register as a 128-bit int."""
        low, high = struct.unpack_from("<QQ", self.buffer, FIELDS["xmm0"].offset + 16 * index)
        return int(low | high << 64)

    def set_xmm(self, index: int, value: int) -> None:
        """Set an XMM register."""
        at = FIELDS["xmm0"].offset + 16 * index
        self.buffer[at : at + 16] = value.to_bytes(16, "little")


def szp_of(eflags: int) -> int:
    """Encode ZF, SF and PF of an EFLAGS value as the szp group (state.py)."""
    low = 0 if eflags >> flags.ZF & 1 else 0x100
    odd = (eflags >> flags.PF & 1) ^ 1
    return low | odd << 32 | (eflags >> flags.SF & 1) << 63
