"""The two losses of the experiment, and what is measured of a classifier's logits, image by image."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from maxrl_jax import losses, objectives
from maxrl_jax.advantages import Advantage
from maxrl_jax.categorical import CategoricalTerms
from maxrl_jax.runs.config import estimator

LOSSES = ("cross_entropy", "policy_gradient")

KS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""The k of pass@k. Coverage at k, the share of images solved by one of k samples, has pass@k as its expectation."""


def phases(config: Any) -> list[tuple[int, Advantage | None]]:
    """``[(first step, estimator), ...]``; one entry with None for cross-entropy, which has none.

    Raises:
        ConfigError: an estimator that does not fit.
    """
    if config.loss.name == "cross_entropy":
        return [(0, None)]
    return list(estimator.phases(config, "loss.advantage", num_rollouts=config.loss.num_rollouts))


def terms(
    logits: jax.Array, labels: jax.Array, key: jax.Array, num_rollouts: int, advantage: Advantage | None, sampling: str
) -> CategoricalTerms:
    """Each image's loss, and whether one of its N rollouts is right.

    Args:
        logits: [*batch, C].
        labels: [*batch].
        key: consumed.
        num_rollouts: N.
        advantage: the estimator, or None for cross-entropy -log pi(label). That draws nothing: `solved` is then the
            probability that one of N rollouts would be right.
        sampling: as in `losses.categorical_rollouts`.
    """
    if advantage is not None:
        return losses.categorical_terms(logits, labels, key, num_rollouts, advantage, sampling)
    log_p = _label_log_prob(logits, labels)
    return CategoricalTerms(-log_p, objectives.pass_at_k(jnp.exp(jax.lax.stop_gradient(log_p)), num_rollouts))


def measures(logits: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
    """What a classifier is worth on each image, exactly, nothing sampled.

    Args:
        logits: [*batch, C].
        labels: [*batch].

    Returns:
        Arrays [*batch]: cross_entropy -log pi(y*) and entropy in nats, top1 (0 or 1), and pass@k = 1-(1-pi(y*))^k
        for k in `KS` (MaxRL appendix D.4; pass@1 is the expected reward).
    """
    log_p = _label_log_prob(logits, labels)
    log_pi = jax.nn.log_softmax(logits)
    p = jnp.exp(log_p)
    return {
        "cross_entropy": -log_p,
        "entropy": -jnp.sum(jnp.exp(log_pi) * log_pi, axis=-1),
        "top1": (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32),
        **{f"pass@{k}": objectives.pass_at_k(p, k) for k in KS},
    }


def _label_log_prob(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], axis=-1)[..., 0]
