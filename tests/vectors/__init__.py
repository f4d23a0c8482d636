"""Vectors captured from real processors, on every tier; README.md says how to run them."""
