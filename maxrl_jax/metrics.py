"""Unbiased estimates of pass@k and max@k from n samples, for every k at once, and the majority vote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxrl_jax.advantages import ranks
from maxrl_jax.advantages.binomial_ratios import choose_ratio
from maxrl_jax.advantages.subset_max import rank_weights


def _orders(name: str, k: int | Sequence[int] | np.ndarray, num_samples: int) -> np.ndarray:
    """k as an int array, each with 1 <= k <= n; ValueError otherwise."""
    orders = np.asarray(k)
    if orders.dtype == bool or not np.issubdtype(orders.dtype, np.integer):
        raise ValueError(f"{name}: k must hold whole numbers, got {k!r}")
    outside = orders[(orders < 1) | (orders > num_samples)]
    if outside.size:
        raise ValueError(
            f"{name}: got k = {outside.flat[0]} with n = {num_samples} samples, allowed is 1 <= k <= {num_samples}"
        )
    return orders


def pass_at_k(n: int, c: Any, k: int | Sequence[int] | np.ndarray) -> Any:
    """1 - C(n-c, k)/C(n, k), unbiased for pass@k from n samples with c successes (Chen et al. 2021).

    The ratio is a product made once in extended precision, so it is right to the last digits at n = 2,048 and
    beyond (float32 log-gammas are not).

    Args:
      n: number of samples.
      c: [*batch] number of successes, 0..n; numpy and Python numbers give float64, jax arrays float32.
      k: one order or a sequence [K] of them, each 1 <= k <= n.

    Returns:
      [*batch] for one k, [*batch, K] for a sequence.

    Raises:
      ValueError: k > n, k < 1, or concrete c outside 0..n.
    """
    orders = _orders("metrics.pass_at_k", k, n)
    tables = np.stack([1 - choose_ratio(n, int(j)).astype(np.float64) for j in orders.reshape(-1)], axis=-1)
    if isinstance(c, jax.Array):
        values = jnp.asarray(tables)[n - c.astype(jnp.int32)]
    else:
        c = np.asarray(c)
        if not np.issubdtype(c.dtype, np.integer) or (c.size and (c.min() < 0 or c.max() > n)):
            raise ValueError(f"metrics.pass_at_k: c must hold whole numbers in 0..{n}, got {c!r}")
        values = tables[n - c]
    return values.reshape(*np.shape(c), *orders.shape)


def max_at_k(rewards: Any, k: int | Sequence[int] | np.ndarray) -> jax.Array:
    """Unbiased estimate of E[max of k rewards] from n samples: the mean max of all k-subsets (PKPO eq. 12).

    Args:
      rewards: [*batch, n], real.
      k: one order or a sequence [K] of them, each 1 <= k <= n.

    Returns:
      [*batch] for one k, [*batch, K] for a sequence, float32 or wider.

    Raises:
      ValueError: k > n or k < 1.
    """
    rewards = jnp.asarray(rewards)
    if not jnp.issubdtype(rewards.dtype, jnp.floating):
        rewards = rewards.astype(jnp.float32)
    n = rewards.shape[-1]
    orders = _orders("metrics.max_at_k", k, n)
    dtype = ranks.compute_dtype(rewards.dtype)
    weights = np.stack([rank_weights(n, int(j)) for j in orders.reshape(-1)], axis=-1)
    ascending = ranks.sort_ascending(rewards).astype(dtype)
    # HIGHEST: accelerators multiply matrices in bfloat16 or tf32 by default.
    values = jnp.matmul(ascending, jnp.asarray(weights, dtype), precision=jax.lax.Precision.HIGHEST)
    return values.reshape(*rewards.shape[:-1], *orders.shape)


def majority_vote(answers: Any) -> jax.Array:
    """The most frequent of n answers; the smallest one where several are most frequent.

    Args:
      answers: [*batch, n] integers.

    Returns:
      [*batch] integers.
    """
    answers = jnp.asarray(answers)
    ascending = jnp.sort(answers, axis=-1)

    def votes(row: jax.Array) -> jax.Array:
        left = jnp.searchsorted(row, row, side="left", method="scan_unrolled")
        return jnp.searchsorted(row, row, side="right", method="scan_unrolled") - left

    for _ in range(answers.ndim - 1):
        votes = jax.vmap(votes)
    winner = jnp.argmax(votes(ascending), axis=-1, keepdims=True)
    return jnp.take_along_axis(ascending, winner, axis=-1)[..., 0]
