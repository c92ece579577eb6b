"""The parts of the Train page: starting a run, watching it, and what can be done to it."""
