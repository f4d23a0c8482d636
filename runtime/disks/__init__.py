"""Disk images: sectors in and out; raw files, qcow2, overlays that keep what a guest wrote."""
