"""Variance of the gradient of one prompt at a given pass rate: exact, and checked by sampling."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments.bandit.prompts import gradients
from experiments.bandit.prompts.methods import Method, tables
from experiments.bandit.prompts.problem import Problem, make_problem, pass_rate_gradient, pass_rates, score_norms
from maxrl_jax import objectives

BATCHES_PER_CHUNK = 1000


def prompts_at(key: jax.Array, rates: np.ndarray, num_answers: int) -> Problem:
    """Tabular prompts, one right answer each, with these log-spaced pass rates [P]; the key is consumed."""
    ends = (float(rates[0]), float(rates[-1]))
    settings = {"num_prompts": len(rates), "num_answers": num_answers, "pass_rate_range": ends, "features": "tabular"}
    return jax.jit(lambda key: make_problem(key, **settings))(key)


def exact(problem: Problem, method: Method) -> tuple[np.ndarray, np.ndarray]:
    """(squared norm of the mean gradient, total variance), each [P], of every prompt's own logits."""
    logits, correct = problem.base_logits, problem.correct
    p = np.asarray(pass_rates(logits, correct), np.float64)
    success_norm, fail_norm = (np.asarray(norm, np.float64) for norm in score_norms(logits, correct))
    gradient_norm = np.sum(np.asarray(pass_rate_gradient(logits, correct), np.float64) ** 2, axis=-1)
    variance = objectives.effective_variance(
        method.advantage, p, method.num_rollouts, success_norm, fail_norm, gradient_norm
    )
    weight = objectives.effective_weight(method.advantage, p, method.num_rollouts)
    return weight**2 * gradient_norm, variance


@functools.partial(jax.jit, static_argnames=("num_chunks",))
def _second_moments(key: jax.Array, problem: Problem, success: jax.Array, fail: jax.Array, *, num_chunks: int):
    """(mean gradient [P, C], mean squared norm [P]) over num_chunks x BATCHES_PER_CHUNK batches."""

    def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = gradients.from_counts(key, problem.base_logits, problem.correct, success, fail).gradient
        return found, jnp.sum(found**2, axis=-1)

    def chunk(index: jax.Array) -> tuple[jax.Array, jax.Array]:
        batch = jax.vmap(one)(jax.random.split(jax.random.fold_in(key, index), BATCHES_PER_CHUNK))
        return jax.tree.map(lambda leaf: leaf.mean(0), batch)

    return jax.tree.map(lambda leaf: leaf.mean(0), jax.lax.map(chunk, jnp.arange(num_chunks)))


def sampled(key: jax.Array, problem: Problem, method: Method, num_batches: int) -> np.ndarray:
    """Total variance [P] of `num_batches` (rounded up to whole chunks) sampled gradient estimates; key consumed."""
    data = tables([method])
    mean, square = _second_moments(
        key, problem, data.success[0, 0], data.fail[0, 0], num_chunks=-(-num_batches // BATCHES_PER_CHUNK)
    )
    return np.asarray(square) - np.sum(np.asarray(mean) ** 2, axis=-1)
