"""Exact expectations of the gradient estimates, to 1e-10: what each estimator estimates, and each bias as that bias."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages, objectives
from tests.advantages.enumeration import estimates, groups, max_at_k_gradient, mean_gradient, scores, softmax
from tests.advantages.support import every_setting, label, legal_settings, symmetric_settings, target

BINARY = np.array([1.0, 0.0, 0.0, 1.0])
REAL = np.array([-1.3, 0.4, 2.0])
TIED = np.array([0.7, -0.2, 0.7])


def policy(rewards, seed):
    return softmax(np.random.default_rng(seed).normal(size=len(rewards)))


UNBIASED = [(n, h) for n, h in every_setting(4) if target(n, h, 4) is not None]


def test_a_row_that_claims_a_gradient_declares_its_objective():
    """So that the claim is checked: the rest of the battery reads the objective, not the words."""
    for name, entry in advantages.TABLE.items():
        if re.search(r"\bgrad\b", entry.estimates):
            assert any(target(name, hyper, 4) is not None for hyper in legal_settings(entry, 4)), name


@pytest.mark.parametrize(("name", "hyper"), UNBIASED, ids=label)
def test_expectation_is_the_stated_gradient(name, hyper, x64):
    n = 4
    adv = advantages.get(name, **hyper)
    for seed, rewards in enumerate((BINARY, REAL, TIED) if adv.entry.reward_kind == "real" else (BINARY,)):
        pi = policy(rewards, seed)
        expected = sum(c * max_at_k_gradient(pi, rewards, k) for k, c in target(name, hyper, n).items())
        np.testing.assert_allclose(mean_gradient(adv, pi, rewards, n), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("num_rollouts", [1, 2, 5])
def test_maxrl_is_off_order_n_by_exactly_the_last_term(num_rollouts, x64):
    pi = policy(BINARY, 3)
    p, n = pi @ BINARY, num_rollouts
    order_n = sum(max_at_k_gradient(pi, BINARY, k) / k for k in range(1, n + 1))
    bias = mean_gradient(advantages.get("maxrl"), pi, BINARY, n) - order_n
    np.testing.assert_allclose(bias, -((1 - p) ** (n - 1)) * max_at_k_gradient(pi, BINARY, 1), rtol=0, atol=1e-10)


JUDGED = np.array([0.9, 0.0, 0.35, 1.0])  # rewards that are probabilities


@pytest.mark.parametrize("num_rollouts", [1, 2, 3, 5])
def test_maxrl_likelihood_is_unbiased_for_order_n_minus_1_of_the_log_of_the_mean(num_rollouts, x64):
    pi, n = policy(JUDGED, 7), num_rollouts
    # The chain rule: w(E[g]) grad E[g] with the weight of the truncated logarithm, none at order 0.
    weight = objectives.weight("maxrl", pi @ JUDGED, order=n - 1) if n > 1 else 0
    got = mean_gradient(advantages.get("maxrl_likelihood"), pi, JUDGED, n)
    np.testing.assert_allclose(got, weight * max_at_k_gradient(pi, JUDGED, 1), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "rewards", [JUDGED, np.array([0.02, 0.05, 0.5, 0.0]), BINARY], ids=["judged", "hard", "binary"]
)
def test_maxrl_likelihood_has_no_more_variance_than_drawing_the_acceptances(rewards, x64):
    """Every group of answers and every outcome of the draws: the same mean, and Rao-Blackwell."""
    pi, n = policy(rewards, 8), 3
    # One outcome for every (answer, accepted or not); the scores are the answers'.
    joint = np.concatenate([pi * rewards, pi * (1 - rewards)])
    accepted, of_answer = np.repeat([1.0, 0.0], len(pi)), np.tile(np.arange(len(pi)), 2)
    z = groups(len(joint), n)
    advantage = np.asarray(advantages.maxrl(jnp.asarray(accepted[z])))
    drawn = np.einsum("gn,gnc->gc", advantage, scores(pi)[of_answer[z]]) / n
    drawn_law = np.prod(joint[z], axis=1)
    law, averaged = estimates(advantages.get("maxrl_likelihood"), pi, rewards, n)
    np.testing.assert_allclose(law @ averaged, drawn_law @ drawn, atol=1e-12)
    variance, drawn_variance = law @ (averaged**2).sum(1), drawn_law @ (drawn**2).sum(1)  # up to the common mean
    if set(rewards) == {0.0, 1.0}:
        assert variance == pytest.approx(drawn_variance, rel=1e-12)  # nothing is drawn
    else:
        assert variance < 0.95 * drawn_variance


SYMMETRIC = symmetric_settings(4)


@pytest.mark.parametrize(("name", "hyper", "n"), [*((*case, 4) for case in SYMMETRIC), ("reinforce", {}, 1)], ids=label)
def test_effective_weight_and_variance_equal_enumeration(name, hyper, n, x64):
    pi = policy(BINARY, 5)
    adv = advantages.get(name, **hyper)
    p = pi @ BINARY
    gradient_of_p = max_at_k_gradient(pi, BINARY, 1)
    probability, gradient = estimates(adv, pi, BINARY, n)
    mean = probability @ gradient
    w = objectives.effective_weight(adv, p, n)
    np.testing.assert_allclose(mean, w * gradient_of_p, rtol=0, atol=1e-10)

    squared = (scores(pi) ** 2).sum(axis=1)
    norms = [pi @ (squared * hit) / (pi @ hit) for hit in (BINARY, 1 - BINARY)]
    variance = probability @ (gradient**2).sum(axis=1) - mean @ mean
    got = objectives.effective_variance(adv, p, n, *norms, gradient_of_p @ gradient_of_p)
    np.testing.assert_allclose(got, variance, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.0), (0.05, 0.2)])
@pytest.mark.parametrize(("name", "hyper"), SYMMETRIC, ids=label)
def test_weight_and_variance_under_a_verifier_that_errs(name, hyper, a, b, x64):
    """Every group of three answers and their verdicts: 5.5 of docs/theory.md."""
    right, n = np.array([1.0, 0.0, 0.0]), 4
    pi, adv = policy(right, 9), advantages.get(name, **hyper)
    p, gradient_of_p = pi @ right, max_at_k_gradient(pi, right, 1)
    accepted = right * (1 - b) + (1 - right) * a
    joint = np.concatenate([pi * accepted, pi * (1 - accepted)])
    verdict, answer = np.repeat([1.0, 0.0], 3), np.tile(np.arange(3), 2)
    z = groups(6, n)
    law = np.prod(joint[z], axis=1)
    gradient = np.einsum("gn,gnc->gc", np.asarray(adv(jnp.asarray(verdict[z]))), scores(pi)[answer[z]]) / n
    mean = law @ gradient
    w = objectives.effective_weight(adv, p, n, false_positive=a, false_negative=b)
    np.testing.assert_allclose(mean, w * gradient_of_p, rtol=0, atol=1e-10)

    squared = (scores(pi) ** 2).sum(axis=1)
    e1, e0 = (pi @ (squared * hit) / (pi @ hit) for hit in (right, 1 - right))
    rate = objectives.verdict_rate(p, false_positive=a, false_negative=b)
    norms = ((1 - b) * p * e1 + a * (1 - p) * e0) / rate, (b * p * e1 + (1 - a) * (1 - p) * e0) / (1 - rate)
    v = (1 - a - b) ** 2 * (gradient_of_p @ gradient_of_p)
    variance = law @ (gradient**2).sum(axis=1) - mean @ mean
    np.testing.assert_allclose(objectives.effective_variance(adv, rate, n, *norms, v), variance, rtol=0, atol=1e-10)
