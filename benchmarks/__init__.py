"""Measurements of jitemu against its peers; every guest's result is checked before it counts.

``python -m benchmarks`` (or ``jitemu bench``) runs the suites; README.md here describes them.
"""
