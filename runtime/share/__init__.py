"""A folder of the host that a guest mounts: 9P2000.L messages in, replies out."""
