"""Equalities between estimators, as vectors; the equation is in the name of the test."""

from math import comb

import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages

N = 7


def get(name, **hyper):
    return advantages.get(name, **hyper)


def real(seed=0, n=N):
    return jnp.asarray(np.round(np.random.default_rng(seed).normal(size=(20, n)), 1))


def binary(n=N):
    """Every number of successes, shuffled."""
    rng = np.random.default_rng(0)
    return jnp.asarray([rng.permutation(np.arange(n) < k) for k in range(n + 1)], jnp.float64)


def assert_same(a, b, rewards):
    np.testing.assert_allclose(a(rewards), b(rewards), rtol=0, atol=1e-11)


ORDERS = range(1, N)
EQUAL = {
    "maxpo(1) = rloo": lambda: (get("maxpo", k=1), get("rloo")),
    "mixture(e_k) = maxpo(k)": lambda k: (get("mixture", coefficients=(0.0,) * (k - 1) + (1.0,)), get("maxpo", k=k)),
    "maxrl_order(T) = mixture(1/k)": lambda k: (
        get("maxrl_order", order=k), get("mixture", coefficients=tuple(1 / j for j in range(1, k + 1)))
    ),
    "mmpo(T) = mixture(1)": lambda k: (get("mmpo", order=k), get("mixture", coefficients=(1.0,) * k)),
    "pkpo loo_minus_one = expected_improvement": lambda k: (
        get("pkpo", k=k + 1, baseline="loo_minus_one"), get("expected_improvement", k=k + 1)
    ),
    "expected_improvement(1) = reinforce": lambda: (get("expected_improvement", k=1), get("reinforce")),
    "ei_leave_one_out(1) = rloo": lambda: (get("ei_leave_one_out", k=1), get("rloo")),
    "chen unnormalised = (N-k)/(kN) maxpo": lambda k: (
        get("chen", k=k, normalize=False), lambda g: (N - k) / (k * N) * get("maxpo", k=k)(g)
    ),
    "bagirov none = pkpo none": lambda k: (get("bagirov", k=k, centering="none"), get("pkpo", k=k, baseline="none")),
    "bagirov mean = (1 - k/N) maxpo": lambda k: (
        get("bagirov", k=k, centering="mean"), lambda g: (1 - k / N) * get("maxpo", k=k)(g)
    ),
    "bagirov zscore(1) = grpo": lambda: (get("bagirov", k=1, centering="zscore"), get("grpo")),
    "mean_baseline = (N-1)/N rloo": lambda: (get("mean_baseline"), lambda g: (N - 1) / N * get("rloo")(g)),
    "grpo = mean_baseline / std": lambda: (
        get("grpo", eps=0.0), lambda g: get("mean_baseline")(g) / g.std(-1, keepdims=True)
    ),
    "grpo ddof 1 = sqrt((N-1)/N) grpo": lambda: (
        get("grpo", eps=0.0, ddof=1), lambda g: ((N - 1) / N) ** 0.5 * get("grpo", eps=0.0)(g)
    ),
    "partitioned loo_minus_one at N = pkpo": lambda: (
        get("partitioned", k=N, kind="loo_minus_one"), get("pkpo", k=N, baseline="loo_minus_one")
    ),
    "partitioned naive(1) = reinforce": lambda: (get("partitioned", k=1, kind="naive"), get("reinforce")),
    "partitioned naive_baseline(1) = rloo": lambda: (get("partitioned", k=1, kind="naive_baseline"), get("rloo")),
}  # fmt: skip


@pytest.mark.parametrize("equation", EQUAL)
def test_one_is_another_on_real_rewards(equation, x64):
    pair = EQUAL[equation]
    for a, b in map(pair, ORDERS) if pair.__code__.co_argcount else [pair()]:
        assert_same(a, b, real())


def test_softmax_grpo_is_practical_maxrl_at_low_temperature_and_the_mean_baseline_over_tau_at_high(x64):
    assert_same(get("softmax_grpo", tau=1e-3), get("maxrl"), binary())
    np.testing.assert_allclose(
        1e6 * get("softmax_grpo", tau=1e6)(real()), get("mean_baseline")(real()), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("n", [2, 3, 7, 20])
def test_maxrl_order_n_minus_1_is_practical_maxrl_on_binary_rewards(n, x64):
    assert_same(get("maxrl_order", order=n - 1), get("maxrl"), binary(n))


@pytest.mark.parametrize("n", [2, 3, 7, 64, 1000])
def test_tailrl_is_maxrl_order_n_minus_1_also_with_ties_and_negatives(n, x64):
    rng = np.random.default_rng(n)
    for rewards in (rng.normal(size=(20, n)), rng.integers(-3, 3, size=(20, n)), -1e3 - rng.exponential(size=(20, n))):
        rewards = jnp.asarray(rewards, jnp.float64)
        a, b = (np.asarray(adv(rewards)) for adv in (get("tailrl"), get("maxrl_order", order=n - 1)))
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14 * np.abs(b).max())


def test_tailrl_is_the_published_listing(x64):
    """Add up gap over number of survivors, rank by rank from the second, times N; then subtract the mean."""
    for rewards in np.asarray(real()):
        order, total, omega = np.argsort(rewards, kind="stable"), 0.0, np.zeros(N)
        for rank in range(1, N):
            total += N * (rewards[order[rank]] - rewards[order[rank - 1]]) / (N - rank)
            omega[order[rank]] = total
        np.testing.assert_allclose(get("tailrl")(jnp.asarray(rewards)), omega - omega.mean(), atol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 7, 20, 64])
def test_tailrl_and_maxrl_likelihood_are_practical_maxrl_on_binary_rewards(n, x64):
    assert_same(get("tailrl"), get("maxrl"), binary(n))
    assert_same(get("maxrl_likelihood"), get("maxrl"), binary(n))


@pytest.mark.parametrize("order", range(1, N))
def test_closed_form_of_the_harmonic_sum_on_binary_rewards(order, x64):
    """The identity: (N/K)(1 - C(N-K,T+1)/C(N,T+1)) - 1 and C(N-1-K,T)/C(N-1,T) - 1, in whole numbers."""
    for successes in range(N + 1):
        success, fail = get("maxrl_order", order=order).binary_form(successes, N)
        if successes > 0:
            missing = comb(N - successes, order + 1) / comb(N, order + 1)
            assert success == pytest.approx(N / successes * (1 - missing) - 1, abs=1e-13)
        if successes < N:
            assert fail == pytest.approx(comb(N - 1 - successes, order) / comb(N - 1, order) - 1, abs=1e-13)


@pytest.mark.parametrize(
    "normalised", [("chen", {"k": 3, "normalize": True}), ("bagirov", {"k": 3, "centering": "zscore"})]
)
def test_normalised_relatives_point_along_maxpo(normalised, x64):
    name, hyper = normalised
    rewards = real()
    a, b = np.asarray(get(name, **hyper)(rewards)), np.asarray(get("maxpo", k=3)(rewards))
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    np.testing.assert_allclose(cosine, 1, atol=1e-12)
    ratio = np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    assert ratio.std() > 0.01  # a factor of the group, not a constant


def test_maxrl_unbiased_is_success_mean_minus_1_and_differs_from_maxrl_at_no_success_only(x64):
    assert_same(get("maxrl_unbiased"), lambda r: get("success_mean")(r) - 1, binary())
    np.testing.assert_array_equal(get("maxrl")(binary())[1:], get("maxrl_unbiased")(binary())[1:])
    assert np.all(np.asarray(get("maxrl_unbiased")(binary()))[0] == -1)


@pytest.mark.parametrize("k", range(1, N + 1))
def test_pkpo_equation_8_is_equation_19_on_binary_rewards(k, x64):
    """s_i = k/n for a success and (k/n) rho(n-1, c, k-1) for a failure; ours are n s_i."""
    for successes in range(N + 1):
        success, fail = get("pkpo", k=k, baseline="none").binary_form(successes, N)
        assert success == pytest.approx(k, abs=1e-12)
        if successes < N:
            rho = 1 - comb(N - 1 - successes, k - 1) / comb(N - 1, k - 1)
            assert fail == pytest.approx(k * rho, abs=1e-12)


def test_four_samples_two_successes_k_2_by_hand(x64):
    """n = 4, c = 2, k = 2: s = (1/2)(2/3) = 1/3 for a failure; loo_minus_one 1/3 and 0; centred +-1/12 x 4."""
    rewards = jnp.asarray([1.0, 0.0, 1.0, 0.0])
    np.testing.assert_allclose(get("pkpo", k=2, baseline="none")(rewards) / 4, [1 / 2, 1 / 3, 1 / 2, 1 / 3])
    np.testing.assert_allclose(get("pkpo", k=2, baseline="loo_minus_one")(rewards) / 4, [1 / 3, 0, 1 / 3, 0])
    np.testing.assert_allclose(get("bagirov", k=2, centering="mean")(rewards) / 4, [1 / 12, -1 / 12, 1 / 12, -1 / 12])


def test_tied_rewards_get_one_value():
    rewards = jnp.asarray(np.random.default_rng(3).integers(0, 4, size=(50, 200)), jnp.float32)
    for adv in (get("maxpo", k=5), get("pkpo", k=5, baseline="loo"), get("expected_improvement", k=5)):
        out = np.asarray(adv(rewards))
        for row, values in zip(np.asarray(rewards), out, strict=True):
            assert all(len(set(values[row == level])) == 1 for level in np.unique(row))
