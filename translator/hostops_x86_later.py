"""HOST rows of x86-64 hosts: insns that came after SSSE3, used where the host has them."""

from __future__ import annotations

from translator.hostop import HostOp

_X = ("=x", 128)
_IN = ("x", 128)
_R = ("r", 32)
# AH ← SF ZF PF CF; AL ← OF.
_FLAGS = "; lahf; seto %al"
_AX = ("={ax}", 16)
_LENGTHS = (("{ax}", 32), ("{dx}", 32))

_CRYPTO = (
    "aesenc", "aesenclast", "aesdec", "aesdeclast", "gf2p8mulb", "sha1nexte", "sha1msg1",
    "sha1msg2", "sha256msg1", "sha256msg2",
)  # fmt: skip


def _unary(name: str) -> HostOp:
    """Make a row: result ← operation(argument, immediate)."""
    return HostOp(f"{name} $${{imm}}, $1, $0", (_X,), (_IN,))


def _binary(name: str) -> HostOp:
    """Make a row: result ← operation(argument 0, argument 1, immediate)."""
    return HostOp(f"{name} $${{imm}}, $2, $0", (_X,), (("0", 128), _IN))


def _strings(name: str) -> HostOp:
    """Make a row: index or mask, and flags, of comparing argument 0 with argument 1.

    The other arguments are the lengths in EAX and EDX, where the insn looks at them.
    """
    result = ("={cx}", 32) if name.endswith("i") else ("={xmm0}", 128)
    lengths = _LENGTHS if "e" in name.removeprefix("pcmp").removesuffix("strm") else ()
    return HostOp(
        f"{name} $${{imm}}, $3, $2{_FLAGS}", (result, _AX), (_IN, _IN, *lengths), "~{flags}"
    )


def _crc32(letter: str, constraint: str, width: int) -> HostOp:
    """Make a row: the checksum argument 0 with the bits of argument 1 added to it."""
    return HostOp(f"crc32{letter} $2, $0", (("=r", 32),), (("0", 32), (constraint, width)))


ROWS: dict[str, HostOp] = {
    **{name: _unary(name) for name in ("roundps", "roundpd")},
    **{name: _binary(name) for name in ("roundss", "roundsd", "dpps", "dppd", "mpsadbw")},
    **{name: HostOp(f"{name} $2, $0", (_X,), (("0", 128), _IN)) for name in _CRYPTO},
    **{name: _binary(name) for name in ("pclmulqdq", "sha1rnds4")},
    **{name: _binary(name) for name in ("gf2p8affineqb", "gf2p8affineinvqb")},
    "aesimc": HostOp("aesimc $1, $0", (_X,), (_IN,)),
    "aeskeygenassist": _unary("aeskeygenassist"),
    "sha256rnds2": HostOp("sha256rnds2 $2, $0", (_X,), (("0", 128), _IN, ("{xmm0}", 128))),
    "phminposuw": HostOp("phminposuw $1, $0", (_X,), (_IN,)),
    **{name: _strings(name) for name in ("pcmpistri", "pcmpistrm")},
    **{name: _strings(name) for name in ("pcmpestri", "pcmpestrm")},
    "crc32_8": _crc32("b", "q", 8),
    "crc32_16": _crc32("w", "r", 16),
    "crc32_32": _crc32("l", "r", 32),
    **{name: HostOp(f"{name}l $2, $1, $0", (("=r", 32),), (_R, _R)) for name in ("pdep", "pext")},
}
