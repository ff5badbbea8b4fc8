"""Statements of docs/theory.md, sections 1 to 4, that no other test checks; float64 and enumeration throughout."""

from itertools import combinations, combinations_with_replacement, pairwise
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages, objectives
from maxrl_jax.advantages import gap_form
from tests.advantages.enumeration import max_at_k_gradient, scores, softmax
from tests.advantages.support import every_setting, label, target

BINARY = np.array([1.0, 0.0, 0.0, 1.0])
REAL = np.array([-1.3, 0.4, 2.0, 0.7])


def policy(num_outcomes, seed):
    return softmax(np.random.default_rng(seed).normal(size=num_outcomes))


def group(n, seed=0):
    """Real rewards with ties and negatives, [4, n]."""
    return jnp.asarray(np.round(np.random.default_rng(seed).normal(size=(4, n)), 1))


# Section 1


def test_scores_average_to_zero_and_to_the_log_likelihood_gradient(x64):
    logits = np.random.default_rng(0).normal(size=4)
    pi, s = softmax(logits), scores(softmax(logits))
    np.testing.assert_allclose(pi @ s, 0, atol=1e-15)
    p = pi @ BINARY

    def log_likelihood(x):
        return objectives.log_likelihood(jax.nn.softmax(x) @ BINARY)

    gradient = np.asarray(jax.grad(log_likelihood)(jnp.asarray(logits)))
    np.testing.assert_allclose((pi * BINARY) @ s / p, gradient, atol=1e-14)
    np.testing.assert_allclose((pi * (1 - BINARY)) @ s / (1 - p), -gradient * p / (1 - p), atol=1e-14)


# Section 2


def start_signal(g, i, pool, k, baseline):
    """Mean over k-subsets of `pool` containing i of (max - baseline of i's companions)."""
    companions = combinations([j for j in pool if j != i], k - 1)
    return np.mean([max(g[[i, *c]]) - baseline[frozenset(c)] for c in companions])


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_leave_two_out_of_any_comparator_only_baseline_is_delta(k, x64):
    n, rng = 5, np.random.default_rng(k)
    g = np.asarray(group(n))[0]
    baseline = {frozenset(c): rng.normal() for c in combinations(range(n), k - 1)}  # an arbitrary set function
    got = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        recomputed = np.mean([start_signal(g, j, others, k, baseline) for j in others])
        got.append(start_signal(g, i, range(n), k, baseline) - recomputed)
    np.testing.assert_allclose(k * np.array(got), advantages.maxpo(jnp.asarray(g), k=k), atol=1e-12)


def symmetric_functions(levels, n):
    """Unknowns a(own level; multiset of the others): [(own, others), ...]."""
    return [(j, m) for j in range(levels) for m in combinations_with_replacement(range(levels), n - 1)]


def test_unbiased_and_mean_zero_has_one_solution_and_it_is_maxpo(x64):
    """2.5 as linear algebra: N = 3, three reward levels, 18 unknown advantages, equations from random policies."""
    n, k, levels = 3, 2, np.array([-1.0, 0.5, 2.0])
    unknowns = symmetric_functions(len(levels), n)
    rows, right = [], []
    for seed in range(24):
        pi = policy(len(levels), seed)
        gradient, mean = np.zeros((len(levels), len(unknowns))), np.zeros(len(unknowns))
        for column, (own, others) in enumerate(unknowns):
            arrangements = {1: 1, 2: 2}[len(set(others))]
            probability = pi[own] * arrangements * np.prod(pi[list(others)])
            gradient[:, column] = probability * scores(pi)[own]
            mean[column] = probability
        rows += [*gradient, mean]
        right += [*max_at_k_gradient(pi, levels, k), 0.0]
    solution, _, rank, _ = np.linalg.lstsq(np.array(rows), np.array(right), rcond=1e-10)
    assert rank == len(unknowns) == 18
    np.testing.assert_allclose(np.array(rows) @ solution, right, atol=1e-10)
    groups = np.array([levels[[own, *others]] for own, others in unknowns])
    np.testing.assert_allclose(advantages.maxpo(jnp.asarray(groups), k=k)[:, 0], solution, atol=1e-8)


def mixture_coefficients(success, n):
    """c_1..c_{N-1} of a centred binary estimator from A_success(K), by the formula of 2.6."""
    return tuple(
        comb(n - 1, k) / k * sum((-1) ** (k - f) * comb(k, f) * success[n - f] for f in range(1, k + 1))
        for k in range(1, n)
    )


def random_centred(n, seed):
    """A centred symmetric function of binary rewards with arbitrary values."""
    free = np.random.default_rng(seed).normal(size=n - 1)

    def advantage(rewards):
        total = jnp.sum(rewards, -1, keepdims=True)
        value = jnp.asarray(np.concatenate([[0.0], free, [0.0]]))[total.astype(int)]
        return jnp.where(rewards > 0, value, -value * total / jnp.maximum(n - total, 1))

    return advantage


CENTRED_BINARY = [
    *[(n, h) for n, h in every_setting(6, keep=lambda e: e.centred and e.symmetric)],
    ("bagirov", {"k": 2, "centering": "zscore"}),
]


@pytest.mark.parametrize("case", [*CENTRED_BINARY, ("random", {})], ids=lambda c: f"{c[0]}-{label(c[1])}")
def test_every_centred_binary_estimator_is_one_mixture(case, x64):
    name, hyper = case
    n = 6
    adv = random_centred(n, 0) if name == "random" else advantages.get(name, **hyper)
    groups = jnp.asarray(np.arange(n) < np.arange(n + 1)[:, None], jnp.float64)
    values = np.asarray(adv(groups))
    coefficients = mixture_coefficients(values[:, 0], n)
    np.testing.assert_allclose(advantages.mixture(groups, coefficients=coefficients), values, atol=1e-9)
    p = np.array([0.0, 0.1, 0.6, 1.0])
    weight = sum(c * objectives.weight("pass_at_k", p, k=k) for k, c in enumerate(coefficients, start=1))
    np.testing.assert_allclose(objectives.effective_weight(adv, p, n), weight, atol=1e-6)


@pytest.mark.parametrize("n", [4, 8, 16])
def test_grpo_subtracts_pass_at_2(n):
    success, _ = objectives.binary_form(advantages.get("grpo", eps=0.0), n)
    c = mixture_coefficients(success, n)
    assert c[0] == pytest.approx(np.sqrt(n - 1))
    assert c[1] == pytest.approx((n - 1) * (n - 2) / 4 * (np.sqrt(2 / (n - 2)) - 2 / np.sqrt(n - 1)))
    assert c[1] < 0
    success, _ = objectives.binary_form(advantages.get("maxrl"), n)
    np.testing.assert_allclose(mixture_coefficients(success, n), 1 / np.arange(1, n), rtol=1e-6)


# Section 3: real rewards


def thresholds(rewards):
    """(gap, success indicator) of every layer between consecutive levels."""
    levels = np.unique(rewards)
    return [(high - low, (rewards > low).astype(float)) for low, high in pairwise(levels)]


@pytest.mark.parametrize("order", [1, 3, 40])
def test_real_valued_maxrl_is_likelihood_summed_over_thresholds(order, x64):
    """3.5: sum_k max@k / k = g_max H_T + sum over thresholds of gap x J^(T)(P(g > t)), and the limit is the log."""
    pi = policy(len(REAL), 1)
    harmonic = sum(1 / k for k in range(1, order + 1))
    left = sum(objectives.max_at_k(pi, REAL, k) / k for k in range(1, order + 1))
    right = REAL.max() * harmonic + sum(gap * objectives.maxrl(pi @ hit, order) for gap, hit in thresholds(REAL))
    np.testing.assert_allclose(left, right, atol=1e-12)
    if order == 40:
        limit = sum(gap * objectives.log_likelihood(pi @ hit) for gap, hit in thresholds(REAL))
        far = sum(gap * objectives.maxrl(pi @ hit, 2000) for gap, hit in thresholds(REAL))
        assert far == pytest.approx(limit, abs=1e-9)


def test_shared_thresholds_lie_below_the_log_of_the_mean():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rewards, pi = np.sort([0.0, *rng.uniform(size=3), 1.0]), policy(5, seed)
        shared = sum(gap * objectives.log_likelihood(pi @ hit) for gap, hit in thresholds(rewards))
        assert shared < objectives.log_likelihood(pi @ rewards) - 1e-3
    binary = thresholds(BINARY)
    assert len(binary) == 1 and binary[0][0] == 1


GRADED = np.array([0.0, 0.2, 0.2, 0.7, 1.0])


def test_gradients_of_the_two_likelihoods_weigh_answers_as_stated():
    """3.7: E[g S] / E[g] and E[S int_0^g dt / p_t]; what an offset and a scale of the rewards do."""
    pi = policy(len(GRADED), 3)
    s = scores(pi)
    p, gradient_of_p = pi @ GRADED, max_at_k_gradient(pi, GRADED, 1)
    np.testing.assert_allclose((pi * GRADED) @ s / p, objectives.weight("ml", p) * gradient_of_p, atol=1e-14)
    layers = thresholds(GRADED)
    expected = sum(gap * objectives.weight("ml", pi @ hit) * max_at_k_gradient(pi, hit, 1) for gap, hit in layers)
    inverse = sum(gap * hit / (pi @ hit) for gap, hit in layers)  # int_0^g dt / p_t, answer by answer
    np.testing.assert_allclose((pi * inverse) @ s, expected, atol=1e-14)
    rewards = group(7, seed=6)
    np.testing.assert_allclose(advantages.tailrl(3 * rewards - 5), 3 * advantages.tailrl(rewards), rtol=1e-5, atol=1e-5)
    halved = advantages.maxrl_likelihood(jnp.asarray(GRADED / 2))
    assert np.abs(halved - advantages.maxrl_likelihood(jnp.asarray(GRADED)) / 2).max() > 0.1


def test_certain_half_and_half_the_time_one():
    """3.7: log E[g] sees no difference, the mean log P(g > t) is -inf against log 1/2."""
    levels, certain, risky = np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 0.0]), np.array([0.5, 0.0, 0.5])

    def over_thresholds(pi):
        return sum(gap * objectives.log_likelihood(pi @ hit) for gap, hit in thresholds(levels))

    assert objectives.log_likelihood(certain @ levels) == objectives.log_likelihood(risky @ levels) == np.log(0.5)
    assert over_thresholds(certain) == -np.inf
    assert over_thresholds(risky) == pytest.approx(np.log(0.5))


FAMILY = [
    (name, hyper)
    for name, hyper in every_setting(6, keep=lambda e: e.centred and e.reward_kind == "real")
    if target(name, hyper, 6) is not None
]


@pytest.mark.parametrize(("name", "hyper"), [*FAMILY, ("expected_improvement", {"k": 3})], ids=label)
def test_real_rewards_are_sums_over_thresholds_of_binary_ones(name, hyper, x64):
    """4.1: A(g) = sum over layers of gap x A(1{g > t}), in every group."""
    adv = advantages.get(name, **hyper)
    for rewards in np.asarray(group(6, seed=3)):
        layers = sum(gap * np.asarray(adv(jnp.asarray(hit))) for gap, hit in thresholds(rewards))
        np.testing.assert_allclose(adv(jnp.asarray(rewards)), layers, atol=1e-12)


# Section 4


@pytest.mark.parametrize("n", [2, 9, 64])
def test_gap_weights_have_one_sign_and_keep_the_order_of_rewards(n, x64):
    for tables in (
        gap_form.harmonic_tables(n, max(1, n // 2)),
        gap_form.harmonic_tables(n, n - 1),
        gap_form.max_at_k_tables(n, max(1, n // 3)),
        gap_form.mixture_tables(n, tuple(np.random.default_rng(0).uniform(size=n - 1))),
    ):
        assert np.all(tables.below[1:n] >= 0) and np.all(tables.above[1:n] <= 0)
    rewards = jnp.sort(group(n, seed=5), axis=-1)
    for adv in (advantages.get("maxrl_order", order=n - 1), advantages.get("maxpo", k=max(1, n // 3))):
        assert np.all(np.diff(np.asarray(adv(rewards))) >= -1e-12)
