"""A display that writes pictures to a file: at intervals, and the last one at the end."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from runtime.screen.console import Console
from runtime.screen.png import png


class PngDisplay:
    """Writes *path*, always whole: whoever reads it sees an old picture or a new one."""

    def __init__(self, console: Console, path: str, interval: float | None = None) -> None:
        """*interval*: seconds between pictures; None: only one when it is closed. OSError."""
        self.console, self.path, self.interval = console, Path(path), interval
        with self.path.open("ab"):  # now, not at the end of a long run
            pass
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        if interval is not None:
            self._thread = threading.Thread(target=self._run, name="display", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(self.interval):
            try:
                self.save()
            except (OSError, RuntimeError) as error:
                print(f"jitemu: display: {error}", file=sys.stderr)
                return

    def save(self) -> None:
        """Write what is shown now; OSError."""
        new = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        new.write_bytes(png(self.console.screen.ndarray))
        new.replace(self.path)

    def close(self) -> None:
        """Write the last picture; OSError."""
        self._done.set()
        if self._thread is not None:
            self._thread.join(2)
        self.save()
