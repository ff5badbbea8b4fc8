"""Unbiased estimates of pass@k and max@k from n samples, for every k at once, and the majority vote."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from maxrl_jax.advantages import contracts, ranks
from maxrl_jax.advantages.binomial_ratios import choose_ratio
from maxrl_jax.advantages.subset_max import rank_weights

# One order, or a sequence [K] of them.
Orders = int | Sequence[int] | Int[ArrayLike, " K"]


def _orders(name: str, k: Orders, num_samples: int) -> np.ndarray:
    """k as an int array, each with 1 <= k <= n; ValueError otherwise."""
    if isinstance(k, jax.core.Tracer):
        raise ValueError(f"{name}: k must be static, got a traced value; mark it static_argnames or close over it")
    orders = np.asarray(k)
    if orders.dtype == bool or not np.issubdtype(orders.dtype, np.integer):
        raise ValueError(f"{name}: k must hold whole numbers, got {k!r}")
    outside = orders[(orders < 1) | (orders > num_samples)]
    if outside.size:
        raise ValueError(
            f"{name}: got k = {outside.flat[0]} with n = {num_samples} samples, allowed is 1 <= k <= {num_samples}"
        )
    return orders


def pass_at_k(n: int, c: Int[ArrayLike, "*batch"], k: Orders) -> Float[Array, "*shape"] | Float[np.ndarray, "*shape"]:
    """1 - C(n-c, k)/C(n, k), unbiased for pass@k from n samples with c successes (Chen et al. 2021).

    The ratio is a product made once in extended precision, so it is right to the last digits at n = 2,048 and
    beyond (float32 log-gammas are not).

    Args:
        n: number of samples, >= 1.
        c: number of successes, integers 0..n; numpy and Python numbers give float64, jax arrays float32.
            Concrete ones are checked; traced ones outside 0..n count as the nearer end.
        k: one order or a sequence [K] of them, each 1 <= k <= n.

    Returns:
        [*batch] for one k, [*batch, K] for a sequence.

    Raises:
        ValueError: n < 1, k > n, k < 1, c of another type than integers, or concrete c outside 0..n.
    """
    n = contracts.at_least("metrics.pass_at_k", "n", n, 1)
    orders = _orders("metrics.pass_at_k", k, n)
    contracts.integers("metrics.pass_at_k", "c", c, 0, n)
    tables = np.stack([1 - choose_ratio(n, int(j)).astype(np.float64) for j in orders.reshape(-1)], axis=-1)
    if isinstance(c, jax.Array):
        values = jnp.asarray(tables)[n - jnp.clip(c, 0, n).astype(jnp.int32)]
    else:
        values = tables[n - np.asarray(c)]
    return values.reshape((*np.shape(c), *orders.shape))


def max_at_k(rewards: Float[ArrayLike, "*batch n"], k: Orders) -> Float[Array, "*shape"]:
    """Unbiased estimate of E[max of k rewards] from n samples: the mean max of all k-subsets (PKPO eq. 12).

    Args:
        rewards: real, n >= 1.
        k: one order or a sequence [K] of them, each 1 <= k <= n.

    Returns:
        [*batch] for one k, [*batch, K] for a sequence, float32 or wider.

    Raises:
        ValueError: k > n or k < 1, or rewards without samples.
    """
    rewards = jnp.asarray(rewards)
    if rewards.ndim < 1 or rewards.shape[-1] < 1:
        raise ValueError(f"metrics.max_at_k: rewards must have shape [*batch, n] with n >= 1, got {rewards.shape}")
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


def majority_vote(votes: Int[ArrayLike, "*batch n"], right: Bool[ArrayLike, "*batch n"]) -> Float[np.ndarray, "*batch"]:
    """Whether the most frequent of n votes on a question is right: 1 or 0; of several that tie, the share that are.

    A function of the votes alone, whatever their order. A vote is right when an answer with it is.

    Args:
        votes: integers, equal for answers that say the same; negative for one that has no vote, since it says nothing
            or was not judged.
        right: whether each answer is right.

    Returns:
        float64; 0 where nobody votes.

    Raises:
        ValueError: votes that are no integers, or shapes that do not fit.

    Example:
        >>> majority_vote([[3, 1, 3, 2], [5, 4, 4, 5]], [[1, 0, 1, 0], [0, 1, 1, 0]]).tolist()
        [1.0, 0.5]
    """
    votes, right = np.asarray(votes), np.asarray(right, bool)
    if not np.issubdtype(votes.dtype, np.integer):
        raise ValueError(
            f"metrics.majority_vote: votes must be integers, got the type {votes.dtype}; number them first"
        )
    if votes.ndim < 1 or votes.shape[-1] < 1 or right.shape != votes.shape:
        raise ValueError(
            "metrics.majority_vote: votes and right must have shape [*batch, n] with n >= 1, got "
            f"{votes.shape} and {right.shape}"
        )

    def of_question(votes: np.ndarray, right: np.ndarray) -> float:
        cast = votes >= 0
        if not cast.any():
            return 0.0
        _, number, counts = np.unique(votes[cast], return_inverse=True, return_counts=True)
        is_right = np.bincount(number, right[cast]) > 0
        return is_right[counts == counts.max()].mean()

    rows = zip(votes.reshape(-1, votes.shape[-1]), right.reshape(-1, votes.shape[-1]), strict=True)
    return np.array([of_question(*row) for row in rows]).reshape(votes.shape[:-1])
