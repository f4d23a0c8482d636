"""`pytest --strategy NAME --region-threshold INSNS`: every test's guests run that way.

Tests ask `running.STRATEGIES` and `running.ANY` which strategies there are; what they do not say
is decided here, in the tests' process and, through `running.PRELUDE`, in those it starts.
"""

from __future__ import annotations

from typing import Any

import pytest

# `region` compiles the start of the C library, 283 regions, before anything else happens: from an
# empty cache seven seconds of an idle processor, and a minute and a half for bash.
PATIENCE = 4
WITHOUT_GUESTS = {"runtime", "translator"}  # folders; their tests name the strategies themselves

strategy: str | None = None
region_threshold: int | None = None


def apply(name: str | None, threshold: int | None) -> None:
    """Make *name* the default strategy and *threshold* that of every engine; None: as it is.

    To be called before anything of `jitemu` is imported.
    """
    global strategy, region_threshold
    strategy, region_threshold = name, threshold
    if name is not None:
        import translator

        translator.DEFAULT_STRATEGY = name
    if threshold is not None:
        from runtime.tiering import Tiering

        given = Tiering.__init__

        def init(self: Tiering, *args: Any) -> None:
            given(self, *args)
            self.set_threshold(threshold)

        Tiering.__init__ = init  # type: ignore[method-assign]


def source() -> str:
    """Return the statements that do the same in another process."""
    if strategy is None and region_threshold is None:
        return ""
    return f"from tests import forced; forced.apply({strategy!r}, {region_threshold!r}); "


def patience() -> int:
    """Return how many times as long as by default a guest may take."""
    return PATIENCE if strategy == "region" else 1


def is_left_out(item: pytest.Item) -> bool:
    """Whether a test has nothing to say about the strategy that is asked for."""
    if strategy is None and region_threshold is None:
        return False
    starts_no_guest = not WITHOUT_GUESTS.isdisjoint(item.path.parts)
    return starts_no_guest or item.get_closest_marker("particular") is not None
