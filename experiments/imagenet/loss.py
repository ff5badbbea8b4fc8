"""The two losses of the experiment, image by image: cross-entropy, and a policy gradient on right and wrong."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from experiments.imagenet.measures import label_log_prob
from maxrl_jax import objectives
from maxrl_jax.advantages import Estimator
from maxrl_jax.categorical import CategoricalTerms, categorical_terms
from maxrl_jax.runs.config import estimator

LOSSES = ("cross_entropy", "policy_gradient")


def phases(config: Any) -> list[tuple[int, Estimator | None]]:
    """``[(first step, estimator), ...]``; one entry with None for cross-entropy, which has none.

    Raises:
        ConfigError: an estimator that does not fit.
    """
    if config.loss.name == "cross_entropy":
        return [(0, None)]
    return list(estimator.phases(config, "loss.advantage", num_rollouts=config.loss.num_rollouts))


def terms(
    logits: jax.Array, labels: jax.Array, key: jax.Array, num_rollouts: int, advantage: Estimator | None, sampling: str
) -> CategoricalTerms:
    """Each image's loss, and whether one of its N rollouts is right, as `categorical_rollouts` draws them.

    Without an estimator it is cross-entropy -log pi(label), which draws nothing: `solved` is then the probability that
    one of N rollouts would be right.
    """
    if advantage is not None:
        return categorical_terms(logits, labels, key, num_rollouts, advantage, sampling)
    log_p = label_log_prob(logits, labels)
    return CategoricalTerms(-log_p, objectives.pass_at_k(jnp.exp(jax.lax.stop_gradient(log_p)), num_rollouts))
