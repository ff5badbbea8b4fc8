"""Gradient ascent on the prompt bandit: one step, and whole runs of many methods and seeds in one compile.

W moves by learning_rate times the SUM over prompts of the estimate, so that in the tabular case a prompt's own
trajectory does not depend on how many other prompts there are. Plain gradient ascent, no momentum and no
rescaling: what differs between two runs is the method alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.bandit.prompts import gradients
from experiments.bandit.prompts.methods import Method, Tables
from experiments.bandit.prompts.problem import Problem, log_pass_rates, pass_rates
from maxrl_jax import keys, losses


class State(NamedTuple):
    """State of a run between steps.

    Attributes:
      params: [F, C], W.
      unsolved: [P] chance (0 or 1 when answers are drawn) that no correct answer has been drawn so far.
    """

    params: jax.Array
    unsolved: jax.Array


class Trajectory(NamedTuple):
    """Records before every update and once after the last: `steps` + 1 rows.

    Attributes:
      log_rates: [..., steps + 1, P] log pass rate.
      entropy: [..., steps + 1] mean over prompts of the policy's entropy, nats.
      any_success: [..., steps] share of prompts with at least one success among their rollouts.
      solved: [..., steps] share of prompts solved at least once so far, this step included.
      params: [..., F, C] after the last update.
    """

    log_rates: jax.Array
    entropy: jax.Array
    any_success: jax.Array
    solved: jax.Array
    params: jax.Array


def initial_state(problem: Problem) -> State:
    """W = 0, nothing solved."""
    return State(problem.initial_params(), jnp.ones(problem.base_logits.shape[:-1]))


def apply(problem: Problem, state: State, estimate: gradients.Estimate, learning_rate: jax.Array | float) -> State:
    """One step of gradient ascent."""
    params = state.params + learning_rate * problem.params_gradient(estimate.gradient)
    return State(params, state.unsolved * (1 - estimate.any_success))


GradientOf = Callable[[jax.Array, jax.Array], gradients.Estimate]  # (step, logits [..., P, C]) -> Estimate


def roll(
    problem: Problem, state: State, gradient_of: GradientOf, num_steps: int, learning_rate: jax.Array | float
) -> Trajectory:
    """Runs `num_steps` steps from a state, which may carry leading axes that `gradient_of` understands."""

    def look(state: State) -> tuple[jax.Array, jax.Array]:
        logits = problem.logits(state.params)
        return log_pass_rates(logits, problem.correct), jnp.mean(losses.entropy(logits), axis=-1)

    def advance(state: State, step: jax.Array):
        seen = look(state)
        estimate = gradient_of(step, problem.logits(state.params))
        state = apply(problem, state, estimate, learning_rate)
        return state, (*seen, jnp.mean(estimate.any_success, axis=-1), jnp.mean(1 - state.unsolved, axis=-1))

    state, (log_rates, entropy, any_success, solved) = jax.lax.scan(advance, state, jnp.arange(num_steps))
    last_rates, last_entropy = look(state)
    return Trajectory(
        jnp.moveaxis(jnp.concatenate([log_rates, last_rates[None]]), 0, -2),
        jnp.moveaxis(jnp.concatenate([entropy, last_entropy[None]]), 0, -1),
        jnp.moveaxis(any_success, 0, -1),
        jnp.moveaxis(solved, 0, -1),
        state.params,
    )


@functools.partial(jax.jit, static_argnames=("methods", "num_steps", "num_rollouts"))
def run_expected(
    problems: Problem,
    learning_rate: jax.Array | float,
    *,
    methods: tuple[Method, ...],
    num_steps: int,
    num_rollouts: int = 1,
) -> Trajectory:
    """Noise-free runs of every method on every problem, in one compile: only the weights differ.

    Args:
      problems: stacked on a leading axis, one for each seed.
      learning_rate: scalar.
      methods: static.
      num_steps: static.
      num_rollouts: N of `any_success` where a method has none of its own (population objectives).

    Returns:
      Trajectory with leading axes [methods, seeds].
    """
    sizes = np.array([method.num_rollouts or num_rollouts for method in methods])

    def gradient_of(step: jax.Array, logits: jax.Array) -> gradients.Estimate:
        p = pass_rates(logits, problems.correct)  # [methods, seeds, P]
        weights = jnp.stack([method.weight(rates) for method, rates in zip(methods, p, strict=True)])
        return gradients.expected(logits, problems.correct, weights, sizes[:, None, None])

    start = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(methods)), initial_state(problems))
    return roll(problems, start, gradient_of, num_steps, learning_rate)


@functools.partial(jax.jit, static_argnames=("num_steps",))
def run_counts(
    problems: Problem, seeds: jax.Array, learning_rate: jax.Array | float, tables: Tables, *, num_steps: int
) -> Trajectory:
    """Sampled runs of every method with one N on every seed, in one compile; all methods of a seed share keys.

    Args:
      problems: stacked on a leading axis, one for each seed.
      seeds: [seeds] random keys of the rollouts' streams.
      learning_rate: scalar.
      tables: methods as data, constant or in phases.
      num_steps: static.

    Returns:
      Trajectory with leading axes [methods, seeds].
    """

    def one(problem: Problem, seed: jax.Array, success: jax.Array, fail: jax.Array) -> Trajectory:
        def gradient_of(step: jax.Array, logits: jax.Array) -> gradients.Estimate:
            phase = jnp.sum(step >= tables.first_steps) - 1
            key = keys.stream(seed, "rollouts", step)
            return gradients.from_counts(key, logits, problem.correct, success[phase], fail[phase])

        return roll(problem, initial_state(problem), gradient_of, num_steps, learning_rate)

    over_seeds = jax.vmap(one, in_axes=(0, 0, None, None))
    return jax.vmap(over_seeds, in_axes=(None, None, 0, 0))(problems, seeds, tables.success, tables.fail)
