"""References for the MaxPO bandit's estimators: exact gradients, the leave-one-out bias, score norms."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from experiments.bandit.maxpo.arms import Arms
from maxrl_jax import objectives

ESTIMATORS = ("expected_improvement", "maxpo", "ei_leave_one_out")  # the paper's EI, EI+L2O, EI+L1O


def max_at_k_gradient(arms: Arms, k: int) -> jax.Array:
    """Gradient of max@k with respect to the logits, [*batch, actions], by differentiating the exact objective."""

    def value(logits: jax.Array) -> jax.Array:
        return jnp.sum(objectives.max_at_k(jax.nn.softmax(logits), arms.rewards, k))

    return jax.grad(value)(arms.logits)


def _mean_max_with(arms: Arms, num_others: int) -> jax.Array:
    """E max(g_a, m further draws) for every arm a, [actions]: max@m of rewards cut off below at g_a."""
    if num_others == 0:
        return arms.rewards
    policy = jax.nn.softmax(arms.logits)
    return jax.vmap(lambda g: objectives.max_at_k(policy, jnp.maximum(arms.rewards, g), num_others))(arms.rewards)


def leave_one_out_bias(arms: Arms, k: int, num_rollouts: int) -> jax.Array:
    """E[EI+L1O gradient estimate] - grad max@k, [actions]; one instance.

    The leave-one-out baseline of rollout i averages EI_j over j != i, and a fraction (k-1)/(N-1) of the comparator
    subsets of EI_j contain i. Given g_i = x such a subset contributes h(x) = E (g - max(x, M))^+ with M the max of
    k - 2 further draws, so the baseline leaks -[k(k-1)/(N-1)] E[h(g_i) S_i] into the mean (on binary rewards the
    weight [k(k-1)/(N-1)] p (1-p)^(k-2)). MaxPO section 3.1 names the dependence; the size is derived here.
    """
    if k == 1:
        return jnp.zeros_like(arms.logits)
    policy = jax.nn.softmax(arms.logits)
    gain = _mean_max_with(arms, k - 1) - _mean_max_with(arms, k - 2)
    centred = policy * (gain - jnp.sum(policy * gain))
    return -k * (k - 1) / (num_rollouts - 1) * centred


def score_norm(logits: jax.Array) -> jax.Array:
    """E|S|^2 = 1 - sum_a pi_a^2 of a softmax policy (MaxPO eq. 120), [*batch]; 1 - 1/actions when uniform."""
    return 1 - jnp.sum(jax.nn.softmax(logits) ** 2, axis=-1)
