"""Displays of machines: a terminal, a window, picture files. Each runs in a thread of its own."""
