"""Graded answers, a verifier that errs, a step's rollouts split P x N: exact where enumerated, sampled means agree."""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from experiments.bandit import graded_levels as graded
from experiments.bandit import split, verifier
from experiments.bandit.prompts import gradients
from experiments.bandit.prompts.methods import estimator
from experiments.bandit.prompts.problem import pass_rate_gradient, pass_rates
from experiments.bandit.prompts.variance import prompts_at
from maxrl_jax import advantages, objectives
from maxrl_jax.categorical import draw_counts
from maxrl_jax.runs.config.load import load

RESULTS = Path(__file__).parents[3] / "results"
LEVELS = (0.0, 0.5, 1.0)
CHANCES = np.array([0.6, 0.3, 0.1])
ROLLOUTS = 4
GRADED = ("tailrl", "maxrl_likelihood", "rloo", "grpo")


def agree(values, expected):
    """The mean of the rows lies within 5 standard errors of what is expected, which is far from 0 in that unit."""
    error = np.std(values, axis=0) / np.sqrt(len(values))
    assert np.all(np.abs(np.mean(values, axis=0) - expected) <= 5 * error + 1e-7)
    assert np.abs(expected).max() > 20 * error.max()


# ------------------------------------------------------------------ graded answers


@pytest.mark.parametrize("name", GRADED)
def test_expected_weights_are_the_mean_advantage_over_all_groups(x64, name):
    advantage = advantages.get(name)
    others = np.array(list(itertools.product(range(3), repeat=ROLLOUTS - 1)))
    mass = np.prod(CHANCES[others], axis=1)
    groups = np.asarray(LEVELS)[np.stack([np.insert(others, 0, level, axis=1) for level in range(3)])]
    mean = np.asarray(jax.jit(advantage)(jnp.asarray(groups)))[..., 0] @ mass
    found = graded.expected_weights(graded.table(advantage, LEVELS, ROLLOUTS), jnp.asarray(CHANCES))
    np.testing.assert_allclose(found, mean, atol=1e-10)


def test_both_likelihoods_are_met_at_order_n_minus_1(x64):
    order = ROLLOUTS - 1
    p, mean = jnp.asarray(CHANCES), CHANCES @ np.asarray(LEVELS)
    truncated = {
        "tailrl": np.cumsum([0, *(0.5 * objectives.weight("maxrl", np.array([0.4, 0.1]), order=order))]),
        "maxrl_likelihood": np.asarray(LEVELS) * objectives.weight("maxrl", mean, order=order),
        "rloo": np.asarray(LEVELS),
    }
    for name, weights in truncated.items():
        found = np.asarray(graded.expected_weights(graded.table(advantages.get(name), LEVELS, ROLLOUTS), p))
        np.testing.assert_allclose(found - found[0], weights, atol=1e-10)


def test_two_levels_are_the_binary_case(x64):
    p = np.array([0.7, 0.3])
    found = graded.expected_weights(graded.table(advantages.get("grpo"), (0.0, 1.0), 5), jnp.asarray(p))
    weight = objectives.effective_weight(advantages.get("grpo"), 0.3, 5)
    np.testing.assert_allclose(found[1] - found[0], weight, rtol=1e-10)


def test_objective_weights_are_derivatives(x64):
    logits, levels = jnp.array([[0.3, -0.4, 1.0, 0.2, -1.0, 0.5]]), jnp.asarray(LEVELS)
    formulas = {
        "log_mean": lambda p: jnp.log(p @ levels),
        "log_tails": lambda p: 0.5 * jnp.log(p[..., 1] + p[..., 2]) + 0.5 * jnp.log(p[..., 2]),
    }
    for name, formula in formulas.items():
        by_autodiff = jax.grad(lambda x, f=formula: jnp.sum(f(graded.chances(x, 3))))(logits)
        weights = graded.objective_weights(name, levels, graded.chances(logits, 3))
        np.testing.assert_allclose(graded.gradient(logits, weights), by_autodiff, atol=1e-12)


def test_graded_counts_give_the_estimate_of_their_rollouts():
    logits = jnp.array([[0.3, -0.4, 1.0, 0.2, -1.0, 0.5]])
    answers = jnp.array([[0, 5, 5, 2]])
    rewards = jnp.repeat(jnp.asarray(LEVELS), 2)[answers]
    for name in ("tailrl", "grpo"):
        by_rollouts = gradients.rollout_gradient(logits, answers, advantages.get(name)(rewards))
        values = jnp.asarray(graded.table(advantages.get(name), LEVELS, 4).values, jnp.float32)
        counts = jnp.bincount(answers[0], length=6)[None]
        np.testing.assert_allclose(graded.sampled_gradient(counts, logits, values, 4), by_rollouts, atol=1e-6)


def test_graded_samples_have_the_exact_expectation():
    logits = jnp.array([[0.3, -0.4, 1.0, 0.2, -1.0, 0.5]])
    form = graded.table(advantages.get("tailrl"), LEVELS, ROLLOUTS)
    values = jnp.asarray(form.values, jnp.float32)

    def estimate(key):
        return graded.sampled_gradient(draw_counts(key, logits, ROLLOUTS), logits, values, ROLLOUTS)

    found = jax.jit(jax.vmap(estimate))(jax.random.split(jax.random.key(0), 20_000))
    agree(found, graded.gradient(logits, graded.expected_weights(form, graded.chances(logits, 3))))


# ------------------------------------------------------------------ a verifier that errs


def test_verdicts_have_the_exact_weight():
    a, b, n = 0.1, 0.2, 8
    method = estimator("maxrl", n)
    problem = prompts_at(jax.random.key(0), np.array([0.05, 0.4]), 4)
    p = pass_rates(problem.base_logits, problem.correct)
    weight = verifier.expected_weight(method, p, a, b)
    exact = objectives.effective_weight(method.advantage, p, n, false_positive=a, false_negative=b)
    np.testing.assert_allclose(weight, exact, rtol=1e-5)
    form = tuple(jnp.asarray(leaf, jnp.float32) for leaf in objectives.binary_form(method.advantage, n))

    def estimate(key):
        return verifier.sampled(key, problem, problem.base_logits, form, a, b).gradient

    found = jax.jit(jax.vmap(estimate))(jax.random.split(jax.random.key(1), 20_000))
    agree(found, weight[:, None] * pass_rate_gradient(problem.base_logits, problem.correct))


# ------------------------------------------------------------------ P x N


def test_drawn_prompts_add_up_to_all_of_them():
    every = gradients.Estimate(jnp.arange(1.0, 9.0)[:, None] * jnp.ones((8, 3)), *(jnp.ones(8) for _ in range(3)))
    draw = jax.jit(jax.vmap(lambda key: split.on_some(every, key, 2)))
    found = draw(jax.random.split(jax.random.key(0), 20_000))
    assert np.all(np.count_nonzero(found.gradient[..., 0], axis=-1) == 2)
    assert np.all(np.sum(found.any_success, axis=-1) == 2)
    agree(found.gradient, every.gradient)
    np.testing.assert_array_equal(split.on_some(every, jax.random.key(0), 8).gradient, every.gradient)


def test_the_rate_of_the_splits_is_the_best_one_tried():
    table = pd.read_csv(RESULTS / "prompt_bandit" / "rollouts_split_rates.csv")
    found = table[table.method == "maxrl"].groupby("learning_rate").log_likelihood.mean()
    assert len(found) == 6 and found.idxmax() == load("configs/bandit.py:split").split.learning_rate
