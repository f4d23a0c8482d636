"""Waits for host sockets in a thread of its own, and hands what happened to the guest's thread."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
Post = Callable[[Callable[[], None]], None]


class Poller:
    """Each watch is for one event; whoever wants more watches again."""

    def __init__(self, post: Post | None = None) -> None:
        """*post* gets calls to make in the guest's thread; None: `turn` makes them."""
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[], None]] = {}
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, READ)
        self._post, self._thread = post, None
        if post is not None:
            self._thread = threading.Thread(target=self._run, name="network", daemon=True)
            self._thread.start()

    def watch(self, fd: int, events: int, call: Callable[[], None]) -> None:
        """Make a call when *fd* is ready; a later watch replaces it."""
        is_known = fd in self._calls
        self._calls[fd] = call
        action = self._epoll.modify if is_known else self._epoll.register
        action(fd, events | select.EPOLLONESHOT)

    def forget(self, fd: int) -> None:
        """Watch no more; to be called before the descriptor is closed."""
        if self._calls.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def turn(self, timeout: float = 0) -> int:
        """Wait for events and make their calls; return how many there were. Without *post*."""
        found = self._epoll.poll(timeout)
        for fd, _ in found:
            self._fire(fd)
        return len(found)

    def _fire(self, fd: int) -> None:
        call = self._calls.get(fd)  # it may have been forgotten meanwhile
        if call is not None:
            call()

    def _run(self) -> None:
        assert self._post is not None
        while True:
            for fd, _ in self._epoll.poll():
                if fd == self._wake:
                    return
                self._post(lambda fd=fd: self._fire(fd))  # type: ignore[misc]

    def close(self) -> None:
        """End the thread."""
        os.eventfd_write(self._wake, 1)
        if self._thread is not None:
            self._thread.join()
        self._epoll.close()
        os.close(self._wake)
