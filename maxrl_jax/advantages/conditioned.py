"""Estimators that need more than the rewards: log-probabilities of the rollouts, or the greedy answer's reward."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from maxrl_jax.advantages import contracts, definitions
from maxrl_jax.advantages.pointwise import grpo
from maxrl_jax.advantages.table import estimator


def _smoothing_limits(num_rollouts: int | None, *, correct_coef: float, incorrect_coef: float) -> None:
    contracts.non_negative("differential_smoothing", "correct_coef", correct_coef)
    contracts.non_negative("differential_smoothing", "incorrect_coef", incorrect_coef)


@estimator(
    estimates="grpo with a bonus for unlikely successes and a malus for unlikely failures",
    source="Gai et al. 2511.19942, as in MaxRL Table 3",
    definition=lambda r, mean_log_probs, correct_coef, incorrect_coef: (
        definitions.over_spread(r, 1e-6) + np.where(r > 0, -correct_coef, incorrect_coef) * mean_log_probs
    ),
    look="yellow - D",
    reward_kind="binary",
    symmetric=False,
    needs=("mean_log_probs",),
    limits=_smoothing_limits,
    settings=lambda N: [{}, {"correct_coef": 0.1, "incorrect_coef": 0.0}],
)
def differential_smoothing(
    rewards: Float[Array, "*batch N"],
    *,
    mean_log_probs: Float[Array, "*batch N"],
    correct_coef: float = 0.05,
    incorrect_coef: float = 0.05,
) -> Float[Array, "*batch N"]:
    """A_i = grpo_i - c_+ r_i l_i + c_- (1 - r_i) l_i, with l_i the mean token log-probability of rollout i.

    The losses stop the gradient at the advantages, so nothing is differentiated through l.

    Args:
        rewards: binary.
        mean_log_probs: nats per token.
        correct_coef: c_+ >= 0.
        incorrect_coef: c_- >= 0.
    """
    r, l = rewards.astype(mean_log_probs.dtype), mean_log_probs
    return grpo(rewards) - correct_coef * r * l + incorrect_coef * (1 - r) * l


@estimator(
    estimates="grpo on the prompts that greedy decoding does not solve",
    source="Nguyen et al. 2510.02230 (SELF), as in MaxRL Table 3",
    definition=lambda r, greedy_rewards: definitions.over_spread(r, 1e-6) * (1 - greedy_rewards),
    look="indigo - X",
    label="Self-masked",
    reward_kind="binary",
    centred=True,
    symmetric=False,
    needs=("greedy_rewards",),
)
def self_masked(
    rewards: Float[Array, "*batch N"], *, greedy_rewards: Float[Array, "*batch"]
) -> Float[Array, "*batch N"]:
    """A_i = grpo_i, all zero for a prompt that greedy decoding solves.

    Args:
        rewards: binary.
        greedy_rewards: the reward of the greedy answer.
    """
    return jnp.where(greedy_rewards[..., None] > 0.5, 0, grpo(rewards))
