"""CR0.TS, CR0.EM and CR0.MP: which insns raise #NM or #UD (SDM vol. 3, table 2-2)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.system import segments
from runtime.system.linear import Linear
from runtime.system.physical import Physical
from runtime.system.processor import Processor
from tests.running import STRATEGIES
from translator.state import FIELDS

CODE, CR0 = 0x1000, FIELDS["cr0"].offset // 4
PE, MP, EM, TS, ET = 1, 2, 4, 8, 16
NM, UD = 7, 6


@pytest.fixture(params=STRATEGIES)
def processor(request: pytest.FixtureRequest) -> Iterator[Processor]:
    physical = Physical(1 << 20)
    memory = Linear(physical)
    made = Processor(memory, request.param)
    made.cpu.r32[CR0] = PE | ET
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


def test_clts_ends_it(processor: Processor) -> None:
    """In the middle of code that is known."""
    for _ in range(3):
        assert go(processor, "90 0f06 d9e8 ddd8", TS) == ("halt", 8)
        assert go(processor, "90 90 d9e8 ddd8", TS) == (f"{NM}", 2)
