"""Measurements behind docs/benchmarks.md. Each script prints its figures; none of them is a test."""
