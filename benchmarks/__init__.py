"""Measurements of this machine, each in one command: ``python -m benchmarks.NAME``."""

import samplemind_core as samplemind_core  # says how threads wait, which torch reads when it is imported
