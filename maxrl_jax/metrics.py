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


def majority_vote(
    answers: Int[ArrayLike, "*batch n"], *, valid: Bool[ArrayLike, "*batch n"] | None = None
) -> Int[Array, "*batch"]:
    """The most frequent of the n answers to a question; the smallest one where several are most frequent.

    Answers are compared as integers. Text is numbered first, `np.unique(texts, return_inverse=True)`, and the vote is
    the number of the winner.

    Args:
        answers: integers, n >= 1.
        valid: the answers that have a vote (an answer without a final result has none); all by
            default. Where nobody has a vote the smallest answer is returned.

    Returns:
        The winners, in the type of `answers`.

    Raises:
        ValueError: answers that are no integers, or shapes that do not fit.

    Example:
        >>> majority_vote([[3, 1, 3, 2], [5, 4, 4, 5]]).tolist()
        [3, 4]
        >>> texts, numbers = np.unique(["1/2", "0.5", "1/2"], return_inverse=True)
        >>> str(texts[majority_vote(numbers)])
        '1/2'
    """
    dtype = answers.dtype if isinstance(answers, jax.Array) else np.asarray(answers).dtype
    if not np.issubdtype(dtype, np.integer):
        raise ValueError(f"metrics.majority_vote: answers must be integers, got the type {dtype}; number them first")
    answers = jnp.asarray(answers)
    valid = jnp.ones(answers.shape, bool) if valid is None else jnp.asarray(valid, bool)
    if answers.ndim < 1 or answers.shape[-1] < 1 or valid.shape != answers.shape:
        raise ValueError(
            "metrics.majority_vote: answers and valid must have shape [*batch, n] with n >= 1, got "
            f"{answers.shape} and {valid.shape}"
        )
    order = jnp.argsort(answers, axis=-1)
    ascending, counted = (jnp.take_along_axis(x, order, axis=-1) for x in (answers, valid))
    # Votes up to and including each place, and up to the place before its answer begins.
    total = jnp.cumsum(counted, axis=-1, dtype=jnp.int32)
    is_first = jnp.diff(ascending, axis=-1, prepend=ascending[..., :1]) != 0
    before = jax.lax.cummax(jnp.where(is_first, total - counted, 0), axis=answers.ndim - 1)
    # The last place of an answer has all of its votes; argmax takes the first place, so the smallest of the winners.
    winner = jnp.argmax(total - before, axis=-1, keepdims=True)
    return jnp.take_along_axis(ascending, winner, axis=-1)[..., 0]
