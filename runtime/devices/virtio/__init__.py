"""Paravirtual devices: OASIS Virtual I/O Device (VIRTIO) 1.1, and its legacy interface (0.9.5)."""
