"""Many files at once, and what becomes of the answers: exports, corrections, history."""
