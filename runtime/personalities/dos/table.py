"""The registry of INT 21h: functions by AH, filled by a decorator in their subjects' files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.firmware.call import Call
    from runtime.firmware.callbacks import Result
    from runtime.personalities.dos.kernel import Kernel

Service = Callable[["Kernel", "Call"], "Result | None"]
SERVICES: dict[int, Service] = {}


def service(*numbers: int) -> Callable[[Service], Service]:
    """Let a function serve some functions of INT 21h."""

    def add(function: Service) -> Service:
        for number in numbers:
            if number in SERVICES:
                raise ValueError(f"INT 21h function {number:02X}h has a handler already")
            SERVICES[number] = function
        return function

    return add
