"""The prompt bandit: gradients against enumeration, dynamics, convergence to maximum likelihood, whole runs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.bandit.prompts import dynamics, gradients, methods, variance
from experiments.bandit.prompts.draws import seed_keys
from experiments.bandit.prompts.problem import (
    Problem,
    make_problem,
    pass_rate_gradient,
    pass_rates,
    score_norms,
    strata_of,
)
from maxrl_jax import advantages, objectives
from tests.advantages.enumeration import mean_gradient, scores, softmax

LOGITS = np.array([[0.4, -0.3, 1.0], [-2.0, 0.5, 0.1]])
CORRECT = np.array([[True, False, False], [True, True, False]])


@functools.cache
def small_problem(**changes):
    settings = {
        "num_prompts": 8,
        "num_answers": 6,
        "num_correct": 2,
        "pass_rate_range": (0.01, 0.8),
        "features": "tabular",
        "num_features": 3,
        "group_size": 4,
        "shared": 0.5,
    }
    make = jax.jit(lambda key: make_problem(key, **{**settings, **changes}))
    return make(jax.random.key(0))


def stacked(problem, count):
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), problem)


# ------------------------------------------------------------------ the problem


@pytest.mark.parametrize("features", ["tabular", "linear", "groups"])
def test_prompts_start_at_log_spaced_pass_rates_with_features_of_norm_one(features):
    problem = small_problem(features=features)
    rates = pass_rates(problem.logits(problem.initial_params()), problem.correct)
    np.testing.assert_allclose(rates, np.geomspace(0.01, 0.8, 8), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(problem.features, axis=-1), 1, rtol=1e-6)
    assert np.all(np.asarray(problem.correct).sum(-1) == 2)


def test_a_groups_prompts_share_the_stated_half_of_a_step():
    kernel = np.asarray(small_problem(features="groups").features)
    kernel = kernel @ kernel.T
    same_group = np.arange(8)[:, None] % 2 == np.arange(8) % 2
    np.testing.assert_allclose(kernel, np.where(np.eye(8), 1.0, 0.5 * same_group), atol=1e-6)


def test_gradient_of_the_pass_rate_and_score_norms(x64):
    logits, correct = jnp.asarray(LOGITS), jnp.asarray(CORRECT)
    by_autodiff = jax.grad(lambda x: jnp.sum(jax.nn.softmax(x) * correct))(logits)
    np.testing.assert_allclose(pass_rate_gradient(logits, correct), by_autodiff, atol=1e-15)
    policy = np.stack([softmax(row) for row in LOGITS])
    squared = np.stack([(scores(pi) ** 2).sum(-1) for pi in policy])  # |S_y|^2
    for chosen, found in zip((CORRECT, ~CORRECT), score_norms(logits, correct), strict=True):
        share = policy * chosen / (policy * chosen).sum(-1, keepdims=True)
        np.testing.assert_allclose(found, (share * squared).sum(-1), rtol=1e-12)


def test_strata_put_an_edge_above_itself():
    assert strata_of(np.float32([1e-4, 1e-3, 0.0099, 0.01, 0.1, 0.9])).tolist() == [0, 1, 1, 2, 3, 3]


# ------------------------------------------------------------------ gradients


def expected_by_enumeration(advantage, n):
    """E[(1/N) sum_i A_i S_i] of both prompts, [2, 3] float64."""
    pairs = zip(LOGITS, CORRECT, strict=True)
    return np.stack([mean_gradient(advantage, softmax(logits), correct.astype(float), n) for logits, correct in pairs])


SYMMETRIC = [("rloo", {}), ("grpo", {}), ("maxrl", {}), ("maxpo", {"k": 2}), ("maxrl_order", {"order": 2})]


@pytest.mark.parametrize(("name", "hyper"), SYMMETRIC)
def test_expected_gradient_is_the_enumerated_one(x64, name, hyper):
    method = methods.estimator(name, 5, **hyper)
    logits, correct = jnp.asarray(LOGITS), jnp.asarray(CORRECT)
    found = gradients.expected(logits, correct, method.weight(pass_rates(logits, correct)), 5)
    np.testing.assert_allclose(found.gradient, expected_by_enumeration(method.advantage, 5), atol=1e-10)
    p = np.asarray(pass_rates(logits, correct))
    np.testing.assert_allclose(found.any_success, 1 - (1 - p) ** 5, rtol=1e-12)
    np.testing.assert_allclose(found.all_success, p**5, rtol=1e-12)


@pytest.mark.parametrize("way", ["rollouts", "counts"])
def test_rollouts_and_counts_average_to_the_enumerated_gradient(way):
    n, draws = 6, 4000
    known = [advantages.get(name, **hyper) for name, hyper in SYMMETRIC]
    if way == "rollouts":
        known.append(advantages.get("partitioned", k=2, kind="naive"))
    with jax.enable_x64(True):
        expected = [expected_by_enumeration(advantage, n) for advantage in known]
    logits, correct = jnp.asarray(LOGITS, jnp.float32), jnp.asarray(CORRECT)

    def estimates(key):
        if way == "rollouts":
            return [gradients.from_rollouts(key, logits, correct, advantage, n) for advantage in known]
        forms = [map(jnp.float32, objectives.binary_form(advantage, n)) for advantage in known]
        return [gradients.from_counts(key, logits, correct, *form) for form in forms]

    p = np.asarray(pass_rates(logits, correct))
    for found, truth in zip(
        jax.jit(jax.vmap(estimates))(jax.random.split(jax.random.key(4), draws)), expected, strict=True
    ):
        error = np.std(found.gradient, axis=0) / np.sqrt(draws)
        assert np.all(np.abs(np.mean(found.gradient, axis=0) - truth) < 5 * error + 1e-7)
        np.testing.assert_allclose(np.mean(found.any_success, 0), 1 - (1 - p) ** n, atol=0.04)
        np.testing.assert_allclose(np.mean(found.all_success, 0), p**n, atol=0.04)
        np.testing.assert_allclose(np.mean(found.reward_mean, 0), p, atol=0.02)


@pytest.mark.parametrize("name", ["self_masked", "differential_smoothing"])
def test_rollouts_hand_an_estimator_what_it_needs(name):
    # Answer 2 is the greedy one of prompt 0 and wrong there; answer 1 is prompt 1's and right: nothing to learn.
    estimate = jax.jit(lambda key: gradients.from_rollouts(key, jnp.asarray(LOGITS), CORRECT, advantages.get(name), 64))
    found = estimate(jax.random.key(0))
    assert np.any(found.gradient[0] != 0)
    assert np.all(found.gradient[1] == 0) == (name == "self_masked")


def test_variance_of_the_gradient_is_the_sampled_one():
    problem = variance.prompts_at(jax.random.key(1), np.geomspace(0.02, 0.5, 3), 5)
    for method in (methods.estimator("maxrl", 8), methods.estimator("rloo", 8)):
        square, exact = variance.exact(problem, method)
        drawn = variance.sampled(jax.random.key(2), problem, method, 20_000)
        np.testing.assert_allclose(drawn, exact, rtol=0.06)
        gradient = np.asarray(method.weight(pass_rates(problem.base_logits, problem.correct)))[:, None]
        gradient = gradient * np.asarray(pass_rate_gradient(problem.base_logits, problem.correct))
        np.testing.assert_allclose(square, (gradient**2).sum(-1), rtol=1e-4)


# ------------------------------------------------------------------ methods


def test_family_holds_what_exists_at_this_n():
    names = ("reinforce", "rloo", "grpo", "maxrl", "maxpo", "pkpo", "maxrl_order")
    missing = {1: {"rloo", "maxpo", "pkpo", "maxrl_order"}, 2: {"pkpo"}, 16: set()}
    for n, without in missing.items():
        assert [m.name for m in methods.family(names, n, 8)] == [name for name in names if name not in without]
    hyper = {m.name: dict(m.hyper) for m in methods.family(names, 16, 8)}
    assert hyper["maxpo"] == {"k": 8} and hyper["maxrl_order"] == {"order": 8}
    assert hyper["pkpo"] == {"k": 8, "baseline": "loo_minus_one"}


def test_population_weights_stay_finite_at_both_ends():
    for name in ("ml", "rl", "grpo"):
        assert np.all(np.isfinite(methods.exact(name).weight(jnp.array([0.0, 1.0]))))


# ------------------------------------------------------------------ dynamics


def test_exact_ml_ascends_the_log_likelihood(x64):
    problem = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), small_problem(features="linear"))
    problem = problem._replace(correct=problem.correct > 0)
    found = dynamics.run_expected(stacked(problem, 1), 1e-3, methods=(methods.exact("ml"),), num_steps=1)

    def likelihood(params):
        return jnp.sum(jnp.log(jnp.sum(jax.nn.softmax(problem.logits(params)) * problem.correct, -1)))

    gradient = jax.grad(likelihood)(problem.initial_params())
    np.testing.assert_allclose(found.params[0, 0], 1e-3 * gradient, atol=1e-10)


def test_maxrl_meets_exact_ml_at_the_rate_of_one_minus_p_to_the_n(x64):
    # One prompt, p held near 0.25 by a tiny learning rate: each doubling of N - 1 squares the distance.
    p = 0.25
    logits = jnp.log(jnp.array([[p, 0.5, 0.25]]))
    problem = Problem(logits, jnp.array([[True, False, False]]), jnp.eye(1))
    sizes = (9, 17, 33)
    chosen = (methods.exact("ml"), *(methods.estimator("maxrl", n) for n in sizes))
    found = dynamics.run_expected(stacked(problem, 1), 1e-4, methods=chosen, num_steps=10)
    far = np.linalg.norm(found.params[1:, 0] - found.params[0, 0], axis=(-2, -1))
    moved = np.linalg.norm(found.params[0, 0])
    np.testing.assert_allclose(far / moved, [(1 - p) ** (n - 1) for n in sizes], rtol=0.01)


def test_sampled_runs_average_to_the_noise_free_run_at_a_small_learning_rate():
    problem, count, steps, rate = small_problem(features="groups"), 1000, 8, 0.02
    method = methods.estimator("maxrl", 8)
    expected = dynamics.run_expected(stacked(problem, 1), rate, methods=(method,), num_steps=steps)
    seeds = seed_keys(0, count)
    drawn = dynamics.run_counts(stacked(problem, count), seeds, rate, methods.tables([method]), num_steps=steps)
    mean, error = np.mean(drawn.params[0], 0), np.std(drawn.params[0], 0) / np.sqrt(count)
    moved = np.abs(expected.params[0, 0])
    # What is left is second order in the learning rate: a hundredth of the way.
    assert np.all(np.abs(mean - expected.params[0, 0]) < 5 * error + 0.01 * moved.max())
    assert moved.max() > 100 * error.min()
    fail = (1 - np.exp(expected.log_rates[0, 0, :-1])) ** 8  # chance that all 8 rollouts of a step fail
    np.testing.assert_allclose(expected.solved[0, 0], 1 - np.cumprod(fail, axis=0).mean(-1), rtol=1e-4)
    share = np.mean(drawn.solved[0], 0) - np.asarray(expected.solved[0, 0])
    assert np.all(np.abs(share) < 0.02)


def test_tabular_prompts_do_not_see_each_other():
    problem = small_problem()
    alone = Problem(problem.base_logits[3:4], problem.correct[3:4], jnp.eye(1))
    chosen = (methods.exact("ml"), methods.estimator("grpo", 4))
    whole = dynamics.run_expected(stacked(problem, 1), 0.1, methods=chosen, num_steps=20)
    single = dynamics.run_expected(stacked(alone, 1), 0.1, methods=chosen, num_steps=20)
    np.testing.assert_allclose(whole.log_rates[..., 3:4], single.log_rates, rtol=1e-4)


def run_in_phases(first, second, seed=0, rate=0.5):
    """12 steps of two methods at N = 4, changed at step 6, on two seeds."""
    phases = [(0, first), (6, second)]
    tables = methods.in_phases([(step, [methods.estimator(name, 4) for name in names]) for step, names in phases])
    return dynamics.run_counts(stacked(small_problem(), 2), seed_keys(seed, 2), rate, tables, num_steps=12)


def test_methods_phases_seeds_and_rates_are_data_to_one_compile(monkeypatch):
    traces, roll = [], dynamics.roll
    monkeypatch.setattr(dynamics, "roll", lambda *a, **k: traces.append(1) or roll(*a, **k))
    dynamics.run_counts.clear_cache()
    pair, other = ("maxrl", "rloo"), ("grpo", "mean_baseline")
    plain = run_in_phases(pair, pair)
    changed = run_in_phases(other, other, seed=5, rate=0.2)
    swapped = run_in_phases(pair, other)
    assert len(traces) == 1
    assert np.all(np.any(plain.params[:, 0] != plain.params[:, 1], axis=(-2, -1)))  # two seeds
    assert np.any(plain.params != changed.params)
    # The estimator changes at its step and not before.
    np.testing.assert_array_equal(swapped.log_rates[:, :, :7], plain.log_rates[:, :, :7])
    assert np.all(np.any(swapped.params != plain.params, axis=(-2, -1)))
    np.testing.assert_array_equal(run_in_phases(pair, pair).params, plain.params)
