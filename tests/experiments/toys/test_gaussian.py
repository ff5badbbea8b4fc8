"""PKPO's one-dimensional problem: the exact curves, the estimators against them, the driver."""

import itertools
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from experiments.gaussian import __main__ as driver
from experiments.gaussian import estimators, problem, training
from maxrl_jax import advantages, keys, metrics
from maxrl_jax.advantages.subset_max import rank_weights
from maxrl_jax.errors import ConfigError
from maxrl_jax.runs.config.load import load

THETAS = (-0.2, 0.3, 0.7, 0.9, 1.0, 1.3)
TINY = "configs/gaussian.py:tiny"


def _double_exponential(theta, k, std):
    """max@k and its derivative by the tanh-sinh rule, whose nodes crowd at the ends where the layer of large k is."""
    t = np.arange(-3.5, 3.5, 1 / 512)
    bend = np.pi / 2 * np.sinh(t)
    u = (1 + np.tanh(bend)) / 2
    weight = np.pi / 4 * np.cosh(t) / np.cosh(bend) ** 2 / 512
    above = np.where(
        u + 1 > 2 * theta,
        ndtr((theta - u) / std) - ndtr((theta - 1) / std),
        ndtr((1 - theta) / std) - ndtr((u - theta) / std),
    )
    value = 2 * u * (1 - (1 - above) ** k)
    slope = 2 * u * k * (1 - above) ** (k - 1) * (norm.pdf(u, theta, std) - norm.pdf(1, theta, std))
    return weight @ value, weight @ slope


@pytest.mark.parametrize("std", [0.02, 0.1, 0.3])
def test_quadrature_is_exact_to_rounding(std):
    for theta, k in itertools.product(THETAS, (1, 2, 4, 64, 1024)):
        value, slope = _double_exponential(theta, k, std)
        assert problem.max_at_k(theta, k, std=std) == pytest.approx(value, abs=1e-13)
        assert problem.max_at_k_derivative(theta, k, std=std) == pytest.approx(slope, abs=1e-12)


def test_optimum_is_the_peak_and_moves_to_the_cliff_with_k():
    best = [problem.optimal_theta(k, std=0.1) for k in (1, 2, 4, 8, 16, 64)]
    assert all(a < b < 1 for a, b in itertools.pairwise(best))
    for k, theta in zip((1, 2, 4, 8, 16, 64), best, strict=True):
        grid = np.linspace(-0.5, 2, 2001)
        assert abs(problem.max_at_k_derivative(theta, k, std=0.1)) < 1e-10
        assert problem.max_at_k(theta, k, std=0.1) >= problem.max_at_k(grid, k, std=0.1).max()


@pytest.mark.parametrize("k", [1, 3, 8])
def test_rank_weights_count_subsets(k):
    """mu_i is the number of k-subsets of 8 whose largest element is i; the weights are the estimate of max@k."""
    largest = [max(subset) for subset in itertools.combinations(range(8), k)]
    weights = rank_weights(8, k)
    np.testing.assert_allclose(weights, np.bincount(largest, minlength=8) / math.comb(8, k), rtol=1e-14)
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    rewards = np.random.default_rng(k).normal(size=8)
    assert np.sort(rewards) @ weights == pytest.approx(float(metrics.max_at_k(rewards, k)), rel=1e-5)


def test_every_estimator_of_figure_8_is_unbiased_and_its_variance_measured():
    """Means within their standard error of the exact derivative, 4.5 of them; the paper's order of variances."""
    table = estimators.variance_table(
        0, theta=1.0, std=0.1, k=4, sample_sizes=(4, 8, 16), num_estimates=40_000
    ).set_index(["estimator", "n"])
    assert set(table.index.get_level_values("estimator")) == set(estimators.FIGURE_8)
    assert table["z"].abs().max() < 4.5
    assert (table["mean_error"] < 0.1).all()  # else the line above would say nothing about a mean of -1.78
    variance = table["variance"]
    # At n = k one block is all there is: the partitioned estimators are PKPO's.
    for partitioned, all_subsets in (("loo_minus_one", "loo_minus_one"), ("naive", "none")):
        a, b = variance[f"partitioned {partitioned}", 4], variance[f"pkpo {all_subsets}", 4]
        assert a == pytest.approx(b, rel=1e-4)
    order = ["pkpo loo_minus_one", "maxpo", "pkpo loo", "partitioned naive_baseline", "pkpo none"]
    assert all(variance[a, 16] < variance[b, 16] for a, b in itertools.pairwise(order))
    assert variance["pkpo loo_minus_one", 16] < variance["partitioned loo_minus_one", 16] < variance["pkpo loo", 16]


def test_estimators_undefined_at_n_are_left_out():
    assert [name for name in estimators.FIGURE_8 if name not in estimators.legal(4, 4)] == [
        "pkpo loo", "partitioned naive_baseline", "maxpo"]  # fmt: skip
    assert list(estimators.legal(4, 8)) == list(estimators.FIGURE_8)


@pytest.mark.parametrize("label", ["pkpo none", "pkpo loo", "pkpo loo_minus_one", "maxpo"])
@pytest.mark.parametrize("k", [2, 8])
def test_binned_effective_rewards_follow_the_closed_form(label, k):
    name, hyper = estimators.FIGURE_8[label]
    centres, found = estimators.binned_effective_rewards(
        jax.random.key(k), advantages.get(name, k=k, **hyper), num_rewards=32, num_draws=4000, num_bins=64
    )
    expected = estimators.expected_effective_reward(label, centres, num_rewards=32, k=k)
    # A bin holds 2,000 values of spread ~ 0.1 k / 32 and is 1/64 wide: 5 standard errors and the curvature.
    np.testing.assert_allclose(found, expected, atol=5 * 0.1 * k / 32 / math.sqrt(2000) + k * k / 32 / 64**2)


def test_runs_share_noise_over_learning_rates_and_not_over_seeds():
    step = training.make_step(
        advantages.get("rloo"), seed=3, std=0.1, num_rollouts=8, learning_rates=(0.0, 0.001, 0.002)
    )
    state, recorded = step(training.initial_state(0.5, 3, 4), jnp.int32(0))
    gradient, theta = np.asarray(recorded["gradient"]), np.asarray(state["params"]["theta"])
    np.testing.assert_array_equal(gradient[0], gradient[1])
    assert len(np.unique(gradient[0])) == 4
    expected = 0.5 + np.array([[0.0], [0.001], [0.002]]) * gradient
    np.testing.assert_allclose(theta, expected, rtol=1e-6)
    noise = jax.random.normal(keys.stream(3, "rollouts", 0), (4, 8))
    x = 0.5 + 0.1 * np.asarray(noise, np.float64)
    rewards = problem.reward(x)
    loo = (rewards - rewards.mean(axis=1, keepdims=True)) * 8 / 7
    np.testing.assert_allclose(gradient[0], (loo * problem.score(x, 0.5, std=0.1)).mean(axis=1), rtol=1e-4)


def test_the_k_of_the_objective_an_estimator_estimates():
    assert training.estimated_k(advantages.get("rloo"), 8) == 1
    assert training.estimated_k(advantages.get("pkpo", k=2, baseline="none"), 8) == 2
    assert training.estimated_k(advantages.get("partitioned", k=4), 8) == 4
    assert training.estimated_k(advantages.get("grpo"), 8) is None


SMALL = {"variance.num_estimates": 50, "variance.sample_sizes": (8,), "wandb.mode": "disabled", "rl.num_seeds": 4}


def test_driver_ascends_to_the_optimum_and_resumes_bitwise(tmp_path):
    whole = load(TINY, {**SMALL, "rl.steps": 400})
    final = driver.run(whole, tmp_path / "whole")
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    rows = [line for line in lines if "train/theta" in line]
    assert [row["step"] for row in rows] == list(range(400))
    assert np.shape(rows[0]["train/theta"]) == (3, 4)
    assert (tmp_path / "whole" / "variance.csv").read_text().startswith("estimator,n,k,mean")
    # The largest learning rate has converged after 400 steps; its seeds differ from one another.
    assert final["final/theta_optimum"] == pytest.approx(0.9386609104802)
    assert abs(final["final/theta_mean"][-1] - final["final/theta_optimum"]) < 0.01
    assert final["final/max_at_k"][-1] > 0.999 * final["final/max_at_k_optimum"]
    assert len(set(rows[-1]["train/theta"][-1])) == 4
    theta = np.array([[0.1, 0.2, 0.4, 0.8]])
    np.testing.assert_allclose(driver._summary(whole, theta, None)["theta_error"], theta.std(axis=1, ddof=1) / 2)
    driver.run(load(TINY, {**SMALL, "rl.steps": 200}), tmp_path / "parts")
    resumed = driver.run(whole, tmp_path / "parts")
    assert resumed["final/params_sha256"] == final["final/params_sha256"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("rl.advantage.k", 17, "k <= 16"),
        ("rl.advantage.name", "maxrl", "maxrl_order"),
        ("variance.sample_sizes", (8, 10), "multiples of variance.k"),
        ("problem.std", 0.0, "problem.std"),
    ],
)
def test_the_driver_refuses_impossible_settings(field, value, words):
    overrides = {field: value} | ({"rl.advantage.k": None} if value == "maxrl" else {})
    with pytest.raises(ConfigError, match=words):
        driver.check(load(TINY, overrides))


def test_paper_config_is_legal():
    driver.check(load("configs/gaussian.py:paper"))
