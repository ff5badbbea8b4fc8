"""Measures of a trajectory of pass rates, on the host: coverage, strata, distance to maximum likelihood."""

from __future__ import annotations

import numpy as np

from experiments.bandit.prompts.problem import STRATA
from maxrl_jax import objectives


def pass_at_k(log_rates: np.ndarray, k: int) -> np.ndarray:
    """Mean over prompts of 1 - (1-p)^k: exact, as the pass rates are known. [..., P] log p -> [...]."""
    return np.mean(objectives.pass_at_k(np.exp(np.asarray(log_rates, np.float64)), k), axis=-1)


def distance(log_rates: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Mean over steps and prompts of |log p - reference log p|, nats; [..., steps, P] -> [...].

    The area between two sets of learning curves: at a late step alone every method that solves everything would
    look the same, however long it took.
    """
    return np.mean(np.abs(np.asarray(log_rates, np.float64) - reference), axis=(-2, -1))


def stratum_name(index: int) -> str:
    """Such as "0.001-0.01"."""
    low, high = STRATA[index]
    return f"{low:g}-{high:g}" if low else f"below {high:g}"


def steps_to(pass_at_1: np.ndarray, level: float) -> np.ndarray:
    """First step at which a curve [..., steps] reaches `level`; nan where it never does."""
    reached = pass_at_1 >= level
    return np.where(reached.any(-1), reached.argmax(-1), np.nan)
