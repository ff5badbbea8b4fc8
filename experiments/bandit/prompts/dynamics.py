"""Gradient ascent on the prompt bandit: one step, and whole runs of many methods and seeds in one compile.

W moves by learning_rate times the SUM over prompts of the estimate, so that in the tabular case a prompt's own
trajectory does not depend on how many other prompts there are. Plain gradient ascent, no momentum and no
rescaling: what differs between two runs is the method alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

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

    log_rates: Any
    entropy: Any
    any_success: Any
    solved: Any
    params: Any


class Runs(NamedTuple):
    """Many runs on the host: their identities (columns of every table), and a trajectory with axes [runs, seeds]."""

    identities: Sequence[Mapping[str, Any]]
    log_rates: np.ndarray
    entropy: np.ndarray
    any_success: np.ndarray
    solved: np.ndarray
    params: np.ndarray

    @classmethod
    def of(cls, identities: Sequence[Mapping[str, Any]], parts: Sequence[Trajectory]) -> Runs:
        """Joins trajectories with axes [..., seeds], in the order of the identities."""
        own_axes = Trajectory(log_rates=3, entropy=2, any_success=2, solved=2, params=3)  # that of seeds included
        leaves = zip(*(jax.device_get(part) for part in parts), strict=True)
        joined = [
            np.concatenate([leaf.reshape(-1, *leaf.shape[-axes:]) for leaf in own])
            for own, axes in zip(leaves, own_axes, strict=True)
        ]
        return cls(identities, *joined)


def initial_state(problem: Problem, *runs: int) -> State:
    """W = 0, nothing solved; with leading axes of these lengths."""
    start = State(problem.initial_params(), jnp.ones(problem.base_logits.shape[:-1]))
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*runs, *leaf.shape)), start)


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


def grid(function: Callable[..., Any], *groups: tuple[Any, ...]) -> Any:
    """``function(*all arguments)`` for every combination of places; the arguments of a group share one leading axis.

    Returns:
      The results, the axis of the LAST group first.
    """
    for own in groups:
        axes = [0 if group is own else None for group in groups for _ in group]
        function = jax.vmap(function, in_axes=axes)
    return function(*(argument for group in groups for argument in group))


@functools.partial(jax.jit, static_argnames=("methods", "num_steps"))
def run_expected(
    problems: Problem, learning_rate: jax.Array | float, *, methods: tuple[Method, ...], num_steps: int
) -> Trajectory:
    """Noise-free runs [methods, seeds] of every method on problems stacked over seeds: only the weights differ."""
    sizes = np.array([method.num_rollouts or 1 for method in methods])

    def gradient_of(step: jax.Array, logits: jax.Array) -> gradients.Estimate:
        p = pass_rates(logits, problems.correct)  # [methods, seeds, P]
        weights = jnp.stack([method.weight(rates) for method, rates in zip(methods, p, strict=True)])
        return gradients.expected(logits, problems.correct, weights, sizes[:, None, None])

    return roll(problems, initial_state(problems, len(methods)), gradient_of, num_steps, learning_rate)


@functools.partial(jax.jit, static_argnames=("num_steps",))
def run_counts(
    problems: Problem, seeds: jax.Array, learning_rate: jax.Array | float, tables: Tables, *, num_steps: int
) -> Trajectory:
    """Sampled runs [methods, seeds] of every method with one N; all methods of a seed share the keys [seeds]."""

    def one(problem: Problem, seed: jax.Array, success: jax.Array, fail: jax.Array) -> Trajectory:
        def gradient_of(step: jax.Array, logits: jax.Array) -> gradients.Estimate:
            phase = jnp.sum(step >= tables.first_steps) - 1
            key = keys.stream(seed, "rollouts", step)
            return gradients.from_counts(key, logits, problem.correct, success[phase], fail[phase])

        return roll(problem, initial_state(problem), gradient_of, num_steps, learning_rate)

    return grid(one, (problems, seeds), (tables.success, tables.fail))
