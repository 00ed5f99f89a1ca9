"""Data sets written to disk: digits for the demo and the tests, and others in the layouts that mm reads."""
