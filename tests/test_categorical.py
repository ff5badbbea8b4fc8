"""The one-step loss: counts, marginal and expected share one expectation, by exact enumeration and by sampling."""

from itertools import product
from math import comb, factorial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from maxrl_jax import advantages, categorical, losses, objectives
from tests.advantages.enumeration import softmax

ESTIMATORS = [
    ("maxrl", {}),
    ("maxrl_unbiased", {}),
    ("grpo", {}),
    ("rloo", {}),
    ("maxpo", {"k": 2}),
    ("pkpo", {"k": 2, "baseline": "none"}),
    ("chen", {"k": 2}),
]
LOGITS = np.array([0.3, -0.5, 1.1])
LABEL = 1


def expected_gradient(adv, num_rollouts):
    """-w(p) grad p in the logits, float64."""
    pi = softmax(LOGITS)
    w = objectives.effective_weight(adv, pi[LABEL], num_rollouts)
    return -w * pi[LABEL] * (np.eye(3)[LABEL] - pi)


def loss_gradient(terms):
    return np.asarray(jax.grad(lambda logits: terms(logits).loss)(jnp.asarray(LOGITS)))


@pytest.mark.parametrize(("name", "hyper"), ESTIMATORS)
def test_counts_have_the_exact_expectation(name, hyper, x64, monkeypatch):
    """Every count vector of N = 4 draws from 3 classes, with its multinomial probability."""
    n, adv, pi = 4, advantages.get(name, **hyper), softmax(LOGITS)
    mean = np.zeros(3)
    for counts in product(range(n + 1), repeat=3):
        if sum(counts) != n:
            continue
        probability = factorial(n) * np.prod([pi[y] ** c / factorial(c) for y, c in enumerate(counts)])
        monkeypatch.setattr(categorical, "draw_counts", lambda *_, counts=counts: jnp.asarray(counts))
        mean += probability * loss_gradient(
            lambda logits: categorical.categorical_terms(logits, jnp.asarray(LABEL), jax.random.key(0), n, adv)
        )
    np.testing.assert_allclose(mean, expected_gradient(adv, n), atol=1e-6)


@pytest.mark.parametrize(("name", "hyper"), ESTIMATORS)
@pytest.mark.parametrize("n", [4, 9])
def test_marginal_has_the_exact_expectation(name, hyper, n, x64, monkeypatch):
    adv, p = advantages.get(name, **hyper), softmax(LOGITS)[LABEL]
    mean = np.zeros(3)
    for successes in range(n + 1):
        probability = comb(n, successes) * p**successes * (1 - p) ** (n - successes)
        monkeypatch.setattr(jax.random, "binomial", lambda *_, k=successes, **__: jnp.asarray(float(k)))
        mean += probability * loss_gradient(
            lambda logits: categorical.categorical_terms(
                logits, jnp.asarray(LABEL), jax.random.key(0), n, adv, "marginal"
            )
        )
    np.testing.assert_allclose(mean, expected_gradient(adv, n), atol=1e-6)


@pytest.mark.parametrize(("name", "hyper"), ESTIMATORS)
@pytest.mark.parametrize("n", [4, 1000])
def test_expected_is_the_expectation(name, hyper, n, x64):
    adv = advantages.get(name, **hyper)
    got = loss_gradient(
        lambda logits: categorical.categorical_terms(logits, jnp.asarray(LABEL), jax.random.key(0), n, adv, "expected")
    )
    np.testing.assert_allclose(got, expected_gradient(adv, n), atol=1e-6 * np.abs(got).max())


@pytest.mark.parametrize("sampling", ["counts", "marginal"])
@pytest.mark.parametrize("n", [5, 40])
def test_sampled_gradients_average_to_the_expected_one(sampling, n):
    """20,000 independent draws of a batch of one image; each coordinate within 5 standard errors."""
    adv = advantages.get("maxrl")
    logits = jnp.broadcast_to(jnp.asarray(LOGITS, jnp.float32), (20000, 3))
    labels = jnp.full(20000, LABEL)

    def total(logits):
        return categorical.categorical_terms(logits, labels, jax.random.key(1), n, adv, sampling).loss.sum()

    draws = np.asarray(jax.jit(jax.grad(total))(logits), np.float64)
    error = draws.mean(0) - expected_gradient(adv, n)
    assert np.all(np.abs(error) < 5 * draws.std(0) / np.sqrt(len(draws)))


@pytest.mark.parametrize("n", [3, 6, 60])  # both ways of counting: fewer and more rollouts than classes
def test_counts_are_multinomial(n):
    logits = jnp.asarray([0.0, 1.0, -1.0, 0.5, -30.0])
    repeats = 4000
    counts = np.asarray(categorical.draw_counts(jax.random.key(3), jnp.broadcast_to(logits, (repeats, 5)), n))
    assert (counts.sum(-1) == n).all() and (counts >= 0).all() and not counts[:, 4].any()
    pi = softmax(np.asarray(logits))
    for y in range(4):
        observed = np.bincount(counts[:, y], minlength=n + 1)
        expected = repeats * scipy.stats.binom.pmf(np.arange(n + 1), n, pi[y])
        keep = expected > 8
        chi = ((observed - expected)[keep] ** 2 / expected[keep]).sum()
        assert scipy.stats.chi2.sf(chi, keep.sum() - 1) > 1e-4
    covariance = np.cov(counts[:, :4].T)
    np.testing.assert_allclose(covariance, n * (np.diag(pi) - np.outer(pi, pi))[:4, :4], atol=0.12 * n)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 9, 100])
@pytest.mark.parametrize("wide", [False, True])
def test_number_below_is_a_search(n, wide):
    rng = np.random.default_rng(n)
    # Multiples of 1/4: ties among the entries and with the queries.
    table = np.sort(rng.integers(0, 20, (2, 3, n)) / 4, axis=-1).astype(np.float32)
    queries = (rng.integers(-1, 22, (2, 3, 11)) / 4).astype(np.float32)
    with jax.enable_x64(wide):
        for or_equal, side in ((False, "left"), (True, "right")):
            found = categorical.number_below(jnp.asarray(table), jnp.asarray(queries), or_equal=or_equal)
            assert found.dtype == jnp.int32
            for i, j in np.ndindex(2, 3):
                np.testing.assert_array_equal(found[i, j], np.searchsorted(table[i, j], queries[i, j], side))


def test_two_keys_differ_and_one_key_repeats():
    logits = jnp.zeros((4, 10))
    a, b = (categorical.draw_counts(jax.random.key(s), logits, 20) for s in (0, 1))
    assert not np.array_equal(a, b)
    assert np.array_equal(a, categorical.draw_counts(jax.random.key(0), logits, 20))


@pytest.mark.parametrize("n", [200, 5000])
def test_no_array_of_rollouts_times_classes_is_made(n):
    logits, labels = jnp.zeros((4, 300)), jnp.zeros(4, jnp.int32)

    def loss(logits):
        return losses.categorical_rollouts(logits, labels, jax.random.key(0), n, advantages.get("maxrl"))

    text = jax.jit(jax.grad(loss)).lower(logits).as_text()
    assert f"{n}x300" not in text and f"300x{n}" not in text


@pytest.mark.parametrize("sampling", categorical.SAMPLINGS)
def test_certain_and_hopeless_labels_are_finite(sampling):
    logits = jnp.asarray([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0], [0.0, 0.0, -jnp.inf]])
    labels = jnp.asarray([0, 0, 0])
    for name, hyper in ESTIMATORS:
        adv = advantages.get(name, **hyper)

        def loss(logits, adv=adv):
            return losses.categorical_rollouts(logits, labels, jax.random.key(0), 8, adv, sampling)

        finite = jnp.where(jnp.isfinite(logits), logits, -50.0)
        value, gradient = jax.value_and_grad(loss)(finite)
        assert np.isfinite(value) and np.isfinite(gradient).all()
        # A certain label has nothing left to learn.
        assert np.abs(gradient[0]).max() < 1e-6


def test_maxrl_approaches_cross_entropy_at_its_rate(x64):
    """w p = 1 - (1-p)^(N-1): the expected gradient falls short of cross-entropy's by exactly that share."""
    logits, label = jnp.asarray(LOGITS), jnp.asarray(LABEL)
    p = softmax(LOGITS)[LABEL]
    cross_entropy = jax.grad(lambda x: -jax.nn.log_softmax(x)[LABEL])(logits)
    for n in (2, 8, 64):
        adv = advantages.get("maxrl")
        got = jax.grad(
            lambda x, n=n, adv=adv: losses.categorical_rollouts(x, label, jax.random.key(0), n, adv, "expected")
        )(logits)
        np.testing.assert_allclose(got, cross_entropy * (1 - (1 - p) ** (n - 1)), atol=1e-7)


def test_a_users_own_estimator_works_in_every_sampling():
    def own(rewards):
        return rewards - 0.5

    logits, label = jnp.asarray(LOGITS, jnp.float32), jnp.asarray(LABEL)
    for sampling in categorical.SAMPLINGS:
        assert np.isfinite(losses.categorical_rollouts(logits, label, jax.random.key(0), 5, own, sampling))


ZEROS = jnp.zeros(2, jnp.int32)
WRONG = [
    (ZEROS, 4, "maxrl", "exact", "unknown sampling 'exact'; allowed: counts, marginal, expected"),
    (ZEROS, 0, "maxrl", "counts", "num_rollouts = 0"),
    (ZEROS, 1, "rloo", "counts", "rloo: got N = 1"),
    (ZEROS, 4, "partitioned", "counts", "not a symmetric function"),
    (jnp.asarray([0, 3]), 4, "maxrl", "marginal", r"labels = 3, allowed is whole numbers in 0\.\.2"),
    (jnp.asarray([-1, 0]), 4, "maxrl", "marginal", "labels = -1"),
    (np.array([0.0, 1.0]), 4, "maxrl", "marginal", "labels must hold whole numbers"),
    (jnp.asarray(1), 4, "maxrl", "marginal", r"labels \[\*batch\], got \(2, 3\) and \(\)"),
    (ZEROS, 4.0, "maxrl", "marginal", "num_rollouts must be a whole number, got 4.0"),
    (ZEROS, jnp.asarray(4), "maxrl", "marginal", "num_rollouts must be a whole number"),
    (ZEROS, -2, "maxrl", "marginal", "num_rollouts = -2, allowed is a whole number >= 1"),
]


@pytest.mark.parametrize(("labels", "num_rollouts", "name", "sampling", "message"), WRONG)
def test_categorical_rollouts_refuse(labels, num_rollouts, name, sampling, message):
    adv = advantages.get(name, **({"k": 2} if name == "partitioned" else {}))
    with pytest.raises(ValueError, match=message):
        losses.categorical_rollouts(jnp.zeros((2, 3)), labels, jax.random.key(0), num_rollouts, adv, sampling)


@pytest.mark.parametrize("sampling", categorical.SAMPLINGS)
def test_one_example_with_a_plain_label(sampling):
    adv, key = advantages.get("maxrl"), jax.random.key(0)
    plain = losses.categorical_rollouts(LOGITS, LABEL, key, 4, adv, sampling)
    assert plain == losses.categorical_rollouts(jnp.asarray(LOGITS), jnp.asarray(LABEL), key, 4, adv, sampling)
