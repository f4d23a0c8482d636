"""Services by number: a dict filled by a decorator that refuses a second one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.firmware.call import Call
from runtime.firmware.callbacks import Result

if TYPE_CHECKING:
    from runtime.firmware.bios.bios import Bios

Service = Callable[["Bios", Call], Result | None]
Services = dict[int, Service]


def registrar(services: Services) -> Callable[..., Callable[[Service], Service]]:
    """Return a decorator that enters functions into a table under their numbers."""

    def service(*numbers: int) -> Callable[[Service], Service]:
        def enter(function: Service) -> Service:
            for number in numbers:
                if number in services:
                    raise ValueError(f"service {number:02x} exists")
                services[number] = function
            return function

        return enter

    return service
