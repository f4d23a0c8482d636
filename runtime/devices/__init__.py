"""Devices of machines: one file each, which names its datasheet."""
