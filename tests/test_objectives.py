"""Population objectives, their weights, and exact finite-N weights in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from maxrl_jax import advantages, binomial, objectives
from tests.advantages.enumeration import max_at_k_gradient, softmax
from tests.advantages.support import label, symmetric_settings

RATES = np.array([0.0, 1e-12, 1e-6, 0.01, 0.3, 0.5, 0.9, 1 - 1e-9, 1.0])


DECLARED = [
    (n, name, hyper)
    for n in (1, 2, 5, 64, 1024)
    for name, hyper in symmetric_settings(n)
    if advantages.get(name, **hyper).objective(n) is not None
]


@pytest.mark.parametrize(("num_rollouts", "name", "hyper"), DECLARED, ids=label)
def test_effective_weight_is_the_declared_objective_exactly(num_rollouts, name, hyper):
    adv = advantages.get(name, **hyper)
    objective, keywords, factor = adv.objective(num_rollouts)
    expected = factor * objectives.weight(objective, RATES, **keywords)
    got = objectives.summed_weight(adv, RATES, num_rollouts)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


def test_effective_weight_of_grpo_as_enumerated_and_in_the_limit():
    """N = 2: the only mixed group is (1, 0) with advantages +-1, so w = 2 p(1-p) / (2 p(1-p)) = 1."""
    got = objectives.effective_weight(advantages.get("grpo", eps=0.0), np.array([0.0, 0.2, 1.0]), 2)
    np.testing.assert_allclose(got, 1.0, rtol=1e-12)
    large = objectives.effective_weight(advantages.get("grpo", eps=0.0), 0.3, 4096)
    assert large == pytest.approx(1 / np.sqrt(0.3 * 0.7), rel=1e-3)
    assert objectives.effective_weight(advantages.get("one_sided_grpo"), 0.3, 4096) == pytest.approx(
        1 / np.sqrt(0.3), rel=1e-3
    )


def test_false_positives_cap_the_reach_and_false_negatives_do_not():
    p, n = np.array([0.0, 1e-6, 0.01, 0.4]), 4096
    a, b = 0.05, 0.2
    rate = objectives.verdict_rate(p, false_positive=a, false_negative=b)
    np.testing.assert_allclose(rate, a + 0.75 * p)

    def weight(name, **errors):
        return objectives.effective_weight(advantages.get(name), p, n, **errors)

    np.testing.assert_allclose(weight("rloo", false_positive=a, false_negative=b), 0.75)
    noisy = weight("maxrl", false_positive=a, false_negative=b)
    np.testing.assert_allclose(noisy, 0.75 * objectives.weight("maxrl", rate, order=n - 1), rtol=1e-12)
    assert noisy[0] == pytest.approx(0.75 / a)  # the cap, where the true weight is N - 1
    assert weight("maxrl")[0] == pytest.approx(n - 1)
    # False negatives alone: order N - 1 of (1-b) / ((1-b) p) = 1/p.
    only_negatives = weight("maxrl", false_negative=b)[2:]
    np.testing.assert_allclose(only_negatives, 1 / p[2:], rtol=1e-12)
    traced = jax.jit(lambda p: objectives.effective_weight(advantages.get("maxrl"), p, 64, false_positive=0.1))(0.3)
    exact = objectives.effective_weight(advantages.get("maxrl"), 0.3, 64, false_positive=0.1)
    assert traced.dtype == jnp.float32 and traced == pytest.approx(exact, rel=1e-5)


def test_rates_that_overshoot_by_rounding_are_no_mistake():
    assert objectives.pass_at_k(np.float64(np.float32(1) + np.float32(2e-7)), 3) == 1
    assert objectives.weight("maxrl", 1 + 1e-15, order=4) == pytest.approx(1)


@pytest.mark.parametrize(("name", "hyper"), [("rl", {}), ("ml", {}), ("maxrl", {"order": 7}), ("pass_at_k", {"k": 7})])
def test_weights_are_derivatives_of_the_objectives(name, hyper, x64):
    value = {
        "rl": lambda p: p,
        "ml": objectives.log_likelihood,
        "maxrl": lambda p: objectives.maxrl(p, **hyper),
        "pass_at_k": lambda p: objectives.pass_at_k(p, **hyper),
    }[name]
    for p in (1e-6, 0.2, 0.7):
        step = 1e-6 * p
        numeric = (value(p + step) - value(p - step)) / (2 * step)
        assert objectives.weight(name, p, **hyper) == pytest.approx(float(numeric), rel=1e-5)
        assert jax.grad(value)(p) == pytest.approx(float(objectives.weight(name, p, **hyper)), rel=1e-10)


def test_weights_are_stable_for_tiny_rates_and_large_orders():
    p = np.array([1e-12, 1e-9, 1e-3])
    expected = [
        1e6 * (1 - (1e6 - 1) / 2 * 1e-12),  # (1-(1-p)^T)/p = T - T(T-1)/2 p + ...
        1e6 * (1 - (1e6 - 1) / 2 * 1e-9 + (1e6 - 1) * (1e6 - 2) / 6 * 1e-18),
        1e3,
    ]
    np.testing.assert_allclose(objectives.weight("maxrl", p, order=10**6), expected, rtol=1e-9)
    single = objectives.weight("maxrl", jnp.asarray(p, jnp.float32), order=10**6)
    np.testing.assert_allclose(single, expected, rtol=1e-5)
    np.testing.assert_allclose(objectives.weight("grpo", p), 1 / np.sqrt(p * (1 - p)), rtol=1e-12)
    assert objectives.weight("maxrl", 0.0, order=17) == 17
    assert objectives.weight("ml", 0.0) == np.inf
    assert objectives.pass_at_k(1e-15, 3) == pytest.approx(3e-15, rel=1e-9)
    assert objectives.pass_at_k(1.0, 3) == 1 and objectives.fail_at_k(1.0, 3) == 0


def test_objectives_run_under_jit_in_the_type_of_their_input():
    p = jnp.asarray([0.0, 1e-4, 0.5, 1.0])
    for function in (
        lambda p: objectives.pass_at_k(p, 8),
        lambda p: objectives.maxrl(p, 8),
        lambda p: objectives.weight("maxrl", p, order=8),
        lambda p: objectives.effective_weight(advantages.get("grpo"), p, 64),
    ):
        out = jax.jit(function)(p)
        assert out.dtype == jnp.float32
        np.testing.assert_allclose(out, function(np.asarray(p, np.float64)), rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("rewards", [np.array([1.0, 0.0, 0.0]), np.array([-1.0, 2.0, 2.0, 0.5])])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_max_at_k_and_its_gradient_equal_enumeration(rewards, k, x64):
    logits = jnp.asarray(np.random.default_rng(0).normal(size=len(rewards)))

    def value(logits):
        return objectives.max_at_k(jax.nn.softmax(logits), jnp.asarray(rewards), k)

    pi = softmax(np.asarray(logits))
    np.testing.assert_allclose(jax.grad(value)(logits), max_at_k_gradient(pi, rewards, k), atol=1e-12)
    if set(rewards) == {0.0, 1.0}:
        assert value(logits) == pytest.approx(float(objectives.pass_at_k(pi @ rewards, k)), rel=1e-12)
    assert objectives.max_at_k(pi, rewards, k) == pytest.approx(float(value(logits)), rel=1e-12)


WRONG = [
    (lambda: objectives.weight("entropy", 0.5), "unknown objective 'entropy'; allowed: rl, ml, maxrl"),
    (lambda: objectives.weight("maxrl", 0.5), r"got hyper-parameters \[\], allowed: \['order'\]"),
    (lambda: objectives.weight("rl", 0.5, k=3), r"got hyper-parameters \['k'\], allowed: \[\]"),
    (lambda: objectives.weight("maxrl", 0.5, order=0), "order = 0, allowed is a whole number >= 1"),
    (lambda: objectives.pass_at_k(0.5, 2.5), "k must be a whole number, got 2.5"),
    (lambda: objectives.pass_at_k(0.5, jnp.asarray(2)), "k must be a whole number"),
    (lambda: objectives.fail_at_k(0.5, 0), "fail_at_k: got k = 0"),
    (lambda: objectives.pass_at_k(1.5, 2), "pass_at_k: got p = 1.5, allowed is 0 to 1"),
    (lambda: objectives.fail_at_k(jnp.asarray([0.5, -0.5]), 2), "fail_at_k: got p = -0.5"),
    (lambda: objectives.log_likelihood(np.array([0.5, np.nan])), "log_likelihood: got p = nan"),
    (lambda: objectives.maxrl(jnp.asarray(2.0), 3), "maxrl: got p = 2.0"),
    (lambda: objectives.weight("ml", -0.1), "weight: got p = -0.1"),
    (lambda: objectives.effective_weight(advantages.get("grpo"), 1.5, 4), "got p = 1.5"),
    (lambda: objectives.effective_weight(advantages.get("rloo"), 0.5, 4.0), "num_rollouts must be a whole number"),
    (lambda: objectives.effective_weight(advantages.get("mean_baseline"), 0.5, 0), "num_rollouts = 0"),
    (lambda: objectives.effective_weight(lambda r: r, 0.5, 0), "num_rollouts = 0"),
    (lambda: objectives.effective_variance(advantages.get("rloo"), -1.0, 4, 1, 1, 1), "got p = -1.0"),
    (lambda: objectives.max_at_k([0.5, 0.5], [0.0, 1.0, 2.0], 1), r"got \(2,\) and \(3,\)"),
    (lambda: objectives.max_at_k(0.5, 1.0, 1), r"shape \[\*batch, outcomes\]"),
    (lambda: objectives.max_at_k([1.5, -0.5], [0.0, 1.0], 1), "got probabilities = 1.5"),
    (lambda: advantages.get("maxrl").binary_form(7, 4), "num_successes = 7, allowed is whole numbers in 0..4"),
    (lambda: advantages.get("maxrl").binary_form(-1, 4), "num_successes = -1"),
    (lambda: advantages.get("maxpo", k=2).binary_form(1.5, 4), "num_successes must hold whole numbers"),
    (lambda: advantages.get("maxrl").check(4.0), "num_rollouts must be a whole number, got 4.0"),
    (lambda: objectives.effective_weight(advantages.get("maxpo", k=9), 0.5, 4), "N = 4"),
    (
        lambda: objectives.effective_weight(advantages.get("rloo"), 0.5, 4, false_positive=1.5),
        "false_positive = 1.5, allowed is a number from 0 to 1",
    ),
    (lambda: objectives.verdict_rate(0.5, false_negative=-0.1), "false_negative = -0.1"),
    (lambda: objectives.verdict_rate(0.5, false_negative="0.1"), "false_negative = '0.1'"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_objectives_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("n", [0, 1, 2, 17, 2047])
def test_binomial_probabilities_agree_with_scipy(n):
    for p in (0.0, 1e-12, 1e-4, 0.3, 0.999, 1.0):
        expected = scipy.stats.binom.pmf(np.arange(n + 1), n, p)
        np.testing.assert_allclose(binomial.probabilities(p, n), expected, rtol=1e-12, atol=1e-290)
        rate = np.float32(p)
        expected = scipy.stats.binom.pmf(np.arange(n + 1), n, float(rate))
        np.testing.assert_allclose(binomial.probabilities(jnp.asarray(rate), n), expected, rtol=1e-4, atol=1e-8)
