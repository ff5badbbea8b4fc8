"""The random draws that the bandits share: one key a seed, and actions of a softmax policy."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def seed_keys(seed: int, count: int) -> jax.Array:
    """[count] keys: seeds seed, seed + 1, ..."""
    return jax.vmap(jax.random.key)(seed + jnp.arange(count))


def draw_actions(key: jax.Array, logits: jax.Array, num_draws: int) -> jax.Array:
    """int32 [*batch, num_draws] actions ~ softmax(logits [*batch, A]) by inverse transform, O(log A) each.

    The key is consumed. Actions of logit -inf are never drawn.
    """
    cumulative = jnp.cumsum(jax.nn.softmax(logits), axis=-1)
    uniform = jax.random.uniform(key, (*logits.shape[:-1], num_draws), cumulative.dtype) * cumulative[..., -1:]
    search = jnp.vectorize(lambda edges, u: jnp.searchsorted(edges, u, side="right"), signature="(a),(n)->(n)")
    # Rounding may put a draw on the closed upper end, past the last action of positive probability.
    last = jnp.max(jnp.where(jnp.isfinite(logits), jnp.arange(logits.shape[-1]), 0), axis=-1, keepdims=True)
    return jnp.minimum(search(cumulative, uniform), last).astype(jnp.int32)
