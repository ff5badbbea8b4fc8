"""Unbiased pass@k and max@k, majority vote."""

from itertools import combinations
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import metrics


@pytest.mark.parametrize("n", [1, 5, 8])
def test_pass_at_k_equals_counting(n):
    counts, orders = np.arange(n + 1), np.arange(1, n + 1)
    got = metrics.pass_at_k(n, counts, orders)
    expected = [[1 - comb(n - c, k) / comb(n, k) for k in orders] for c in counts]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-15)
    traced = jax.jit(lambda c: metrics.pass_at_k(n, c, orders))(jnp.asarray(counts))
    np.testing.assert_allclose(traced, expected, rtol=0, atol=1e-7)


def test_pass_at_k_is_right_at_2048_samples():
    n = 2048
    orders = np.array([1, 2, 128, 1024, 2048])
    for c in (0, 1, 3, 1000, 2048):
        expected = [float(1 - comb(n - c, int(k)) / comb(n, int(k))) for k in orders]
        np.testing.assert_allclose(metrics.pass_at_k(n, c, orders), expected, rtol=1e-13, atol=1e-15)
        single = metrics.pass_at_k(n, jnp.asarray([c]), orders)
        np.testing.assert_allclose(single[0], expected, rtol=1e-6)


def test_one_number_of_each_is_enough():
    """C(7, 2)/C(10, 2) = 21/45: Python, numpy and jax scalars, one k and a sequence of one."""
    for c in (3, np.int64(3), np.asarray(3), jnp.asarray(3)):
        for k in (2, np.int64(2), np.asarray(2), jnp.asarray(2)):
            value = metrics.pass_at_k(10, c, k)
            assert np.shape(value) == () and float(value) == pytest.approx(1 - 21 / 45, rel=1e-6)
        assert metrics.pass_at_k(10, c, [2]).shape == (1,)
    assert float(metrics.pass_at_k(10, 3, 1)) == pytest.approx(0.3)
    assert float(metrics.max_at_k([1.0, 5.0, 3.0], 3)) == 5


def test_traced_counts_beyond_the_ends_are_the_ends():
    traced = jax.jit(lambda c: metrics.pass_at_k(5, c, [1, 3]))
    np.testing.assert_array_equal(traced(jnp.asarray([-2, 9])), [[0, 0], [1, 1]])


def test_shapes_follow_counts_and_orders():
    assert metrics.pass_at_k(8, np.zeros((3, 2), int), 4).shape == (3, 2)
    assert metrics.pass_at_k(8, np.zeros((3, 2), int), [4, 5]).shape == (3, 2, 2)
    assert metrics.max_at_k(jnp.zeros((3, 8)), 4).shape == (3,)
    assert metrics.max_at_k(jnp.zeros((3, 8)), [1, 2, 8]).shape == (3, 3)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_max_at_k_is_the_mean_max_of_all_subsets(k, x64):
    rewards = np.round(np.random.default_rng(0).normal(size=5), 1)
    expected = np.mean([max(s) for s in combinations(rewards, k)])
    assert metrics.max_at_k(jnp.asarray(rewards), k) == pytest.approx(expected, abs=1e-14)


def test_max_at_k_of_binary_rewards_is_pass_at_k():
    rewards = np.random.default_rng(1).integers(0, 2, size=(7, 12))
    orders = np.arange(1, 13)
    expected = metrics.pass_at_k(12, rewards.sum(-1), orders)
    np.testing.assert_allclose(metrics.max_at_k(rewards, orders), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.pass_at_k(4, 2, 5), "got k = 5 with n = 4 samples, allowed is 1 <= k <= 4"),
        (lambda: metrics.pass_at_k(4, 2, [1, 0]), "got k = 0"),
        (lambda: metrics.pass_at_k(4, 2, 1.5), "whole numbers"),
        (lambda: metrics.pass_at_k(4, 5, 1), r"c = 5, allowed is whole numbers in 0\.\.4"),
        (lambda: metrics.pass_at_k(4, -1, 1), "c = -1, allowed is"),
        (lambda: metrics.pass_at_k(4, 2.5, 1), "c must hold whole numbers"),
        (lambda: metrics.pass_at_k(4, True, 1), "c must hold whole numbers"),
        (lambda: metrics.pass_at_k(4, jnp.asarray(-1), 1), "c = -1, allowed is"),
        (lambda: metrics.pass_at_k(4, jnp.asarray([2, 5]), [1]), "c = 5, allowed is"),
        (lambda: metrics.pass_at_k(4, jnp.asarray(2.5), 1), "c must hold whole numbers"),
        (lambda: metrics.pass_at_k(4, jnp.asarray(True), 1), "c must hold whole numbers"),
        (lambda: jax.jit(lambda c: metrics.pass_at_k(4, c, 1))(2.5), "c must hold whole numbers .*the type float32"),
        (lambda: metrics.pass_at_k(4.0, 2, 1), "n must be a whole number, got 4.0"),
        (lambda: metrics.pass_at_k(True, 1, 1), "n must be a whole number"),
        (lambda: metrics.pass_at_k(0, 0, 1), "n = 0, allowed is a whole number >= 1"),
        (lambda: jax.jit(lambda k: metrics.pass_at_k(4, 2, k))(1), "k must be static"),
        (lambda: metrics.max_at_k(3.0, 1), r"shape \[\*batch, n\] with n >= 1, got \(\)"),
        (lambda: metrics.max_at_k(jnp.zeros((2, 0)), 1), r"got \(2, 0\)"),
        (lambda: metrics.majority_vote([1.5, 2.5], [1, 0]), "votes must be integers, got the type float64"),
        (lambda: metrics.majority_vote(["a", "b"], [1, 0]), "votes must be integers"),
        (lambda: metrics.majority_vote(3, 1), r"shape \[\*batch, n\]"),
        (lambda: metrics.majority_vote([1, 2], [True]), r"got \(2,\) and \(1,\)"),
        (lambda: metrics.max_at_k(jnp.zeros(3), 4), "got k = 4 with n = 3"),
    ],
)
def test_metrics_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_majority_vote_is_a_function_of_the_votes_alone():
    rng = np.random.default_rng(0)
    votes = rng.integers(-2, 4, size=(5, 40, 9))
    right = (votes == 2) | ((votes == 1) & (rng.uniform(size=votes.shape) < 0.5))
    share = metrics.majority_vote(votes, right)
    order = rng.permutation(9)
    np.testing.assert_array_equal(share, metrics.majority_vote(votes[..., order], right[..., order]))
    for index in np.ndindex(5, 40):
        counts = [np.sum(votes[index] == vote) for vote in range(4)]
        winners = [vote for vote in range(4) if counts[vote] == max(counts) > 0]
        is_right = [bool(right[index][votes[index] == vote].any()) for vote in winners]
        assert share[index] == (np.mean(is_right) if winners else 0)
