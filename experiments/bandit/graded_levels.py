"""Graded answers: prompts whose answers lie on few levels of reward, and the exact gradient of a symmetric estimator.

With rewards on levels x_0 < ... < x_L a symmetric estimator is a table: the advantage of each level in a group
with so many rollouts on every level. As in the binary case (docs/theory.md, section 5) its expectation is

  E[(1/N) sum_i A_i S_i] = E[A_1 S_1] = sum_l a_l grad p_l,      a_l = E[A of a rollout on level l],

the mean over the multinomial counts of the other N - 1, p_l being the chance of level l. A population objective has
such weights too: its derivatives with respect to the p_l.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from maxrl_jax import keys
from maxrl_jax.advantages import Estimator

OBJECTIVES = ("log_mean", "log_tails")
"""log E[g], and the integral of log P(g > t) over t: the two likelihoods of a graded reward."""


class Prompts(NamedTuple):
    """P prompts with a tabular policy over C = levels x answers each, the answers of a level side by side.

    Attributes:
      base_logits: [P, C].
      levels: [L], ascending rewards.
    """

    base_logits: jax.Array
    levels: jax.Array


def make_prompts(
    key: jax.Array,
    *,
    num_prompts: int,
    answers_each: int,
    levels: tuple[float, ...],
    best_range: tuple[float, float],
    middle_rate: float,
) -> Prompts:
    """Prompts whose highest level has a log-spaced initial chance; levels between it and the lowest share another.

    ``middle_rate`` is the initial chance of all levels between, together, ``best_range`` the lowest and highest of the
    highest level, ``answers_each`` the answers on each level. The key is consumed.
    """
    best = np.geomspace(*best_range, num_prompts)[:, None]
    between = len(levels) - 2
    middle = np.full((num_prompts, between), middle_rate / max(between, 1))
    mass = np.concatenate([1 - best - middle.sum(1, keepdims=True), middle, best], axis=1)
    noise = jax.random.normal(keys.stream(key, "base logits"), (num_prompts, len(levels), answers_each))
    base = jnp.log(jnp.asarray(mass))[..., None] + jax.nn.log_softmax(noise, axis=-1)
    return Prompts(base.reshape(num_prompts, -1), jnp.asarray(levels, base.dtype))


def chances(logits: jax.Array, num_levels: int) -> jax.Array:
    """p_l: [..., C] logits to the [..., L] chances of every level."""
    policy = jax.nn.softmax(logits)
    return policy.reshape(*policy.shape[:-1], num_levels, -1).sum(-1)


def gradient(logits: jax.Array, weights: jax.Array) -> jax.Array:
    """sum_l a_l grad p_l with respect to the logits: [..., C] from weights a [..., L]."""
    policy = jax.nn.softmax(logits)
    of_answers = jnp.repeat(weights, logits.shape[-1] // weights.shape[-1], axis=-1)
    return policy * (of_answers - jnp.sum(policy * of_answers, axis=-1, keepdims=True))


def objective_weights(name: str, levels: jax.Array, p: jax.Array) -> jax.Array:
    """a_l of one of OBJECTIVES, its derivative with respect to p_l: [..., L] chances to [..., L]."""
    if name == "log_mean":
        return jnp.broadcast_to(levels / jnp.sum(levels * p, axis=-1, keepdims=True), p.shape)
    tails = jnp.cumsum(p[..., ::-1], axis=-1)[..., ::-1][..., 1:]
    slices = jnp.cumsum(jnp.diff(levels) / tails, axis=-1)
    return jnp.concatenate([jnp.zeros_like(p[..., :1]), slices], axis=-1)


class Table(NamedTuple):
    """Symmetric estimators at one N as data, so that they can be vmapped over.

    Attributes:
      values: [groups, L] the advantage of a rollout on level l in each group (0 where nobody is on it); the groups are
        numbered by `number` and those that cannot be are 0.
      joined: [G, L] the same, in the group it makes with each way the other N - 1 rollouts can lie on the levels.
      others: [G, L] those ways.
      log_ways: [G] log of the multinomial coefficient of each.
    """

    values: Any
    joined: Any
    others: Any
    log_ways: Any


def number(counts: Any, num_rollouts: int) -> Any:
    """The number of a group from its counts on the levels, [..., L] -> [...]: those above the lowest, base N + 1."""
    total = 0
    for level in range(1, counts.shape[-1]):
        total = total * (num_rollouts + 1) + counts[..., level]
    return total


def compositions(total: int, parts: int) -> np.ndarray:
    """Every way to write `total` as `parts` ordered whole numbers >= 0, [G, parts]."""
    ahead = itertools.product(range(total + 1), repeat=parts - 1)
    return np.array([(total - sum(rest), *rest) for rest in ahead if sum(rest) <= total])


@functools.lru_cache(maxsize=32)
def table(advantage: Estimator, levels: tuple[float, ...], num_rollouts: int) -> Table:
    """The table of one estimator, from its own values on one group of every kind."""
    groups, depth = compositions(num_rollouts, len(levels)), len(levels)
    ascending = np.stack([np.repeat(levels, counts) for counts in groups])
    advantages = np.asarray(jax.jit(advantage)(jnp.asarray(ascending)), np.float64)
    values = np.zeros(((num_rollouts + 1) ** (depth - 1), depth))
    first = np.cumsum(groups, axis=1) - groups  # of each level in an ascending group
    there = np.take_along_axis(advantages, np.minimum(first, num_rollouts - 1), axis=1)
    values[number(groups, num_rollouts)] = np.where(groups > 0, there, 0)
    others = compositions(num_rollouts - 1, depth)
    joined = values[number(others[:, None, :] + np.eye(depth, dtype=int), num_rollouts), np.arange(depth)]
    log_ways = scipy.special.gammaln(num_rollouts) - scipy.special.gammaln(others + 1).sum(-1)
    return Table(values, joined, others, log_ways)


def expected_weights(form: Table, p: jax.Array) -> jax.Array:
    """a_l of an estimator, exact at its N: [..., L] chances (positive) to [..., L]."""
    log_mass = jnp.asarray(form.log_ways, p.dtype) + jnp.log(p) @ jnp.asarray(form.others, p.dtype).T
    return jnp.exp(log_mass) @ jnp.asarray(form.joined, p.dtype)


def sampled_gradient(counts: jax.Array, logits: jax.Array, values: jax.Array, num_rollouts: int) -> jax.Array:
    """(1/N) sum_i A_i S_i of every prompt from counts [P, C] of its answers that sum to N, and `Table.values`."""
    num_levels = values.shape[-1]
    on_levels = counts.reshape(*counts.shape[:-1], num_levels, -1).sum(-1)
    given = values[number(on_levels, num_rollouts)]  # [P, L]
    weighted = counts * jnp.repeat(given, counts.shape[-1] // num_levels, axis=-1) / num_rollouts
    return weighted - jax.nn.softmax(logits) * weighted.sum(-1, keepdims=True)
