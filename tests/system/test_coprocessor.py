"""CR0.TS, EM and MP, CR4.OSFXSR: which insns raise #NM or #UD (SDM vol. 3, table 2-2; 2.5)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.system import segments
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.running import STRATEGIES
from translator.mode import Model
from translator.state import FIELDS

CODE, CR0, CR4 = 0x1000, FIELDS["cr0"].offset // 4, FIELDS["cr4"].offset // 4
PE, MP, EM, TS, ET = 1, 2, 4, 8, 16
NM, UD = 7, 6


@pytest.fixture(params=STRATEGIES)
def processor(request: pytest.FixtureRequest) -> Iterator[Processor]:
    physical = Physical(1 << 20)
    memory = Linear(physical)
    made = Processor(memory, request.param)
    made.cpu.r32[CR0], made.cpu.r32[CR4] = PE | ET, segments.CR4_OSFXSR
    segments.set_flat(made.cpu, 0)
    made.update_paging()
    yield made
    memory.close()
    physical.close()


def go(processor: Processor, code: str, cr0: int) -> tuple[str, int]:
    """Run code with bits of CR0 set by the guest itself; return how it ended and where."""
    assert processor.linear is not None
    # mov eax, cr0; or al, bits; mov cr0, eax
    text = f"0f20c0 24f1 0c{cr0:02x} 0f22c0 {code} f4".replace(" ", "")
    processor.linear.physical.write(CODE, bytes.fromhex(text))
    processor.cpu.eip, processor.cpu.esp, processor.cpu.budget = CODE, 0x9000, 1000
    done = processor.engine.run(processor.cpu)
    at = processor.cpu.eip - CODE - 10
    return (done.kind, at) if done.kind == "halt" else (f"{done.vector}", at)


@pytest.mark.parametrize(
    ("code", "ts", "em"),
    [
        ("d9e8", NM, NM),  # fld1
        ("dfe0", NM, NM),  # fnstsw ax
        ("d93d00500000", NM, NM),  # fnstcw [5000h]
        ("0fae0500500000", NM, NM),  # fxsave [5000h]
        ("0f77", NM, UD),  # emms
        ("0f6ec0", NM, UD),  # movd mm0, eax
        ("0f28c1", NM, UD),  # movaps xmm0, xmm1
        ("660fefc0", NM, UD),  # pxor xmm0, xmm0
        ("f30f58c1", NM, UD),  # addss xmm0, xmm1
        ("0fae1d00500000", NM, UD),  # stmxcsr [5000h]
        ("0faef0", 0, 0),  # mfence
        ("f30fb8c1", 0, 0),  # popcnt eax, ecx
        ("9b", 0, 0),  # fwait
        ("90", 0, 0),
    ],
)
def test_forbidden(processor: Processor, code: str, ts: int, em: int) -> None:
    """Again and again, between runs where all is allowed."""
    length = len(code) // 2
    for _ in range(2):
        for bits, vector in ((0, 0), (TS, ts), (EM, em), (MP, 0)):
            expected = (f"{vector}", 0) if vector else ("halt", length + 1)
            assert go(processor, code, bits) == expected, bits


def test_wait_asks_mp(processor: Processor) -> None:
    assert go(processor, "9b", TS | MP) == (f"{NM}", 0)


# What OSFXSR asks for: insns that touch XMM registers or MXCSR, whatever else they touch.
SSE = {
    "0f28c1": "movaps xmm0, xmm1",
    "660fefc0": "pxor xmm0, xmm0",
    "0f1000": "movups xmm0, [eax]",
    "f30f2ac1": "cvtsi2ss xmm0, ecx",
    "0f2ac1": "cvtpi2ps xmm0, mm1",
    "0f2cc1": "cvttps2pi mm0, xmm1",
    "f20fd6c1": "movdq2q mm0, xmm1",
    "f30fd6c1": "movq2dq xmm0, mm1",
    "66 0f6ec0": "movd xmm0, eax",
    "660f3800c1": "pshufb xmm0, xmm1",
    "660f3a14c000": "pextrb eax, xmm0, 0",
    "0fae1d00500000": "stmxcsr [5000h]",
    "0fae1500500000": "ldmxcsr [5000h]",
}
NO_SSE = {
    "0f6ec0": "movd mm0, eax",
    "0fe0c1": "pavgb mm0, mm1",
    "0f70c100": "pshufw mm0, mm1, 0",
    "0f3800c1": "pshufb mm0, mm1",
    "0fae0500500000": "fxsave [5000h]",
    "0fe70500500000": "movntq [5000h], mm0",
    "0fc30500500000": "movnti [5000h], eax",
    "0f180d00500000": "prefetcht0 [5000h]",
    "0faef8": "sfence",
    "f390": "pause",
    "f30fb8c1": "popcnt eax, ecx",
    "f20f38f0c1": "crc32 eax, cl",
}


def set_osfxsr(processor: Processor, *, on: bool) -> None:
    # mov eax, bits; mov cr4, eax
    assert go(processor, f"b8 00{2 * on:02x}0000 0f22e0", 0) == ("halt", 9)


@pytest.mark.parametrize("text", [*SSE, *NO_SSE])
def test_sse_has_to_be_enabled(processor: Processor, text: str) -> None:
    """By the guest, and it can be disabled again; that #UD comes before what CR0 says."""
    end = ("halt", len(bytes.fromhex(text)) + 1)
    for on in (True, False, True, False):
        set_osfxsr(processor, on=on)
        forbidden = text in SSE and not on
        assert go(processor, text, 0) == ((f"{UD}", 0) if forbidden else end), on
        if forbidden:
            assert go(processor, text, TS) == go(processor, text, EM) == (f"{UD}", 0)


def test_models_without_sse_ask_nobody(processor: Processor) -> None:
    """Their CR4 has no such bit: the insns are undefined anyway, and the rest is the same code."""
    processor.model = Model.PENTIUM
    processor.update_context()
    assert go(processor, "0f28c1", 0) == (f"{UD}", 0)
    assert go(processor, "b8 00020000 0f22e0", 0) == ("13", 5)


def test_clts_ends_it(processor: Processor) -> None:
    """In the middle of code that is known."""
    for _ in range(3):
        assert go(processor, "90 0f06 d9e8 ddd8", TS) == ("halt", 8)
        assert go(processor, "90 90 d9e8 ddd8", TS) == (f"{NM}", 2)
