"""Exact measures of a classifier's logits, image by image."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from maxrl_jax import objectives

KS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""The k of pass@k. Coverage at k, the share of images solved by one of k samples, has pass@k as its expectation."""


def measures(logits: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
    """Exact measures [*batch] of logits [*batch, C] and labels [*batch], without sampling (MaxRL appendix D.4).

    cross_entropy -log pi(y*) and entropy in nats, top1 (0 or 1), and pass@k = 1-(1-pi(y*))^k for k in `KS`; pass@1 is
    the expected reward.
    """
    log_p = label_log_prob(logits, labels)
    log_pi = jax.nn.log_softmax(logits)
    p = jnp.exp(log_p)
    return {
        "cross_entropy": -log_p,
        "entropy": -jnp.sum(jnp.exp(log_pi) * log_pi, axis=-1),
        "top1": (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32),
        **{f"pass@{k}": objectives.pass_at_k(p, k) for k in KS},
    }


def label_log_prob(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """log pi(label) [*batch]."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], axis=-1)[..., 0]
