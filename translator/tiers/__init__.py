"""IR -> something that runs: one module a tier."""
