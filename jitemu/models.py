"""Names of processors, as -cpu takes them -> models."""

from __future__ import annotations

from translator.mode import Model

MODELS = {
    "max": Model.MAX,
    "286": Model.I286,
    "386": Model.I386,
    "486": Model.I486,
    "pentium": Model.PENTIUM,
    "pentium3": Model.PENTIUM3,
}


def model_named(name: str) -> Model:
    """Return the model of a name; ValueError for an unknown one."""
    if name not in MODELS:
        raise ValueError(f"processor {name!r}: choose from {', '.join(MODELS)}")
    return MODELS[name]
