"""Estimators of grad max@k on the Gaussian problem: their variance, and PKPO's effective rewards s_i = A_i / n."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from experiments.gaussian import problem
from experiments.results.spread import spread
from maxrl_jax import advantages, keys

FIGURE_8: dict[str, tuple[str, dict[str, Any]]] = {
    "pkpo loo_minus_one": ("pkpo", {"baseline": "loo_minus_one"}),
    "pkpo loo": ("pkpo", {"baseline": "loo"}),
    "pkpo none": ("pkpo", {"baseline": "none"}),
    "partitioned loo_minus_one": ("partitioned", {"kind": "loo_minus_one"}),
    "partitioned naive_baseline": ("partitioned", {"kind": "naive_baseline"}),
    "partitioned naive": ("partitioned", {"kind": "naive"}),
    "maxpo": ("maxpo", {}),  # not in the paper's figure
}
"""The six estimators of PKPO Figure 8 and, as a seventh, the centred one; each takes k."""


def legal(k: int, num_samples: int) -> dict[str, advantages.Estimator]:
    """The estimators of `FIGURE_8` that are defined for groups of `num_samples`, by label."""
    defined = {}
    for label, (name, hyper) in FIGURE_8.items():
        chosen = advantages.get(name, k=k, **hyper)
        try:
            chosen.check(num_samples, reward_kind="real")
        except ValueError:
            continue  # loo and maxpo need n > k, naive_baseline two blocks
        defined[label] = chosen
    return defined


def gradient_estimates(
    key: jax.Array,
    estimators: Mapping[str, Callable[[jax.Array], jax.Array]],
    *,
    theta: float,
    std: float,
    num_samples: int,
    num_estimates: int,
) -> dict[str, jax.Array]:
    """label -> estimates of d max@k / d theta [estimates], (1/n) sum_i A_i (x_i - theta) / std^2, of the same draws."""
    x = theta + std * jax.random.normal(key, (num_estimates, num_samples))
    rewards, scores = problem.reward(x), problem.score(x, theta, std=std)
    return {label: jnp.mean(f(rewards) * scores, axis=-1) for label, f in estimators.items()}


def variance_table(
    seed: int, *, theta: float, std: float, k: int, sample_sizes: Sequence[int], num_estimates: int
) -> pd.DataFrame:
    """PKPO Figure 8 as a table (there theta = 1, std = 0.1, k = 4 and 10,000 estimates).

    A row for every estimator and multiple n of k for which it is defined: estimator, n, k, mean, mean_error,
    exact_mean, z = (mean - exact_mean) / mean_error, variance, variance_error; errors are standard errors.
    """
    exact = float(problem.max_at_k_derivative(theta, k, std=std))
    rows = []
    for n in sample_sizes:
        estimators = legal(k, n)

        options = {"theta": theta, "std": std, "num_samples": n, "num_estimates": num_estimates}
        draw = jax.jit(partial(gradient_estimates, estimators=estimators, **options))
        estimates = draw(keys.stream(seed, "variance", n))
        for label in estimators:  # the table's order: jit returns dictionaries sorted
            rows.append({"estimator": label, "n": n, "k": k, **_moments(np.asarray(estimates[label]), exact)})
    return pd.DataFrame(rows)


def _moments(estimates: NDArray[np.floating], exact: float) -> dict[str, float]:
    """Mean and variance with their standard errors, the variance's from the fourth central moment."""
    estimates = estimates.astype(np.float64)
    mean, error, count = (value.item() for value in spread(estimates))
    variance = estimates.var(ddof=1)
    fourth = np.mean((estimates - mean) ** 4)
    return {
        "mean": mean,
        "mean_error": error,
        "exact_mean": exact,
        "z": (mean - exact) / error,
        "variance": variance,
        "variance_error": np.sqrt(max(fourth - variance**2, 0.0) / count),
    }


def binned_effective_rewards(
    key: jax.Array,
    estimator: Callable[[jax.Array], jax.Array],
    *,
    num_rewards: int,
    num_draws: int,
    num_bins: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """PKPO Figure 7: (centres of equal bins of the raw reward, mean effective reward A_i / n in each).

    Groups of n rewards, 32 in the paper, are uniform on [-1/2, 1/2].
    """
    rewards = jax.random.uniform(key, (num_draws, num_rewards), minval=-0.5, maxval=0.5)
    effective = np.asarray(estimator(rewards), np.float64).ravel() / num_rewards
    where = np.clip(((np.asarray(rewards).ravel() + 0.5) * num_bins).astype(int), 0, num_bins - 1)
    counts = np.bincount(where, minlength=num_bins)
    total = np.bincount(where, effective, minlength=num_bins)
    return (np.arange(num_bins) + 0.5) / num_bins - 0.5, total / np.maximum(counts, 1)


def expected_effective_reward(label: str, reward: ArrayLike, *, num_rewards: int, k: int) -> NDArray[np.float64]:
    """E[A_i / n | g_i] for rewards uniform on [-1/2, 1/2], the limit of `binned_effective_rewards`.

    With u = g_i + 1/2 and M_j the max of j other rewards, E max(u, M_(k-1)) = (k - 1 + u^k) / k and
    E M_k = k / (k + 1), on the scale of u. Put into k G_i, k (G_i - n/(n-1) B_i), k EI_i and k (G_i - B_i):

        pkpo none           (k - 1 + u^k - k/2) / n
        pkpo loo            the same - [k / (n-1)] (k / (k+1) - 1/2)
        pkpo loo_minus_one  u^k / n
        maxpo               [u^k - 1 / (k+1)] / n
    """
    power = (np.asarray(reward, np.float64) + 0.5) ** k
    none = (k / 2 - 1 + power) / num_rewards
    return {
        "pkpo none": none,
        "pkpo loo": none - k / (num_rewards - 1) * (k / (k + 1) - 0.5),
        "pkpo loo_minus_one": power / num_rewards,
        "maxpo": (power - 1 / (k + 1)) / num_rewards,
    }[label]
