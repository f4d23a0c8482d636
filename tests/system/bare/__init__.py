"""Bare programs that run both here and on another emulator (tests/system/README.md)."""
