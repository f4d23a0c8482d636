"""What the guest's processor says of itself: (leaf, subleaf) -> EAX EBX ECX EDX; feature names.

A Pentium III's family with the vector extensions up to SSSE3, and the later ones that this host
allows (features.py): exactly what is implemented.
"""

from __future__ import annotations

from translator.features import GUEST
from translator.mode import Model

VENDOR = "GenuineIntel"
BRAND = "jitemu virtual CPU"
FAMILY, MODEL, STEPPING = 6, 15, 1
CACHE_LINE = 64  # bytes that clflush flushes

# Names as in /proc/cpuinfo -> bit of leaf 1.
FEATURES_EDX = {
    "fpu": 0,
    "tsc": 4,
    "cx8": 8,
    "cmov": 15,
    "clflush": 19,
    "mmx": 23,
    "fxsr": 24,
    "sse": 25,
    "sse2": 26,
}


def _offered(**bits: int) -> dict[str, int]:
    return {name: bit for name, bit in bits.items() if name in GUEST}


FEATURES_ECX = {
    "pni": 0,
    **_offered(pclmulqdq=1),
    "ssse3": 9,
    **_offered(sse4_1=19, sse4_2=20, movbe=22, popcnt=23, aes=25),
}
EXTENDED_ECX = _offered(abm=5)  # leaf 80000001
STRUCTURED_EBX = _offered(bmi1=3, bmi2=8, adx=19, sha_ni=29)  # leaf 7
STRUCTURED_ECX = _offered(gfni=8, movdiri=27, movdir64b=28)
FLAGS = (*FEATURES_EDX, *FEATURES_ECX, *EXTENDED_ECX, *STRUCTURED_EBX, *STRUCTURED_ECX)

_LEAVES = 7
_EXTENDED = 0x80000000
_EXTENDED_LEAVES = _EXTENDED + 4


def _bits(table: dict[str, int]) -> int:
    return sum(1 << bit for bit in table.values())


def _cache(kind: int, level: int, ways: int, sets: int) -> tuple[int, int, int, int]:
    """Describe a cache: kind 1 data, 2 code, 3 both; it initialises itself (bit 8)."""
    return kind | level << 5 | 1 << 8, (ways - 1) << 22 | CACHE_LINE - 1, sets - 1, 0


# Leaf 4: the caches that leaf 2 names.
_CACHES = (_cache(1, 1, 8, 64), _cache(2, 1, 8, 64), _cache(3, 2, 16, 4096))


def _words(text: str, count: int) -> list[int]:
    data = text.encode("ascii").ljust(4 * count, b"\0")
    return [int.from_bytes(data[4 * i : 4 * i + 4], "little") for i in range(count)]


# Processors that can be chosen: signature, and names of the bits of leaf 1.
_PENTIUM = ("fpu", "pse", "tsc", "msr", "cx8")
_PENTIUM3 = (*_PENTIUM, "pae", "pge", "cmov", "mmx", "fxsr", "sse")
MODELS = {Model.PENTIUM: (0x52C, _PENTIUM), Model.PENTIUM3: (0x683, _PENTIUM3)}
_SYSTEM_EDX = {"pse": 3, "msr": 5, "pae": 6, "pge": 13}
# What a machine adds to leaf 1, which a program cannot use: EDX, by model.
_MACHINE = ("de", "pse", "msr", "pae", "apic", "sep", "mtrr", "pge", "pat", "pse36")
_MACHINE_EDX = _SYSTEM_EDX | {"de": 2, "apic": 9, "sep": 11, "mtrr": 12, "pat": 16, "pse36": 17}
_ANNOUNCED = {
    Model.PENTIUM: ("de", "apic"),
    Model.PENTIUM3: _MACHINE,
    Model.MAX: _MACHINE,
}


def announced(model: Model) -> int:
    """Return the bits that a whole machine adds to EDX of leaf 1."""
    return sum(1 << _MACHINE_EDX[name] for name in _ANNOUNCED.get(model, ()))


def _of_model(number: int, model: Model) -> tuple[int, int, int, int]:
    """Return leaf 0 or 1, which is all that it has and answers any other number."""
    if number == 0:
        vendor = _words(VENDOR, 3)
        return 1, vendor[0], vendor[2], vendor[1]
    signature, names = MODELS[model]
    known = FEATURES_EDX | _SYSTEM_EDX
    return signature, 0, 0, sum(1 << known[name] for name in names)


def leaf(number: int, subleaf: int = 0, model: Model = Model.MAX) -> tuple[int, int, int, int]:
    """Return EAX EBX ECX EDX; leaves that do not exist answer as the highest basic one."""
    if model in MODELS:
        return _of_model(number, model)
    if number >= _EXTENDED:
        if number == _EXTENDED:
            return _EXTENDED_LEAVES, 0, 0, 0
        if number == _EXTENDED + 1:
            return 0, 0, _bits(EXTENDED_ECX), 0
        if number <= _EXTENDED_LEAVES:
            part = _words(BRAND, 12)[4 * (number - _EXTENDED - 2) :]
            return part[0], part[1], part[2], part[3]
    if number == 0:
        vendor = _words(VENDOR, 3)
        return _LEAVES, vendor[0], vendor[2], vendor[1]
    if number == 1:
        signature = FAMILY << 8 | (MODEL >> 4) << 16 | (MODEL & 15) << 4 | STEPPING
        return signature, CACHE_LINE // 8 << 8, _bits(FEATURES_ECX), _bits(FEATURES_EDX)
    if number == 2:
        # 32 KiB for data (2C) and code (30), a second level of 4 MiB (49), as in the cores of
        # this family; C libraries choose their copying by it.
        return 0x05B0B101, 0x005657F0, 0, 0x2CB43049
    if number == 4:
        return _CACHES[subleaf] if subleaf < len(_CACHES) else (0, 0, 0, 0)
    if number in (3, 5, 6):  # serial number, monitor, power: nothing
        return 0, 0, 0, 0
    if subleaf:
        return 0, 0, 0, 0
    return 0, _bits(STRUCTURED_EBX), _bits(STRUCTURED_ECX), 0
