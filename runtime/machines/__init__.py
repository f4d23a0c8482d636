"""Machines: which devices there are, at which ports and wires."""
