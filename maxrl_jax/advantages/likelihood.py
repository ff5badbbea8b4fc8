"""MaxRL: estimators that divide by the successes, and their extension to any order and to real rewards."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from maxrl_jax.advantages import contracts, definitions, gap_form, ranks
from maxrl_jax.advantages.ranks import compute_dtype
from maxrl_jax.advantages.table import Hyper, estimator


def successes(rewards: Float[Array, "*batch N"]) -> tuple[Bool[Array, "*batch N"], Float[Array, "*batch 1"]]:
    """(which rollouts succeed, K in the computation's dtype).

    Traced rewards outside {0, 1} cannot be refused; they count as a success above 1/2, which keeps every result
    finite. K is an integer sum: the float mean of N ones is not 1 for N = 41, 47, 55, ...
    """
    success = rewards > 0.5
    total = jnp.sum(success, axis=-1, keepdims=True, dtype=jnp.int32)
    return success, total.astype(compute_dtype(rewards.dtype))


def _at_least_one(num_successes):
    """max(K, 1): the guarded denominator; results at K = 0 are chosen separately."""
    return num_successes + (num_successes < 1)


@estimator(
    estimates="weight 1/sqrt(p) as N grows",
    source="one-sided normalisation by the success rate's square root (between RL and MaxRL)",
    definition=lambda r, eps: (r - r.mean()) / (np.sqrt(r.mean()) + eps) if r.any() else 0 * r,
    look="sky -. <",
    label="One-sided GRPO",
    reward_kind="binary",
    centred=True,
    limits=lambda num_rollouts, *, eps: contracts.non_negative("one_sided_grpo", "eps", eps),
    binary_form=lambda K, N, *, eps: (
        (1 - K / N) / ((_at_least_one(K) / N) ** 0.5 + eps) * (K > 0),
        -(K / N) / ((_at_least_one(K) / N) ** 0.5 + eps),
    ),
)
def one_sided_grpo(rewards: Float[Array, "*batch N"], *, eps: float = 1e-6) -> Float[Array, "*batch N"]:
    """A_i = (r_i - mu) / (sqrt(mu) + eps), zero where no rollout succeeds; population weight 1/sqrt(p).

    Args:
        rewards: binary.
        eps: added to sqrt(mu).
    """
    success, total = successes(rewards)
    n = rewards.shape[-1]
    deviation = jnp.where(success, (n - total) / n, -total / n)
    return jnp.where(total > 0, deviation / (jnp.sqrt(_at_least_one(total) / n) + eps), 0)


@estimator(
    estimates="grad J^(N) of MaxRL, unbiased",
    source="MaxRL eq. 6",
    definition=lambda r: r / r.mean() if r.any() else 0 * r,
    look="yellow -- P",
    reward_kind="binary",
    binary_form=lambda K, N: (N / _at_least_one(K) * (K > 0), 0 * K),
    objective=lambda N: ("maxrl", {"order": N}, 1.0),
)
def success_mean(rewards: Float[Array, "*batch N"]) -> Float[Array, "*batch N"]:
    """A_i = r_i / mu: the mean score of the successes; unbiased for the MaxRL objective of order N.

    Args:
        rewards: binary.
    """
    success, total = successes(rewards)
    return jnp.where(success, rewards.shape[-1] / _at_least_one(total), 0)


@estimator(
    estimates="grad J^(N) of MaxRL, unbiased",
    source="MaxRL eq. 7, the control variate kept at K = 0",
    definition=lambda r: (r / r.mean() if r.any() else 0 * r) - 1,
    look="orange : h",
    label="MaxRL unbiased",
    reward_kind="binary",
    binary_form=lambda K, N: (N / _at_least_one(K) * (K > 0) - 1, 0 * K - 1),
    objective=lambda N: ("maxrl", {"order": N}, 1.0),
)
def maxrl_unbiased(rewards: Float[Array, "*batch N"]) -> Float[Array, "*batch N"]:
    """A_i = r_i / mu - 1, and -1 for every rollout where K = 0: unbiased for the MaxRL objective of order N.

    Args:
        rewards: binary.
    """
    success, total = successes(rewards)
    return jnp.where(success, (rewards.shape[-1] - total) / _at_least_one(total), -1)


def practical_binary_form(num_successes, num_rollouts: int):
    """(N/K - 1, -1), both 0 at K = 0: what every estimator of order N - 1 is on binary rewards."""
    some = num_successes > 0
    return (num_rollouts / _at_least_one(num_successes) - 1) * some, -1.0 * some


def practical_objective(num_rollouts: int) -> tuple[str, Hyper, float]:
    """MaxRL of order N - 1; a single rollout gives no gradient at all (order 0)."""
    return ("maxrl", {"order": num_rollouts - 1}, 1.0) if num_rollouts > 1 else ("rl", {}, 0.0)


@estimator(
    estimates="grad J^(N-1) of MaxRL, exactly unbiased; J^(N) up to -(1-p)^(N-1) grad p",
    source="MaxRL algorithm 1",
    definition=definitions.practical_maxrl,
    look="red - o",
    label="MaxRL",
    aim=lambda N: ("maxrl", {"order": N}),
    reward_kind="binary",
    centred=True,
    binary_form=practical_binary_form,
    objective=practical_objective,
)
def maxrl(rewards: Float[Array, "*batch N"]) -> Float[Array, "*batch N"]:
    """A_i = (r_i - mu) / mu, zero where K = 0: success N/K - 1, failure -1.

    This is sum_{k=1..N-1} Delta_i^(k), the canonical centred estimator of order N - 1 (docs/theory.md).

    Args:
        rewards: binary.
    """
    success, total = successes(rewards)
    n = rewards.shape[-1]
    return jnp.where(total > 0, jnp.where(success, (n - total) / _at_least_one(total), -1), 0)


def _temperature_limits(num_rollouts: int | None, *, tau: float) -> None:
    contracts.positive("softmax_grpo", "tau", tau)


def _softmax_binary(num_successes, num_rollouts: int, *, tau: float):
    below = math.expm1(-1 / tau)  # a failure's share relative to a success's, less 1
    total = num_rollouts + (num_rollouts - num_successes) * below
    some = num_successes > 0
    return -(num_rollouts - num_successes) * below / total * some, num_successes * below / total


@estimator(
    estimates="weight 1/(p + 1/(e^(1/tau) - 1)) as N grows: maxrl as tau -> 0, RL's direction over tau as tau grows",
    source="SoftmaxGRPO, Hernandez et al. 2608.09271, eq. 1; docs/theory.md section 6.8",
    definition=lambda g, tau: len(g) * np.exp((g - g.max()) / tau) / np.exp((g - g.max()) / tau).sum() - 1,
    look="green -- P",
    label="Softmax GRPO",
    centred=True,
    limits=_temperature_limits,
    binary_form=_softmax_binary,
    settings=lambda N: [{"tau": 0.1}, {"tau": 1.0}],
)
def softmax_grpo(rewards: Float[Array, "*batch N"], *, tau: float) -> Float[Array, "*batch N"]:
    """A_i = N softmax(g / tau)_i - 1: practical maxrl on binary rewards as tau -> 0, (g - mean) / tau as tau grows.

    Args:
        rewards: real.
        tau: temperature > 0, in the units of the reward; the paper uses 0.1 to 0.3 for rewards in [0, 1].
    """
    g = rewards.astype(compute_dtype(rewards.dtype))
    below = jnp.expm1((g - jnp.max(g, axis=-1, keepdims=True)) / tau)  # exp - 1: exactly 0 for equal rewards
    mean = jnp.mean(below, axis=-1, keepdims=True)
    return (below - mean) / (1 + mean)


def _order_limits(num_rollouts: int | None, *, order: int) -> None:
    contracts.count("maxrl_order", "order", order, low=1, num_rollouts=num_rollouts, below_n=1)


@estimator(
    estimates="sum_{k<=T} (1/k) grad max@k = grad J^(T) of MaxRL for binary rewards, unbiased",
    source="docs/theory.md section 3; order N - 1 on binary rewards is MaxRL algorithm 1",
    definition=lambda g, order: definitions.mixture(g, [1 / k for k in range(1, order + 1)]),
    look="orange -- d",
    label="MaxRL order",
    centred=True,
    limits=_order_limits,
    binary_form=lambda K, N, *, order: gap_form.binary_form_of(gap_form.harmonic_tables(N, order), K, N),
    objective=lambda N, *, order: ("maxrl", {"order": order}, 1.0),
    settings=lambda N: [{"order": t} for t in sorted({1, N // 2, N - 1}) if 1 <= t <= N - 1],
)
def maxrl_order(rewards: Float[Array, "*batch N"], *, order: int) -> Float[Array, "*batch N"]:
    """A_i = sum_{k=1..T} Delta_i^(k): truncated MaxRL of any order T, for binary and for real rewards.

    Args:
        rewards: real, N >= 2.
        order: T with 1 <= T <= N - 1.
    """
    return gap_form.apply_gap_form(rewards, gap_form.harmonic_tables(rewards.shape[-1], order))


@estimator(
    estimates="sum_{k<=N-1} (1/k) grad max@k, unbiased: order N - 1 of the integral of log P(g > t) over thresholds t",
    source="TailRL, Ramasubramanian, Arora, Tajwar et al. 2609.02987; maxrl_order at order N - 1 is the same vector",
    definition=definitions.over_thresholds,
    look="orange - *",
    label="TailRL",
    centred=True,
    binary_form=practical_binary_form,
    objective=practical_objective,
)
def tailrl(rewards: Float[Array, "*batch N"]) -> Float[Array, "*batch N"]:
    """A_(i) = N sum_{j=2..i} (g_(j) - g_(j-1)) / (N-j+1) over ascending ranks, minus its mean: MaxRL for real rewards.

    Each gap between consecutive rewards is shared out among the rollouts above it. That share averages to the gap,
    so the mean to subtract is the range g_(N) - g_(1). The published name of maxrl_order at order N - 1: the one
    row that equals another as a vector; practical MaxRL on binary rewards.

    Args:
        rewards: real.
    """
    dtype = compute_dtype(rewards.dtype)
    n = rewards.shape[-1]

    def values(ascending: jax.Array) -> jax.Array:
        g = ascending.astype(dtype)
        shares = jnp.asarray(n / np.arange(n - 1, 0, -1), dtype)  # N over the number of rollouts above the gap
        return ranks.sum_below(shares * jnp.diff(g, axis=-1)) - (g[..., -1:] - g[..., :1])

    return ranks.by_rank(rewards, values)


def _mixture_limits(num_rollouts: int | None, *, coefficients: tuple[float, ...]) -> None:
    checked = contracts.coefficients("mixture", "coefficients", coefficients)
    contracts.count("mixture", "len(coefficients)", len(checked), low=1, num_rollouts=num_rollouts, below_n=1)


def _mixture_tables(num_rollouts: int, coefficients: tuple[float, ...]) -> gap_form.GapTables:
    return gap_form.mixture_tables(num_rollouts, tuple(float(c) for c in coefficients))


@estimator(
    estimates="sum_k c_k grad max@k, unbiased",
    source="docs/theory.md section 2: the general centred form",
    definition=definitions.mixture,
    look="orange -. p",
    centred=True,
    limits=_mixture_limits,
    objective=lambda N, *, coefficients: ("mixture", {"coefficients": coefficients}, 1.0),
    binary_form=lambda K, N, *, coefficients: gap_form.binary_form_of(_mixture_tables(N, coefficients), K, N),
    settings=lambda N: [{"coefficients": c} for c in ((1.0,), (0.5, 0.0, 2.0), (0.2, 0.3)) if len(c) < N],
)
def mixture(rewards: Float[Array, "*batch N"], *, coefficients: tuple[float, ...]) -> Float[Array, "*batch N"]:
    """A_i = sum_k c_k k Delta_i^(k): any mixture of max@k objectives, centred in every batch.

    Args:
        rewards: real.
        coefficients: c_1..c_T with T <= N - 1.
    """
    return gap_form.apply_gap_form(rewards, _mixture_tables(rewards.shape[-1], coefficients))


def _moments_limits(num_rollouts: int | None, *, order: int) -> None:
    contracts.count("mmpo", "order", order, low=1, num_rollouts=num_rollouts, below_n=1)


@estimator(
    estimates="sum_{k<=T} grad max@k, unbiased: less expected time to a first success, truncated at T + 1",
    source="centred estimator of MMPO's objective, Zhang et al. 2608.02149, eq. 3; docs/theory.md section 6.8",
    definition=lambda g, order: definitions.mixture(g, (1.0,) * order),
    look="purple -. ^",
    label="MMPO",
    centred=True,
    limits=_moments_limits,
    binary_form=lambda K, N, *, order: gap_form.binary_form_of(gap_form.mixture_tables(N, (1.0,) * order), K, N),
    objective=lambda N, *, order: ("mixture", {"coefficients": (1.0,) * order}, 1.0),
    settings=lambda N: [{"order": t} for t in sorted({1, N // 2, N - 1}) if 1 <= t <= N - 1],
)
def mmpo(rewards: Float[Array, "*batch N"], *, order: int) -> Float[Array, "*batch N"]:
    """A_i = sum_{k=1..T} k Delta_i^(k): the mixture with c_k = 1, whose weight is sum_{k<=T} k (1-p)^(k-1).

    The paper trains with the plug-in w(mu) (r_i - mu), which is biased, and derives a leave-one-out form for T <= N.

    Args:
        rewards: real, N >= 2.
        order: T with 1 <= T <= N - 1.
    """
    return gap_form.apply_gap_form(rewards, gap_form.mixture_tables(rewards.shape[-1], (1.0,) * order))
