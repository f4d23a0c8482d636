"""jitemu: run x86 guests by binary translation. Public API."""

__version__ = "0.1.0"
