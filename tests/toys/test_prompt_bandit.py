"""The prompt bandit: gradients against enumeration, dynamics, convergence to maximum likelihood, whole runs."""

import contextlib
import functools
import io
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments.bandit import (
    comparison,
    demo,
    draw_stories,
    dynamics,
    gradients,
    measures,
    methods,
    pkpo,
    two_rewards,
    variance,
)
from experiments.bandit.__main__ import run as run_driver
from experiments.bandit.checks import check
from experiments.bandit.problem import (
    Problem,
    make_problem,
    pass_rate_gradient,
    pass_rates,
    score_norms,
    strata_of,
)
from maxrl_jax import advantages, objectives
from maxrl_jax.training import config as config_module
from maxrl_jax.training.config import ConfigError

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


def lines_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def config_of(variant="tiny", **overrides):
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return config_module.load(f"configs/bandit.py:{variant}", {"wandb.mode": "disabled", **dotted})


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
    policy = np.asarray(jax.nn.softmax(logits))
    squared = ((np.eye(3) - policy[:, None]) ** 2).sum(-1)  # |S_y|^2
    for chosen, found in zip((CORRECT, ~CORRECT), score_norms(logits, correct), strict=True):
        share = policy * chosen / (policy * chosen).sum(-1, keepdims=True)
        np.testing.assert_allclose(found, (share * squared).sum(-1), rtol=1e-12)


def test_gradient_of_the_pass_rate_keeps_its_precision_near_one():
    logits = jnp.array([[30.0, 0.0, 0.0]])
    gradient = pass_rate_gradient(logits, jnp.array([[True, False, False]]))
    np.testing.assert_allclose(gradient[0, 0], 2 * np.exp(-30.0), rtol=1e-5)


def test_strata_put_an_edge_above_itself():
    assert strata_of(np.float32([1e-4, 1e-3, 0.0099, 0.01, 0.1, 0.9])).tolist() == [0, 1, 1, 2, 3, 3]


# ------------------------------------------------------------------ gradients


def expected_by_enumeration(advantage, n):
    """E[(1/N) sum_i A_i S_i] of both prompts over every outcome, [2, 3] float64."""
    found = []
    for logits, correct in zip(LOGITS, CORRECT, strict=True):
        policy = np.exp(logits) / np.exp(logits).sum()
        outcomes = np.array(list(itertools.product(range(3), repeat=n)))
        values = np.asarray(jax.jit(advantage)(jnp.asarray(correct[outcomes], jnp.float64)))
        scores = (np.eye(3) - policy)[outcomes]
        found.append(np.einsum("o,oi,oia->a", policy[outcomes].prod(-1), values, scores) / n)
    return np.stack(found)


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
    assert [m.name for m in methods.family(names, 1, 8)] == ["reinforce", "grpo", "maxrl"]
    assert [m.name for m in methods.family(names, 2, 8)] == [
        "reinforce",
        "rloo",
        "grpo",
        "maxrl",
        "maxpo",
        "maxrl_order",
    ]
    hyper = {m.name: dict(m.hyper) for m in methods.family(names, 16, 8)}
    assert hyper["maxpo"] == {"k": 8} and hyper["maxrl_order"] == {"order": 8}
    assert hyper["pkpo"] == {"k": 8, "baseline": "loo_minus_one"}


def test_closed_weight_is_the_effective_weight():
    p = jnp.array([1e-4, 0.03, 0.6])
    for name, hyper in SYMMETRIC:
        method = methods.estimator(name, 16, **hyper)
        effective = objectives.effective_weight(method.advantage, np.asarray(p, np.float64), 16)
        np.testing.assert_allclose(method.weight(p), effective, rtol=1e-4)


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
    seeds = comparison.seed_keys(0, count)
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
    return dynamics.run_counts(stacked(small_problem(), 2), comparison.seed_keys(seed, 2), rate, tables, num_steps=12)


def test_methods_phases_seeds_and_rates_are_data_to_one_compile():
    dynamics.run_counts.clear_cache()
    pair, other = ("maxrl", "rloo"), ("grpo", "mean_baseline")
    plain, changed = run_in_phases(pair, pair), run_in_phases(other, other, seed=5, rate=0.2)
    swapped = run_in_phases(pair, other)
    assert dynamics.run_counts._cache_size() == 1
    assert np.all(np.any(plain.params[:, 0] != plain.params[:, 1], axis=(-2, -1)))  # two seeds
    assert np.any(plain.params != changed.params)
    # The estimator changes at its step and not before.
    np.testing.assert_array_equal(swapped.log_rates[:, :, :7], plain.log_rates[:, :, :7])
    assert np.all(np.any(swapped.params != plain.params, axis=(-2, -1)))
    np.testing.assert_array_equal(run_in_phases(pair, pair).params, plain.params)


# ------------------------------------------------------------------ studies


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory):
    """The demo at a small size: (its folder, its summary, what it printed)."""
    config = config_of("demo_quick", compare__num_rollouts=(4, 64), problem__pass_rate_range=(1e-3, 0.8))
    check(config)
    folder, printed = tmp_path_factory.mktemp("demo"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        summary = demo.run(config, str(folder))
    return folder, summary.set_index(["label", "gradients"]), printed.getvalue()


def test_demo_ends_in_a_table_and_a_figure(demonstration):
    folder, summary, printed = demonstration
    assert "nats from exact ML" in printed and "comparison.png" in printed
    assert (folder / "figures" / "comparison.png").stat().st_size > 10_000
    assert {"pass@1", "pass@32", "distance_to_ml error"} <= set(summary.columns) and (summary.seeds == 2).all()
    lines = lines_of(folder)
    assert "final/params_sha256" in lines[-1]
    assert lines[0]["eval/maxrl_N=64/expected/pass@1"] == pytest.approx(lines[0]["eval/exact_rl/expected/pass@1"])


def test_maxrl_comes_closer_to_exact_ml_as_n_grows_and_rloo_does_not(demonstration):
    final = pd.read_csv(demonstration[0] / "final.csv").groupby(["label", "gradients"]).mean(numeric_only=True)
    for kind in ("expected", "sampled"):
        far = final.xs(kind, level="gradients").distance_to_ml
        assert far["maxrl N=64"] < 0.4 * far["maxrl N=4"]
        assert far["rloo N=64"] == pytest.approx(far["rloo N=4"], rel=0.01)
    assert final.loc[("exact ml", "expected"), "distance_to_ml"] == 0
    # rloo is exact RL, and pass@k grows with k.
    assert final.loc[("rloo N=4", "expected"), "pass@1"] == pytest.approx(final.loc[("exact rl", "expected"), "pass@1"])
    assert np.all(np.diff(final[[f"pass@{k}" for k in comparison.KS]], axis=-1) >= 0)


def test_hard_prompts_stall_under_rl_alone(demonstration):
    strata = pd.read_csv(demonstration[0] / "strata.csv")
    hard = strata[(strata.stratum == "0.001-0.01")].groupby(["label", "gradients"]).mean(numeric_only=True)
    assert hard.loc[("exact ml", "expected"), "final pass@1"] > 0.5
    assert hard.loc[("exact rl", "expected"), "final pass@1"] < 2 * hard.loc[("exact rl", "expected"), "initial pass@1"]
    assert np.isnan(hard.loc[("exact rl", "expected"), "steps to 0.25"])
    levels = hard.loc[("exact ml", "expected"), [f"steps to {level:g}" for level in comparison.LEVELS]]
    assert levels.dropna().is_monotonic_increasing and levels.notna().sum() >= 2


def test_steps_to_a_level():
    curves = np.array([[0.1, 0.3, 0.2, 0.6], [0.0, 0.1, 0.1, 0.1]])
    np.testing.assert_array_equal(measures.steps_to(curves, 0.25), [1, np.nan])
    np.testing.assert_array_equal(measures.steps_to(curves, 0.1), [0, 1])


def list_of_panels(count):
    """["(a)", "(b)", ...]"""
    return [f"({letter})" for letter in "abcdef"[:count]]


def test_choosing_k_chooses_where_pass_at_k_is_best():
    config = config_module.load("configs/bandit.py:pkpo_quick", {"pkpo.learning_rate": 0.2, "pkpo.num_groups": 6})
    runs = pkpo.run(config)
    table = pkpo.table(runs, config.pkpo.k_eval)
    end = table[table.step == config.pkpo.steps].groupby(["task_set", "method"]).mean(numeric_only=True)
    shared = end.loc["ambiguous"]
    assert shared["pass@1"].idxmax() in ("k = 1", "k = 8, then 1")
    assert shared.loc["k = 1", "pass@16"] < shared.loc["k = 4", "pass@16"] < shared.loc["k = 16", "pass@16"]
    assert shared.loc["k = 1", "entropy"] < shared.loc["k = 4", "entropy"] < shared.loc["k = 16", "entropy"]
    # The annealed run is the k = 8 run until it switches; then pass@1 rises above it.
    switch, (eight, annealed) = config.pkpo.anneal_step, [runs.names.index(n) for n in ("k = 8", "k = 8, then 1")]
    np.testing.assert_array_equal(
        runs.log_rates[eight, ..., : switch + 1, :], runs.log_rates[annealed, ..., : switch + 1, :]
    )
    apart = end.loc["separable"]
    assert apart.loc["k = 8, then 1", "pass@1"] > max(apart.loc["k = 8", "pass@1"], apart.loc["k = 1", "pass@1"])
    assert end.loc["hard"].loc["k = 8", "pass@1"] > end.loc["hard"].loc["k = 1", "pass@1"]
    assert [ax.get_title()[:3] for ax in draw_stories.draw_pkpo(table, switch).fig.axes] == list_of_panels(6)


def make_tasks(**changes):
    settings = {"num_prompts": 4, "answers_each": 2, "first_range": (0.05, 0.3), "second_rate": 0.7}
    return two_rewards.make_tasks(jax.random.key(0), **{**settings, **changes})


def test_two_rewards_start_where_they_are_told_to():
    tasks = make_tasks()
    chances = two_rewards._chances(tasks.base_logits, tasks.rewards)
    first = np.array([0.05, 0.05, 0.3, 0.3])
    np.testing.assert_allclose(chances[:, 0], first, rtol=1e-5)
    np.testing.assert_allclose(chances[::2, 1:], np.stack([np.full(2, 0.7), 0.7 * first[::2]], -1), rtol=1e-5)
    # In conflict prompts the mass of "both" has only reward 1.
    np.testing.assert_allclose(chances[1::2, 1:], np.stack([0.7 * (1 - first[1::2]), np.zeros(2)], -1), rtol=1e-5)


def test_decoupled_maxrl_ascends_the_sum_of_two_truncated_log_likelihoods():
    n, c, draws = 8, 0.5, 20_000
    tasks = make_tasks()
    combine = two_rewards.ways(n, c)["maxrl decoupled"]

    def estimate(key):
        answers = gradients.draw_answers(key, tasks.base_logits, n)
        rewards = jnp.take_along_axis(tasks.rewards, answers[..., None], axis=1)
        return gradients.rollout_gradient(tasks.base_logits, answers, combine(rewards))

    def objective(logits):
        p = two_rewards._chances(logits, tasks.rewards)
        return jnp.sum(objectives.maxrl(p[:, 0], n - 1) + c * objectives.maxrl(p[:, 1], n - 1))

    found = jax.jit(jax.vmap(estimate))(jax.random.split(jax.random.key(1), draws))
    expected = jax.jit(jax.grad(lambda x: objective(x)))(tasks.base_logits)
    error = np.std(found, axis=0) / np.sqrt(draws)
    assert np.all(np.abs(np.mean(found, axis=0) - expected) < 5 * error)
    assert np.abs(expected).max() > 20 * error.max()


def test_only_decoupled_maxrl_keeps_both_rewards_where_they_conflict():
    overrides = {"two_rewards.learning_rate": 0.5, "two_rewards.first_range": (0.05, 0.3)}
    table = two_rewards.table(two_rewards.run(config_module.load("configs/bandit.py:two_rewards_quick", overrides)))
    end = table[(table.step == table.step.max()) & (table.kind == "conflict")].groupby("way").mean(numeric_only=True)
    kept = end["reward 1"] > 0.35
    assert set(kept[kept].index) == {"maxrl decoupled", "maxrl standard"}
    assert end.loc["maxrl decoupled", "reward 2"] > 0.35
    drawn = draw_stories.draw_two_rewards(table).fig
    assert [len(ax.lines) for ax in drawn.axes] == [2 * table.way.nunique() + 1] * 2


# ------------------------------------------------------------------ whole runs


def test_tiny_run_logs_every_step_and_seeds_differ(tmp_path):
    finals = {}
    for seed in (0, 1):
        config = config_of(rl__steps=12, eval__every_steps=6, seed=seed)
        check(config)
        finals[seed] = run_driver(config, str(tmp_path / str(seed)))["final/params_sha256"]
    assert finals[0] != finals[1]
    lines = lines_of(tmp_path / "0")
    train = [line for line in lines if "train/loss" in line]
    assert [line["step"] for line in train] == list(range(12))
    assert {"train/reward_mean", "train/gradient_norm", "train/entropy", "train/all_fail"} <= train[0].keys()
    evaluated = [line for line in lines if "eval/pass@32" in line]
    assert [line["step"] for line in evaluated] == [0, 6, 12]
    assert evaluated[-1]["eval/pass@1"] > evaluated[0]["eval/pass@1"]
    assert lines[-1]["final/params_sha256"] == finals[0]


@pytest.mark.parametrize("sampling", ["counts", "expected"])
def test_other_samplings_and_a_schedule_of_k_run(tmp_path, sampling):
    config = config_of(
        rl__steps=6,
        rl__sampling=sampling,
        rl__advantage__name="maxpo",
        rl__advantage__k=((0, 8), (3, 1)),
        eval__every_steps=0,
    )
    check(config)
    run_driver(config, str(tmp_path / "run"))
    assert len([line for line in lines_of(tmp_path / "run") if "train/loss" in line]) == 6


@pytest.mark.parametrize(
    ("variant", "overrides", "key"),
    [
        ("tiny", {"rl.advantage.name": "maxpo", "rl.advantage.k": 16}, "rl.advantage.k"),
        ("tiny", {"rl.advantage.name": "rloo", "rl.num_rollouts": 1}, "rl.advantage.name"),
        ("tiny", {"rl.advantage.name": "maxlr"}, "rl.advantage.name"),
        ("tiny", {"rl.advantage.name": "self_masked", "rl.sampling": "counts"}, "rl.sampling"),
        ("tiny", {"rl.sampling": "marginal"}, "rl.sampling"),
        ("tiny", {"rl.learning_rate": 0.0}, "rl.learning_rate"),
        ("tiny", {"problem.pass_rate_range": (0.9, 0.1)}, "problem.pass_rate_range"),
        ("tiny", {"problem.num_correct": 16}, "problem.num_correct"),
        ("tiny", {"problem.features": "groups", "problem.group_size": 5}, "problem.group_size"),
        ("prompts", {"compare.estimators": ("maxrl", "partitioned")}, "compare.estimators"),
        ("prompts", {"compare.objectives": ("rl",)}, "compare.objectives"),
        ("pkpo", {"pkpo.k_opt": (1, 17)}, "pkpo.k_opt"),
        ("pkpo", {"pkpo.anneal_step": 5000}, "pkpo.anneal_step"),
        ("two_rewards", {"two_rewards.num_prompts": 7}, "two_rewards.num_prompts"),
        ("tiny", {"study": "maze"}, "study"),
    ],
)
def test_wrong_settings_name_their_key(variant, overrides, key):
    config = config_module.load(f"configs/bandit.py:{variant}", overrides)
    with pytest.raises(ConfigError) as error:
        check(config)
    assert error.value.key == key


def test_every_variant_loads_and_is_sound():
    from configs.bandit import STUDIES, get_config

    for name in STUDIES:
        for suffix in ("", "_quick"):
            check(get_config(name + suffix))
    with pytest.raises(ValueError, match="two_rewards"):
        get_config("nosuch")
