"""`python -m jitemu`: the same as the command `jitemu`."""

from __future__ import annotations

import sys

from jitemu.cli import main

if __name__ == "__main__":
    sys.exit(main())
