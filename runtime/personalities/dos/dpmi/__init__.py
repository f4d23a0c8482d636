"""A DPMI 0.9 host: DOS programs in protected mode."""
