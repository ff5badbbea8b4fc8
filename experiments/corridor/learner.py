"""Gradient ascent in the corridor: every method, N and seed of a run in one compile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.corridor import environment, gradient
from experiments.corridor.environment import Corridor, Params
from maxrl_jax import keys
from maxrl_jax.advantages import Estimator

State = dict[str, dict[str, dict[str, jax.Array]]]

MEASURES: dict[str, Callable[[Corridor, Params], jax.Array]] = {
    "return": lambda corridor, params: environment.max_at_k(params, corridor, 1),
    "bias_probability": lambda corridor, params: environment.bias_probability(params),
}
"""Exact measures of a policy."""


class Method(NamedTuple):
    """An estimator, and the coefficient of an entropy bonus (0: none)."""

    advantage: Estimator
    entropy_coef: float


def initial_state(num_states: int, methods: Sequence[str], num_rollouts: Sequence[int], num_seeds: int) -> State:
    """{"params": {"N16": {"logits": [methods, seeds, S, 2], "bias": [methods, seeds, 2]}, ...}}, all 0."""
    one = environment.init_params(num_states)
    stacked = jax.tree.map(lambda leaf: jnp.tile(leaf, (len(methods), num_seeds, *[1] * leaf.ndim)), one)
    return {"params": {f"N{n}": jax.tree.map(jnp.copy, stacked) for n in num_rollouts}}


def make_step(
    corridor: Corridor,
    methods: Mapping[str, Method],
    num_rollouts: Sequence[int],
    *,
    seed: int,
    learning_rate: float,
) -> Callable[[State, jax.Array], tuple[State, dict[str, jax.Array]]]:
    """One step params += learning_rate [(1/N) sum_i A_i S_i + c grad H] of every method, N and seed.

    Methods of one N and seed share their random numbers, not their episodes: their policies differ after a step.
    Metrics are named NAME/METHOD/N16 and hold a value a seed, taken before the update: return (exact, of the policy),
    bias_probability and reward_mean (of the N episodes).
    """

    def estimate(params: Params, episodes: environment.Episodes, advantages: jax.Array) -> Params:
        return gradient.weighted_score(params, corridor, episodes, advantages / advantages.shape[-1])

    def directions(params: Params, episodes: environment.Episodes) -> Params:
        """Ascent directions [methods, seeds, ...] at one N."""
        values = [m.advantage(episodes.returns[j]) for j, m in enumerate(methods.values())]
        ascent = jax.vmap(jax.vmap(estimate))(params, episodes, jnp.stack(values))
        for j, method in enumerate(methods.values()):
            if method.entropy_coef:
                own = jax.tree.map(lambda leaf, j=j: leaf[j], (params, episodes))
                bonus = jax.vmap(gradient.entropy_gradient, in_axes=(0, None, 0))(own[0], corridor, own[1])
                scale = method.entropy_coef
                ascent = jax.tree.map(lambda f, b, j=j, c=scale: f.at[j].add(c * b), ascent, bonus)
        return ascent

    def at_one_size(params: Params, n: int, i: jax.Array) -> tuple[Params, dict[str, jax.Array]]:
        draws = jax.random.split(keys.stream(seed, f"rollouts N{n}", i), params["bias"].shape[1])
        over_seeds = jax.vmap(environment.sample_episodes, in_axes=(0, 0, None, None))
        episodes = jax.vmap(over_seeds, in_axes=(None, 0, None, None))(draws, params, corridor, n)
        values = {name: jax.vmap(jax.vmap(partial(f, corridor)))(params) for name, f in MEASURES.items()}
        values["reward_mean"] = jnp.mean(episodes.returns, axis=-1)
        metrics = {f"{key}/{name}/N{n}": value[j] for key, value in values.items() for j, name in enumerate(methods)}
        ascent = directions(params, episodes)
        return jax.tree.map(lambda p, d: p + learning_rate * d, params, ascent), metrics

    def step(state: State, i: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        params: dict[str, Params] = {}
        metrics: dict[str, jax.Array] = {}
        for n in num_rollouts:
            params[f"N{n}"], recorded = at_one_size(state["params"][f"N{n}"], n, i)
            metrics |= recorded
        return {"params": params}, metrics

    return step
