"""PKPO's one-dimensional problem: ``python -m experiments.gaussian``."""
