"""Benchmarks, each beside its comparison in the same run. `python -m benchmarks.report` runs them; see README.md."""
