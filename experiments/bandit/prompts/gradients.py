"""Three ways to the gradient of one prompt, with one expectation: rollouts, counts of answers, no noise at all.

Each gives, for every prompt, the estimate (1/N) sum_i A_i S_i with respect to the prompt's own logits and what
the rollouts looked like. In `expected` those are expectations, so that the same curves can be drawn from all three.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.bandit.prompts.draws import draw_actions
from experiments.bandit.prompts.problem import pass_rate_gradient, pass_rates
from maxrl_jax import losses
from maxrl_jax.advantages import Estimator
from maxrl_jax.categorical import draw_counts

SAMPLINGS = ("rollouts", "counts", "expected")
PROVIDES = ("mean_log_probs", "greedy_rewards")  # what rollouts can hand to an estimator beside the rewards


class Estimate(NamedTuple):
    """For P prompts and C answers.

    Attributes:
      gradient: [P, C] ascent direction with respect to each prompt's logits.
      reward_mean: [P] K / N.
      any_success: [P] 1 if K > 0.
      all_success: [P] 1 if K = N.
    """

    gradient: jax.Array
    reward_mean: jax.Array
    any_success: jax.Array
    all_success: jax.Array


def _observed(gradient: jax.Array, successes: jax.Array, num_rollouts: int) -> Estimate:
    return Estimate(
        gradient,
        successes / num_rollouts,
        (successes > 0).astype(gradient.dtype),
        (successes == num_rollouts).astype(gradient.dtype),
    )


def rollout_gradient(logits: jax.Array, answers: jax.Array, advantages: jax.Array) -> jax.Array:
    """(1/N) sum_i A_i S_i of every prompt, [P, C], by differentiating the loss that every driver uses.

    From logits [P, C], answers int [P, N] and advantages [P, N].
    """

    def loss(logits: jax.Array) -> jax.Array:
        log_probs = jnp.take_along_axis(jax.nn.log_softmax(logits), answers, axis=-1)[..., None]
        return losses.policy_gradient(log_probs, jnp.ones_like(log_probs, bool), advantages)

    # The loss is a mean over prompts and answers; each prompt's own gradient is P times its share.
    return -jax.grad(loss)(logits) * logits.shape[0]


def from_rollouts(
    key: jax.Array, logits: jax.Array, correct: jax.Array, advantage: Estimator, num_rollouts: int
) -> Estimate:
    """Draws N answers for each of P prompts (``logits`` and ``correct`` are [P, C]); the key is consumed.

    Any estimator, also one that needs more than the rewards: what it needs of PROVIDES is handed to it.
    """
    answers = draw_actions(key, logits, num_rollouts)
    rewards = jnp.take_along_axis(correct, answers, axis=-1).astype(logits.dtype)
    arrays = {
        "mean_log_probs": jnp.take_along_axis(jax.nn.log_softmax(logits), answers, axis=-1),
        "greedy_rewards": jnp.take_along_axis(correct, jnp.argmax(logits, -1)[:, None], -1)[:, 0].astype(logits.dtype),
    }
    values = advantage(rewards, **{name: arrays[name] for name in advantage.needs})
    gradient = rollout_gradient(logits, answers, values)
    return _observed(gradient, rewards.sum(-1), num_rollouts)


def from_counts(key: jax.Array, logits: jax.Array, correct: jax.Array, success: jax.Array, fail: jax.Array) -> Estimate:
    """The same estimate from counts alone, for symmetric estimators; the key is consumed.

    ``success`` and ``fail`` are the estimator's binary form, A_success and A_fail over K = 0..N: data, so that methods
    can be vmapped. ``logits`` and ``correct`` are [P, C].
    """
    num_rollouts = success.shape[-1] - 1
    counts = draw_counts(key, logits, num_rollouts)
    successes = jnp.sum(jnp.where(correct, counts, 0), axis=-1)
    advantage = jnp.where(correct, success[successes][:, None], fail[successes][:, None])
    weighted = counts * advantage / num_rollouts
    gradient = weighted - jax.nn.softmax(logits) * weighted.sum(-1, keepdims=True)
    return _observed(gradient, successes, num_rollouts)


def expected(
    logits: jax.Array, correct: jax.Array, weights: jax.Array, num_rollouts: jax.Array | np.ndarray | int
) -> Estimate:
    """The exact expectation w(p) grad p with weights w(p) [..., P] such as `Method.weight` gives.

    ``num_rollouts`` is the N of the chances of any and of all successes, broadcast against [..., P].
    """
    p = pass_rates(logits, correct)
    # One minus the chance that N draws fail; N may differ along the axes, so not objectives.pass_at_k.
    any_success = jnp.where(p < 1, -jnp.expm1(num_rollouts * jnp.log1p(-jnp.where(p < 1, p, 0))), 1.0)
    return Estimate(weights[..., None] * pass_rate_gradient(logits, correct), p, any_success, p**num_rollouts)
