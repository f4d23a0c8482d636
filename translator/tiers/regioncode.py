"""Region -> host code: the one function, lowered in the way that fits it."""

from __future__ import annotations

from translator.regions import Region
from translator.semantics import lift
from translator.tiers import backend, elf, hostx87
from translator.tiers.llvm import module
from translator.tiers.region import RegionLowering
from translator.tiers.stencil import Stencil, extract


def source(region: Region, name: str = "region") -> str:
    """Return the LLVM module of a region."""
    used: set[str] = set()
    units = [[lift(shape.insn) for shape, _ in node.plan.items] for node in region.nodes]
    lowering = hostx87.HostX87Lowering if hostx87.fits(region) else RegionLowering
    low = lowering(name, region, units, used)
    low.lower()
    return module([low.text()], low.symbols, used)


def compile_region(region: Region) -> Stencil:
    """Compile a region; its insns' slots are those of `regions.slots_of`."""
    obj = elf.parse(backend.compile_object(source(region)))
    return extract(obj, elf.functions(obj, ["region"])[0], whole=True)
