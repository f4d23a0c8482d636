"""LLVM IR text -> object file. The only importer of llvmlite, and it imports it when first used."""

from __future__ import annotations

import threading
from typing import Any

from translator.features import llvm_features

# llvmlite serialises its own calls, but a module and its passes are several calls.
LOCK = threading.RLock()
_OPTIONS = (
    # Passes that cost a quarter of the time and gain nothing on functions of ten machine insns.
    "-enable-misched=false",
    "-disable-cgp",
    "-disable-lsr",
    "-disable-select-optimize",
    # Comparing each of a region's many exits with all others would be a fifth of its time.
    "-tail-merge-threshold=8",
    # Takes what only exits need to the head of a region, where each entry pays for it.
    "-disable-machine-licm",
)
_machines: dict[str, Any] = {}


def _llvm() -> Any:
    import llvmlite.binding as llvm

    if not _machines:
        for option in _OPTIONS:
            llvm.set_option("jitemu", option)
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
        target = llvm.Target.from_triple(llvm.get_process_triple())
        for reloc in ("static", "pic"):
            # Baseline CPU with what the name of cached code says that this host has.
            _machines[reloc] = target.create_target_machine(
                cpu="x86-64", features=llvm_features(), reloc=reloc, codemodel="small", opt=2
            )
    return llvm


def _optimized(text: str, *, reloc: str, optimize: bool) -> tuple[Any, Any]:
    llvm = _llvm()
    module = llvm.parse_assembly(text)
    machine = _machines[reloc]
    if optimize:
        # Hand-picked: the stock pipelines cost ten times as much and gain nothing on short code.
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options())
        passes = llvm.create_new_function_pass_manager()
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
        for function in module.functions:
            if not function.is_declaration:
                passes.run(function, builder)
    return module, machine


def compile_object(text: str, *, reloc: str = "static", optimize: bool = True) -> bytes:
    """Compile a module to an x86-64 object file."""
    with LOCK:
        module, machine = _optimized(text, reloc=reloc, optimize=optimize)
        return bytes(machine.emit_object(module))


def assembly(text: str, *, reloc: str = "static", optimize: bool = True) -> str:
    """Compile a module to assembly text, for the user's eyes."""
    with LOCK:
        module, machine = _optimized(text, reloc=reloc, optimize=optimize)
        return str(machine.emit_assembly(module))


def optimized(text: str) -> str:
    """Return the module's IR text after the passes."""
    with LOCK:
        return str(_optimized(text, reloc="static", optimize=True)[0])
