"""Benchmarks: each is a module that prints one JSON object. Tests are never timed; these are."""
