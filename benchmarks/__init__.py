"""Measurements of this machine, each in one command: ``python -m benchmarks.NAME``."""
