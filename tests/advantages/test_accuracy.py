"""Rounding errors stay within a few eps of the largest advantage, up to N = 65,536 and k = 4,096."""

from fractions import Fraction
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages
from maxrl_jax.advantages import binomial_ratios, gap_form

LARGE = [
    ("maxpo", {"k": 4096}),
    ("maxrl_order", {"order": 4096}),
    ("tailrl", {}),
    ("expected_improvement", {"k": 4096}),
    ("ei_leave_one_out", {"k": 4096}),
    ("pkpo", {"k": 4096, "baseline": "none"}),
    ("pkpo", {"k": 4096, "baseline": "loo"}),
    ("chen", {"k": 64, "normalize": True}),
    ("bagirov", {"k": 64, "centering": "zscore"}),
    ("rloo", {}),
    ("grpo", {}),
]


UNIT_GROUPS = {
    "uniform": lambda rng, n: rng.uniform(size=n),
    "rare": lambda rng, n: rng.beta(0.02, 1, size=n) * (rng.uniform(size=n) < 0.01),
    "certain": lambda rng, n: 1 - rng.beta(0.1, 10, size=n),
    "close": lambda rng, n: 0.25 + 1e-5 * rng.uniform(size=n),
    "tiny": lambda rng, n: 1e-9 * rng.uniform(size=n),
}
REAL_GROUPS = {
    "real": lambda rng, n: rng.normal(size=n).astype(np.float32),
    "real far from 0": lambda rng, n: rng.normal(size=n).astype(np.float32) + np.float32(100),
}
LONG_GROUPS = [(*case, 65_536, kind) for case in LARGE for kind in REAL_GROUPS]
LONG_GROUPS += [("maxrl_likelihood", {}, 4096, kind) for kind in UNIT_GROUPS]


@pytest.mark.parametrize(("name", "hyper", "n", "kind"), LONG_GROUPS, ids=lambda v: v if isinstance(v, str) else "")
def test_float32_agrees_with_float64_in_long_groups(name, hyper, n, kind):
    """Within 8 eps of the largest advantage, whatever the rewards."""
    rewards = (UNIT_GROUPS | REAL_GROUPS)[kind](np.random.default_rng(0), n).astype(np.float32)
    adv = advantages.get(name, **hyper)
    single = np.asarray(jax.jit(adv)(jnp.asarray(rewards)), np.float64)
    with jax.enable_x64(True):
        double = np.asarray(jax.jit(adv)(jnp.asarray(rewards, jnp.float64)))
    assert np.abs(single - double).max() <= 8 * np.finfo(np.float32).eps * np.abs(double).max()


@pytest.mark.parametrize("n", [2, 9, 60])
def test_maxrl_likelihood_agrees_with_exact_arithmetic(n, x64):
    """The integral of the polynomial in fractions; also where all rewards are within 1e-9 of each other."""
    rng = np.random.default_rng(n)
    for rewards in (rng.uniform(size=n), 0.7 + 1e-9 * rng.uniform(size=n)):
        g = [Fraction(float(x)) for x in rewards]
        lifts = []
        for i in range(n):
            coefficients = [Fraction(1)]
            for j in range(n):
                if j != i:
                    shifted = [Fraction(0), *coefficients]
                    coefficients = [a - g[j] * b for a, b in zip([*coefficients, Fraction(0)], shifted, strict=True)]
            lifts.append(n * g[i] * sum(c / (k + 1) for k, c in enumerate(coefficients)))
        exact = np.array([float(x - sum(lifts) / n) for x in lifts])
        got = np.asarray(advantages.maxrl_likelihood(jnp.asarray(rewards)))
        assert np.abs(got - exact).max() <= 8 * np.finfo(np.float64).eps * np.abs(exact).max()


def exact_gap_advantages(rewards, coefficients):
    """A_i of sum_k c_k k Delta^(k) in whole-number arithmetic."""
    n = len(rewards)
    ascending = sorted(Fraction(float(g)) for g in rewards)
    rank = {g: ascending.index(g) for g in ascending}

    def delta(i, k):
        total = Fraction(0)
        for j in range(1, n):
            gap = ascending[j] - ascending[j - 1]
            if j <= i:
                total += gap * Fraction(comb(j, k), comb(n - 1, k))
            else:
                total -= gap * Fraction(comb(j - 1, k - 1) * (n - j), comb(n - 1, k - 1) * (n - k))
        return total

    values = [sum(c * k * delta(i, k) for k, c in coefficients.items()) for i in range(n)]
    return np.array([float(values[rank[Fraction(float(g))]]) for g in rewards])


@pytest.mark.parametrize("n", [5, 64])
def test_float64_agrees_with_exact_arithmetic(n, x64):
    rewards = np.random.default_rng(n).normal(size=n)
    for k in (1, n // 2, n - 1):
        exact = exact_gap_advantages(rewards, {k: Fraction(1)})
        got = np.asarray(advantages.maxpo(jnp.asarray(rewards), k=k))
        assert np.abs(got - exact).max() <= 8 * np.finfo(np.float64).eps * np.abs(exact).max()
    order = n // 2
    exact = exact_gap_advantages(rewards, {k: Fraction(1, k) for k in range(1, order + 1)})
    got = np.asarray(advantages.maxrl_order(jnp.asarray(rewards), order=order))
    assert np.abs(got - exact).max() <= 8 * np.finfo(np.float64).eps * np.abs(exact).max()


@pytest.mark.parametrize(("n", "k"), [(10, 3), (1000, 1), (1000, 999), (65535, 4096), (7, 0), (7, 7)])
def test_ratio_tables_agree_with_whole_numbers(n, k):
    table = binomial_ratios.choose_ratio(n, k)
    for j in {0, k, (n + k) // 2, n - 1, n} - {-1}:
        exact = Fraction(comb(j, k), comb(n, k))
        assert float(table[j]) == pytest.approx(float(exact), rel=1e-14, abs=1e-300)


def test_harmonic_tables_agree_with_the_summed_ones_at_large_order():
    n, order = 4096, 512
    closed = gap_form.harmonic_tables(n, order)
    summed = gap_form.mixture_tables(n, tuple(1 / k for k in range(1, order + 1)))
    np.testing.assert_allclose(closed.below[:-1], summed.below[:-1], rtol=1e-12)
    np.testing.assert_allclose(closed.above[1:], summed.above[1:], rtol=1e-12, atol=1e-15)


def test_extreme_scales_keep_their_digits():
    rewards = jnp.asarray([0.0, 1.0, 3.0, 2.0])
    for scale in (1e-30, 1e30):
        np.testing.assert_allclose(
            advantages.maxpo(rewards * scale, k=2) / scale, advantages.maxpo(rewards, k=2), rtol=0, atol=1e-6
        )
        np.testing.assert_allclose(
            advantages.grpo(rewards * scale, eps=0.0), advantages.grpo(rewards, eps=0.0), rtol=0, atol=1e-6
        )
