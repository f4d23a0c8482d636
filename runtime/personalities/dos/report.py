"""What the guest asked for and did not get: unknown functions and unsupported requests."""

from __future__ import annotations

from collections import Counter


class Report:
    """Counters of unknown functions and of short texts about unsupported requests."""

    def __init__(self) -> None:
        """Begin with nothing missing."""
        self.functions: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()

    def unknown(self, vector: int, function: int) -> None:
        """Count a call of a function that has no handler; *function* is AH or AX."""
        digits = 2 if function < 0x100 else 4
        self.functions[f"INT {vector:02X}h function {function:0{digits}X}h"] += 1

    def unsupported(self, text: str) -> None:
        """Count a request that a known function could not serve; *text* names it."""
        if text in self.requests or len(self.requests) < 64:
            self.requests[text] += 1

    def summary(self) -> str:
        """Return one line for a guest that failed; empty if nothing was missing."""
        parts = [f"{name} ({count})" for name, count in self.functions.items()]
        text = f"unknown functions: {', '.join(parts)}" if parts else ""
        others = [f"{name} ({count})" for name, count in self.requests.items()]
        more = f"unsupported: {', '.join(others)}" if others else ""
        return "; ".join(part for part in (text, more) if part)

    def full(self) -> str:
        """Return the end-of-run report, one finding per line."""
        lines = [f"  {count:8} {name}: unknown" for name, count in self.functions.items()]
        lines += [f"  {count:8} {text}" for text, count in self.requests.items()]
        return "\n".join(["DOS function report:", *(lines or ["  nothing was missing"])])
