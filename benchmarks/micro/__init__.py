"""Calls that Python makes, each beside what else there is for it (pytest-benchmark): rows.py says which."""
