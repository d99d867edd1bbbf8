"""Calls that Python makes, beside what else there is for them: `pytest benchmarks/micro` (pytest-benchmark)."""
