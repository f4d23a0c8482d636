"""Software that a machine finds when it is switched on: BIOS services as Python functions."""
