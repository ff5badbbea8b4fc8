"""Averages over k-subsets of a group of N rewards of the largest reward in the subset.

With the rewards in ascending order g_1 <= ... <= g_N each average is a sum with non-negative weights that add
up to one, so it is accurate relative to the largest term and needs one sort and one or two running sums:

  G_i = mean of the max over k-subsets that contain i      (PKPO eq. 19 over k/N, MaxPO eq. 8)
  B_i = mean of the max over k-subsets that leave i out    (MaxPO eq. 8)
  R   = mean of the max over all k-subsets                 (PKPO eq. 12)
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from maxrl_jax.advantages import ranks, spread
from maxrl_jax.advantages.binomial_ratios import Table, choose_ratio, shifted_ratio


@functools.lru_cache(maxsize=64)
def containing_weights(num_rollouts: int, k: int) -> tuple[Table, Table]:
    """(own, above): G_(i) = own[i] g_(i) + sum_{m>i} above[m] g_(m); each [N], index = rank - 1.

    own = C(i-1, k-1) / C(N-1, k-1) and above = C(m-2, k-2) / C(N-1, k-1).
    """
    n = num_rollouts
    own = choose_ratio(n - 1, k - 1)
    above = np.zeros(n) if k == 1 else shifted_ratio(n - 2, k - 2, n, 1) * (k - 1) / (n - 1)
    return own.astype(np.float64), above.astype(np.float64)


@functools.lru_cache(maxsize=64)
def excluding_weights(num_rollouts: int, k: int) -> tuple[Table, Table]:
    """(below, above): B_(i) = sum_{m<i} below[m] g_(m) + sum_{m>i} above[m] g_(m), k <= N - 1; each [N].

    below = C(m-1, k-1) / C(N-1, k) and above = C(m-2, k-1) / C(N-1, k).
    """
    n = num_rollouts
    scale = k / (n - 1)
    below = shifted_ratio(n - 2, k - 1, n, 0) * scale
    above = shifted_ratio(n - 2, k - 1, n, 1) * scale
    return below.astype(np.float64), above.astype(np.float64)


@functools.lru_cache(maxsize=64)
def rank_weights(num_rollouts: int, k: int) -> Table:
    """[N] weights mu_m = C(m-1, k-1) / C(N, k) with R = sum_m mu_m g_(m) (PKPO eq. 12-13)."""
    return (choose_ratio(num_rollouts - 1, k - 1) * k / num_rollouts).astype(np.float64)


def mean_max_containing(rewards: Float[Array, "*batch N"], k: int) -> Float[Array, "*batch N"]:
    """G_i, 1 <= k <= N."""
    dtype = ranks.compute_dtype(rewards.dtype)
    own, above = containing_weights(rewards.shape[-1], k)

    def values(ascending: jax.Array) -> jax.Array:
        g = ascending.astype(dtype)
        return jnp.asarray(own, dtype) * g + ranks.sum_from(jnp.asarray(above[1:], dtype) * g[..., 1:])

    return ranks.by_rank(rewards, values)


def mean_max_excluding(rewards: Float[Array, "*batch N"], k: int) -> Float[Array, "*batch N"]:
    """B_i, 1 <= k <= N - 1."""
    dtype = ranks.compute_dtype(rewards.dtype)
    below, above = excluding_weights(rewards.shape[-1], k)

    def values(ascending: jax.Array) -> jax.Array:
        g = ascending.astype(dtype)
        lower = ranks.sum_below(jnp.asarray(below[:-1], dtype) * g[..., :-1])
        return lower + ranks.sum_from(jnp.asarray(above[1:], dtype) * g[..., 1:])

    return ranks.by_rank(rewards, values)


def max_spread(rewards: Float[Array, "*batch N"], k: int) -> Float[Array, "*batch 1"]:
    """Standard deviation of the max over all k-subsets; zero, with a finite gradient, when constant."""
    dtype = ranks.compute_dtype(rewards.dtype)
    weights = jnp.asarray(rank_weights(rewards.shape[-1], k), dtype)
    ascending = ranks.sort_ascending(rewards).astype(dtype)
    # Differences from the smallest reward: a common offset would otherwise swamp the spread.
    shifted = ascending - ascending[..., :1]
    mean = jnp.sum(weights * shifted, axis=-1, keepdims=True)
    return spread.root_mean_square(shifted - mean, weights)
