"""Gradient ascent on theta with an estimator of grad max@k: every learning rate and seed in one compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.gaussian import problem
from maxrl_jax import keys
from maxrl_jax.advantages import Estimator

State = dict[str, dict[str, jax.Array]]


def initial_state(theta: float, num_learning_rates: int, num_seeds: int) -> State:
    """{"params": {"theta": [learning rates, seeds]}}, all at `theta`."""
    return {"params": {"theta": jnp.full((num_learning_rates, num_seeds), theta, jnp.float32)}}


def make_step(
    advantage: Callable[[jax.Array], jax.Array],
    *,
    seed: int,
    std: float,
    num_rollouts: int,
    learning_rates: Sequence[float],
) -> Callable[[State, jax.Array], tuple[State, dict[str, jax.Array]]]:
    """One ascent step theta += learning_rate (1/N) sum_i A_i (x_i - theta) / std^2 of all runs at once.

    Runs that differ only in the learning rate see the same noise at the same step; different seeds see other noise.
    The metrics are taken before the update: theta, reward_mean (of the N samples) and gradient (the estimate).
    """
    rates = jnp.asarray(learning_rates, jnp.float32)[:, None]

    def estimate(theta: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = theta + std * noise
        rewards = problem.reward(x)
        gradient = jnp.mean(advantage(rewards) * problem.score(x, theta, std=std))
        return gradient, jnp.mean(rewards)

    over_rates = jax.vmap(jax.vmap(estimate), in_axes=(0, None))

    def step(state: State, i: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        theta = state["params"]["theta"]
        noise = jax.random.normal(keys.stream(seed, "rollouts", i), (theta.shape[1], num_rollouts))
        gradient, reward_mean = over_rates(theta, noise)
        metrics = {"theta": theta, "reward_mean": reward_mean, "gradient": gradient}
        return {"params": {"theta": theta + rates * gradient}}, metrics

    return step


def estimated_k(advantage: Estimator, num_rollouts: int) -> int | None:
    """The k of the max@k whose gradient the estimator's mean is (up to a factor); None if there is no such k."""
    if advantage.name == "partitioned":  # not symmetric, so the table states no objective for it
        return dict(advantage.hyper)["k"]
    objective: tuple[str, dict[str, Any], float] | None = advantage.objective(num_rollouts)
    if objective is None or objective[0] not in ("rl", "pass_at_k"):
        return None
    return 1 if objective[0] == "rl" else objective[1]["k"]
