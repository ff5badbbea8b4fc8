"""Sorting, running sums along the ranks and one value for tied entries, for every rank-based estimator."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32


def compute_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """float64 stays float64; everything else (bfloat16, float16, float32, integers, bool) is computed in float32."""
    return jnp.dtype(jnp.float64) if dtype == jnp.float64 else jnp.dtype(jnp.float32)


def ascending_order(rewards: Float[Array, "*batch N"]) -> Int32[Array, "*batch N"]:
    """Indices that put the last axis in ascending order; equal rewards in any order.

    Sorted as integers of the same width, which is faster than floats on a CPU: flipping the low bits of negative
    numbers turns the order of the floats into the order of their bit patterns.
    """
    bits = jnp.dtype(f"int{8 * rewards.dtype.itemsize}")
    low_bits = jnp.asarray(jnp.iinfo(bits).max, bits)
    # One zero: -0.0 has the bit pattern of a number below 0.0.
    keys = jax.lax.bitcast_convert_type(jnp.where(rewards == 0, 0, rewards), bits)
    keys = jnp.where(keys < 0, keys ^ low_bits, keys)
    places = jax.lax.broadcasted_iota(jnp.int32, rewards.shape, rewards.ndim - 1)
    return jax.lax.sort((keys, places), dimension=-1, is_stable=False, num_keys=1)[1]


def sort_ascending(rewards: Float[Array, "*batch N"]) -> Float[Array, "*batch N"]:
    """Rewards in ascending order along the last axis."""
    return jnp.take_along_axis(rewards, ascending_order(rewards), axis=-1)


def by_rank(
    rewards: Float[Array, "*batch N"], values_of_sorted: Callable[[jax.Array], jax.Array]
) -> Float[Array, "*batch N"]:
    """Applies a function of the ascending rewards and hands each rollout the value of its rank.

    Tied rollouts all get the value of the first of them, so ties cannot break the symmetry between equal
    rewards, whatever order the sort leaves them in. Values travel back along the permutation of the sort: looking
    the rewards up among the sorted ones would compare two copies that a compiler may have rounded differently.

    Args:
        rewards: sorted in its own type.
        values_of_sorted: ascending rewards -> one value per rank, of the same shape.

    Returns:
        The values in the order of `rewards`.
    """
    order = ascending_order(rewards)
    ascending = jnp.take_along_axis(rewards, order, axis=-1)
    values = values_of_sorted(ascending)
    places = jax.lax.broadcasted_iota(jnp.int32, rewards.shape, rewards.ndim - 1)
    is_first = jnp.concatenate(
        [jnp.ones_like(ascending[..., :1], bool), ascending[..., 1:] != ascending[..., :-1]], axis=-1
    )
    first = jax.lax.cummax(jnp.where(is_first, places, 0), axis=rewards.ndim - 1)
    values = jnp.take_along_axis(values, first, axis=-1)
    return jnp.put_along_axis(jnp.zeros_like(values), order, values, axis=-1, inplace=False)


def sum_below(terms: Float[Array, "*batch gaps"]) -> Float[Array, "*batch gaps+1"]:
    """Entry i is the sum of the terms before position i."""
    zero = jnp.zeros_like(terms[..., :1]) if terms.shape[-1] else jnp.zeros((*terms.shape[:-1], 1), terms.dtype)
    return jnp.concatenate([zero, jnp.cumsum(terms, axis=-1)], axis=-1)


def sum_from(terms: Float[Array, "*batch gaps"]) -> Float[Array, "*batch gaps+1"]:
    """Entry i is the sum of the terms at and after position i."""
    return sum_below(terms[..., ::-1])[..., ::-1]
