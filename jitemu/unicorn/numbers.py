"""Compact tables of constants -> names of a module."""

from __future__ import annotations

from typing import Any


def define(names: dict[str, Any], table: str) -> None:
    """Add the constants of a table to a module's names.

    A paragraph is a prefix and words; each word counts on from the one before, or says its number.
    """
    number = 0
    prefix = ""
    for word in table.split():
        if word.endswith(":"):
            prefix, number = word[:-1], 0
            continue
        name, _, explicit = word.partition("=")
        number = int(explicit) if explicit else number
        names[prefix + name] = number
        number += 1
