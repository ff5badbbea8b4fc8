"""What every rank-based estimator shares: sort, running sums along the ranks, and one value for tied entries."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

# Up to here one comparison of all pairs is cheaper than a binary search (measured on CPU).
_COMPARE_ALL_LIMIT = 64


def compute_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """float64 stays float64; everything else (bfloat16, float16, float32, integers, bool) is computed in float32."""
    return jnp.dtype(jnp.float64) if dtype == jnp.float64 else jnp.dtype(jnp.float32)


@jax.custom_jvp
def sort_ascending(rewards: jax.Array) -> jax.Array:
    """Ascending along the last axis, sorted as integers of the same width: 5x faster than floats on a CPU.

    Flipping the low bits of negative numbers turns the order of the floats into the order of their bit
    patterns, so the values come back exactly.
    """
    bits = jnp.dtype(f"int{8 * rewards.dtype.itemsize}")
    low_bits = jnp.asarray(jnp.iinfo(bits).max, bits)
    keys = jax.lax.bitcast_convert_type(rewards, bits)
    keys = jax.lax.sort(jnp.where(keys < 0, keys ^ low_bits, keys), dimension=-1, is_stable=False)
    return jax.lax.bitcast_convert_type(jnp.where(keys < 0, keys ^ low_bits, keys), rewards.dtype)


@sort_ascending.defjvp
def _sort_ascending_jvp(primals, tangents):
    (rewards,), (tangent,) = primals, tangents
    order = jnp.argsort(rewards, axis=-1)
    return sort_ascending(rewards), jnp.take_along_axis(tangent, order, axis=-1)


def _first_equal(ascending: jax.Array, values: jax.Array) -> jax.Array:
    """Index of the first entry of `ascending` [N] that equals each of `values` [N]."""
    method = "compare_all" if ascending.shape[-1] <= _COMPARE_ALL_LIMIT else "scan_unrolled"
    return jnp.searchsorted(ascending, values, side="left", method=method)


def by_rank(rewards: jax.Array, values_of_sorted: Callable[[jax.Array], jax.Array]) -> jax.Array:
    """Applies a function of the ascending rewards and hands each rollout the value of its rank.

    Tied rollouts all get the value of the first of them, so ties cannot break the symmetry between equal
    rewards, whatever order the sort leaves them in.

    Args:
      rewards: [*batch, N], sorted in its own type.
      values_of_sorted: [*batch, N] ascending -> [*batch, N], one value per rank.

    Returns:
      [*batch, N] in the order of `rewards`.
    """
    ascending = sort_ascending(rewards)
    values = values_of_sorted(ascending)
    find = _first_equal
    for _ in range(rewards.ndim - 1):
        find = jax.vmap(find)
    return jnp.take_along_axis(values, find(ascending, rewards), axis=-1)


def sum_below(terms: jax.Array) -> jax.Array:
    """[*batch, N-1] -> [*batch, N]: entry i is the sum of the terms before position i."""
    zero = jnp.zeros_like(terms[..., :1]) if terms.shape[-1] else jnp.zeros((*terms.shape[:-1], 1), terms.dtype)
    return jnp.concatenate([zero, jnp.cumsum(terms, axis=-1)], axis=-1)


def sum_from(terms: jax.Array) -> jax.Array:
    """[*batch, N-1] -> [*batch, N]: entry i is the sum of the terms at and after position i."""
    return sum_below(terms[..., ::-1])[..., ::-1]
