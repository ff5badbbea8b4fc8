"""Estimators that use the group through its mean and spread alone."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from maxrl_jax.advantages import contracts, definitions, gap_form
from maxrl_jax.advantages.ranks import compute_dtype
from maxrl_jax.advantages.spread import divide, root_mean_square
from maxrl_jax.advantages.table import estimator


def centre(rewards: Float[Array, "*batch N"]) -> Float[Array, "*batch N"]:
    """g_i - mean(g), exactly zero for a constant group.

    The mean is taken of the differences from the smallest reward: a float mean of equal numbers need not equal
    them, and a residue of one ulp becomes an advantage of order one once it is divided by its own spread.
    """
    g = rewards.astype(compute_dtype(rewards.dtype))
    shifted = g - jnp.min(g, axis=-1, keepdims=True)
    return shifted - jnp.mean(shifted, axis=-1, keepdims=True)


def _rate(num_successes, num_rollouts: int):
    return num_successes / num_rollouts


@estimator(
    estimates="grad E[g], unbiased",
    source="Williams 1992",
    definition=lambda g: g,
    look="grey : v",
    label="REINFORCE",
    binary_form=lambda K, N: (0 * K + 1, 0 * K),
    objective=lambda N: ("rl", {}, 1.0),
)
def reinforce(rewards: Float[Array, "*batch N"]) -> Float[Array, "*batch N"]:
    """A_i = g_i (Williams 1992): unbiased for grad E[g], no baseline.

    Args:
        rewards: real.
    """
    return rewards


@estimator(
    estimates="(N-1)/N grad E[g], exactly",
    source="MaxRL D.1 'REINFORCE'; Dr.GRPO",
    definition=lambda g: g - g.mean(),
    look="grey - s",
    centred=True,
    binary_form=lambda K, N: (1 - _rate(K, N), -_rate(K, N)),
    objective=lambda N: ("rl", {}, (N - 1) / N),
)
def mean_baseline(rewards: Float[Array, "*batch N"]) -> Float[Array, "*batch N"]:
    """A_i = g_i - mean(g), REINFORCE in MaxRL's ImageNet experiments: (N-1)/N of grad E[g].

    Args:
        rewards: real.
    """
    return centre(rewards)


def _rloo_limits(num_rollouts: int | None) -> None:
    contracts.rollouts("rloo", num_rollouts, at_least=2)


@estimator(
    estimates="grad E[g], unbiased",
    source="Kool et al. 2019; Ahmadian et al. 2024; MaxRL section 6",
    definition=definitions.less_others_mean,
    look="green - s",
    label="RLOO",
    centred=True,
    limits=_rloo_limits,
    binary_form=lambda K, N: ((N - K) / (N - 1), -K / (N - 1)),
    objective=lambda N: ("rl", {}, 1.0),
)
def rloo(rewards: Float[Array, "*batch N"]) -> Float[Array, "*batch N"]:
    """A_i = g_i - mean of the others' rewards: unbiased for grad E[g]; Delta^(1) of the centred family.

    Args:
        rewards: real, N >= 2.
    """
    return gap_form.apply_gap_form(rewards, gap_form.max_at_k_tables(rewards.shape[-1], 1))


def _grpo_limits(num_rollouts: int | None, *, eps: float, ddof: int) -> None:
    contracts.non_negative("grpo", "eps", eps)
    contracts.choice("grpo", "ddof", ddof, (0, 1))
    contracts.rollouts("grpo", num_rollouts, at_least=1 + ddof)


def _grpo_binary(num_successes, num_rollouts: int, *, eps: float, ddof: int):
    rate = _rate(num_successes, num_rollouts)
    scale = num_rollouts / (num_rollouts - ddof)
    spread = (scale * rate * (1 - rate)) ** 0.5
    # Constant groups have advantage zero also where eps is zero.
    inverse = (rate * (1 - rate) > 0) / (spread + eps + (rate * (1 - rate) <= 0))
    return (1 - rate) * inverse, -rate * inverse


@estimator(
    estimates="weight 1/sqrt(p(1-p)) as N grows; at finite N as effective_weight gives it",
    source="Shao et al. 2024; ddof 0 as in MaxRL D.1, ddof 1 as in verl",
    definition=lambda g, eps, ddof: definitions.over_spread(g, eps, ddof),
    look="blue - ^",
    label="GRPO",
    centred=True,
    limits=_grpo_limits,
    aim=lambda N, **hyper: ("grpo", {}),
    binary_form=_grpo_binary,
    settings=lambda N: [{}, {"eps": 1e-4}] + ([{"ddof": 1}] if N > 1 else []),
)
def grpo(rewards: Float[Array, "*batch N"], *, eps: float = 1e-6, ddof: int = 0) -> Float[Array, "*batch N"]:
    """A_i = (g_i - mean(g)) / (std(g) + eps).

    Args:
        rewards: real, N >= 1 + ddof.
        eps: added to the standard deviation.
        ddof: 0 divides the squares by N (MaxRL D.1), 1 by N - 1 (verl).
    """
    deviations = centre(rewards)
    spread = root_mean_square(deviations, 1 / (rewards.shape[-1] - ddof))
    return divide(deviations, spread + eps)
