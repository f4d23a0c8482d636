"""Unicorn itself, which tests compare with where it is installed."""

from __future__ import annotations

import importlib
import os
import warnings
from typing import Any

import pytest

VERSION = "2.1.4"


def unicorn() -> Any:
    """Return the package; skip the test, loudly, where it is not there."""
    os.environ.setdefault("UC_IGNORE_REG_BREAK", "1")
    try:
        found = importlib.import_module("unicorn")
    except ImportError:
        warnings.warn("unicorn is not installed: nothing was compared with it", stacklevel=2)
        pytest.skip(f"unicorn {VERSION} is not installed")
    if found.__version__ != VERSION:
        warnings.warn(f"unicorn {found.__version__} is not {VERSION}", stacklevel=2)
        pytest.skip(f"unicorn is {found.__version__}, not {VERSION}")
    importlib.import_module("unicorn.x86_const")
    return found
