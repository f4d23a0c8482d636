"""A network for one guest: its frames in, sockets of the host out; off unless asked for."""
