"""The parts of the Runs page: what is looked for, the table, curves on top of each other, settings against result."""
