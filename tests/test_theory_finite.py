"""Statements of docs/theory.md, sections 5 to 8, that no other test checks; float64 and enumeration throughout."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxrl_jax import advantages, binomial, categorical, losses, metrics, objectives
from tests.advantages.enumeration import estimates, groups, max_at_k_gradient, scores, softmax

REAL = np.round(np.random.default_rng(8).normal(size=(5, 6)), 1)
RATES = np.array([1e-4, 0.1, 0.5, 0.93])


def rate_law(p, n):
    """(mu = 0, 1/N, .., 1; its probabilities) for one pass rate."""
    return np.arange(n + 1) / n, np.asarray(binomial.probabilities(p, n))


# Section 5

NORMALISERS = [
    ("mean_baseline", {}, lambda mu: 1.0),
    ("maxrl", {}, lambda mu: mu),
    ("grpo", {"eps": 0.0}, lambda mu: np.sqrt(mu * (1 - mu))),
    ("one_sided_grpo", {"eps": 0.0}, np.sqrt),
]


@pytest.mark.parametrize(("name", "hyper", "normaliser"), NORMALISERS, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("n", [2, 5, 40])
def test_weight_of_a_normalised_deviation(name, hyper, normaliser, n):
    """5.2: w = E[mu (1-mu) / sigma(mu)] / (p q), over groups that are not constant."""
    for p in RATES:
        mu, law = rate_law(p, n)
        inner = mu[1:-1]
        expected = law[1:-1] @ (inner * (1 - inner) / normaliser(inner)) / (p * (1 - p))
        got = objectives.effective_weight(advantages.get(name, **hyper), p, n)
        np.testing.assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.parametrize("n", [2, 8, 64, 512])
def test_grpo_weight_lies_below_its_limit(n):
    adv = advantages.get("grpo", eps=0.0)
    assert np.all(objectives.effective_weight(adv, RATES, n) < objectives.weight("grpo", RATES))
    np.testing.assert_allclose(objectives.effective_weight(adv, np.array([0.0, 1.0]), n), np.sqrt(n - 1), rtol=1e-12)
    one_sided = objectives.effective_weight(advantages.get("one_sided_grpo", eps=0.0), np.array([0.0, 1.0]), n)
    np.testing.assert_allclose(one_sided, [(n - 1) / np.sqrt(n), np.sqrt(1 - 1 / n)], rtol=1e-12)


def many_answers(num_right, p):
    """(policy, rewards): `num_right` right answers of total probability p, five wrong ones."""
    rng = np.random.default_rng(num_right)
    right, wrong = rng.dirichlet(np.ones(num_right)), rng.dirichlet(np.ones(5))
    return np.concatenate([p * right, (1 - p) * wrong]), np.repeat([1.0, 0.0], [num_right, 5])


def squared_norms(pi, rewards):
    """(e1, e0, |grad p|^2) of softmax logits."""
    squared = (scores(pi) ** 2).sum(1)
    e1, e0 = (pi @ (squared * hit) / (pi @ hit) for hit in (rewards, 1 - rewards))
    gradient = max_at_k_gradient(pi, rewards, 1)
    return e1, e0, gradient @ gradient


def bracket_of_control_variate(pi, rewards, n):
    """5.4: (2 e1 P(K>=1) - 2 l^2 P(K>=2) - E, the same for practical MaxRL)."""
    e1, e0, v = squared_norms(pi, rewards)
    p = pi @ rewards
    q = 1 - p
    some, several = 1 - q**n, 1 - q**n - n * p * q ** (n - 1)
    kept = 2 * e1 * some - 2 * v / p**2 * several - (p * e1 + q * e0)
    return kept, kept + q**n * e0 + (n - 1) * q ** (n - 2) * v


@pytest.mark.parametrize("num_right", [1, 6])
@pytest.mark.parametrize("p", [0.01, 0.1, 0.6])
@pytest.mark.parametrize("n", [2, 10, 32])
def test_what_the_control_variate_saves_and_when_it_costs(num_right, p, n):
    pi, rewards = many_answers(num_right, p)
    norms = squared_norms(pi, rewards)
    assert pi @ (scores(pi) ** 2).sum(1) == pytest.approx(1 - pi @ pi)  # E|S|^2 of softmax logits

    def variance(name):
        return objectives.effective_variance(advantages.get(name), p, n, *norms)

    def second_moment(name):
        return variance(name) + objectives.effective_weight(advantages.get(name), p, n) ** 2 * norms[2]

    kept, dropped = bracket_of_control_variate(pi, rewards, n)
    assert variance("success_mean") - variance("maxrl_unbiased") == pytest.approx(kept / n, abs=1e-12)
    assert second_moment("success_mean") - second_moment("maxrl") == pytest.approx(dropped / n, abs=1e-12)
    if n * p < 0.2:  # a hard task: subtracting V costs, dropping it at K = 0 takes that back
        assert kept < 0 < dropped
    if num_right == 1 and n * p > 5:  # one right answer and enough rollouts: there is no variance left to save
        assert kept < 0
    if num_right == 6 and n * p > 5:
        assert kept > 0


# Section 6


@pytest.mark.parametrize("k", [2, 3, 5, 6])
def test_ei_leave_one_out_is_a_mixture_of_two_orders(k, x64):
    """6.3: c_k = (N-k)/(N-1), c_(k-1) = k/(N-1), as vectors, for real rewards."""
    n = REAL.shape[-1]
    coefficients = np.zeros(n)
    coefficients[k - 1], coefficients[k - 2] = (n - k) / (n - 1), k / (n - 1)
    assert k < n or coefficients[-1] == 0
    expected = advantages.mixture(jnp.asarray(REAL), coefficients=tuple(coefficients[: n - 1]))
    np.testing.assert_allclose(advantages.ei_leave_one_out(jnp.asarray(REAL), k=k), expected, atol=1e-12)


@pytest.mark.parametrize("tau", [0.1, 0.3, 1.0, 3.0])
def test_softmax_grpo_has_the_weight_of_maxrl_under_false_positives(tau):
    """6.8: a = e^(-1/tau), as N grows; and between order N - 1 and RL's constant at finite N."""
    p, n, a = np.array([1e-3, 0.05, 0.5, 0.99]), 4096, np.exp(-1 / tau)
    limit = (1 - a) / objectives.verdict_rate(p, false_positive=a)
    np.testing.assert_allclose(limit, 1 / (p + 1 / np.expm1(1 / tau)), rtol=1e-12)
    softmax = advantages.get("softmax_grpo", tau=tau)
    np.testing.assert_allclose(objectives.effective_weight(softmax, p, n), limit, rtol=0.3 / (n * p[0]))
    p, n = np.array([0.0, 0.2, 0.9]), 8
    ratio = objectives.effective_weight(softmax, p, n) / objectives.weight("maxrl", p, order=n - 1)
    assert np.all(np.diff(ratio) >= -1e-12) and ratio[-1] <= 1 + 1e-12  # flatter in p than MaxRL, and below it


def test_the_plug_in_of_mmpo_is_biased(x64):
    """6.8: w(mu) (r - mu) at N = 2, T = 1 is the mean baseline; at N = 4, T = 2 no mixture's weight either."""

    def plug_in(order):
        return lambda r: (
            sum(k * (1 - r.mean(-1, keepdims=True)) ** (k - 1) for k in range(1, order + 1))
            * (r - r.mean(-1, keepdims=True))
        )

    assert objectives.effective_weight(plug_in(1), 0.3, 2) == pytest.approx(0.5)
    unbiased = objectives.effective_weight(advantages.get("mmpo", order=2), 0.3, 4)
    assert unbiased == pytest.approx(1 + 2 * 0.7)
    assert objectives.effective_weight(plug_in(2), 0.3, 4) == pytest.approx(1.5, abs=0.2) != unbiased


@pytest.mark.parametrize("k", [2, 3, 5])
def test_means_of_the_uncentred_estimators(k, x64):
    n = REAL.shape[-1]
    r, below = (np.asarray(metrics.max_at_k(jnp.asarray(REAL), j)) for j in (k, k - 1))
    for adv, expected in (
        (advantages.get("expected_improvement", k=k), k * (r - below)),
        (advantages.get("pkpo", k=k, baseline="none"), k * r),
        (advantages.get("pkpo", k=k, baseline="loo"), -k / (n - 1) * r),
    ):
        np.testing.assert_allclose(np.asarray(adv(jnp.asarray(REAL))).mean(-1), expected, atol=1e-12)


@pytest.mark.parametrize(("n", "k"), [(4, 2), (6, 3), (6, 2)])
def test_partitioned_estimators_average_to_their_symmetric_relatives(n, k, x64):
    orders = np.array(list(permutations(range(n))))
    rewards = REAL[0, :n]
    for kind, relative in (
        ("naive", advantages.get("pkpo", k=k, baseline="none")),
        ("naive_baseline", advantages.get("maxpo", k=k)),
        ("loo_minus_one", advantages.get("expected_improvement", k=k)),
    ):
        values = np.asarray(advantages.partitioned(jnp.asarray(rewards[orders]), k=k, kind=kind))
        mean = np.take_along_axis(values, np.argsort(orders, axis=-1), axis=-1).mean(0)
        np.testing.assert_allclose(mean, relative(jnp.asarray(rewards)), atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "relative", "hyper"),
    [
        ("naive", "pkpo", {"baseline": "none"}),
        ("naive_baseline", "maxpo", {}),
        ("loo_minus_one", "expected_improvement", {}),
    ],
)
def test_all_subsets_have_no_more_variance_than_one_partition(kind, relative, hyper, x64):
    rewards, pi = np.array([-1.0, 0.3, 2.0]), softmax(np.array([0.5, 0.2, -0.4]))

    def variance(adv):
        probability, gradient = estimates(adv, pi, rewards, 4)
        return probability @ (gradient**2).sum(1) - ((probability @ gradient) ** 2).sum()

    one = variance(advantages.get("partitioned", k=2, kind=kind))
    assert variance(advantages.get(relative, k=2, **hyper)) < 0.9 * one


def test_differential_smoothing_adds_a_gradient_with_its_log_probabilities_held_fixed(x64):
    """6.6: E[difference from grpo] = grad of E[-c_+ r l + c_- (1-r) l] with l fixed."""
    pi, rewards, l = softmax(np.array([0.5, 0.2, -0.4])), np.array([1.0, 0.0, 0.0]), np.array([-0.3, -1.1, -2.0])
    coefficients = {"correct_coef": 0.2, "incorrect_coef": 0.1}
    smoothed = advantages.get("differential_smoothing", **coefficients)
    z = groups(3, 3)
    extra = smoothed(jnp.asarray(rewards[z]), mean_log_probs=jnp.asarray(l[z])) - advantages.grpo(rewards[z])
    got = np.prod(pi[z], axis=1) @ np.einsum("gn,gnc->gc", np.asarray(extra), scores(pi)[z]) / 3
    held = -0.2 * rewards * l + 0.1 * (1 - rewards) * l
    np.testing.assert_allclose(got, max_at_k_gradient(pi, held, 1), atol=1e-12)


# Section 7: two answers a success (length 3) and failures of given lengths; the loss itself is differentiated.


def mean_loss_gradient(adv, pi, rewards, lengths, n, aggregation):
    """Exact expectation of minus the loss's gradient in the logits, over every group of one prompt."""
    z = groups(len(pi), n)
    values = adv(jnp.asarray(rewards[z]))
    mask = np.arange(max(lengths)) < np.asarray(lengths)[z][..., None]

    def loss(logits, z, values, mask):
        # The first token decides the answer, the rest follows with probability one.
        first = jax.nn.log_softmax(logits)[z]
        log_probs = jnp.concatenate([first[:, None], jnp.zeros((n, mask.shape[-1] - 1))], axis=-1)
        return losses.policy_gradient(log_probs[None], mask[None], values[None], aggregation)

    every_group = jax.jit(jax.vmap(jax.grad(loss), (None, 0, 0, 0)))
    gradients = every_group(jnp.log(jnp.asarray(pi)), z, values, mask)
    return -np.prod(pi[z], axis=1) @ np.asarray(gradients)


PI, HITS = np.array([0.15, 0.1, 0.45, 0.3]), np.array([1.0, 1.0, 0.0, 0.0])
BY_OUTCOME = (3, 3, 1, 1)  # a = 3 on success, b = 1 on failure


@pytest.mark.parametrize(("name", "n"), [("rloo", 2), ("maxrl", 4), ("maxrl_unbiased", 3)])
def test_weights_when_the_outcome_decides_the_length(name, n, x64):
    adv, p = advantages.get(name), PI @ HITS

    def divided(rewards):
        return adv(rewards) / jnp.mean(jnp.where(rewards > 0, 3.0, 1.0), -1, keepdims=True)

    success, fail = objectives.binary_form(adv, n)
    law = np.asarray(binomial.probabilities(p, n - 1))
    w = {
        "token_mean": objectives.effective_weight(divided, p, n),
        "sequence_mean": law @ success[1:] / 3 - law @ fail[:-1] / 1,
    }
    for aggregation, weight in w.items():
        got = mean_loss_gradient(adv, PI, HITS, BY_OUTCOME, n, aggregation)
        np.testing.assert_allclose(got, weight * max_at_k_gradient(PI, HITS, 1), atol=1e-10)
    if name == "rloo":
        assert w["token_mean"] == pytest.approx(2 / (3 + 1)) and w["sequence_mean"] == pytest.approx((1 - p) / 3 + p)


@pytest.mark.parametrize("name", ["rloo", "grpo"])
def test_token_mean_bias_has_its_leading_term_and_falls_as_one_over_n(name, x64):
    """7.2: E[g/l] - E[g]/E[l] = -Cov(g, l)/E[l]^2 + E[g] Var(l)/E[l]^3 + O(1/N^2), lengths 3 and 1."""
    adv, p = advantages.get(name), 0.3
    mean_length = 3 * p + (1 - p)

    def length(rewards):
        return jnp.mean(jnp.where(rewards > 0, 3.0, 1.0), -1, keepdims=True)

    def bias_and_prediction(n):
        w, divided, times = (
            objectives.effective_weight(f, p, n)
            for f in (adv, lambda r: adv(r) / length(r), lambda r: adv(r) * length(r))
        )
        covariance, variance = times - w * mean_length, (3 - 1) ** 2 * p * (1 - p) / n
        return divided - w / mean_length, -covariance / mean_length**2 + w * variance / mean_length**3

    (bias, prediction), (far, far_prediction) = bias_and_prediction(100), bias_and_prediction(400)
    assert far == pytest.approx(bias / 4, rel=0.1)
    assert abs(bias) > 1e-4
    assert far == pytest.approx(far_prediction, rel=0.02)
    assert bias == pytest.approx(prediction, rel=0.08)


def test_token_mean_shortens_answers_under_a_constant_reward(x64):
    """7.2: A = 1 for all gives grad E[1 / sum of lengths], not zero; sequence_sum gives zero."""
    n, lengths = 3, np.array([4, 1, 2, 3])
    ones = np.ones(4)
    z = groups(4, n)
    inverse = 1 / lengths[z].sum(1)
    expected = (np.prod(PI[z], axis=1) * inverse) @ scores(PI)[z].sum(1)
    reinforce = advantages.get("reinforce")
    got = mean_loss_gradient(reinforce, PI, ones, lengths, n, "token_mean")
    np.testing.assert_allclose(got, expected, atol=1e-12)
    assert got @ lengths < -1e-3  # expected length goes down along it
    np.testing.assert_allclose(mean_loss_gradient(reinforce, PI, ones, lengths, n, "sequence_sum"), 0, atol=1e-12)
    np.testing.assert_array_equal(mean_loss_gradient(advantages.get("rloo"), PI, ones, lengths, n, "token_mean"), 0)


# Section 8


@pytest.mark.parametrize("name", ["maxrl", "grpo", "rloo", "success_mean"])
def test_marginal_sampling_saves_the_variance_of_the_wrong_answers(name, x64, monkeypatch):
    """8.2: Var(counts) - Var(marginal) = E[(N-K) t(K)^2] (1 - sum of squared wrong-answer shares) / N^2."""
    n, adv, logits = 5, advantages.get(name), np.array([0.3, -0.5, 1.1, 0.2])
    pi, label = softmax(logits), np.array([0.0, 1.0, 0.0, 0.0])
    p, (_, fail) = pi[1], objectives.binary_form(adv, n)
    probability, gradient = estimates(adv, pi, label, n)
    counts = probability @ (gradient**2).sum(1) - ((probability @ gradient) ** 2).sum()

    # A batch of one image for every K that can be drawn.
    monkeypatch.setattr(jax.random, "binomial", lambda *_, **__: jnp.arange(n + 1.0))
    labels = jnp.ones(n + 1, jnp.int32)

    def total(x):
        return categorical.categorical_terms(x, labels, jax.random.key(0), n, adv, "marginal").loss.sum()

    drawn = -np.asarray(jax.jit(jax.grad(total))(jnp.broadcast_to(jnp.asarray(logits), (n + 1, 4))))
    law = np.asarray(binomial.probabilities(p, n))
    marginal = law @ (drawn**2).sum(1) - ((law @ drawn) ** 2).sum()

    spread = 1 - (pi[[0, 2, 3]] ** 2).sum() / (1 - p) ** 2
    saved = law @ ((n - np.arange(n + 1)) * fail**2) * spread / n**2
    np.testing.assert_allclose(counts - marginal, saved, atol=1e-7)
    assert (saved > 1e-3) == (name != "success_mean")


def test_share_of_cross_entropy_at_chance_level():
    """8.4: p = 1/1000: w p is 1.5 % at N = 16 and 64 % at N = 1,024."""
    share = [1e-3 * objectives.effective_weight(advantages.get("maxrl"), 1e-3, n) for n in (16, 1024)]
    np.testing.assert_allclose(share, [0.015, 0.64], rtol=0.01)
