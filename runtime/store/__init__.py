"""Compiled code on disk: packs of verified records in the user's cache directory."""
