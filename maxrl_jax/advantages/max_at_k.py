"""Estimators of grad max@k: MaxPO, expected improvement, PKPO, and the normalised and rescaled relatives."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from maxrl_jax.advantages import contracts, definitions, gap_form, subset_max
from maxrl_jax.advantages.binomial_ratios import choose_ratio
from maxrl_jax.advantages.gap_form import GapTables, apply_gap_form, lookup
from maxrl_jax.advantages.spread import divide, root_mean_square
from maxrl_jax.advantages.table import Hyper, estimator


def _orders(num_rollouts: int, *, low: int = 1, below_n: int = 1) -> list[int]:
    """A small, a middle and the largest legal k, for tests and tables."""
    high = num_rollouts - below_n
    return sorted({k for k in (low, low + 1, (low + high) // 2, high) if low <= k <= high})


def _k_settings(*, low: int = 1, below_n: int = 1):
    return lambda num_rollouts: [{"k": k} for k in _orders(num_rollouts, low=low, below_n=below_n)]


def _count_k(method: str, *, low: int = 1, below_n: int = 1):
    def limits(num_rollouts: int | None, *, k: int) -> None:
        contracts.count(method, "k", k, low=low, num_rollouts=num_rollouts, below_n=below_n)

    return limits


def _none_of_k_fail(num_rollouts: int, pool: int, k: int) -> np.ndarray:
    """[N + 1] table over K of P(a k-subset of `pool` rollouts, N - K - (N - pool) of them failures, has no success).

    C(pool - K, k) / C(pool, k), zero where K > pool - k.
    """
    ratio = choose_ratio(pool, k)
    failures = pool - np.arange(num_rollouts + 1)
    return np.where(failures >= 0, ratio[np.maximum(failures, 0)], 0).astype(np.float64)


@estimator(
    estimates="grad max@k, unbiased",
    source="MaxPO section 4, canonical advantage (EI with the leave-two-out baseline)",
    definition=lambda g, k: k * definitions.delta(g, k),
    look="sky - s",
    label="MaxPO",
    centred=True,
    limits=_count_k("maxpo"),
    binary_form=lambda K, N, *, k: gap_form.binary_form_of(gap_form.max_at_k_tables(N, k), K, N),
    objective=lambda N, *, k: ("pass_at_k", {"k": k}, 1.0),
    settings=_k_settings(),
)
def maxpo(rewards: Float[Array, "*batch N"], *, k: int) -> Float[Array, "*batch N"]:
    """A_i = k Delta_i^(k) = k (G_i - B_i): unbiased for grad max@k and centred in every batch.

    Reduces to rloo at k = 1.

    Args:
        rewards: real.
        k: 1 <= k <= N - 1.
    """
    return apply_gap_form(rewards, gap_form.max_at_k_tables(rewards.shape[-1], k))


@functools.lru_cache(maxsize=64)
def _improvement_tables(num_rollouts: int, k: int) -> GapTables:
    """k EI_i in gap form, k >= 2: H(j) = k C(j, k-1) / C(N-1, k-1), the chance that k - 1 others lie below."""
    below = np.zeros(num_rollouts + 1)
    below[:num_rollouts] = k * choose_ratio(num_rollouts - 1, k - 1)
    return GapTables(below, np.zeros(num_rollouts + 1))


def _improvement_binary(num_successes, num_rollouts: int, *, k: int):
    if k == 1:
        return 0 * num_successes + 1, 0 * num_successes
    return gap_form.binary_form_of(_improvement_tables(num_rollouts, k), num_successes, num_rollouts)


@estimator(
    estimates="grad max@k, unbiased",
    source="MaxPO section 3 (EI); PKPO eq. 33 for k >= 2",
    definition=lambda g, k: k * definitions.improvement(g, k),
    look="purple -- o",
    limits=_count_k("expected_improvement", below_n=0),
    binary_form=_improvement_binary,
    objective=lambda N, *, k: ("pass_at_k", {"k": k}, 1.0),
    settings=_k_settings(below_n=0),
)
def expected_improvement(rewards: Float[Array, "*batch N"], *, k: int) -> Float[Array, "*batch N"]:
    """A_i = k EI_i, EI_i = mean over (k-1)-subsets of the others of max(0, g_i - their max); not centred.

    Reduces to reinforce at k = 1 and to pkpo with baseline loo_minus_one at k >= 2.

    Args:
        rewards: real.
        k: 1 <= k <= N.
    """
    if k == 1:
        return rewards
    return apply_gap_form(rewards, _improvement_tables(rewards.shape[-1], k))


def _leave_one_out_limits(num_rollouts: int | None, *, k: int) -> None:
    contracts.rollouts("ei_leave_one_out", num_rollouts, at_least=2)
    contracts.count("ei_leave_one_out", "k", k, low=1, num_rollouts=num_rollouts, below_n=0)


def _leave_one_out_binary(num_successes, num_rollouts: int, *, k: int):
    success, fail = _improvement_binary(num_successes, num_rollouts, k=k)
    others = num_rollouts - 1
    gap = success - fail
    return gap * (num_rollouts - num_successes) / others, -gap * num_successes / others


@estimator(
    estimates="(N-k)/(N-1) grad max@k + k/(N-1) grad max@(k-1): biased for max@k, docs/theory.md section 6.3",
    source="MaxPO section 5.1 (EI with the leave-one-out baseline)",
    definition=lambda g, k: k * definitions.less_others_mean(definitions.improvement(g, k)),
    look="yellow -. v",
    label="EI leave-one-out",
    centred=True,
    limits=_leave_one_out_limits,
    objective=lambda N, *, k: (
        "mixture",
        {"coefficients": (0.0,) * (k - 2) + (k / (N - 1),) * (k > 1) + ((N - k) / (N - 1),)},
        1.0,
    ),
    binary_form=_leave_one_out_binary,
    aim=lambda N, *, k: ("pass_at_k", {"k": k}),
    settings=_k_settings(below_n=0),
)
def ei_leave_one_out(rewards: Float[Array, "*batch N"], *, k: int) -> Float[Array, "*batch N"]:
    """A_i = k (EI_i - mean_{j != i} EI_j): centred but biased, because the others' EI compare against g_i.

    Reduces to rloo at k = 1.

    Args:
        rewards: real, N >= 2.
        k: 1 <= k <= N.
    """
    n = rewards.shape[-1]
    if k == 1:
        return apply_gap_form(rewards, gap_form.max_at_k_tables(n, 1))
    improvement = apply_gap_form(rewards, _improvement_tables(n, k))
    return (improvement - jnp.mean(improvement, axis=-1, keepdims=True)) * (n / (n - 1))


PKPO_BASELINES = ("none", "loo", "loo_minus_one")


def _pkpo_limits(num_rollouts: int | None, *, k: int, baseline: str) -> None:
    contracts.choice("pkpo", "baseline", baseline, PKPO_BASELINES)
    low, below_n = {"none": (1, 0), "loo": (1, 1), "loo_minus_one": (2, 0)}[baseline]
    contracts.count(f"pkpo (baseline {baseline})", "k", k, low=low, num_rollouts=num_rollouts, below_n=below_n)


def _pkpo_binary(num_successes, num_rollouts: int, *, k: int, baseline: str):
    n = num_rollouts
    if baseline == "loo_minus_one":
        return _improvement_binary(num_successes, n, k=k)
    # A failure's k - 1 companions come from N - 1 others of which K succeed.
    success, fail = np.full(n + 1, float(k)), k * (1 - _none_of_k_fail(n, n - 1, k - 1))
    if baseline == "loo":
        missing = _none_of_k_fail(n, n - 1, k)
        scale = k * n / (n - 1)
        fail = fail - scale * (1 - missing)
        success = success - scale * (1 - np.concatenate([[1.0], missing[:-1]]))
    return lookup(success, num_successes), lookup(fail, num_successes)


def _pkpo_definition(g: np.ndarray, k: int, baseline: str) -> np.ndarray:
    if baseline == "loo_minus_one":
        return k * definitions.improvement(g, k)
    values = k * definitions.containing(g, k)
    return values if baseline == "none" else values - k * len(g) / (len(g) - 1) * definitions.excluding(g, k)


def _pkpo_settings(num_rollouts: int) -> list[Hyper]:
    return [
        {"k": k, "baseline": baseline}
        for baseline, low, below_n in (("none", 1, 0), ("loo", 1, 1), ("loo_minus_one", 2, 0))
        for k in _orders(num_rollouts, low=low, below_n=below_n)
    ]


@estimator(
    estimates="grad max@k, unbiased",
    source="PKPO eq. 19 (none), 29 (loo), 33 (loo_minus_one), times N",
    definition=_pkpo_definition,
    look="purple - D",
    label="PKPO",
    limits=_pkpo_limits,
    binary_form=_pkpo_binary,
    objective=lambda N, *, k, baseline: ("pass_at_k", {"k": k}, 1.0),
    settings=_pkpo_settings,
)
def pkpo(rewards: Float[Array, "*batch N"], *, k: int, baseline: str = "loo_minus_one") -> Float[Array, "*batch N"]:
    """N times PKPO's effective rewards: k G_i, k (G_i - N/(N-1) B_i), or k EI_i; all unbiased for grad max@k.

    Args:
        rewards: real.
        k: 1 <= k <= N for `none`, 1 <= k <= N - 1 for `loo`, 2 <= k <= N for `loo_minus_one` (use rloo at k = 1).
        baseline: 'none' (eq. 19), 'loo' (eq. 29) or 'loo_minus_one' (eq. 33, the paper's choice).
    """
    n = rewards.shape[-1]
    if baseline == "loo_minus_one":
        return apply_gap_form(rewards, _improvement_tables(n, k))
    if baseline == "none":
        return k * subset_max.mean_max_containing(rewards, k)
    # k (G - N/(N-1) B) = k Delta - k/(N-1) B keeps the accuracy of the gap form.
    centred = apply_gap_form(rewards, gap_form.max_at_k_tables(n, k))
    return centred - (k / (n - 1)) * subset_max.mean_max_excluding(rewards, k)


def _chen_limits(num_rollouts: int | None, *, k: int, normalize: bool, eps: float) -> None:
    contracts.count("chen", "k", k, low=1, num_rollouts=num_rollouts, below_n=1)
    contracts.choice("chen", "normalize", normalize, (True, False))
    contracts.non_negative("chen", "eps", eps)


def _chen_definition(g: np.ndarray, k: int, normalize: bool, eps: float) -> np.ndarray:
    maxima = definitions.subset_maxima(g, k)
    return (definitions.containing(g, k) - maxima.mean()) / (maxima.std() + eps if normalize else 1)


def _chen_binary(num_successes, num_rollouts: int, *, k: int, normalize: bool, eps: float):
    n = num_rollouts
    scale = (n - k) / (k * n)
    success, fail = gap_form.binary_form_of(gap_form.max_at_k_tables(n, k), num_successes, n)
    if normalize:
        fail_rate = _none_of_k_fail(n, n, k)
        spread = lookup(np.sqrt(fail_rate * (1 - fail_rate)), num_successes)
        scale = scale / (spread + eps + (spread + eps <= 0))
    return success * scale, fail * scale


@estimator(
    estimates="(N-k)/(kN) of grad max@k; up to a positive factor per group when normalised",
    source="Chen et al. 2508.10751 eq. 14-15; MaxPO F.5",
    definition=_chen_definition,
    look="yellow : s",
    aim=lambda N, *, k, **rest: ("pass_at_k", {"k": k}),
    centred=True,
    limits=_chen_limits,
    binary_form=_chen_binary,
    objective=lambda N, *, k, normalize, eps: None if normalize else ("pass_at_k", {"k": k}, (N - k) / (k * N)),
    settings=lambda N: [{"k": k, "normalize": normalize} for k in _orders(N)[::2] for normalize in (True, False)],
)
def chen(
    rewards: Float[Array, "*batch N"], *, k: int, normalize: bool = True, eps: float = 1e-6
) -> Float[Array, "*batch N"]:
    """A_i = G_i - R, over (std of the k-subsets' max + eps) when normalised; R is the mean max of all k-subsets.

    Args:
        rewards: real.
        k: 1 <= k <= N - 1.
        normalize: divide by the standard deviation, over all k-subsets, of their max (the published form).
        eps: added to that standard deviation.
    """
    n = rewards.shape[-1]
    marginal = apply_gap_form(rewards, gap_form.max_at_k_tables(n, k)) * ((n - k) / (k * n))
    if not normalize:
        return marginal
    spread = subset_max.max_spread(rewards, k)
    return divide(marginal, spread + eps)


BAGIROV_CENTERINGS = ("none", "mean", "zscore")


def _bagirov_limits(num_rollouts: int | None, *, k: int, centering: str, eps: float) -> None:
    contracts.count("bagirov", "k", k, low=1, num_rollouts=num_rollouts, below_n=1)
    contracts.choice("bagirov", "centering", centering, BAGIROV_CENTERINGS)
    contracts.non_negative("bagirov", "eps", eps)


def _bagirov_definition(g: np.ndarray, k: int, centering: str, eps: float) -> np.ndarray:
    values = k * definitions.containing(g, k)
    return {"none": values, "mean": values - values.mean(), "zscore": definitions.over_spread(values, eps)}[centering]


def _bagirov_binary(num_successes, num_rollouts: int, *, k: int, centering: str, eps: float):
    n = num_rollouts
    if centering == "none":
        return _pkpo_binary(num_successes, n, k=k, baseline="none")
    success, fail = gap_form.binary_form_of(gap_form.max_at_k_tables(n, k), num_successes, n)
    success, fail = success * (1 - k / n), fail * (1 - k / n)
    if centering == "mean":
        return success, fail
    rate = num_successes / n
    # Both values vanish for constant groups, where one of them describes nobody.
    mixed = (num_successes > 0) * (num_successes < n)
    spread = (mixed * (rate * success**2 + (1 - rate) * fail**2)) ** 0.5
    inverse = mixed / (spread + eps + (spread + eps <= 0))
    return success * inverse, fail * inverse


@estimator(
    estimates="none: grad max@k; mean: (1-k/N) of it; zscore: up to a positive factor per group",
    source="Bagirov et al. 2510.23393 eq. 9; MaxPO F.6",
    definition=_bagirov_definition,
    look="blue -- ^",
    aim=lambda N, *, k, **rest: ("pass_at_k", {"k": k}),
    limits=_bagirov_limits,
    binary_form=_bagirov_binary,
    objective=lambda N, *, k, centering, eps: {
        "none": ("pass_at_k", {"k": k}, 1.0),
        "mean": ("pass_at_k", {"k": k}, 1 - k / N),
    }.get(centering),
    settings=lambda N: [{"k": k, "centering": c} for k in _orders(N)[::2] for c in BAGIROV_CENTERINGS],
)
def bagirov(
    rewards: Float[Array, "*batch N"], *, k: int, centering: str = "mean", eps: float = 1e-6
) -> Float[Array, "*batch N"]:
    """A_i = k G_i; k (G_i - mean_j G_j) = (1-k/N) maxpo; or that over its standard deviation (ddof 0) plus eps.

    Args:
        rewards: real.
        k: 1 <= k <= N - 1.
        centering: 'none', 'mean' or 'zscore'.
        eps: added to the standard deviation for `zscore`.
    """
    n = rewards.shape[-1]
    if centering == "none":
        return k * subset_max.mean_max_containing(rewards, k)
    deviations = apply_gap_form(rewards, gap_form.max_at_k_tables(n, k)) * (1 - k / n)
    if centering == "mean":
        return deviations
    spread = root_mean_square(deviations, 1 / n)
    return divide(deviations, spread + eps)
