"""The files of INT 21h functions: importing them fills the table."""

from __future__ import annotations

import importlib

_SUBJECTS = ("dirs", "exec", "fcb", "files", "ioctl", "keys", "long", "memory", "system")


def load() -> None:
    """Import all handlers."""
    for subject in _SUBJECTS:
        importlib.import_module(f"runtime.personalities.dos.calls_{subject}")
